/** Starts nodes of the Python reference of Reticulum and speaks with them. The environment comes from `setup-rns.sh`. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const ROOT = resolve(import.meta.dirname, "../../..");
const PEERS = process.env["SPINE_PEERS_DIR"] ?? join(ROOT, ".peers");
export const RNS_PYTHON = join(PEERS, "rns-1.4.2", "bin", "python");
const SPINE_NODE = join(ROOT, "dist/test/peers/spine-node.js");
const SCRIPT = join(ROOT, "test/peers/rns_node.py");

/** `describe` for suites that need the reference: one counted skip where it is absent, a failure where peers are required. */
export function describeRns(title: string, body: (this: Mocha.Suite) => void): void {
  if (existsSync(RNS_PYTHON)) describe(title, body);
  else {
    describe(title, () => {
      const missing = `needs ${RNS_PYTHON}: run test/peers/setup-rns.sh`;
      if (process.env["SPINE_REQUIRE_PEERS"] === "1") {
        it(missing, () => {
          throw new Error(missing);
        });
      } else it.skip(missing);
    });
  }
}

export interface RnsEvent {
  readonly event: string;
  readonly t: number;
  readonly hash: string;
  readonly data: string;
  readonly appData: string;
  readonly sha256: string;
  readonly size: number;
  readonly ok: boolean;
  readonly took: number;
  readonly at: number;
  readonly rss: number;
  readonly mtu: number;
  readonly identity: string;
  readonly message: string;
  readonly metadata: string;
  readonly id: number;
  readonly hops: number;
  readonly content: string;
  readonly state: string;
  readonly count: number;
  readonly verified: boolean;
}

/** The reference's configuration file; `interfaces` is the body of its section. */
export function rnsConfig(interfaces: string, transport = false): string {
  const enabled = `enable_transport = ${transport ? "Yes" : "No"}\n`;
  const head = `[reticulum]\n${enabled}share_instance = No\npanic_on_interface_error = No\n`;
  return `${head}[logging]\nloglevel = 1\n[interfaces]\n${interfaces}`;
}

export class RnsNode {
  /** The node's own destination, "interop.python", in hex. */
  hash = "";
  identity = "";
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #folder: string;
  #events: RnsEvent[] = [];
  #waiting: (() => void)[] = [];
  #errors = "";
  private constructor(interfaces: string, own: boolean, prefix: readonly string[], transport = false) {
    this.#folder = mkdtempSync(join(tmpdir(), "spine-rns-"));
    writeFileSync(join(this.#folder, "config"), rnsConfig(interfaces, transport));
    const start = own ? [process.execPath, SPINE_NODE, interfaces] : [RNS_PYTHON, "-u", SCRIPT, this.#folder];
    const [command = RNS_PYTHON, ...words] = [...prefix, ...start];
    this.#child = spawn(command, words, { stdio: "pipe" });
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-4000);
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      if (line.startsWith("{")) this.#events.push(JSON.parse(line) as RnsEvent);
      else this.#errors = `${this.#errors}${line}\n`.slice(-4000);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }
  /**
   * `interfaces` is the body of the reference's own configuration section; `prefix` are words before the command, such
   * as those that enter a network namespace.
   */
  static async start(interfaces: string, prefix: readonly string[] = []): Promise<RnsNode> {
    return RnsNode.#ready(new RnsNode(interfaces, false, prefix));
  }
  /** A node that forwards for others. */
  static async startTransport(interfaces: string): Promise<RnsNode> {
    return RnsNode.#ready(new RnsNode(interfaces, false, [], true));
  }
  /** A node of ours in a process of its own that speaks the same lines; the interface as JSON for `spine-node.ts`. */
  static async startOwn(wire: Readonly<Record<string, unknown>>): Promise<RnsNode> {
    return RnsNode.#ready(new RnsNode(JSON.stringify(wire), true, []));
  }
  static async #ready(node: RnsNode): Promise<RnsNode> {
    const ready = await node.wait("ready");
    node.hash = ready.hash;
    node.identity = ready.identity;
    return node;
  }
  get pid(): number {
    return this.#child.pid ?? 0;
  }
  get folder(): string {
    return this.#folder;
  }
  send(command: Readonly<Record<string, unknown>>): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
  }
  /** The first such event ("a|b" for either of two), past or future. Rejects with what the node complained about. */
  async wait(event: string, matches: (e: RnsEvent) => boolean = () => true, timeoutMs = 15_000): Promise<RnsEvent> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const at = this.#events.findIndex((e) => event.split("|").includes(e.event) && matches(e));
      if (at >= 0) return this.#events.splice(at, 1)[0] as RnsEvent;
      const error = this.#events.find((e) => e.event === "error");
      const left = deadline - Date.now();
      if (error !== undefined || left <= 0 || this.#child.exitCode !== null) {
        throw new Error(`no ${event} from the reference: ${JSON.stringify(error ?? this.#events)} ${this.#errors}`);
      }
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((wake) => {
        timer = setTimeout(wake, left);
        this.#waiting.push(wake);
      });
      clearTimeout(timer);
    }
  }
  async do(command: Readonly<Record<string, unknown>>, event: string, timeoutMs?: number): Promise<RnsEvent> {
    this.send(command);
    return this.wait(event, undefined, timeoutMs);
  }
  /**
   * Sends a packet until it is proved. The reference registers its receipt only after the packet has left, so that the
   * proof of a fast peer can come too early and is lost: that is its race, not the peer's failure.
   */
  async sendProved(command: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#persist(command, "proved", "unproved");
  }
  /** Asks until a response is taken: requests have the same race. */
  async request(command: Readonly<Record<string, unknown>>): Promise<RnsEvent> {
    return this.#persist({ do: "request", ...command }, "response", "request-failed");
  }
  async #persist(command: Readonly<Record<string, unknown>>, good: string, bad: string): Promise<RnsEvent> {
    for (let tries = 0; tries < 4; tries++) {
      this.send(command);
      const end = await this.wait(`${good}|${bad}`, undefined, 10_000).catch(() => undefined);
      if (end?.event === good) return end;
    }
    throw new Error(`never ${good}: ${this.#errors}`);
  }
  async stop(): Promise<void> {
    const ended = new Promise<void>((done) => this.#child.once("exit", () => done()));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
