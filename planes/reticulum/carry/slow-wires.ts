/** The slow wires of a station: what their air costs and what waits for it. Owned by `plane.ts`. */
import type { Station } from "../station.ts";
import type { Air, ReticulumLimits, ReticulumPlaneOptions } from "./options.ts";
import { RadioLine, type RadioStatus } from "./radio-line.ts";

export class SlowWires {
  readonly #station: Station;
  readonly #limits: ReticulumLimits;
  readonly #airOf: ReticulumPlaneOptions["airOf"];
  readonly #lines = new Map<string, RadioLine>();

  constructor(station: Station, limits: ReticulumLimits, airOf: ReticulumPlaneOptions["airOf"]) {
    this.#station = station;
    this.#limits = limits;
    this.#airOf = airOf;
  }

  bitrateOf(wireId: string): number {
    return this.#station.endpoint.wires.get(wireId)?.bitrate ?? Number.POSITIVE_INFINITY;
  }
  isSlow(wireId: string): boolean {
    return this.bitrateOf(wireId) < this.#limits.slowBitrate;
  }
  /** Whether a wire is too slow for links (rules 10). */
  packetsOnly(wireId: string): boolean {
    return this.bitrateOf(wireId) < this.#limits.linkBitrate;
  }
  /** Ids of those that are up. */
  ids(): string[] {
    return [...this.#station.endpoint.wires.keys()].filter((id) => this.isSlow(id));
  }

  /** The line of a slow wire, which all links over it share. */
  lineOf(wireId: string): RadioLine | undefined {
    const known = this.#lines.get(wireId);
    if (known !== undefined) return known;
    const air = this.airOf(wireId);
    if (air === undefined) return undefined;
    const line = new RadioLine(this.bitrateOf(wireId), air, this.#station.clock);
    this.#lines.set(wireId, line);
    return line;
  }
  /** Undefined for fast wires. */
  airOf(wireId: string): Air | undefined {
    const bitrate = this.bitrateOf(wireId);
    if (bitrate >= this.#limits.slowBitrate) return undefined;
    return this.#airOf?.(wireId) ?? { airtimeMs: (bytes) => (bytes * 8000) / bitrate, duty: 1 };
  }

  /** Gives up what waits for one peer. */
  forget(peer: string): void {
    for (const line of this.#lines.values()) line.forget(peer);
  }
  status(): Readonly<Record<string, RadioStatus>> {
    return Object.fromEntries([...this.#lines].map(([wire, line]) => [wire, line.status()]));
  }
  stop(): void {
    for (const line of this.#lines.values()) line.stop();
  }
}
