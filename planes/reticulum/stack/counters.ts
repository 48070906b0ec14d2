/** What an endpoint counts. Every packet is counted, so traffic is not looked up by name. Used by `endpoint.ts`. */
import type { CounterName } from "./context.ts";

export class Counters {
  readonly #named = new Map<CounterName, number>();
  #packetsReceived = 0;
  #packetsSent = 0;
  #packetsForwarded = 0;
  #bytesReceived = 0;
  #bytesSent = 0;
  count(name: CounterName, by: number): void {
    if (name === "packets_forwarded") this.#packetsForwarded += by;
    else this.#named.set(name, (this.#named.get(name) ?? 0) + by);
  }
  received(bytes: number): void {
    this.#packetsReceived++;
    this.#bytesReceived += bytes;
  }
  sent(bytes: number): void {
    this.#packetsSent++;
    this.#bytesSent += bytes;
  }
  /** Those that are not zero. */
  get all(): ReadonlyMap<CounterName, number> {
    const traffic: readonly (readonly [CounterName, number])[] = [
      ["packets_received", this.#packetsReceived],
      ["packets_sent", this.#packetsSent],
      ["packets_forwarded", this.#packetsForwarded],
      ["bytes_received", this.#bytesReceived],
      ["bytes_sent", this.#bytesSent],
    ];
    return new Map([...traffic.filter(([, count]) => count > 0), ...this.#named]);
  }
}
