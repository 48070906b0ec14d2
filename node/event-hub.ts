/**
 * Subscriptions to what the node stores and hears. Envelope events are read from the store by leaf index, so that a
 * slow or returning subscriber misses none; other events are live only, in a bounded queue. Used by the local node.
 */
import { openSigningBytes } from "../spine/index.ts";
import type { Store } from "../storage/index.ts";
import type { NodeEvent } from "./handle.ts";
import { sha256Hex } from "./hash.ts";

type LiveEvent = Exclude<NodeEvent, { type: "envelope" }>;

const MAX_LIVE = 1_024;
const PAGE = 128;

interface Subscriber {
  readonly live: LiveEvent[];
  wake: () => void;
}

export class EventHub {
  readonly #store: Store;
  readonly #subscribers = new Set<Subscriber>();
  #logSize: number;
  /** Live events that a slow subscriber did not get. */
  dropped = 0;
  constructor(store: Store, logSize: number) {
    this.#store = store;
    this.#logSize = logSize;
  }
  get logSize(): number {
    return this.#logSize;
  }
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** `count` more envelopes are on disk. */
  stored(count: number): void {
    this.#logSize += count;
    for (const { wake } of this.#subscribers) wake();
  }
  tell(event: LiveEvent): void {
    for (const subscriber of this.#subscribers) {
      subscriber.live.push(event);
      if (subscriber.live.length > MAX_LIVE) {
        subscriber.live.shift();
        this.dropped++;
      }
      subscriber.wake();
    }
  }

  async *subscribe(from: number | undefined, signal: AbortSignal): AsyncGenerator<NodeEvent> {
    const subscriber: Subscriber = { live: [], wake: () => {} };
    this.#subscribers.add(subscriber);
    const onAbort = (): void => subscriber.wake();
    signal.addEventListener("abort", onAbort);
    try {
      let cursor = from ?? this.#logSize;
      while (!signal.aborted) {
        for (let event = subscriber.live.shift(); event !== undefined; event = subscriber.live.shift()) yield event;
        if (cursor < this.#logSize) {
          const hashes = await this.#store.leaves(cursor, PAGE);
          for (const hash of hashes) {
            const stored = await this.#store.envelope(hash);
            if (signal.aborted) return;
            if (stored !== undefined) {
              const { factSchema, issuer, seq } = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex);
              yield { type: "envelope", leaf_index: cursor, envelope_hash: hash, issuer, seq, fact_schema: factSchema };
            }
            cursor++;
          }
          if (hashes.length > 0) continue;
        }
        await new Promise<void>((resolve) => {
          subscriber.wake = resolve;
          if (signal.aborted || subscriber.live.length > 0 || cursor < this.#logSize) resolve();
        });
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#subscribers.delete(subscriber);
    }
  }
}
