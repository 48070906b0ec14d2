/** Announces the node on every wire: when the wire comes up, then as often as its air allows (rules 10). Used by `plane.ts`. */
import { announcePeriodMs, type Millis } from "../../../spine/index.ts";
import type { Wire } from "../stack/context.ts";
import type { Destination } from "../stack/destination.ts";
import type { Station } from "../station.ts";
import type { Air } from "./options.ts";

/** The first announce on a slow wire falls within the time of so many, at most a minute. */
const SPREAD_PACKETS = 16;
const MAX_SPREAD_MS = 60_000;
const LOOK_MS = 2_000;
const FAST_PERIOD_MS = 1_800_000;
/** Bytes of an announce with a ratchet and nothing to say, about. */
const ANNOUNCE_BYTES = 220;

export class Announcing {
  readonly #station: Station;
  readonly #destination: Destination;
  readonly #airOf: (wire: Wire) => Air | undefined;
  /** When each wire is announced on next. */
  readonly #dueAt = new Map<string, Millis>();
  readonly #chance: () => number;
  #cancelTimer: (() => void) | undefined;

  /** `airOf` is undefined for wires whose air costs nothing. */
  constructor(
    station: Station,
    destination: Destination,
    airOf: (wire: Wire) => Air | undefined,
    chance: () => number,
  ) {
    this.#chance = chance;
    this.#station = station;
    this.#destination = destination;
    this.#airOf = airOf;
  }
  start(): void {
    this.#look();
    const { clock } = this.#station;
    this.#cancelTimer = clock.schedule(clock.now() + LOOK_MS, () => this.start());
  }
  stop(): void {
    this.#cancelTimer?.();
  }

  #look(): void {
    const now = this.#station.clock.now();
    const { wires } = this.#station.endpoint;
    for (const id of this.#dueAt.keys()) if (!wires.has(id)) this.#dueAt.delete(id);
    for (const wire of wires.values()) {
      const air = this.#airOf(wire);
      const airMs = air?.airtimeMs(ANNOUNCE_BYTES + (this.#destination.appData?.length ?? 0)) ?? 0;
      // Neighbours whose power comes back at the same moment must not all speak at once.
      if (!this.#dueAt.has(wire.id))
        this.#dueAt.set(wire.id, now + this.#chance() * Math.min(MAX_SPREAD_MS, SPREAD_PACKETS * airMs));
      if (now < (this.#dueAt.get(wire.id) ?? 0)) continue;
      const period = air === undefined ? FAST_PERIOD_MS : announcePeriodMs(airMs, air.duty);
      // Give or take a tenth: neighbours that started together must not always collide.
      this.#dueAt.set(wire.id, now + period * (0.9 + this.#chance() / 5));
      this.#station.act(() => this.#station.endpoint.announce(this.#destination, { wire: wire.id }));
    }
  }
}
