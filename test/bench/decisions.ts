/**
 * Guard decisions as an agent meets them: through the unix socket of a real daemon, default ruleset, signed and durable.
 * Open loop at 1,000/s in rounds interleaved with a server that answers a constant; then 3,000/s; then as fast as it
 * goes, watching memory (SPINE_LONG=1: over 1,000,000 decisions).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HelperProcess, median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 5;
const ROUND_SECONDS = 3;
const SUSTAINED_SECONDS = 8;
const CONNECTIONS = 48;
const MANY = process.env["SPINE_LONG"] === "1" ? 1_000_000 : 40_000;
const SAMPLES = 10;

/** What a coding agent asks in the course of a minute: mostly reads and commands. */
const ASKED: readonly object[] = [
  { action_type: "file_access", target: "src/index.ts" },
  { action_type: "shell", target: "cd src && npx tsc -b && npx mocha dist/test/*.js | tee out.txt" },
  { action_type: "file_access", target: "/w/repo/package.json" },
  { action_type: "file_write", target: "src/index.ts", content: "export const answer = 42;\n".repeat(80) },
  { action_type: "shell", target: "git status --short" },
  { action_type: "mcp_tool", target: "mcp__fs__read_text", args: { path: "/w/repo/a.ts", limit: 100 } },
  {
    action_type: "patch",
    target: "src/a.ts",
    content: "--- a/src/a.ts\n+++ b/src/a.ts\n@@ -1,2 +1,2 @@\n-const a = 1;\n+const a = 2;\n b\n",
  },
  { action_type: "egress", target: "https://api.github.com/repos", port: 443 },
  { action_type: "untrusted_text", payload: { text: "Ordinary documentation of a library. ".repeat(30) } },
  { action_type: "file_access", target: "/etc/shadow" },
];

