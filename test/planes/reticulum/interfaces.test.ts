/** Interfaces without a peer: reopening over many cycles, flow control, framing limits, AX.25, wrong configuration. */
import assert from "node:assert/strict";
import { FramedInterface, hdlcFraming } from "../../../planes/reticulum/interfaces/framed.ts";
import { hdlcEncode } from "../../../planes/reticulum/interfaces/hdlc.ts";
import { accessCode, automaticMtu, type LiveWire } from "../../../planes/reticulum/interfaces/interface.ts";
import { ax25Header } from "../../../planes/reticulum/interfaces/kiss-tnc.ts";
import type { Line, LineEvents } from "../../../planes/reticulum/interfaces/line.ts";
import { PacedLine } from "../../../planes/reticulum/interfaces/paced.ts";
import { Reopener } from "../../../planes/reticulum/interfaces/reopen.ts";
import { ResyncLine } from "../../../planes/reticulum/interfaces/resync-line.ts";
import { checkRadioConfig } from "../../../planes/reticulum/interfaces/rnode.ts";
import { TcpServerInterface, tcpClient } from "../../../planes/reticulum/interfaces/tcp.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { Station } from "../../../planes/reticulum/station.ts";
import { concatBytes, SpineError, toHex } from "../../../spine/index.ts";
import { systemRandom, until } from "./interop.ts";

class FakeLine implements Line {
  readonly written: Uint8Array[] = [];
  queuedBytes = 0;
  closes = 0;
  write(bytes: Uint8Array): void {
    this.written.push(bytes);
  }
  async close(): Promise<void> {
    this.closes++;
  }
}

describe("reticulum reopening", () => {
  it("has one line open at a time over 10,000 cycles, and none after stop", async () => {
    let opens = 0;
    let open = 0;
    let most = 0;
    let fails = 0;
    let sessions = 0;
    const reopener = new Reopener(
      async (events) => {
        if (opens++ % 3 === 0) throw new SpineError("device_failed", "away");
        open++;
        most = Math.max(most, open);
        setImmediate(() => events.closed(new SpineError("device_failed", "pulled")));
        const line = new FakeLine();
        line.close = async () => {
          open--;
        };
        return line;
      },
      {
        opened: () => {
          if (++sessions % 5 === 0) throw new SpineError("device_failed", "wrong settings");
        },
        data: () => undefined,
        closed: () => fails++,
      },
      async () => undefined,
    );
    reopener.start();
    try {
      await until("10,000 openings", () => opens >= 10_000);
    } finally {
      await reopener.stop();
    }
    assert.ok(reopener.reconnects > 6000);
    assert.deepEqual([open, most], [0, 1]);
    assert.equal(fails, sessions);
  });
});

describe("reticulum flow control", () => {
  it("gives one frame per readiness, commands at once, and takes silence for readiness", async () => {
    const line = new FakeLine();
    const paced = new PacedLine(line, 30);
    const frame = (n: number): Uint8Array => Uint8Array.of(n);
    for (const n of [1, 2, 3]) paced.write(frame(n));
    paced.writeNow(frame(9));
    assert.deepEqual(line.written.map(toHex), ["01", "09"]);
    assert.equal(paced.queuedBytes, 2);
    paced.ready();
    assert.deepEqual(line.written.map(toHex), ["01", "09", "02"]);
    await until("the third", () => line.written.length === 4, 2000);
    await paced.close();
    assert.equal(line.closes, 1);
  });
});

describe("reticulum framed interfaces", () => {
  it("drop runts, giants, half frames and what does not fit the queue, and count them", async () => {
    let events: LineEvents | undefined;
    const line = new FakeLine();
    const info = { id: "fake", bitrate: 1e6, hardwareMtu: 500, signalsMtu: false };
    const wire = new FramedInterface({
      type: "fake",
      info,
      open: async (e) => {
        events = e;
        return line;
      },
      framing: () => hdlcFraming(500),
      queueBytes: 1000,
      partialTimeout: true,
    });
    const got: number[] = [];
    let up: LiveWire | undefined;
    await wire.start({
      up: (w) => {
        up = w;
      },
      down: () => {
        up = undefined;
      },
      receive: (_, frame) => got.push(frame.length),
    });
    await until("the line", () => up !== undefined);
    for (const size of [19, 20, 500, 501]) events?.data(hdlcEncode(new Uint8Array(size).fill(1)));
    assert.deepEqual(got, [20, 500]);
    assert.equal(wire.status().framesDropped, 2);
    events?.data(hdlcEncode(new Uint8Array(100).fill(2)).subarray(0, 60));
    await new Promise((resolve) => setTimeout(resolve, 150));
    events?.data(concatBytes(new Uint8Array(40).fill(2), hdlcEncode(new Uint8Array(30).fill(3))));
    assert.deepEqual(got, [20, 500, 30]);
    assert.equal(up?.send(new Uint8Array(30)), true);
    line.queuedBytes = 1001;
    assert.equal(up?.send(new Uint8Array(30)), false);
    await wire.stop();
    assert.equal(up, undefined);
    assert.equal(line.closes, 1);
  });
});

