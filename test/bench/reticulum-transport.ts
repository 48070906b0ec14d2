/**
 * A transport node between two TCP clients, ours beside the Python reference in one run: packets forwarded per second, how
 * long an announce takes over one hop, memory with ten thousand destinations; and LXMF messages one after the other.
 * `node dist/test/bench/reticulum-transport.js`. Prints one table row per measure and one JSON line.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { reticulum } from "../../planes/index.ts";
import { HdlcDecoder, hdlcEncode } from "../../planes/reticulum/interfaces/hdlc.ts";
import { announceData, announceRandomHash } from "../../planes/reticulum/stack/announce.ts";
import { destinationHash, nameHash } from "../../planes/reticulum/stack/name.ts";
import { ANNOUNCE, buildPacket, DATA, parsePacket, routeVia } from "../../planes/reticulum/stack/packet.ts";
import { fromHex } from "../../spine/index.ts";
import { RnsNode } from "../peers/rns.ts";

const NAME = nameHash("bench.forward");
const KNOWN = 10_000;
const random = reticulum.systemRandom;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A bare TCP peer: sends frames, tells of frames. */
class Peer {
  readonly socket: Socket;
  onFrame: (frame: Uint8Array) => void = () => undefined;
  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    const decoder = new HdlcDecoder(9000);
    this.socket.on("data", (chunk: Buffer) => decoder.push(chunk, (frame) => this.onFrame(frame)));
    this.socket.on("error", () => undefined);
  }
  send(frame: Uint8Array): boolean {
    return this.socket.write(hdlcEncode(frame));
  }
  close(): void {
    this.socket.destroy();
  }
}

function announce(): { readonly destination: Uint8Array; readonly raw: Uint8Array } {
  const identity = reticulum.Identity.create(random);
  const destination = destinationHash(NAME, identity.hash).slice();
  const randomHash = announceRandomHash(random(5), Date.now());
  const data = announceData({ identity, destination, nameHash: NAME, randomHash, appData: random(20) });
  return { destination, raw: buildPacket({ packetType: ANNOUNCE, destinationType: 0, destination, data }) };
}

