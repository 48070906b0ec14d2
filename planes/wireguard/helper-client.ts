/**
 * The interface as the unprivileged daemon reaches it: through the helper's socket, connected anew when needed. The
 * token beside the socket is read at each connection; nothing is said to a helper that does not prove it can read it too.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { fromHex, SpineError } from "../../spine/index.ts";
import type { Device, DeviceSettings, DeviceState, PeerChange } from "./device.ts";
import {
  encodeOperation,
  isProof,
  MAX_HELPER_REPLY_BYTES,
  NONCE_BYTES,
  type Operation,
  proofOf,
  type Reply,
  readGreeting,
  readHelperMessage,
  readWelcome,
} from "./helper-protocol.ts";
import { LineSocket } from "./line-socket.ts";

const CONNECT_MS = 3_000;

export interface HelperClientOptions {
  readonly socketPath: string;
  /** The interface this node expects the helper to serve. */
  readonly interfaceName: string;
  /** False: the interface is somebody else's; a helper that owns it is refused all the same. */
  readonly owned: boolean;
}

/** Where the helper leaves its token for those who may reach its socket. */
export function tokenPathOf(socketPath: string): string {
  return `${socketPath}.token`;
}

interface Waiter {
  readonly resolve: (state: DeviceState | null) => void;
  readonly reject: (error: SpineError) => void;
}

export class HelperClient implements Device {
  readonly owned: boolean;
  readonly #options: HelperClientOptions;
  readonly #waiters = new Map<number, Waiter>();
  readonly #gone: (() => void)[] = [];
  #lines: LineSocket | null = null;
  #connecting: Promise<LineSocket> | null = null;
  #next = 1;
  #closed = false;

  constructor(options: HelperClientOptions) {
    this.#options = options;
    this.owned = options.owned;
  }

  async up(settings: DeviceSettings, signal: AbortSignal): Promise<void> {
    await this.#ask({ op: "up", ...settings }, signal);
  }
  async get(signal: AbortSignal): Promise<DeviceState> {
    const state = await this.#ask({ op: "get" }, signal);
    if (state === null) throw new SpineError("enclave_helper", "the helper answered without a state");
    return state;
  }
  async set(change: PeerChange, signal: AbortSignal): Promise<void> {
    await this.#ask({ op: "set", change }, signal);
  }
  async down(signal: AbortSignal): Promise<void> {
    await this.#ask({ op: "down" }, signal);
  }
  onGone(listener: () => void): void {
    this.#gone.push(listener);
  }
  async close(): Promise<void> {
    this.#closed = true;
    this.#lines?.destroy();
  }

  async #ask(operation: Operation, signal: AbortSignal): Promise<DeviceState | null> {
    if (this.#closed) throw new SpineError("enclave_helper", "closed");
    signal.throwIfAborted();
    if (this.#lines === null) {
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = null;
      });
      await this.#connecting;
    }
    const lines = this.#lines;
    if (lines === null) throw new SpineError("enclave_helper", "the helper went away");
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#waiters.delete(id);
        reject(new SpineError("enclave_helper", "the helper did not answer in time", { cause: signal.reason }));
      };
      const leave = (): void => signal.removeEventListener("abort", aborted);
      this.#waiters.set(id, {
        resolve: (state) => {
          leave();
          resolve(state);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      });
      signal.addEventListener("abort", aborted, { once: true });
      lines.write(encodeOperation(id, operation));
    });
  }

  async #connect(): Promise<LineSocket> {
    const { socketPath, interfaceName, owned } = this.#options;
    const unreachable = (cause: unknown): SpineError =>
      new SpineError("enclave_helper", `cannot reach the helper at ${socketPath}: ${(cause as Error).message}`, {
        cause,
      });
    const token = await readToken(socketPath).catch((cause: unknown) => {
      throw unreachable(cause);
    });
    return new Promise((resolve, reject) => {
      const socket = connect(socketPath);
      const daemonNonce = randomBytes(NONCE_BYTES).toString("hex");
      let helperNonce: string | null = null;
      let welcomed = false;
      const fail = (error: SpineError): void => {
        clearTimeout(timer);
        lines.destroy();
        reject(error);
      };
      const timer = setTimeout(() => fail(unreachable(new Error("it says nothing"))), CONNECT_MS);
      const lines = new LineSocket(
        socket,
        MAX_HELPER_REPLY_BYTES,
        (line) => {
          try {
            if (welcomed) return this.#received(line);
            if (helperNonce === null) {
              helperNonce = readGreeting(line);
              const proof = proofOf(token, "daemon", helperNonce, daemonNonce);
              lines.write(JSON.stringify({ nonce: daemonNonce, proof }));
              return;
            }
            const welcome = readWelcome(line);
            if (!isProof(welcome.proof, proofOf(token, "helper", helperNonce, daemonNonce))) {
              throw new SpineError("enclave_helper", `${socketPath} is not answered by the helper: wrong proof`);
            }
            if (welcome.interface !== interfaceName || welcome.owned !== owned) {
              const whose = welcome.owned ? "keeps" : "only reads";
              throw new SpineError("enclave_refused", `the helper ${whose} the interface ${welcome.interface}`);
            }
            welcomed = true;
            clearTimeout(timer);
            this.#lines = lines;
            resolve(lines);
          } catch (error) {
            fail(error as SpineError);
          }
        },
        () => {
          fail(unreachable(new Error("it hung up")));
          this.#ended(lines);
        },
      );
      socket.once("error", (cause) => fail(unreachable(cause)));
    });
  }

  #received(line: string): void {
    const message = readHelperMessage(line);
    if ("event" in message) {
      for (const listener of this.#gone) listener();
      return;
    }
    const waiter = this.#waiters.get(message.id);
    this.#waiters.delete(message.id);
    if (waiter !== undefined) settle(waiter, message);
  }

  #ended(lines: LineSocket): void {
    if (this.#lines !== lines) return;
    this.#lines = null;
    const error = new SpineError("enclave_helper", "the helper went away");
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.reject(error);
    if (!this.#closed) for (const listener of this.#gone) listener();
  }
}

function settle(waiter: Waiter, reply: Reply): void {
  if (reply.ok) waiter.resolve(reply.state);
  else waiter.reject(new SpineError(reply.code, reply.message));
}

async function readToken(socketPath: string): Promise<Uint8Array> {
  const found = /^([0-9a-f]{64})\n$/.exec(await readFile(tokenPathOf(socketPath), "utf8"));
  if (found === null) throw new Error("its token file is not one");
  return fromHex(found[1] as string, 32);
}
