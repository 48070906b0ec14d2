/**
 * What became of each peer of an interface over time: roaming, handshakes, and which of its announced endpoints to try
 * next. Used by the keeper after each look at the interface.
 */
import type { DeviceState, PeerState } from "./device.ts";

/** A session is refused beyond this age, so a peer that was heard within it is alive (WireGuard's REJECT_AFTER_TIME). */
export const ALIVE_MS = 180_000;
/** An endpoint that leads to no handshake in this time gives way to the next one announced. */
const ENDPOINT_TRY_MS = 15_000;

export interface WatchedPeer extends PeerState {
  readonly endpointChanges: number;
  /** alive: heard within 180 s. never: no handshake yet. */
  readonly health: "alive" | "stale" | "never";
}

interface Record {
  state: PeerState;
  endpointChanges: number;
  attempt: number;
  triedAt: number;
  retried: boolean;
  /** The keeper has not told the interface yet. */
  retryDue: boolean;
}

export class PeerWatch {
  readonly #now: () => number;
  readonly #peers = new Map<string, Record>();
  #endpointChanges = 0;
  constructor(now: () => number) {
    this.#now = now;
  }
  get endpointChanges(): number {
    return this.#endpointChanges;
  }

  observe(device: DeviceState): void {
    const present = new Set<string>();
    for (const state of device.peers) {
      present.add(state.publicKey);
      const record = this.#peers.get(state.publicKey);
      if (record === undefined) {
        this.#peers.set(state.publicKey, {
          state,
          endpointChanges: 0,
          attempt: 0,
          triedAt: this.#now(),
          retried: false,
          retryDue: false,
        });
        continue;
      }
      // Only a peer that was heard can have moved; before that it is our own doing.
      const moved = state.endpoint !== record.state.endpoint && record.state.endpoint !== null;
      if (moved && !record.retried && state.handshakeAtMs > 0) {
        record.endpointChanges++;
        this.#endpointChanges++;
      }
      record.state = state;
      record.retried = false;
    }
    for (const key of this.#peers.keys()) if (!present.has(key)) this.#peers.delete(key);
  }

  /** Which of the announced endpoints to use now; null = none was announced. */
  endpointFor(publicKey: string, endpoints: readonly string[]): string | null {
    if (endpoints.length === 0) return null;
    const record = this.#peers.get(publicKey);
    if (record === undefined) return endpoints[0] ?? null;
    const now = this.#now();
    const heard = record.state.handshakeAtMs > 0 && now - record.state.handshakeAtMs < ALIVE_MS;
    if (heard) record.triedAt = now;
    else if (now - record.triedAt > ENDPOINT_TRY_MS) {
      record.attempt++;
      record.triedAt = now;
      record.retried = true;
      record.retryDue = true;
    }
    return endpoints[record.attempt % endpoints.length] ?? null;
  }
  /** True once after each change of the endpoint that is tried. */
  takeRetry(publicKey: string): boolean {
    const record = this.#peers.get(publicKey);
    if (record?.retryDue !== true) return false;
    record.retryDue = false;
    return true;
  }
  /** Whether another endpoint is being tried for this peer. */
  retried(publicKey: string): boolean {
    return this.#peers.get(publicKey)?.retried ?? false;
  }

  peers(): readonly WatchedPeer[] {
    const now = this.#now();
    return [...this.#peers.values()].map(({ state, endpointChanges }) => ({
      ...state,
      endpointChanges,
      health: state.handshakeAtMs === 0 ? "never" : now - state.handshakeAtMs < ALIVE_MS ? "alive" : "stale",
    }));
  }
}
