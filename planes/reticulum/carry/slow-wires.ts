/** The slow wires of a station: what their air costs and what waits for it. Owned by `plane.ts`. */
import type { LinkInfo, Millis } from "../../../spine/index.ts";
import type { Station } from "../station.ts";
import type { CarryHooks, CarryLimits } from "./carry-link.ts";
import type { Air, ReticulumLimits, ReticulumPlaneOptions } from "./options.ts";
import { RadioLine, type RadioWireStatus } from "./radio-line.ts";

/** A packet and its proof on the air take so many times their airtime at most, with others in between. */
const PROOF_PATIENCE = 4;
/** Bytes of a proof, and of a packet's headers, about. */
const PACKET_BYTES = 115;

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
  /** Bounds of a link over the wire. */
  linkLimits(wireId: string): CarryLimits {
    const { mtuBytes, slowMtuBytes, windowBytes, maxGossipBytes } = this.#limits;
    return { mtuBytes: this.isSlow(wireId) ? slowMtuBytes : mtuBytes, windowBytes, maxGossipBytes };
  }
  /** What the core is told of a link over the wire. */
  costOf(wireId: string): Pick<LinkInfo, "mtu" | "bitrate" | "cost"> {
    const slow = this.isSlow(wireId);
    const { mtuBytes: mtu } = this.linkLimits(wireId);
    return { mtu, bitrate: slow ? this.bitrateOf(wireId) : Number.POSITIVE_INFINITY, cost: slow ? "radio" : "free" };
  }
  /** Milliseconds until the wire has air for something new; undefined where no links are made. */
  airIn(wireId: string): Millis | undefined {
    return this.packetsOnly(wireId) ? undefined : this.aheadMs(wireId);
  }
  aheadMs(wireId: string): Millis {
    return this.lineOf(wireId)?.aheadMs() ?? 0;
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
    const line = new RadioLine(this.bitrateOf(wireId), air, this.#station.clock, () => this.#station.isBusy(wireId));
    this.#lines.set(wireId, line);
    return line;
  }
  /** Undefined for fast wires. */
  airOf(wireId: string): Air | undefined {
    const bitrate = this.bitrateOf(wireId);
    if (bitrate >= this.#limits.slowBitrate) return undefined;
    return this.#airOf?.(wireId) ?? { airtimeMs: (bytes) => (bytes * 8000) / bitrate, duty: 1 };
  }

  /** How a link over the wire asks for its turns; nothing for fast wires. */
  turnsOn(wireId: string, receiver: string, counts: { frames_too_slow: number }): Pick<CarryHooks, "slow"> {
    const line = this.lineOf(wireId);
    if (line === undefined) return {};
    const { clock } = this.#station;
    return {
      slow: {
        proofMs: (bytes) => PROOF_PATIENCE * (line.airtimeMs(bytes + PACKET_BYTES) + line.airtimeMs(PACKET_BYTES)),
        carries: (tier) => {
          const carried = line.carries(tier);
          if (!carried) counts.frames_too_slow++;
          return carried;
        },
        later: (inMs, task) => void clock.schedule(clock.now() + inMs, task),
        turn: (bytes, tier, transmit, evidence) => {
          const result = line.offer({ tier, packets: [bytes], receiver, transmit, evidence });
          if (result === "too_slow") counts.frames_too_slow++;
          return result === "full" ? "later" : result === "too_slow" ? "dropped" : "taken";
        },
      },
    };
  }

  /** Gives up what waits for one peer. */
  forget(peer: string): void {
    for (const line of this.#lines.values()) line.forget(peer);
  }
  status(
    heardOn: (wire: string) => readonly { readonly peer: string; readonly agoMs: Millis }[],
    linkedOn: (wire: string) => readonly string[],
  ): Readonly<Record<string, RadioWireStatus>> {
    const rows = [...this.#lines].map(([wire, line]): [string, RadioWireStatus] => {
      const linked = linkedOn(wire);
      const neighbours = heardOn(wire).map((one) => ({ ...one, linked: linked.includes(one.peer) }));
      return [wire, { ...line.status(), packetsOnly: this.packetsOnly(wire), neighbours }];
    });
    return Object.fromEntries(rows);
  }
  /** From now on their air is kept to, and what leaves is booked. */
  start(): void {
    this.#station.emission = (wire, bytes) => this.lineOf(wire)?.emission(bytes) ?? "in order";
    this.#station.onSent = (wire, bytes) => this.lineOf(wire)?.sent(bytes);
    this.#station.onDrained = (wire) => this.lineOf(wire)?.drained();
  }
  stop(): void {
    this.#station.onSent = undefined;
    this.#station.onDrained = undefined;
    this.#station.emission = undefined;
    for (const line of this.#lines.values()) line.stop();
  }
}
