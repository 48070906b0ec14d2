/** What the LXMF parts need of whoever runs them. Implemented by the daemon's station and by tests in virtual time. */
import type { Millis } from "../../../spine/index.ts";
import type { Endpoint } from "../stack/endpoint.ts";
import type { Stamps } from "./stamp-pool.ts";

export interface LxmfHost {
  readonly endpoint: Endpoint;
  readonly stamps: Stamps;
  /** Runs something with the endpoint now and performs what it sends; may be called from within itself. */
  act<T>(task: () => T): T;
  /** The wall clock. */
  unixMs(): Millis;
  /** State changed that a restart should find: write `save()` soon. */
  changed(): void;
  /** Resolved = everything changed so far is on disk. */
  persisted(): Promise<void>;
}

/** Goes on inside the endpoint when a promise settles; `done` must not throw. */
export function resume<T>(
  host: LxmfHost,
  promise: Promise<T>,
  done: (value: T) => void,
  failed: (reason: unknown) => void,
): void {
  promise.then(
    (value) => host.act(() => done(value)),
    (reason: unknown) => host.act(() => failed(reason)),
  );
}

/** Remembers the newest keys, in order. */
export class RecentKeys {
  readonly #capacity: number;
  readonly #keys = new Set<string>();
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get size(): number {
    return this.#keys.size;
  }
  has(key: string): boolean {
    return this.#keys.has(key);
  }
  /** False when it was there already. */
  add(key: string): boolean {
    if (this.#keys.has(key)) return false;
    const [oldest] = this.#keys;
    if (this.#keys.size >= this.#capacity && oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.add(key);
    return true;
  }
  values(): readonly string[] {
    return [...this.#keys];
  }
}