describe("reticulum interface configuration", () => {
  it("chooses the MTU by bitrate", () => {
    const table = [
      [2e9, 524_288],
      [1e9, 524_288],
      [8e8, 262_144],
      [1e7, 8192],
      [1e7 + 1, 16_384],
      [5e6, 4096],
      [62_501, 1024],
      [62_500, 500],
    ] as const;
    for (const [bitrate, mtu] of table) assert.equal(automaticMtu(bitrate), mtu, String(bitrate));
  });
  it("refuses what cannot be meant", () => {
    const radio = { frequencyHz: 868e6, bandwidthHz: 125e3, txPowerDbm: 14, spreadingFactor: 8, codingRate: 5 };
    checkRadioConfig(radio);
    for (const wrong of [
      { frequencyHz: 1e6 },
      { spreadingFactor: 13 },
      { codingRate: 4.5 },
      { airtimeLongPercent: 101 },
    ]) {
      assert.throws(() => checkRadioConfig({ ...radio, ...wrong }), { code: "config_invalid" });
    }
    assert.throws(() => tcpClient({ name: "x", host: "h", port: 1, fixedMtu: 499 }), { code: "config_invalid" });
    assert.throws(() => accessCode({ networkName: "n", accessCodeBytes: 65 }, 8), { code: "config_invalid" });
    assert.throws(() => ax25Header("toolongname", 0), { code: "config_invalid" });
    assert.equal(accessCode({}, 8), undefined);
  });
  it("writes AX.25 addresses shifted by one bit", () => {
    assert.equal(toHex(ax25Header("N0CALL", 3)), "82a0b4a49ca6609c608682989867".concat("03f0"));
  });
});

describe("reticulum resynchronised lines", () => {
  it("says half a frame once after each burst, and keeps frames until the silence after it is over", async () => {
    const fake = new FakeLine();
    const line = new ResyncLine(fake, 115_200);
    line.write(Uint8Array.of(1));
    line.write(Uint8Array.of(2));
    await until("the half frame", () => fake.written.length === 3);
    assert.deepEqual(fake.written.map(toHex), ["01", "02", "7e00"]);
    line.write(Uint8Array.of(3));
    line.write(Uint8Array.of(4));
    assert.deepEqual([fake.written.length, line.queuedBytes], [3, 2]);
    await until("what was kept, and the next half frame", () => fake.written.length === 6);
    assert.deepEqual(fake.written.slice(3).map(toHex), ["03", "04", "7e00"]);
    await line.close();
    assert.equal(fake.closes, 1);
  });
});

describe("reticulum TCP interfaces", () => {
  it("tell when the port is taken", async () => {
    const host = { up: () => undefined, down: () => undefined, receive: () => undefined };
    const first = new TcpServerInterface({ name: "a", host: "127.0.0.1", port: 0 });
    await first.start(host);
    const second = new TcpServerInterface({ name: "b", host: "127.0.0.1", port: first.port as number });
    await assert.rejects(second.start(host), { code: "port_in_use" });
    await first.stop();
    await second.stop();
  });
  it("reconnect when the server comes back", async () => {
    const server = new TcpServerInterface({ name: "s", host: "127.0.0.1", port: 0 });
    const far = new Station({ random: systemRandom }, [server]);
    await far.start();
    const port = server.port as number;
    const client = tcpClient({ name: "c", host: "127.0.0.1", port });
    const near = new Station({ random: systemRandom }, [client]);
    await near.start();
    await until("the connection", () => client.status().online);
    await far.stop();
    await until("the loss", () => !client.status().online);
    const again = new Station({ random: systemRandom }, [
      new TcpServerInterface({ name: "s", host: "127.0.0.1", port }),
    ]);
    await again.start();
    await until("the return", () => client.status().online);
    const identity = Identity.create(systemRandom);
    const service = new Destination({ type: SINGLE, appName: "test", aspects: ["tcp"], identity });
    again.act(() => again.endpoint.register(service));
    await until("the server's side", () => again.status()[0]?.wires === 1);
    again.act(() => again.endpoint.announce(service));
    await until("the announce", () => near.endpoint.known.get(service.hash) !== undefined);
    await near.stop();
    await again.stop();
  });
});
