/** The stack against the Python reference over UDP, serial lines, KISS TNCs and AutoInterface. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { hdlcEncode } from "../../../planes/reticulum/interfaces/hdlc.ts";
import { kissTnc } from "../../../planes/reticulum/interfaces/kiss-tnc.ts";
import { serialLine } from "../../../planes/reticulum/interfaces/line.ts";
import { ResyncLine } from "../../../planes/reticulum/interfaces/resync-line.ts";
import { serialInterface } from "../../../planes/reticulum/interfaces/serial.ts";
import { UdpInterface } from "../../../planes/reticulum/interfaces/udp.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { describePty, Pty } from "../../peers/pty.ts";
import { describeRns, RnsNode } from "../../peers/rns.ts";
import { interopCases, Meeting, systemRandom, until } from "./interop.ts";

const LINE_SIZES = [1, 100, 10_000];

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

async function overUdp(access: { readonly passphrase?: string }, more: string): Promise<Meeting> {
  const [mine, theirs] = [await freeUdpPort(), await freeUdpPort()];
  const ours = new UdpInterface({
    name: "udp",
    listenHost: "127.0.0.1",
    listenPort: mine,
    forwardHost: "127.0.0.1",
    forwardPort: theirs,
    ...access,
  });
  const section = `listen_ip = 127.0.0.1\nlisten_port = ${theirs}\nforward_ip = 127.0.0.1\nforward_port = ${mine}\n`;
  return Meeting.open(ours, `[[udp]]\ntype = UDPInterface\nenabled = Yes\n${section}${more}`);
}

describeRns("reticulum interop: UDP", () => {
  interopCases(() => overUdp({}, ""), { sizes: [1, 100, 10_000, 1_000_000], timeoutMs: 60_000 });
});

describeRns("reticulum interop: UDP with access code", () => {
  const open = (): Promise<Meeting> => overUdp({ passphrase: "open sesame" }, "passphrase = open sesame\n");
  interopCases(open, { sizes: [100, 10_000, 1_000_000], timeoutMs: 60_000 });
});

const SERIAL = "enabled = Yes\nspeed = 115200\ndatabits = 8\nparity = none\nstopbits = 1\n";

describePty("reticulum interop: serial line", () => {
  let pty: Pty;
  after(async () => {
    await pty?.close();
  });
  interopCases(
    async () => {
      pty = await Pty.open();
      const ours = serialInterface({ name: "serial", path: pty.near });
      return Meeting.open(ours, `[[serial]]\ntype = SerialInterface\nport = ${pty.far}\n${SERIAL}`);
    },
    { sizes: LINE_SIZES, timeoutMs: 60_000 },
  );
});

describePty("reticulum interop: serial line unplugged and plugged in again", () => {
  it("comes back without help", async () => {
    const pty = await Pty.open();
    const ours = serialInterface({ name: "serial", path: pty.near });
    const meeting = await Meeting.open(ours, `[[serial]]\ntype = SerialInterface\nport = ${pty.far}\n${SERIAL}`);
    try {
      await meeting.greet();
      const link = await meeting.link();
      await pty.unplug();
      await until("the loss", () => !ours.status().online);
      assert.equal(link.closeReason, "wire");
      assert.equal(meeting.station.endpoint.hasPath(meeting.pythonHash), false);
      await pty.plug();
      await until("the return", () => ours.status().online, 30_000);
      assert.ok(ours.status().reconnects >= 1);
      await meeting.greet();
      const again = await meeting.link();
      assert.equal(again.state, "active");
    } finally {
      await meeting.close();
      await pty.close();
    }
  }).timeout(90_000);
});

describePty("reticulum interop: a serial line that lost half a frame", () => {
  it("is heard again by the reference, which took frames for what lies between them", async () => {
    const pty = await Pty.open();
    const python = await RnsNode.start(`[[serial]]\ntype = SerialInterface\nport = ${pty.far}\n${SERIAL}`);
    const events = { data: () => undefined, closed: () => undefined };
    const line = new ResyncLine(await serialLine({ path: pty.near })(events, new AbortController().signal), 115_200);
    try {
      const announce = (aspect: string): { readonly hex: string; readonly frame: Uint8Array } => {
        const identity = Identity.create(systemRandom);
        const endpoint = new Endpoint({ random: systemRandom, unixMs: () => Date.now() });
        endpoint.attach({ id: "serial", bitrate: 115_200, hardwareMtu: 500, signalsMtu: false });
        const destination = new Destination({ type: SINGLE, appName: "half", aspects: [aspect], identity });
        const [sent] = endpoint.act(Date.now(), () => endpoint.announce(destination));
        return { hex: destination.hex, frame: hdlcEncode(sent?.frame as Uint8Array) };
      };
      const hears = async (): Promise<boolean> => {
        const { hex, frame } = announce("whole");
        line.write(frame);
        return (await python.wait("announce", (e) => e.hash === hex, 2500).catch(() => undefined)) !== undefined;
      };
      const heardWithin = async (tries: number): Promise<boolean> => {
        for (let i = 0; i < tries; i++) if (await hears()) return true;
        return false;
      };
      assert.ok(await heardWithin(10), "at first");
      for (let round = 0; round < 2; round++) {
        const { frame } = announce("broken");
        line.write(frame.subarray(0, 80));
        await new Promise((resolve) => setTimeout(resolve, 500));
        line.write(frame.subarray(80));
        assert.ok(await heardWithin(10), "after half a frame");
      }
    } finally {
      await line.close();
      await python.stop();
      await pty.close();
    }
  }).timeout(120_000);
});

describePty("reticulum interop: KISS TNC", () => {
  let pty: Pty;
  after(async () => {
    await pty?.close();
  });
  interopCases(
    async () => {
      pty = await Pty.open();
      const ours = kissTnc({ name: "kiss", path: pty.near, settleMs: 100, networkName: "air" });
      const setup =
        "preamble = 350\ntxtail = 20\npersistence = 200\nslottime = 20\nflow_control = false\nnetworkname = air\n";
      return Meeting.open(ours, `[[kiss]]\ntype = KISSInterface\nport = ${pty.far}\n${SERIAL}${setup}`);
    },
    { sizes: LINE_SIZES, timeoutMs: 60_000 },
  );
});
