/** A byte line: a serial device or a TCP connection, opened on demand. Used by the framed interfaces. */
import { createConnection, type Socket } from "node:net";
import { asSpineError, SpineError } from "../../../spine/index.ts";

export interface LineEvents {
  data(chunk: Uint8Array): void;
  /** Once, after a successful open: the line is gone. */
  closed(reason: SpineError): void;
}

export interface Line {
  /** Bytes accepted but not yet handed to the system. */
  readonly queuedBytes: number;
  /** Takes a copy. */
  write(bytes: Uint8Array): void;
  close(): Promise<void>;
}

/** Rejects with `peer_unreachable` or `device_failed`. */
export type OpenLine = (events: LineEvents, signal: AbortSignal) => Promise<Line>;

export interface SerialOptions {
  /** Prefer a stable name such as `/dev/serial/by-id/…`: it is resolved anew at each opening. */
  readonly path: string;
  /** Baud, 115200 by default. */
  readonly speed?: number;
  readonly dataBits?: 5 | 6 | 7 | 8;
  readonly parity?: "none" | "even" | "odd";
  readonly stopBits?: 1 | 2;
}

/** A view without the Buffer class. */
function view(chunk: Buffer): Uint8Array {
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
}

/** What goes out in one call: a window of large parts fills several, and each is used again. */
const BATCH_BYTES = 65_536;
const MAX_SPARES = 12;

/** Collects what is written in one turn into few system calls. Its buffers take turns, so that sending makes no garbage. */
class Batch {
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(BATCH_BYTES);
  readonly #spares: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #flushing = 0;
  #isDue = false;
  readonly #flush: (bytes: Uint8Array, done: () => void) => void;
  /** `flush` calls `done` when the system has taken the bytes. */
  constructor(flush: (bytes: Uint8Array, done: () => void) => void) {
    this.#flush = flush;
  }
  /** Bytes not yet taken by the system. */
  get bytes(): number {
    return this.#bytes + this.#flushing;
  }
  add(part: Uint8Array): void {
    if (this.#bytes > 0 && this.#bytes + part.length > this.#buffer.length) this.#send();
    if (part.length > this.#buffer.length) {
      this.#give(part.slice(), () => undefined);
      return;
    }
    this.#buffer.set(part, this.#bytes);
    this.#bytes += part.length;
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (this.#bytes > 0) this.#send();
    });
  }
  #send(): void {
    const full = this.#buffer;
    const bytes = full.subarray(0, this.#bytes);
    this.#buffer = this.#spares.pop() ?? new Uint8Array(BATCH_BYTES);
    this.#bytes = 0;
    this.#give(bytes, () => {
      if (this.#spares.length < MAX_SPARES) this.#spares.push(full);
    });
  }
  #give(bytes: Uint8Array, done: () => void): void {
    this.#flushing += bytes.length;
    this.#flush(bytes, () => {
      this.#flushing -= bytes.length;
      done();
    });
  }
}

export function serialLine(options: SerialOptions): OpenLine {
  return async (events) => {
    const { SerialPort } = await import("serialport");
    const port = new SerialPort({
      path: options.path,
      baudRate: options.speed ?? 115_200,
      dataBits: options.dataBits ?? 8,
      parity: options.parity ?? "none",
      stopBits: options.stopBits ?? 1,
      autoOpen: false,
      hupcl: false,
    });
    await new Promise<void>((resolve, reject) => {
      port.open((error) => {
        if (error === null || error === undefined) resolve();
        else reject(new SpineError("device_failed", `${options.path}: ${error.message}`, { cause: error }));
      });
    });
    let gone = false;
    const end = (reason: SpineError): void => {
      if (gone) return;
      gone = true;
      events.closed(reason);
    };
    port.on("data", (chunk: Buffer) => events.data(view(chunk)));
    port.on("error", (error: Error) => {
      end(asSpineError(error, "device_failed"));
      if (port.isOpen) port.close(() => undefined);
    });
    port.on("close", () => end(new SpineError("device_failed", `${options.path} went away`)));
    const batch = new Batch((bytes, done) => {
      if (port.isOpen) port.write(bytes, undefined, done);
      else done();
    });
    return {
      get queuedBytes() {
        return batch.bytes;
      },
      write: (bytes) => batch.add(bytes),
      close: () =>
        new Promise<void>((resolve) => {
          gone = true;
          if (port.isOpen) port.close(() => resolve());
          else resolve();
        }),
    };
  };
}

const CONNECT_TIMEOUT_MS = 5000;

/** Wraps a connected socket. */
export function socketLine(socket: Socket, events: LineEvents): Line {
  let gone = false;
  const end = (reason: SpineError): void => {
    if (gone) return;
    gone = true;
    events.closed(reason);
  };
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 5000);
  socket.on("data", (chunk: Buffer) => events.data(view(chunk)));
  socket.on("error", (error) => end(asSpineError(error, "peer_unreachable")));
  socket.on("close", () => end(new SpineError("peer_unreachable", "the connection closed")));
  const batch = new Batch((bytes, done) => {
    if (socket.writable) socket.write(bytes, done);
    else done();
  });
  return {
    get queuedBytes() {
      return batch.bytes;
    },
    write: (bytes) => batch.add(bytes),
    close: () =>
      new Promise<void>((resolve) => {
        gone = true;
        if (socket.destroyed) resolve();
        else {
          socket.once("close", () => resolve());
          socket.destroy();
        }
      }),
  };
}

export function tcpLine(host: string, port: number): OpenLine {
  return async (events, signal) => {
    const socket = createConnection({ host, port, signal });
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error("no answer in time")));
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => {
        reject(new SpineError("peer_unreachable", `${host}:${port}: ${error.message}`, { cause: error }));
      });
    });
    socket.setTimeout(0);
    return socketLine(socket, events);
  };
}
