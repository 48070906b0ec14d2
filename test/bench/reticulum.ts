/**
 * Speed and memory of two nodes on one wire, ours beside the Python reference, in one run:
 * `node dist/test/bench/reticulum.js [tcp tcp500 udp serial paced]`. Prints one table row per measure and one JSON line.
 */
import { createServer, type Socket } from "node:net";
import { Pty } from "../peers/pty.ts";
import { RnsNode } from "../peers/rns.ts";

type Wire = Readonly<Record<string, unknown>>;
interface Ends {
  readonly python: readonly [string, string];
  readonly own: readonly [Wire, Wire];
  readonly close: () => Promise<void>;
}

let port = 45_000 + (process.pid % 5000);
const host = "127.0.0.1";

async function tcp(more: string, own: Wire): Promise<Ends> {
  const p = port++;
  const server = `[[s]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = ${host}\nlisten_port = ${p}\n${more}`;
  const client = `[[c]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = ${host}\ntarget_port = ${p}\n${more}`;
  const common = { host, port: p, ...own };
  return {
    python: [server, client],
    own: [
      { type: "tcp-server", name: "s", ...common },
      { type: "tcp-client", name: "c", ...common },
    ],
    close: async () => undefined,
  };
}

async function udp(): Promise<Ends> {
  const [a, b] = [port++, port++];
  const section = (mine: number, theirs: number): string =>
    `[[u]]\ntype = UDPInterface\nenabled = Yes\nlisten_ip = ${host}\nlisten_port = ${mine}\nforward_ip = ${host}\nforward_port = ${theirs}\n`;
  const own = (mine: number, theirs: number): Wire => ({
    type: "udp",
    name: "u",
    listenHost: host,
    listenPort: mine,
    forwardHost: host,
    forwardPort: theirs,
  });
  return { python: [section(a, b), section(b, a)], own: [own(a, b), own(b, a)], close: async () => undefined };
}

function serialEnds(near: string, far: string, close: () => Promise<void>): Ends {
  const section = (path: string): string =>
    `[[l]]\ntype = SerialInterface\nenabled = Yes\nport = ${path}\nspeed = 115200\ndatabits = 8\nparity = none\nstopbits = 1\n`;
  const own = (path: string): Wire => ({ type: "serial", name: "l", path });
  return { python: [section(near), section(far)], own: [own(near), own(far)], close };
}

async function serial(): Promise<Ends> {
  const pty = await Pty.open();
  return serialEnds(pty.near, pty.far, () => pty.close());
}

const LINE_BYTES_PER_SECOND = 11_520;
const SLICE_MS = 5;

/** Passes bytes on at the speed of 115,200 baud, each direction for itself. */
function pace(from: Socket, to: Socket): NodeJS.Timeout {
  let queue = Buffer.alloc(0);
  let last = performance.now();
  let credit = 0;
  from.on("data", (chunk) => {
    queue = Buffer.concat([queue, chunk]);
  });
  return setInterval(() => {
    const now = performance.now();
    credit = Math.min(credit + ((now - last) * LINE_BYTES_PER_SECOND) / 1000, 256);
    last = now;
    const n = Math.min(queue.length, Math.floor(credit));
    if (n === 0) return;
    to.write(queue.subarray(0, n));
    queue = queue.subarray(n);
    credit -= n;
  }, SLICE_MS);
}

async function paced(): Promise<Ends> {
  const sockets: Socket[] = [];
  const timers: NodeJS.Timeout[] = [];
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    sockets.push(socket);
    if (sockets.length !== 2) return;
    const [a, b] = sockets as [Socket, Socket];
    timers.push(pace(a, b), pace(b, a));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  const p = typeof address === "object" && address !== null ? address.port : 0;
  const [a, b] = [await Pty.open(p), await Pty.open(p)];
  return serialEnds(a.near, b.near, async () => {
    for (const timer of timers) clearInterval(timer);
    await a.close();
    await b.close();
    server.close();
  });
}

interface Plan {
  readonly ends: () => Promise<Ends>;
  /** Packets, and links, of each pair. */
  readonly rounds: number;
  /** Bytes of a resource, and how many are sent by each pair. */
  readonly sizes: readonly (readonly [number, number])[];
}

const BULK = [
  [10_000, 12],
  [1_000_000, 9],
] as const;

const PLANS: Readonly<Record<string, Plan>> = {
  tcp: { ends: () => tcp("", {}), rounds: 30, sizes: BULK },
  tcp500: { ends: () => tcp("fixed_mtu = 500\n", { fixedMtu: 500 }), rounds: 30, sizes: BULK },
  udp: { ends: udp, rounds: 30, sizes: BULK },
  serial: {
    ends: serial,
    rounds: 9,
    sizes: [
      [10_000, 6],
      [100_000, 3],
    ],
  },
  paced: { ends: paced, rounds: 3, sizes: [[100_000, 1]] },
};

