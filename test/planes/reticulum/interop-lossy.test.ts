/** Resources between the stack and the Python reference over UDP that loses, doubles and reorders datagrams. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { UdpInterface } from "../../../planes/reticulum/interfaces/udp.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import type { ReceivedResource } from "../../../planes/reticulum/stack/link-resources.ts";
import { Station } from "../../../planes/reticulum/station.ts";
import { describeRns, RnsNode } from "../../peers/rns.ts";
import { seededRandom } from "./ether.ts";
import { Meeting, madeData, sha256Hex, systemRandom, until } from "./interop.ts";

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return socket;
}

/** Carries datagrams between two ports, badly. */
class BadWire {
  loss = 0;
  #closed = false;
  readonly #roll = seededRandom("bad wire");
  readonly near: Socket;
  readonly far: Socket;
  constructor(near: Socket, far: Socket) {
    this.near = near;
    this.far = far;
  }
  carry(nearPort: number, farPort: number): void {
    this.near.on("message", (d) => this.#pass(d, this.far, farPort));
    this.far.on("message", (d) => this.#pass(d, this.near, nearPort));
  }
  #pass(datagram: Buffer, out: Socket, port: number): void {
    const [lose = 0, twice = 0, wait = 0] = this.#roll(3);
    if (lose < this.loss * 256) return;
    const send = (): void => {
      if (!this.#closed) out.send(datagram, port, "127.0.0.1");
    };
    if (this.loss > 0 && wait < 30) setTimeout(send, wait);
    else send();
    if (this.loss > 0 && twice < 25) send();
  }
  close(): void {
    this.#closed = true;
    this.near.close();
    this.far.close();
  }
}

describeRns("reticulum interop: a wire that loses, doubles and reorders", () => {
  for (const loss of [0.1, 0.3]) {
    it(`carries resources both ways at ${loss * 100} % loss, or says why not`, async () => {
      const wire = new BadWire(await bound(), await bound());
      const [mine, theirs] = [await bound(), await bound()];
      const [myPort, theirPort] = [mine.address().port, theirs.address().port];
      mine.close();
      theirs.close();
      wire.carry(myPort, theirPort);
      const host = "127.0.0.1";
      const ours = new UdpInterface({
        name: "udp",
        listenHost: host,
        listenPort: myPort,
        forwardHost: host,
        forwardPort: wire.near.address().port,
      });
      const station = new Station({ random: systemRandom }, [ours]);
      await station.start();
      const forward = `forward_ip = ${host}\nforward_port = ${wire.far.address().port}\n`;
      const section = `[[udp]]\ntype = UDPInterface\nenabled = Yes\nlisten_ip = ${host}\nlisten_port = ${theirPort}\n${forward}`;
      const meeting = new Meeting(station, await RnsNode.start(section));
      try {
        await meeting.greet();
        const link: Link = await meeting.link();
        const got: ReceivedResource[] = [];
        link.acceptResource = () => true;
        link.onResource = (resource) => got.push(resource);
        wire.loss = loss;
        const size = loss > 0.1 ? 8000 : 30_000;
        const data = madeData(size, false);
        const sent = station.act(() => link.sendResource(data));
        await until("our resource", () => sent.state === "complete" || sent.state === "failed", 60_000);
        const arrived = sent.state === "complete";
        assert.ok(arrived || (loss > 0.1 && sent.failure !== undefined), sent.failure?.message);
        if (arrived) {
          // Our sender checked the proof of the whole data. The reference tells of a failure all the same when a doubled
          // last part makes it assemble twice.
          const told = await meeting.python.wait("resource");
          if (told.ok) assert.equal(told.sha256, sha256Hex(data));
        }
        if (link.state === "closed") return;
        meeting.python.send({ do: "resource", size, compressible: false });
        const end = await meeting.python.wait("resource-sent", undefined, 90_000);
        assert.ok(end.ok || loss > 0.1);
        if (end.ok) assert.equal(sha256Hex(got[0]?.data as Uint8Array), end.sha256);
      } finally {
        await meeting.close();
        wire.close();
      }
    }).timeout(150_000);
  }
});
