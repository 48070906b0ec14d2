/** UDP interfaces: one packet per datagram, to a fixed or broadcast address (spec/reticulum.md section 16.4). */
import { createSocket, type Socket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";
import { asSpineError, SpineError } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import { maxFrameBytes } from "./framed.ts";
import {
  type AccessOptions,
  accessCode,
  type Interface,
  type InterfaceStatus,
  type LiveWire,
  WIDE_ACCESS_BYTES,
  type WireHost,
} from "./interface.ts";

const UDP_MTU = 1064;
const GUESSED_BITRATE = 10_000_000;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const QUEUE_BYTES = 1024 * 1024;
const REOPEN_MS = 1000;

export interface UdpOptions extends AccessOptions {
  readonly name: string;
  readonly listenHost: string;
  readonly listenPort: number;
  readonly forwardHost: string;
  readonly forwardPort: number;
  readonly bitrate?: number;
}

export class UdpInterface implements Interface {
  readonly name: string;
  readonly #options: UdpOptions;
  readonly #wire: LiveWire;
  readonly #limit: number;
  readonly #stopped = new AbortController();
  #socket: Socket | undefined;
  #host: WireHost | undefined;
  #framesDropped = 0;
  #reconnects = 0;
  #lastError: SpineError | undefined;
  /** Throws `config_invalid`. */
  constructor(options: UdpOptions) {
    this.name = options.name;
    this.#options = options;
    const info: Wire = {
      id: options.name,
      bitrate: options.bitrate ?? GUESSED_BITRATE,
      hardwareMtu: UDP_MTU,
      signalsMtu: false,
      ifac: accessCode(options, WIDE_ACCESS_BYTES),
      policy: options.policy,
      medium: "network",
    };
    this.#limit = maxFrameBytes(info);
    this.#wire = { info, send: (frame) => this.#send(frame) };
  }
  async start(host: WireHost): Promise<void> {
    this.#host = host;
    await this.#open();
  }
  async stop(): Promise<void> {
    this.#stopped.abort();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    this.#host?.down(this.#wire);
    await new Promise<void>((resolve) => socket.close(resolve));
  }
  status(): InterfaceStatus {
    return {
      name: this.name,
      type: "udp",
      online: this.#socket !== undefined,
      wires: this.#socket === undefined ? 0 : 1,
      bitrate: this.#wire.info.bitrate,
      framesDropped: this.#framesDropped,
      reconnects: this.#reconnects,
      lastError: this.#lastError,
    };
  }
  async #open(): Promise<void> {
    const { listenHost, listenPort } = this.#options;
    const type = listenHost.includes(":") ? "udp6" : "udp4";
    const socket = createSocket({ type, reuseAddr: true, recvBufferSize: RECEIVE_BUFFER_BYTES });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", (error) => {
        reject(new SpineError("plane_start_failed", `${this.name}: ${error.message}`, { cause: error }));
      });
      socket.bind(listenPort, listenHost, resolve);
    });
    socket.removeAllListeners("error");
    if (this.#stopped.signal.aborted) {
      socket.close();
      return;
    }
    socket.setBroadcast(true);
    socket.on("message", (datagram) => {
      const frame = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
      if (frame.length > 2 && frame.length <= this.#limit) this.#host?.receive(this.#wire, frame);
      else this.#framesDropped++;
    });
    socket.on("error", (error) => this.#failed(socket, asSpineError(error, "plane_start_failed")));
    this.#socket = socket;
    this.#lastError = undefined;
    this.#host?.up(this.#wire);
  }
  #send(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.getSendQueueSize() > QUEUE_BYTES) {
      this.#framesDropped++;
      return false;
    }
    socket.send(frame, this.#options.forwardPort, this.#options.forwardHost, (error) => {
      if (error !== null) this.#framesDropped++;
    });
    return true;
  }
  #failed(socket: Socket, reason: SpineError): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#lastError = reason;
    this.#host?.down(this.#wire);
    socket.close();
    void this.#reopen();
  }
  async #reopen(): Promise<void> {
    const { signal } = this.#stopped;
    for (;;) {
      await sleep(REOPEN_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#open();
        this.#reconnects++;
        return;
      } catch (caught) {
        this.#lastError = asSpineError(caught, "plane_start_failed");
      }
    }
  }
}
