/**
 * Real daemons in processes of their own, for end-to-end suites: made in a temporary directory, told apart by name,
 * spoken to over their unix socket, and always ended and removed when the suite is over. Safe to run in parallel.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ForkStatus, NodeStatus, PeerStatus, PublishResult } from "../../node/index.ts";
import { CLI, type Outcome, spine } from "./cli.ts";

const START_MS = 60_000;
const STOP_MS = 10_000;
const POLL_MS = 25;
/** Nothing is measured by it: a machine that is busy with other tests takes its time. */
const EVENTUALLY_MS = 40_000;

export interface DaemonOptions {
  /** Lab mode; only when the directory is made by this start. */
  readonly open?: boolean;
  /** Port to listen on; the system's choice by default, null = dial only. */
  readonly port?: number | null;
  /** Addresses of peers to stay connected to. */
  readonly peers?: readonly string[];
  /** Words before the command, such as those that enter a network namespace. */
  readonly prefix?: readonly string[];
  /** Further `--set` settings, such as `store.commitDelayMs=0`. */
  readonly set?: readonly string[];
  /** Further arguments of `run`. */
  readonly args?: readonly string[];
}

interface Ready {
  readonly issuer: string;
  readonly api: string;
  readonly planes: readonly { readonly addresses: readonly string[] }[];
  readonly warnings: readonly string[];
}

export interface Published {
  readonly seq: number;
  readonly hash: string;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export function note(text: string): object {
  return { schema: "aegis.spine.fact.note.v1", text };
}

export function notes(count: number, name = "note"): object[] {
  return Array.from({ length: count }, (_, i) => note(`${name} ${i}`));
}

/** How many envelopes the daemon has signed once all facts are published. */
export async function publishAll(daemon: Daemon, facts: readonly object[]): Promise<number> {
  return (await daemon.publish(facts)).at(-1)?.seq ?? 0;
}

/** Polls until `read` gives a value; fails with `what` and the last thing seen. */
export async function eventually<T>(
  what: string,
  read: () => Promise<T | undefined | false>,
  timeoutMs = EVENTUALLY_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await read();
      if (value !== undefined && value !== false) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`never happened: ${what} (${String(last)})`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export function httpCall(socket: string, method: string, path: string, body = "", lines = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = lines ? "application/x-ndjson" : "application/json";
    const headers = { host: "localhost", ...(body === "" ? {} : { "content-type": type }) };
    const outgoing = request({ socketPath: socket, method, path, headers, agent: false }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.once("error", reject);
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
    });
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}

/** Metric name with labels as printed → value. */
export function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at > 0 && !line.startsWith("#")) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

export class Daemon {
  readonly name: string;
  readonly dir: string;
  readonly pid: number;
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #ready: Ready;
  readonly #stderr: { text: string };

  private constructor(name: string, dir: string, child: ChildProcess, ready: Ready, stderr: { text: string }) {
    this.name = name;
    this.dir = dir;
    this.pid = child.pid as number;
    this.#child = child;
    this.#ready = ready;
    this.#stderr = stderr;
    this.exited = ended(child);
  }