const REQUESTS: readonly Buffer[] = ASKED.map((asked) => {
  const body = JSON.stringify({ ...asked, cwd: "/w/repo", session_id: "bench", agent_id: "bench" });
  const head = `POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.from(head + body);
});

/** Kept connections with one request each at a time; what finds none free waits, and the wait counts. */
export class Lanes {
  readonly #free: Socket[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #sockets: Socket[] = [];

  static async open(path: string): Promise<Lanes> {
    const lanes = new Lanes();
    for (let i = 0; i < CONNECTIONS; i++) {
      const socket = connect(path);
      await new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      });
      lanes.#sockets.push(socket);
      lanes.#free.push(socket);
    }
    return lanes;
  }

  /** Resolves with the body of the answer. */
  async ask(request: Buffer): Promise<string> {
    if (this.#free.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const socket = this.#free.pop() as Socket;
    try {
      return await exchange(socket, request);
    } finally {
      this.#free.push(socket);
      this.#waiting.shift()?.();
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function exchange(socket: Socket, request: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const end = (error?: Error): void => {
      socket.off("data", take);
      socket.off("close", gone);
      if (error === undefined) resolve(text.slice(text.indexOf("\r\n\r\n") + 4));
      else reject(error);
    };
    const gone = (): void => end(new Error("the server closed a connection"));
    const take = (part: Buffer): void => {
      text += part.toString("latin1");
      const head = text.indexOf("\r\n\r\n");
      const length = /content-length: (\d+)/i.exec(text)?.[1];
      if (head >= 0 && (length === undefined ? text.endsWith("0\r\n\r\n") : text.length >= head + 4 + Number(length)))
        end();
    };
    socket.on("data", take);
    socket.once("close", gone);
    socket.write(request);
  });
}

function requestAt(i: number): Buffer {
  return REQUESTS[i % REQUESTS.length] as Buffer;
}

interface Loop {
  /** Milliseconds each, from the moment it was due. */
  readonly latencies: readonly number[];
  /** Answered per second, from the first due to the last answer. */
  readonly perSecond: number;
}

async function openLoop(lanes: Lanes, perSecond: number, seconds: number): Promise<Loop> {
  const total = perSecond * seconds;
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const started = performance.now();
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, ((performance.now() - started) / 1000) * perSecond);
    for (; sent < due; sent++) {
      const from = performance.now();
      pending.push(lanes.ask(requestAt(sent)).then(() => void latencies.push(performance.now() - from)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  return { latencies, perSecond: (total * 1000) / (performance.now() - started) };
}

/** As fast as all lanes go. */
export async function closedLoop(lanes: Lanes, total: number): Promise<number> {
  const started = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < total) await lanes.ask(requestAt(next++));
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, lane));
  return (total * 1000) / (performance.now() - started);
}

interface Usage {
  readonly rssMib: number;
  readonly cpuSeconds: number;
}

export async function benchDecisions(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const daemon = new HelperProcess("./decisions-node.js", ["daemon", folder]);
  const control = new HelperProcess("./decisions-node.js", ["no-op", folder]);
  const usage = (): Promise<Usage> => {
    daemon.send({});
    return daemon.next<Usage>();
  };
  const opened: Lanes[] = [];
  try {
    const ours = await Lanes.open(await daemon.next<string>());
    opened.push(ours);
    const noop = await Lanes.open(await control.next<string>());
    opened.push(noop);
    await checkAnswers(ours);
    await openLoop(ours, 1000, 2);
    const rows: { ours: Loop; noop: Loop }[] = [];
    for (let round = 0; round < ROUNDS; round++)
      rows.push({ noop: await openLoop(noop, 1000, ROUND_SECONDS), ours: await openLoop(ours, 1000, ROUND_SECONDS) });
    const before = await usage();
    const sustained = await openLoop(ours, 3000, SUSTAINED_SECONDS);
    const after = await usage();
    const rates: number[] = [];
    const memory: number[] = [];
    for (let i = 0; i < SAMPLES; i++) {
      rates.push(await closedLoop(ours, MANY / SAMPLES));
      memory.push((await usage()).rssMib);
    }
    const of = (share: number, kind: "ours" | "noop"): number[] =>
      rows.map((row) => quantile(row[kind].latencies, share));
    const above = rows.map((row) => quantile(row.ours.latencies, 0.99) - quantile(row.noop.latencies, 0.99));
    return {
      bench: "decisions",
      figures: {
        node: process.version,
        rate_per_second: 1000,
        rounds: ROUNDS,
        p50_ms: median(of(0.5, "ours")),
        p99_ms: median(of(0.99, "ours")),
        noop_p50_ms: median(of(0.5, "noop")),
        noop_p99_ms: median(of(0.99, "noop")),
        p99_above_noop_ms: median(above),
        p99_above_noop_worst_ms: Math.max(...above),
        sustained_asked_per_second: 3000,
        sustained_per_second: Math.round(sustained.perSecond),
        sustained_p50_ms: quantile(sustained.latencies, 0.5),
        sustained_p99_ms: quantile(sustained.latencies, 0.99),
        sustained_daemon_cores:
          (after.cpuSeconds - before.cpuSeconds) / (sustained.latencies.length / sustained.perSecond),
        closed_loop_per_second: Math.round(median(rates)),
        decisions: MANY,
        rss_first_tenth_mib: Math.round(memory[0] as number),
        rss_half_mib: Math.round(memory[SAMPLES / 2 - 1] as number),
        rss_end_mib: Math.round(memory.at(-1) as number),
      },
    };
  } finally {
    for (const lanes of opened) lanes.close();
    await Promise.all([daemon.end(), control.end()]);
    await rm(folder, { recursive: true, force: true });
  }
}

/** The figures would mean nothing if the answers were errors. */
async function checkAnswers(lanes: Lanes): Promise<void> {
  for (const [i, request] of REQUESTS.entries()) {
    const answer = JSON.parse(await lanes.ask(request)) as { verdict: string; recorded: boolean };
    const wanted = i === REQUESTS.length - 1 ? "deny" : "allow";
    if (answer.recorded !== true || (answer.verdict === "deny") !== (wanted === "deny"))
      throw new Error(`request ${i}: ${JSON.stringify(answer)}`);
  }
}
