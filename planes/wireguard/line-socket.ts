/** A unix socket read line by line, with a bound on the line: both ends of the helper's protocol use it. */
import type { Socket } from "node:net";

export class LineSocket {
  readonly #socket: Socket;
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];
  #bytes = 0;

  /** `onEnd` is told once, however the socket ends; a line over `maxBytes` ends it. */
  constructor(socket: Socket, maxBytes: number, onLine: (line: string) => void, onEnd: () => void) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", () => undefined);
    socket.once("close", onEnd);
  }

  /** False while the other side does not read. */
  write(line: string): boolean {
    return this.#socket.destroyed ? false : this.#socket.write(`${line}\n`);
  }
  destroy(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    for (let at = rest.indexOf(10); at >= 0 && !this.#socket.destroyed; at = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#parts, rest.subarray(0, at)]);
      this.#parts = [];
      this.#bytes = 0;
      rest = rest.subarray(at + 1);
      if (line.length > this.#maxBytes) return this.destroy();
      this.#onLine(line.toString("utf8"));
    }
    if (rest.length === 0) return;
    this.#parts.push(rest);
    this.#bytes += rest.length;
    if (this.#bytes > this.#maxBytes) this.destroy();
  }
}
