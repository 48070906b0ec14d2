/** A virtual wire between endpoints for tests: seeded loss, duplication, reordering and latency in virtual time. */
import { createHash } from "node:crypto";
import type { Wire } from "../../../planes/reticulum/stack/context.ts";
import { Endpoint, type Send } from "../../../planes/reticulum/stack/endpoint.ts";
import type { Millis, Random } from "../../../spine/index.ts";

export interface EtherOptions {
  readonly seed: string;
  /** Probabilities, 0 to 1. */
  readonly loss?: number;
  readonly duplication?: number;
  /** Extra random delay, ms: anything above the gap between two packets reorders them. */
  readonly jitterMs?: number;
  readonly latencyMs?: number;
  readonly wire?: Partial<Wire>;
}

/** Deterministic bytes: SHAKE256 of seed and counter. */
export function seededRandom(seed: string): Random {
  let counter = 0;
  return (length) => {
    const hash = createHash("shake256", { outputLength: Math.max(1, length) });
    return new Uint8Array(hash.update(`${seed}/${counter++}`).digest()).subarray(0, length);
  };
}

interface Flight {
  readonly at: Millis;
  readonly to: Endpoint;
  readonly frame: Uint8Array;
}

/** Endpoints on one broadcast wire; `run` advances virtual time. */
export class Ether {
  now: Millis = 1_750_000_000_000;
  readonly endpoints: Endpoint[] = [];
  /** Sees every frame; returning false loses it. */
  tap: ((frame: Uint8Array, from: Endpoint) => boolean) | undefined;
  /** Frames given to the wire so far. */
  frames = 0;
  readonly #options: EtherOptions;
  readonly #chance: Random;
  #flights: Flight[] = [];
  constructor(options: EtherOptions) {
    this.#options = options;
    this.#chance = seededRandom(`${options.seed}/ether`);
  }
  add(name: string, wire: Partial<Wire> = {}): Endpoint {
    const endpoint = new Endpoint({
      random: seededRandom(`${this.#options.seed}/${name}`),
      onError: (error) => {
        throw error;
      },
    });
    const base: Wire = { id: "ether", bitrate: 1_000_000, hardwareMtu: 500, signalsMtu: false };
    endpoint.attach({ ...base, ...this.#options.wire, ...wire });
    this.endpoints.push(endpoint);
    return endpoint;
  }
  act<T>(endpoint: Endpoint, task: () => T): T {
    let result: T | undefined;
    const sends = endpoint.act(this.now, () => {
      result = task();
    });
    this.#send(endpoint, sends);
    return result as T;
  }
  #roll(): number {
    const [a = 0, b = 0, c = 0] = this.#chance(3);
    return (a * 65_536 + b * 256 + c) / 16_777_216;
  }
  #send(from: Endpoint, sends: readonly Send[]): void {
    const { loss = 0, duplication = 0, jitterMs = 0, latencyMs = 1 } = this.#options;
    for (const { frame } of sends) {
      this.frames++;
      if (this.tap?.(frame, from) === false) continue;
      for (const to of this.endpoints) {
        if (to === from || this.#roll() < loss) continue;
        const copies = this.#roll() < duplication ? 2 : 1;
        for (let i = 0; i < copies; i++) {
          const at = this.now + latencyMs + this.#roll() * jitterMs;
          this.#flights.push({ at, to, frame: frame.slice() });
        }
      }
    }
  }
  /** Runs until `done` or for `forMs`; true when done. */
  run(forMs: Millis, done: () => boolean = () => false): boolean {
    const until = this.now + forMs;
    while (!done()) {
      let next = until;
      for (const flight of this.#flights) next = Math.min(next, flight.at);
      for (const endpoint of this.endpoints) next = Math.min(next, endpoint.nextWakeAt ?? until);
      if (next >= until) {
        this.now = until;
        return done();
      }
      this.now = Math.max(this.now, next);
      const due = this.#flights.filter((flight) => flight.at <= this.now).sort((a, b) => a.at - b.at);
      this.#flights = this.#flights.filter((flight) => flight.at > this.now);
      for (const { to, frame } of due) this.#send(to, to.handle("ether", frame, this.now));
      for (const endpoint of this.endpoints) {
        if ((endpoint.nextWakeAt ?? Number.POSITIVE_INFINITY) <= this.now) {
          this.#send(endpoint, endpoint.wake(this.now));
        }
      }
    }
    return true;
  }
}
