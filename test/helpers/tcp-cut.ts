/** A TCP relay on loopback that can be cut, stalled and healed, to part two processes that both go on running. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class TcpCut {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: number;
  #open = true;
  #relayed = 0;
  #limit = Number.POSITIVE_INFINITY;
  #atLimit: "cut" | "stall" = "cut";

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#relay(socket));
  }

  /** Relays to a loopback port; closed by `stop`. */
  static async start(target: number): Promise<TcpCut> {
    const relay = new TcpCut(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  #relay(inbound: Socket): void {
    if (!this.#open) {
      inbound.destroy();
      return;
    }
    const outbound = connect(this.#target, "127.0.0.1");
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.on("data", (data: Buffer) => {
        this.#relayed += data.length;
        if (this.#relayed > this.#limit && this.#atLimit === "stall") one.pause();
        else if (this.#relayed > this.#limit) this.cut();
        else if (!other.write(data)) {
          one.pause();
          other.once("drain", () => one.resume());
        }
      });
    }
  }

  /** Once so many more bytes were relayed: ends everything, or goes quiet with the connections open. */
  limit(bytes: number, then: "cut" | "stall"): void {
    this.#limit = this.#relayed + bytes;
    this.#atLimit = then;
  }

  /** Ends what is open and refuses what comes. */
  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }
  /** New connections are relayed again, without limit. */
  heal(): void {
    this.#open = true;
    this.#limit = Number.POSITIVE_INFINITY;
  }
  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