async function waitFor(done: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (!done()) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return true;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

interface Measures {
  readonly announceMs: number;
  readonly packetsPerSecond: number;
  /** The same by the node's own processor time, which other load on the machine does not change. */
  readonly packetsPerCpuSecond: number;
  readonly lost: number;
}

/** Processor seconds a process has used; the kernel counts hundredths. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function measure(port: number, pid: number, packets: number): Promise<Measures> {
  const [a, b] = [new Peer(port), new Peer(port)];
  await new Promise((resolve) => setTimeout(resolve, 500));
  const delays: number[] = [];
  let via: Uint8Array | undefined;
  let target: Uint8Array | undefined;
  for (let i = 0; i < 5; i++) {
    const { destination, raw } = announce();
    let heard = false;
    a.onFrame = (frame) => {
      const packet = parsePacket(frame);
      if (packet.packetType !== ANNOUNCE || Buffer.compare(packet.destination, destination) !== 0) return;
      heard = true;
      via = packet.transportId?.slice();
    };
    const since = performance.now();
    b.send(raw);
    if (await waitFor(() => heard, 8000)) delays.push(performance.now() - since);
    target = destination;
  }
  if (via === undefined || target === undefined) throw new Error("no announce came through");
  const fields = { packetType: DATA, destinationType: 0, destination: target } as const;
  const make = (): Uint8Array => routeVia(buildPacket({ ...fields, data: random(200) }), via as Uint8Array);
  let flags = 0;
  b.socket.removeAllListeners("data");
  // Every frame has two flags; escaped bytes hold none.
  b.socket.on("data", (chunk: Buffer) => {
    for (let at = chunk.indexOf(0x7e); at >= 0; at = chunk.indexOf(0x7e, at + 1)) flags++;
  });
  /** Returns how many came through, and when the last one did. */
  const push = async (count: number): Promise<readonly [number, number]> => {
    const frames = Array.from({ length: count }, () => hdlcEncode(make()));
    const chunks = Array.from({ length: Math.ceil(count / 64) }, (_, i) =>
      Buffer.concat(frames.slice(64 * i, 64 * i + 64)),
    );
    flags = 0;
    since = performance.now();
    for (const chunk of chunks) {
      if (!a.socket.write(chunk)) await new Promise((resolve) => a.socket.once("drain", resolve));
    }
    let last = performance.now();
    for (let seen = -1; flags < 2 * count && performance.now() - last < 2000; ) {
      if (flags !== seen) {
        seen = flags;
        last = performance.now();
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return [flags >> 1, last];
  };
  let since = 0;
  await push(packets / 5);
  const cpuBefore = cpuSeconds(pid);
  const [received, last] = await push(packets);
  const seconds = (last - since) / 1000;
  const cpu = cpuSeconds(pid) - cpuBefore;
  a.close();
  b.close();
  return {
    announceMs: median(delays),
    packetsPerSecond: received / seconds,
    packetsPerCpuSecond: received / cpu,
    // Announces come again meanwhile, and are frames too.
    lost: Math.max(0, packets - received),
  };
}

class OwnRouter {
  readonly port: number;
  readonly child: ChildProcessWithoutNullStreams;
  #lines: Record<string, unknown>[] = [];
  constructor(port: number) {
    this.port = port;
    this.child = spawn(process.execPath, [join(import.meta.dirname, "reticulum-router.js"), String(port)]);
    createInterface({ input: this.child.stdout }).on("line", (line) =>
      this.#lines.push(JSON.parse(line) as Record<string, unknown>),
    );
  }
  async next(): Promise<Record<string, unknown>> {
    await waitFor(() => this.#lines.length > 0, 20_000);
    return this.#lines.shift() ?? {};
  }
  async tables(): Promise<Record<string, unknown>> {
    this.child.stdin.write("\n");
    return this.next();
  }
}

function residentMb(pid: number | undefined): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}

async function fillTables(router: OwnRouter): Promise<{ readonly known: unknown; readonly megabytes: number }> {
  const peer = new Peer(router.port);
  for (let i = 0; i < KNOWN; i++) {
    const whole = peer.send(announce().raw);
    if (!whole) await new Promise((resolve) => peer.socket.once("drain", resolve));
    if (i % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let tables: Record<string, unknown> = {};
  for (let i = 0; i < 100 && Number(tables["known"] ?? 0) < KNOWN; i++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    tables = await router.tables();
  }
  const megabytes = residentMb(router.child.pid);
  peer.close();
  return { known: tables["known"], megabytes };
}

/** Messages to the reference, each sent when the one before is confirmed, and the same from it to us. */
async function mail(): Promise<{ readonly ours: readonly number[]; readonly theirs: readonly number[] }> {
  const port = await freePort();
  const stamps = new reticulum.StampPool();
  const identity = reticulum.Identity.create(random);
  const policy = { announceRate: null, ingressControl: false };
  const server = new reticulum.TcpServerInterface({ name: "s", host: "127.0.0.1", port, policy });
  const station = new reticulum.Station({ random, identity }, [server]);
  await station.start();
  let received = 0;
  const host = reticulum.stationHost(station, { stamps, changed: () => undefined, persisted: async () => undefined });
  const router = new reticulum.LxmfRouter(host, { identity, onMessage: () => received++ });
  const client = `[[c]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = 127.0.0.1\ntarget_port = ${port}\n`;
  const python = await RnsNode.start(client);
  const { hash } = await python.do({ do: "lxmf" }, "lxmf-ready");
  const destination = fromHex(hash);
  for (let i = 0; i < 10; i++) {
    await python.do({ do: "lxmf-announce" }, "lxmf-announced");
    router.announce();
    if (await waitFor(() => station.endpoint.known.get(destination) !== undefined, 1200)) break;
  }
  await python.wait("announce", (e) => e.hash === router.destination.hex);
  const send = async (): Promise<number> => {
    const since = performance.now();
    const sent = router.send({ destination, content: "x".repeat(200) });
    await new Promise<void>((resolve) => {
      sent.onConcluded = () => resolve();
    });
    return performance.now() - since;
  };
  await send();
  const ours: number[] = [];
  for (let i = 0; i < 30; i++) ours.push(await send());
  const theirs: number[] = [];
  for (let i = 0; i < 3; i++) {
    const before = received;
    const since = performance.now();
    python.send({ do: "lxmf-send", hash: router.destination.hex, content: `${i}`, method: "direct" });
    await waitFor(() => received > before, 10_000);
    theirs.push(performance.now() - since);
  }
  await python.stop();
  router.close();
  await station.stop();
  await stamps.close();
  return { ours, theirs };
}

function row(what: string, ours: string, theirs: string): void {
  process.stdout.write(`| ${what} | ${ours} | ${theirs} |\n`);
}

const ownRouter = new OwnRouter(await freePort());
await ownRouter.next();
const own = await measure(ownRouter.port, ownRouter.child.pid as number, 100_000);
ownRouter.child.kill();
const fullRouter = new OwnRouter(await freePort());
await fullRouter.next();
const filled = await fillTables(fullRouter);
fullRouter.child.kill();
const pythonPort = await freePort();
const python = await RnsNode.startTransport(
  `[[s]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${pythonPort}\nannounce_rate_target = 1\ningress_control = No\n`,
);
const theirs = await measure(pythonPort, python.pid, 20_000);
await python.stop();
const { ours: ownMail, theirs: pythonMail } = await mail();
row("measure", "ours", "reference");
row("---", "---", "---");
row("packets forwarded per second", own.packetsPerSecond.toFixed(0), theirs.packetsPerSecond.toFixed(0));
row("packets forwarded per CPU second", own.packetsPerCpuSecond.toFixed(0), theirs.packetsPerCpuSecond.toFixed(0));
row("announce over one hop, ms", own.announceMs.toFixed(0), theirs.announceMs.toFixed(0));
row(`RSS with ${filled.known} destinations, MB`, filled.megabytes.toFixed(0), "-");
row("LXMF message after message, confirmed, ms", median(ownMail).toFixed(1), median(pythonMail).toFixed(0));
process.stdout.write(
  `${JSON.stringify({ own, theirs, ratio: own.packetsPerSecond / theirs.packetsPerSecond, cpuRatio: own.packetsPerCpuSecond / theirs.packetsPerCpuSecond, filled, ownMail: median(ownMail), worstOwnMail: Math.max(...ownMail), pythonMail })}\n`,
);
