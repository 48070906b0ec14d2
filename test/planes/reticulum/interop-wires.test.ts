/** The stack against the Python reference over UDP, serial lines, KISS TNCs and AutoInterface. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { kissTnc } from "../../../planes/reticulum/interfaces/kiss-tnc.ts";
import { serialInterface } from "../../../planes/reticulum/interfaces/serial.ts";
import { UdpInterface } from "../../../planes/reticulum/interfaces/udp.ts";
import { describePty, Pty } from "../../peers/pty.ts";
import { describeRns } from "../../peers/rns.ts";
import { interopCases, Meeting, until } from "./interop.ts";

const LINE_SIZES = [1, 100, 10_000];

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

describeRns("reticulum interop: UDP", () => {
  interopCases(
    async () => {
      const [mine, theirs] = [await freeUdpPort(), await freeUdpPort()];
      const ours = new UdpInterface({
        name: "udp",
        listenHost: "127.0.0.1",
        listenPort: mine,
        forwardHost: "127.0.0.1",
        forwardPort: theirs,
      });
      const section = `listen_ip = 127.0.0.1\nlisten_port = ${theirs}\nforward_ip = 127.0.0.1\nforward_port = ${mine}\n`;
      return Meeting.open(ours, `[[udp]]\ntype = UDPInterface\nenabled = Yes\n${section}`);
    },
    { sizes: [1, 100, 10_000, 1_000_000], timeoutMs: 60_000 },
  );
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