/** The two pairs take turns, so that a busy moment of the machine meets both. */
const TURNS = 3;
const ANNOUNCES = 6;
/** Emissions count whole seconds. */
const ANNOUNCE_GAP_MS = 1150;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Two nodes of one kind on one wire, and what was measured of them: milliseconds per row. */
class Pair {
  readonly rows = new Map<string, number[]>();
  readonly #a: RnsNode;
  readonly #b: RnsNode;
  #announced = 0;
  constructor(a: RnsNode, b: RnsNode) {
    this.#a = a;
    this.#b = b;
  }
  #add(row: string, ms: number): void {
    const values = this.rows.get(row) ?? [];
    values.push(ms);
    this.rows.set(row, values);
  }
  get #peer() {
    return { hash: this.#a.hash, app: "interop", aspects: ["python"] };
  }
  async announce(): Promise<void> {
    const appData = (this.#announced++ % 256).toString(16).padStart(2, "0");
    const sent = await this.#a.do({ do: "announce", appData }, "announced");
    const heard = await this.#b
      .wait("announce", (e) => e.hash === this.#a.hash && e.appData === appData, 3000)
      .catch(() => undefined);
    if (heard !== undefined) this.#add("announce to handler", (heard.t - sent.at) * 1000);
  }
  async packets(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#b.send({ do: "packet", ...this.#peer, data: "ab".repeat(100) });
      const end = await this.#b.wait("proved|unproved", undefined, 30_000);
      if (end.event === "proved") this.#add("packet and proof", end.took * 1000);
    }
  }
  async open(): Promise<number> {
    const up = await this.#b.do({ do: "link", ...this.#peer }, "link-up", 30_000);
    await this.#a.wait("link", undefined, 30_000);
    return up.took * 1000;
  }
  async close(): Promise<void> {
    this.#b.send({ do: "close" });
    await this.#b.wait("link-closed", undefined, 30_000);
    await this.#a.wait("link-closed", undefined, 30_000);
  }
  async links(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#add("link", await this.open());
      await this.close();
    }
  }
  async resources(size: number, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.#b.send({ do: "resource", size, compressible: false, compress: false });
      const end = await this.#b.wait("resource-sent", undefined, 120_000);
      if (end.ok) this.#add(`resource ${size / 1000} kB`, end.took * 1000);
    }
  }
  async memory(): Promise<number> {
    const of = async (node: RnsNode): Promise<number> => (await node.do({ do: "memory" }, "memory")).rss;
    return Math.max(await of(this.#a), await of(this.#b));
  }
}

/** What happens before anything counts: code is compiled, caches fill. */
async function warmUp(pair: Pair, plan: Plan): Promise<void> {
  for (let i = 0; i < 5 && (pair.rows.get("announce to handler")?.length ?? 0) === 0; i++) {
    await sleep(ANNOUNCE_GAP_MS);
    await pair.announce();
  }
  await pair.packets(plan.rounds);
  await pair.links(3);
  await pair.open();
  for (const [size, count] of plan.sizes) await pair.resources(size, Math.min(2, count - 1));
  await pair.close();
  pair.rows.clear();
}

async function run(name: string, plan: Plan): Promise<void> {
  const closers: (() => Promise<void>)[] = [];
  try {
    const pairs: Pair[] = [];
    for (const own of [false, true]) {
      const ends = await plan.ends();
      closers.unshift(ends.close);
      const nodes: RnsNode[] = [];
      for (const end of own ? ends.own : ends.python) {
        const node = own ? await RnsNode.startOwn(end as Wire) : await RnsNode.start(end as string);
        closers.unshift(() => node.stop());
        nodes.push(node);
      }
      pairs.push(new Pair(nodes[0] as RnsNode, nodes[1] as RnsNode));
    }
    for (const pair of pairs) await warmUp(pair, plan);
    for (let i = 0; i < ANNOUNCES; i++) {
      await sleep(ANNOUNCE_GAP_MS);
      for (const pair of pairs) await pair.announce();
    }
    const turns = Math.min(TURNS, plan.rounds);
    for (let i = 0; i < turns; i++) for (const pair of pairs) await pair.packets(plan.rounds / turns);
    for (let i = 0; i < turns; i++) for (const pair of pairs) await pair.links(plan.rounds / turns);
    for (const pair of pairs) await pair.open();
    for (const [size, count] of plan.sizes) {
      const parts = Math.min(TURNS, count);
      for (let i = 0; i < parts; i++) for (const pair of pairs) await pair.resources(size, count / parts);
    }
    await report(name, pairs as [Pair, Pair]);
  } finally {
    for (const close of closers) await close();
  }
}

async function report(name: string, [python, own]: readonly [Pair, Pair]): Promise<void> {
  const figures: Record<string, readonly [number, number]> = {};
  for (const [row, values] of python.rows) figures[row] = [median(values), median(own.rows.get(row) ?? [])];
  figures["memory of the larger, MB"] = [await python.memory(), await own.memory()];
  for (const [row, [theirs, ours]] of Object.entries(figures)) {
    const ratio = (theirs / ours).toFixed(1);
    console.log(
      `${name.padEnd(8)} ${row.padEnd(24)} ${theirs.toFixed(2).padStart(10)} ${ours.toFixed(2).padStart(10)} ${ratio.padStart(7)}x`,
    );
  }
  console.log(JSON.stringify({ wire: name, figures }));
}

console.log("wire     measure                   reference       ours   ratio   (median ms)");
const wanted = process.argv.slice(2);
for (const [name, plan] of Object.entries(PLANS))
  if (wanted.length === 0 || wanted.includes(name)) await run(name, plan);
process.exit(0);
