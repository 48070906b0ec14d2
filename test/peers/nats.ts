/** Starts real NATS servers for tests: Debian's and the newest, from `setup-nats.sh`. Everything listens on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../../..");
const PEERS = process.env["SPINE_PEERS_DIR"] ?? join(ROOT, ".peers");
export const NATS_SERVERS = { debian: join(PEERS, "nats-debian"), newest: join(PEERS, "nats-newest") } as const;
export type NatsKind = keyof typeof NATS_SERVERS;

/** `describe` for suites that need a server: one counted skip where it is absent, a failure where peers are required. */
export function describeNats(kind: NatsKind, title: string, body: (this: Mocha.Suite) => void): void {
  const name = `${title} (nats-server ${kind})`;
  if (existsSync(NATS_SERVERS[kind])) return void describe(name, body);
  describe(name, () => {
    const missing = `needs ${NATS_SERVERS[kind]}: run test/peers/setup-nats.sh`;
    if (process.env["SPINE_REQUIRE_PEERS"] !== "1") it.skip(missing);
    else {
      it(missing, () => {
        throw new Error(missing);
      });
    }
  });
}

/** `count` ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

export interface NatsServerOptions {
  readonly kind?: NatsKind;
  readonly jetstream?: boolean;
  /** Further lines of the server's configuration. */
  readonly config?: string;
  readonly port?: number;
}

export class NatsServer {
  readonly port: number;
  readonly folder: string;
  readonly #options: NatsServerOptions;
  #child: ChildProcess | null = null;
  #output = "";

  private constructor(options: NatsServerOptions, port: number) {
    this.#options = options;
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), "spine-nats-"));
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const port = options.port ?? ((await freePorts(1))[0] as number);
    const server = new NatsServer(options, port);
    await server.run();
    return server;
  }

  get url(): string {
    return `127.0.0.1:${this.port}`;
  }
  get output(): string {
    return this.#output;
  }

  /** Starts it again on the same port and store. */
  async run(): Promise<void> {
    const { kind = "newest", jetstream = true, config = "" } = this.#options;
    const file = join(this.folder, "server.conf");
    const store = jetstream ? `jetstream { store_dir: "${this.folder}/js", max_mem: 64M, max_file: 512M }\n` : "";
    writeFileSync(file, `listen: "127.0.0.1:${this.port}"\n${store}${config}\n`);
    const child = spawn(NATS_SERVERS[kind], ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    await new Promise<void>((ready, failed) => {
      const timer = setTimeout(() => failed(new Error(`nats-server is not ready: ${this.#output}`)), 15_000);
      child.stderr?.on("data", (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-8_000);
        if (!this.#output.includes("Server is ready")) return;
        clearTimeout(timer);
        ready();
      });
      child.once("exit", (code) => {
        clearTimeout(timer);
        failed(new Error(`nats-server ended (${code}): ${this.#output}`));
      });
    });
  }

  /** Stops the process and keeps its store. */
  async halt(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = null;
    this.#output = "";
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGCONT");
    child.kill(signal);
    await ended;
  }
  /** Stops answering without closing anything, as a host does that hangs. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }
  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await this.halt();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Three servers that form one JetStream cluster. */
export async function startCluster(kind: NatsKind = "newest"): Promise<NatsServer[]> {
  const ports = await freePorts(6);
  const routes = ports.slice(3).map((port) => `"nats://127.0.0.1:${port}"`);
  return Promise.all(
    [0, 1, 2].map((i) =>
      NatsServer.start({
        kind,
        port: ports[i] as number,
        config: `server_name: n${i}\ncluster { name: spine, listen: "127.0.0.1:${ports[3 + i]}", routes: [${routes}] }`,
      }),
    ),
  );
}
