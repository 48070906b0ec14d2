/** RNodes: our interface and the reference's own, unmodified, on emulated radios; failures of the device. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { RadioEther } from "../../../planes/reticulum/ether.ts";
import type { LiveWire } from "../../../planes/reticulum/interfaces/interface.ts";
import { RNODE } from "../../../planes/reticulum/interfaces/rnode.ts";
import { RNodeInterface, type RNodeOptions } from "../../../planes/reticulum/interfaces/rnode-interface.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { Station } from "../../../planes/reticulum/station.ts";
import { describePty, Pty } from "../../peers/pty.ts";
import { airClock, EmulatedRNode } from "../../peers/rnode.ts";
import { interopCases, Meeting, systemRandom, until } from "./interop.ts";

const RADIO = { frequencyHz: 867_200_000, bandwidthHz: 500_000, txPowerDbm: 14, spreadingFactor: 5, codingRate: 5 };

function makeEther(loss = 0): RadioEther {
  return new RadioEther({ clock: airClock(), chance: Math.random, loss });
}

function ours(port: number, more: Partial<RNodeOptions> = {}): RNodeInterface {
  return new RNodeInterface({
    name: "rnode",
    radio: RADIO,
    device: { host: "127.0.0.1", port },
    settleMs: 50,
    pause: async (_, signal) => sleep(50, undefined, { signal }).catch(() => undefined),
    ...more,
  });
}

describe("reticulum RNode interface", () => {
  it("configures the device, reads its telemetry and leaves it switched off", async () => {
    const device = new EmulatedRNode(makeEther(), "a");
    const wire = ours(await device.listen(), {
      radio: { ...RADIO, airtimeShortPercent: 25, airtimeLongPercent: 10 },
    });
    const station = new Station({ random: systemRandom }, [wire]);
    await station.start();
    await until("the radio", () => wire.status().online);
    assert.deepEqual(device.radio.settings, { ...RADIO, airtimeShort: 0.25, airtimeLong: 0.1 });
    await until("telemetry", () => wire.state.batteryPercent !== undefined && wire.state.temperatureC !== undefined);
    assert.deepEqual([wire.state.temperatureC, wire.state.csmaMax, wire.state.noiseFloorDbm], [25, 14, -117]);
    await station.stop();
    await until("radio off", () => device.radio.settings === undefined);
    await device.close();
  });

  it("sends what goes first before what waits, in the order it came", async () => {
    const ether = makeEther();
    const device = new EmulatedRNode(ether, "a");
    const heard: number[] = [];
    const listener = ether.join("b", (packet) => heard.push(packet[0] as number));
    listener.settings = { ...RADIO, airtimeShort: 0, airtimeLong: 0 };
    const wire = ours(await device.listen(), { flowControl: true });
    const lives: LiveWire[] = [];
    await wire.start({ up: (live) => lives.push(live), down: () => undefined, receive: () => undefined });
    await until("the radio", () => lives.length === 1);
    for (const [what, first] of [[1], [2], [3], [4, true], [5], [6, true]] as const)
      assert.equal(lives[0]?.send(new Uint8Array(100).fill(what), first), true);
    await until("all packets", () => heard.length === 6);
    assert.deepEqual(heard, [1, 4, 6, 2, 3, 5]);
    await wire.stop();
    await device.close();
  });

  it("takes what two of our own stations say over the air, with flow control and without", async () => {
    const ether = makeEther();
    const devices = [new EmulatedRNode(ether, "a"), new EmulatedRNode(ether, "b")];
    const stations: Station[] = [];
    for (const [i, device] of devices.entries()) {
      const station = new Station({ random: systemRandom }, [ours(await device.listen(), { flowControl: i === 0 })]);
      stations.push(station);
      await station.start();
    }
    const [a, b] = stations as [Station, Station];
    await until("both radios", () => [a, b].every((s) => s.status()[0]?.online === true));
    const identity = Identity.create(systemRandom);
    const service = new Destination({ type: SINGLE, appName: "radio", aspects: ["test"], identity });
    service.proofs = "all";
    b.act(() => b.endpoint.register(service));
    b.act(() => b.endpoint.announce(service));
    await until("the announce", () => a.endpoint.known.get(service.hash) !== undefined);
    const receipts = Array.from({ length: 5 }, (_, i) =>
      a.act(() => a.endpoint.send(service.hash, new Uint8Array(300).fill(i))),
    );
    await until("all proofs", () => receipts.every((r) => r.state !== "sent"));
    assert.deepEqual(new Set(receipts.map((r) => r.state)), new Set(["delivered"]));
    for (const station of stations) await station.stop();
    for (const device of devices) await device.close();
  });

  it("opens the device again after a restart, an error or wrong settings, and says why", async () => {
    const device = new EmulatedRNode(makeEther(), "a");
    const wire = ours(await device.listen());
    const station = new Station({ random: systemRandom }, [wire]);
    await station.start();
    await until("the radio", () => wire.status().online);
    for (const fault of [() => device.restart(), () => device.fail(0x02)]) {
      const before = wire.status().reconnects;
      fault();
      await until("the loss", () => !wire.status().online);
      assert.equal(wire.status().lastError?.code, "device_failed");
      await until("the return", () => wire.status().online && wire.status().reconnects > before);
    }
    device.fail(0x05);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(wire.status().online, true);
    device.quirks = { wrongEcho: RNODE.spreadingFactor };
    device.restart();
    await until("the complaint", () => wire.status().lastError?.message.includes("other settings") === true, 20_000);
    device.quirks = { firmware: [1, 51] };
    await until("the old firmware", () => wire.status().lastError?.message.includes("1.51") === true, 20_000);
    device.quirks = {};
    await until("the return", () => wire.status().online, 20_000);
    await station.stop();
    await device.close();
  }).timeout(60_000);
});

describePty("reticulum interop: RNodes on an emulated ether, with access code", () => {
  const ether = makeEther();
  const mine = new EmulatedRNode(ether, "ours");
  const theirs = new EmulatedRNode(ether, "theirs");
  let pty: Pty;
  after(async () => {
    await pty?.close();
    await mine.close();
    await theirs.close();
  });
  const open = async (): Promise<Meeting> => {
    pty = await Pty.open(await theirs.listen());
    const { frequencyHz, bandwidthHz, txPowerDbm, spreadingFactor, codingRate } = RADIO;
    const radio = `frequency = ${frequencyHz}\nbandwidth = ${bandwidthHz}\ntxpower = ${txPowerDbm}\nspreadingfactor = ${spreadingFactor}\ncodingrate = ${codingRate}\n`;
    const device = `[[rnode]]\ntype = RNodeInterface\nenabled = Yes\nport = ${pty.near}\nflow_control = False\n`;
    return Meeting.open(
      ours(await mine.listen(), { networkName: "radio net" }),
      `${device}${radio}networkname = radio net\n`,
    );
  };
  interopCases(open, { sizes: [1, 100, 500, 3000], timeoutMs: 120_000 });
});