  /** Starts the command line's `run --init` and waits for its ready line. */
  static async start(name: string, dir: string, options: DaemonOptions, track: (child: ChildProcess) => void) {
    const { open = false, port = 0, peers = [], set = [], prefix = [], args: more = [] } = options;
    const settings = [
      `planes.libp2p.listen=${port === null ? "" : `/ip4/127.0.0.1/tcp/${port}`}`,
      `planes.libp2p.peers=${peers.join(",")}`,
      "planes.libp2p.mdns=false",
      "log.level=warn",
      ...set,
    ];
    const args = [CLI, "run", "--init", "--json", "--dir", dir, ...(open ? ["--open"] : []), ...more];
    const words = [...prefix, process.execPath, ...args, ...settings.flatMap((one) => ["--set", one])];
    const child = spawn(words[0] as string, words.slice(1), {
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    track(child);
    const stderr = { text: "" };
    child.stderr.on("data", (part: Buffer) => {
      stderr.text = (stderr.text + part.toString()).slice(-64_000);
    });
    const ready = await new Promise<Ready>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`daemon ${name} ${why}: ${stderr.text}`));
      const timer = setTimeout(() => fail("was never ready"), START_MS);
      createInterface({ input: child.stdout }).once("line", (line) => resolve(JSON.parse(line) as Ready));
      child.once("exit", (code) => fail(`ended with ${code}`));
      child.once("exit", () => clearTimeout(timer));
      child.stdout.once("data", () => clearTimeout(timer));
    });
    return new Daemon(name, dir, child, ready, stderr);
  }

  get issuer(): string {
    return this.#ready.issuer;
  }
  get socket(): string {
    return this.#ready.api.replace(/^unix:/, "");
  }
  /** Where others dial it, with the peer id; fails for a node that only dials. */
  get address(): string {
    const address = this.#ready.planes[0]?.addresses[0];
    assert.ok(address, `${this.name} listens nowhere`);
    return address;
  }
  get port(): number {
    return Number(this.address.split("/")[4]);
  }
  get peerId(): string {
    return this.address.split("/").at(-1) as string;
  }
  get warnings(): readonly string[] {
    return this.#ready.warnings;
  }
  get stderr(): string {
    return this.#stderr.text;
  }
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  call(method: string, path: string, body = "", lines = false): Promise<Answer> {
    return httpCall(this.socket, method, path, body, lines);
  }
  async #json<T>(method: string, path: string, body = ""): Promise<T> {
    const { status, text } = await this.call(method, path, body);
    assert.ok(status < 300, `${this.name}: ${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as T;
  }

  status(): Promise<NodeStatus> {
    return this.#json("GET", "/v1/status");
  }
  async peers(): Promise<readonly PeerStatus[]> {
    return (await this.#json<{ peers: PeerStatus[] }>("GET", "/v1/peers")).peers;
  }
  async forks(): Promise<readonly ForkStatus[]> {
    return (await this.#json<{ forks: ForkStatus[] }>("GET", "/v1/forks")).forks;
  }
  async metrics(): Promise<Map<string, number>> {
    return parseMetrics((await this.call("GET", "/metrics")).text);
  }
  /** Resident memory, bytes. */
  async residentBytes(): Promise<number> {
    return (await this.metrics()).get("spine_process_resident_bytes") ?? Number.NaN;
  }
  async allow(...issuers: string[]): Promise<void> {
    for (const issuer of issuers) await this.#json("POST", `/v1/issuers/${issuer}/allow`, "{}");
  }
  async addPeer(address: string): Promise<void> {
    await this.#json("POST", "/v1/peers", JSON.stringify({ address }));
  }

  /** All facts must be taken. */
  async publish(facts: readonly object[]): Promise<Published[]> {
    const body = `${facts.map((fact) => JSON.stringify(fact)).join("\n")}\n`;
    const { status, text } = await this.call("POST", "/v1/publish", body, true);
    assert.equal(status, 200, text);
    return text
      .trimEnd()
      .split("\n")
      .map((line) => {
        const result = JSON.parse(line) as PublishResult;
        assert.ok(result.ok, line);
        return { seq: result.seq, hash: result.envelope_hash };
      });
  }

  /** Hashes held of an issuer, by seq, over all pages. */
  async held(issuer: string): Promise<Map<number, string>> {
    const held = new Map<number, string>();
    for (let from = 0; ; ) {
      const path = `/v1/issuers/${issuer}/envelopes?from=${from}&to=${Number.MAX_SAFE_INTEGER}&limit=500`;
      const lines = (await this.call("GET", path)).text.split("\n").filter((line) => line !== "");
      for (const line of lines) {
        const { seq, envelope_hash } = JSON.parse(line) as { seq: number; envelope_hash: string };
        held.set(seq, envelope_hash);
        from = seq + 1;
      }
      if (lines.length < 500) return held;
    }
  }

  /** How many envelopes of an issuer are held. */
  async count(issuer: string): Promise<number> {
    const { issuers } = (await this.status()).issuers;
    const one = issuers.find((entry) => entry.issuer === issuer);
    return one?.ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0) ?? 0;
  }

  async holds(issuer: string, count: number, timeoutMs = 15_000): Promise<void> {
    const what = `${this.name} holds ${count} envelopes of ${issuer.slice(-8)}`;
    await eventually(what, async () => (await this.count(issuer)) === count, timeoutMs);
  }
  async connected(count: number): Promise<void> {
    const what = `${this.name} has ${count} links`;
    await eventually(what, async () => {
      const { links } = await this.status();
      return links.filter(({ issuer }) => issuer !== null).length === count;
    });
  }

  /** Runs a verb on the daemon's directory. */
  verb(...args: string[]): Promise<Outcome> {
    return spine([...args, "--dir", this.dir]);
  }

  /** SIGTERM; resolves with the exit code and fails when the daemon does not end in time. */
  async stop(): Promise<number | null> {
    if (!this.alive) return this.exited;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    const code = await this.exited;
    clearTimeout(timer);
    assert.notEqual(this.#child.signalCode, "SIGKILL", `${this.name} did not stop: ${this.stderr}`);
    return code;
  }
  /** SIGKILL: as a power cut, but for the page cache. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}

function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
}

export interface DaemonPool {
  /** Directory of a name, whether it exists yet or not. */
  dir(name: string): string;
  /** Starts or restarts the daemon of that name. */
  start(name: string, options?: DaemonOptions): Promise<Daemon>;
  /** Stops every daemon; fails unless each ends with 0. */
  stopAll(): Promise<void>;
}

/** Registers hooks of the enclosing suite: one folder, removed at the end with everything that still runs in it. */
export function daemonPool(): DaemonPool {
  let root = "";
  const children = new Set<ChildProcess>();
  const running = new Set<Daemon>();
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "spine-e2e-"));
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all([...children].map(ended));
    await rm(root, { recursive: true, force: true });
  });
  const dir = (name: string): string => join(root, name);
  return {
    dir,
    async start(name, options = {}) {
      const daemon = await Daemon.start(name, dir(name), options, (child) => children.add(child));
      running.add(daemon);
      return daemon;
    },
    async stopAll() {
      const alive = [...running].filter((daemon) => daemon.alive);
      running.clear();
      assert.deepEqual(
        await Promise.all(alive.map((daemon) => daemon.stop())),
        alive.map(() => 0),
      );
    },
  };
}
