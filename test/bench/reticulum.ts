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
  readonly rounds: number;
  readonly sizes: readonly (readonly [number, number])[];
}

const PLANS: Readonly<Record<string, Plan>> = {
  tcp: {
    ends: () => tcp("", {}),
    rounds: 20,
    sizes: [
      [10_000, 10],
      [1_000_000, 5],
    ],
  },
  tcp500: {
    ends: () => tcp("fixed_mtu = 500\n", { fixedMtu: 500 }),
    rounds: 20,
    sizes: [
      [10_000, 10],
      [1_000_000, 3],
    ],
  },
  udp: {
    ends: udp,
    rounds: 20,
    sizes: [
      [10_000, 10],
      [1_000_000, 3],
    ],
  },
  serial: {
    ends: serial,
    rounds: 10,
    sizes: [
      [10_000, 3],
      [100_000, 1],
    ],
  },
  paced: { ends: paced, rounds: 3, sizes: [[100_000, 1]] },
};

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Milliseconds (median) per measure; memory in MB. */
async function measure(a: RnsNode, b: RnsNode, plan: Plan): Promise<Map<string, number>> {
  const rows = new Map<string, number>();
  const announces: number[] = [];
  for (let i = 0; announces.length < 5 && i < 20; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1150));
    const appData = `0${i % 10}`;
    const sent = await a.do({ do: "announce", appData }, "announced");
    const heard = await b
      .wait("announce", (e) => e.hash === a.hash && e.appData === appData, 2000)
      .catch(() => undefined);
    if (heard !== undefined) announces.push((heard.t - sent.at) * 1000);
  }
  rows.set("announce to handler", median(announces));
  const peer = { hash: a.hash, app: "interop", aspects: ["python"] };
  const packets: number[] = [];
  for (let i = 0; i < plan.rounds; i++) {
    b.send({ do: "packet", ...peer, data: "ab".repeat(100) });
    const end = await b.wait("proved|unproved", undefined, 30_000);
    if (end.event === "proved") packets.push(end.took * 1000);
  }
  rows.set("packet and proof", median(packets));
  const links: number[] = [];
  for (let i = 0; i < plan.rounds; i++) {
    links.push((await b.do({ do: "link", ...peer }, "link-up", 30_000)).took * 1000);
    await a.wait("link", undefined, 30_000);
    if (i === plan.rounds - 1) break;
    b.send({ do: "close" });
    await b.wait("link-closed", undefined, 30_000);
    await a.wait("link-closed", undefined, 30_000);
  }
  rows.set("link", median(links));
  for (const [size, times] of plan.sizes) {
    const took: number[] = [];
    for (let i = 0; i < times; i++) {
      b.send({ do: "resource", size, compressible: false, compress: false });
      const end = await b.wait("resource-sent", undefined, 120_000);
      if (end.ok) took.push(end.took * 1000);
    }
    rows.set(`resource ${size / 1000} kB`, median(took));
  }
  for (const [name, node] of [
    ["responder", a],
    ["initiator", b],
  ] as const) {
    rows.set(`memory of the ${name}`, (await node.do({ do: "memory" }, "memory")).rss);
  }
  return rows;
}

async function run(name: string, plan: Plan): Promise<void> {
  const results: Map<string, number>[] = [];
  for (const own of [false, true]) {
    const ends = await plan.ends();
    const nodes: RnsNode[] = [];
    try {
      for (const end of own ? ends.own : ends.python) {
        nodes.push(own ? await RnsNode.startOwn(end as Wire) : await RnsNode.start(end as string));
      }
      results.push(await measure(nodes[0] as RnsNode, nodes[1] as RnsNode, plan));
    } finally {
      for (const node of nodes) await node.stop();
      await ends.close();
    }
  }
  const [python, own] = results as [Map<string, number>, Map<string, number>];
  for (const [row, theirs] of python) {
    const ours = own.get(row) ?? Number.NaN;
    const ratio = (theirs / ours).toFixed(1);
    console.log(
      `${name.padEnd(8)} ${row.padEnd(24)} ${theirs.toFixed(1).padStart(10)} ${ours.toFixed(1).padStart(10)} ${ratio.padStart(7)}x`,
    );
  }
  console.log(JSON.stringify({ wire: name, python: Object.fromEntries(python), spine: Object.fromEntries(own) }));
}

console.log("wire     measure                   reference       ours   ratio   (median ms; memory MB)");
const wanted = process.argv.slice(2);
for (const [name, plan] of Object.entries(PLANS))
  if (wanted.length === 0 || wanted.includes(name)) await run(name, plan);
process.exit(0);
