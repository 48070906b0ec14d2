/** TCP interfaces, client and server, HDLC or KISS framed (spec/reticulum.md section 16.6). */
import { createServer, type Server, type Socket } from "node:net";
import { SpineError } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import { FramedInterface, type Framing, hdlcFraming, kissFraming, MIN_FRAME_BYTES, maxFrameBytes } from "./framed.ts";
import {
  type AccessOptions,
  accessCode,
  automaticMtu,
  type Interface,
  type InterfaceStatus,
  type LiveWire,
  WIDE_ACCESS_BYTES,
  type WireHost,
} from "./interface.ts";
import { type Line, socketLine, tcpLine } from "./line.ts";

const GUESSED_BITRATE = 10_000_000;
const QUEUE_BYTES = 8 * 1024 * 1024;
const MAX_CLIENTS = 256;

export interface TcpOptions extends AccessOptions {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly framing?: "hdlc" | "kiss";
  /** Bits per second; decides the MTU unless that is fixed. */
  readonly bitrate?: number;
  /** Bytes, at least 500. */
  readonly fixedMtu?: number;
}

function wireInfo(options: TcpOptions, id: string): Wire {
  const bitrate = options.bitrate ?? GUESSED_BITRATE;
  if (options.fixedMtu !== undefined && options.fixedMtu < 500) {
    throw new SpineError("config_invalid", `${options.name}: an MTU of ${options.fixedMtu} is below 500`);
  }
  return {
    id,
    bitrate,
    hardwareMtu: options.fixedMtu ?? automaticMtu(bitrate),
    signalsMtu: true,
    ifac: accessCode(options, WIDE_ACCESS_BYTES),
    policy: options.policy,
    medium: "stream",
  };
}

function framingOf(options: TcpOptions, info: Wire): Framing {
  return options.framing === "kiss" ? kissFraming(maxFrameBytes(info)) : hdlcFraming(maxFrameBytes(info));
}

/** Throws `config_invalid`. */
export function tcpClient(options: TcpOptions): Interface {
  const tunnelName =
    options.framing === "kiss" ? undefined : `TCPInterface[${options.name}/${options.host}:${options.port}]`;
  const info: Wire = { ...wireInfo(options, options.name), tunnelName };
  return new FramedInterface({
    type: "tcp-client",
    info,
    open: tcpLine(options.host, options.port),
    framing: () => framingOf(options, info),
    queueBytes: QUEUE_BYTES,
    partialTimeout: false,
  });
}

interface Client {
  readonly wire: LiveWire;
  readonly line: Line;
}

/** Each client is a wire of its own. */
export class TcpServerInterface implements Interface {
  readonly name: string;
  readonly #options: TcpOptions;
  readonly #info: Wire;
  readonly #clients = new Set<Client>();
  #server: Server | undefined;
  #host: WireHost | undefined;
  #framesDropped = 0;
  #accepted = 0;
  /** Throws `config_invalid`. */
  constructor(options: TcpOptions) {
    this.name = options.name;
    this.#options = options;
    this.#info = wireInfo(options, options.name);
  }
  /** The port listened on, once started: useful with port 0. */
  get port(): number | undefined {
    const address = this.#server?.address();
    return typeof address === "object" && address !== null ? address.port : undefined;
  }
  async start(host: WireHost): Promise<void> {
    this.#host = host;
    const server = createServer((socket) => this.#accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const code = error.code === "EADDRINUSE" ? "port_in_use" : "plane_start_failed";
        reject(new SpineError(code, `${this.name}: ${error.message}`, { cause: error }));
      });
      server.listen(this.#options.port, this.#options.host, resolve);
    });
    server.removeAllListeners("error");
    server.on("error", () => this.#framesDropped++);
    this.#server = server;
  }
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.all([...this.#clients].map((client) => this.#drop(client)));
    await closed;
  }
  status(): InterfaceStatus {
    return {
      name: this.name,
      type: "tcp-server",
      online: this.#server !== undefined,
      wires: this.#clients.size,
      bitrate: this.#info.bitrate,
      framesDropped: this.#framesDropped,
      reconnects: this.#accepted,
      lastError: undefined,
    };
  }
  #accept(socket: Socket): void {
    if (this.#clients.size >= MAX_CLIENTS || this.#server === undefined) {
      socket.destroy();
      return;
    }
    const info: Wire = { ...this.#info, id: `${this.name}/${this.#accepted++}`, transient: true };
    const framing = framingOf(this.#options, info);
    const limit = maxFrameBytes(info);
    let client: Client | undefined;
    const line = socketLine(socket, {
      data: (chunk) =>
        framing.push(chunk, (payload) => {
          if (client === undefined) return;
          if (payload.length > MIN_FRAME_BYTES && payload.length <= limit) this.#host?.receive(client.wire, payload);
          else this.#framesDropped++;
        }),
      closed: () => {
        if (client !== undefined) void this.#drop(client);
      },
    });
    const send = (frame: Uint8Array): boolean => {
      if (line.queuedBytes > QUEUE_BYTES) {
        this.#framesDropped++;
        return false;
      }
      line.write(framing.encode(frame));
      return true;
    };
    client = { wire: { info, send }, line };
    this.#clients.add(client);
    this.#host?.up(client.wire);
  }
  async #drop(client: Client): Promise<void> {
    if (!this.#clients.delete(client)) return;
    this.#host?.down(client.wire);
    await client.line.close();
  }
}
