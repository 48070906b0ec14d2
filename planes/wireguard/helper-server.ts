/**
 * The privileged helper: one interface, one network, at most one thing at a time, asked by whoever can read the token
 * beside its socket. It trusts the daemon with nothing else: what is outside its settings is refused, and every change is
 * checked against the interface first. Without a daemon it takes the interface down: no judge, no tunnel.
 */
import { randomBytes } from "node:crypto";
import { chmod, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { asSpineError, SpineError, toHex } from "../../spine/index.ts";
import type { Backend } from "./backend.ts";
import type { DeviceState } from "./device.ts";
import { tokenPathOf } from "./helper-client.ts";
import {
  isProof,
  MAX_REQUEST_BYTES,
  NONCE_BYTES,
  proofOf,
  type Request,
  readAnswer,
  readRequest,
} from "./helper-protocol.ts";
import {
  checkEnclaveNetwork,
  contains,
  formatNetwork,
  type Network,
  networkOf,
  parseAddress,
  parseNetwork,
} from "./ip.ts";
import { LineSocket } from "./line-socket.ts";
import { guardChange } from "./plan.ts";

export interface HelperSettings {
  readonly socketPath: string;
  readonly interfaceName: string;
  readonly owned: boolean;
  readonly network: Network;
  /** UDP port the daemon may open. */
  readonly listenPort: number;
  readonly maxPeers: number;
  /** An owned interface is taken down so long after the last daemon left. */
  readonly graceMs: number;
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}

const MAX_CLIENTS = 8;
const PROVE_MS = 3_000;
const MAX_QUEUED = 64;
/** The mark of an interface that is ours to change. */
const OWN_NAME = /^spine[a-z0-9_-]{0,10}$/;
const MTU_LEAST = { 4: 576, 6: 1_280 } as const;

interface Client {
  readonly lines: LineSocket;
  /** Ends who does not prove itself in time. */
  readonly timer: NodeJS.Timeout;
  proven: boolean;
  queued: number;
}

export class HelperServer {
  readonly #settings: HelperSettings;
  readonly #backend: Backend;
  readonly #token: Uint8Array = new Uint8Array(randomBytes(32));
  readonly #clients = new Set<Client>();
  #server: Server | null = null;
  #work: Promise<void> = Promise.resolve();
  #grace: NodeJS.Timeout | null = null;
  #isUp = false;

  /** `makeBackend` is given what to call when the interface is gone. Throws `enclave_refused` for settings that are not allowed. */
  constructor(settings: HelperSettings, makeBackend: (gone: () => void) => Backend) {
    if (settings.owned && !OWN_NAME.test(settings.interfaceName)) {
      throw new SpineError("enclave_refused", `an interface of our own is named spine…, not ${settings.interfaceName}`);
    }
    checkEnclaveNetwork(settings.network, []);
    this.#settings = settings;
    this.#backend = makeBackend(() => {
      this.#isUp = false;
      for (const { lines, proven } of this.#clients) if (proven) lines.write(JSON.stringify({ event: "gone" }));
      this.#settings.log("interface gone", { interface: settings.interfaceName });
    });
  }

  /** Resolved = the daemon can connect. Throws `enclave_helper` when another helper answers on the socket. */
  async start(): Promise<void> {
    const { socketPath } = this.#settings;
    if (await answers(socketPath)) throw new SpineError("enclave_helper", `another helper answers on ${socketPath}`);
    await rm(socketPath, { force: true });
    const token = tokenPathOf(socketPath);
    await rm(token, { force: true });
    // Readable by the group that may reach the socket, and by nobody else.
    await writeFile(token, `${toHex(this.#token)}\n`, { mode: 0o640, flag: "wx" });
    await chmod(token, 0o640);
    const server = createServer((socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(socketPath, resolve);
    }).catch((cause: Error) => {
      throw new SpineError("enclave_helper", `cannot listen on ${socketPath}: ${cause.message}`, { cause });
    });
    await chmod(socketPath, 0o660);
    this.#server = server;
  }

  /** Takes an owned interface down and removes socket and token. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (this.#grace !== null) clearTimeout(this.#grace);
    for (const { lines } of this.#clients) lines.destroy();
    await new Promise<void>((done) => (server === null ? done() : server.close(() => done())));
    await this.#work;
    await this.#takeDown();
    await rm(this.#settings.socketPath, { force: true });
    await rm(tokenPathOf(this.#settings.socketPath), { force: true });
  }

  #accept(socket: Socket): void {
    if (this.#clients.size >= MAX_CLIENTS) {
      socket.destroy();
      return;
    }
    const nonce = randomBytes(NONCE_BYTES).toString("hex");
    const client: Client = {
      proven: false,
      queued: 0,
      lines: new LineSocket(
        socket,
        MAX_REQUEST_BYTES,
        (line) => this.#line(client, nonce, line),
        () => this.#left(client),
      ),
      timer: setTimeout(() => client.lines.destroy(), PROVE_MS),
    };
    this.#clients.add(client);
    client.lines.write(JSON.stringify({ spine_enclave: 1, nonce }));
  }

  #left(client: Client): void {
    clearTimeout(client.timer);
    this.#clients.delete(client);
    const { owned, graceMs } = this.#settings;
    const alone = ![...this.#clients].some(({ proven }) => proven);
    if (!client.proven || !alone || !owned || this.#server === null) return;
    if (this.#grace !== null) clearTimeout(this.#grace);
    this.#grace = setTimeout(() => this.#enqueue(() => this.#takeDown()), graceMs);
  }

  async #takeDown(): Promise<void> {
    if (!this.#settings.owned || !this.#isUp) return;
    this.#isUp = false;
    this.#settings.log("interface taken down", { interface: this.#settings.interfaceName });
    await this.#backend
      .down()
      .catch((error: Error) => this.#settings.log("cannot take down", { reason: error.message }));
  }

  #line(client: Client, nonce: string, line: string): void {
    try {
      if (!client.proven) return this.#prove(client, nonce, line);
      const request = readRequest(line);
      if (client.queued >= MAX_QUEUED) throw new SpineError("enclave_refused", "too many requests at once");
      client.queued++;
      this.#enqueue(() => this.#answer(client, request));
    } catch (error) {
      // A daemon does not send malformed lines: whoever does is not answered any more.
      this.#settings.log("client refused", { reason: (error as Error).message });
      client.lines.destroy();
    }
  }

  #prove(client: Client, nonce: string, line: string): void {
    const answer = readAnswer(line);
    if (!isProof(answer.proof, proofOf(this.#token, "daemon", nonce, answer.nonce))) {
      throw new SpineError("enclave_refused", "wrong proof");
    }
    client.proven = true;
    clearTimeout(client.timer);
    if (this.#grace !== null) clearTimeout(this.#grace);
    this.#grace = null;
    const { interfaceName, owned } = this.#settings;
    const proof = proofOf(this.#token, "helper", nonce, answer.nonce);
    client.lines.write(JSON.stringify({ proof, interface: interfaceName, owned }));
  }

  #enqueue(task: () => Promise<void>): void {
    this.#work = this.#work.then(task, task).catch(() => undefined);
  }

  async #answer(client: Client, request: Request): Promise<void> {
    const { id } = request;
    try {
      const state = await this.#perform(request);
      client.lines.write(JSON.stringify({ id, ok: true, ...(state === null ? {} : { state }) }));
    } catch (caught) {
      const { code, message } = asSpineError(caught, "enclave_device");
      client.lines.write(JSON.stringify({ id, ok: false, code, message: message.slice(0, 500) }));
    } finally {
      client.queued--;
    }
  }

  async #perform(request: Request): Promise<DeviceState | null> {
    switch (request.op) {
      case "get":
        return this.#backend.get();
      case "down":
        this.#isUp = false;
        await this.#backend.down();
        return null;
      case "up":
        await this.#allowUp(request);
        await this.#backend.up(request);
        this.#isUp = true;
        return null;
      case "set": {
        const state = await this.#backend.get();
        guardChange(request.change, state, this.#settings.network);
        const known = state.peers.some(({ publicKey }) => publicKey === request.change.publicKey);
        if (request.change.type === "put" && !known && state.peers.length >= this.#settings.maxPeers) {
          throw new SpineError("enclave_refused", `more than ${this.#settings.maxPeers} peers`);
        }
        await this.#backend.set(request.change);
        return null;
      }
    }
  }

  async #allowUp(request: Extract<Request, { op: "up" }>): Promise<void> {
    const { network, listenPort, interfaceName, owned } = this.#settings;
    if (!owned) throw new SpineError("enclave_refused", `${interfaceName} is adopted: it is only read`);
    const [host = "", prefix] = request.address.split("/");
    const inside = Number(prefix) === network.prefix && contains(network, parseAddress(host));
    if (!inside || networkOf(request.address).value !== parseNetwork(formatNetwork(network)).value) {
      throw new SpineError("enclave_refused", `${request.address} is not an address of ${formatNetwork(network)}`);
    }
    if (request.listenPort !== listenPort) {
      throw new SpineError("enclave_refused", `the helper opens port ${listenPort}, not ${request.listenPort}`);
    }
    const least = MTU_LEAST[network.family];
    if (request.mtuBytes < least) throw new SpineError("enclave_refused", `an MTU below ${least}`);
    checkEnclaveNetwork(network, await this.#backend.localNetworks());
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
