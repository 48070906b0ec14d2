/**
 * Over wires without links: when this node and the peers it names tell each other which revocations and checkpoints they hold,
 * and the code by which they know each other. What is said is the core's (`packet-catch-up.ts`). Owned by `plane.ts`. WIRE.md 13.
 */
import {
  BoundedMap,
  concatBytes,
  fromHex,
  type Millis,
  STATEMENT,
  TokenBucket,
  toHex,
  utf8,
} from "../../../spine/index.ts";
import { hkdf, hmacSha256, sameBytes } from "../stack/crypto.ts";
import type { Destination } from "../stack/destination.ts";
import type { Identity } from "../stack/identity.ts";
import type { Station } from "../station.ts";
import { packetBytes } from "./absent.ts";
import type { RadioLine } from "./radio-line.ts";

const SENDER_BYTES = 4;
const CODE_BYTES = 6;
const HEADER_BYTES = 1 + SENDER_BYTES + CODE_BYTES;
const KEY_NAME = utf8("aegis.spine.statement.v1");
const LOOK_MS = 30_000;
/** Most of the air that comparing takes while nothing is lacking, and how often it is done at most. */
const AIR_SHARE = 0.02;
const MIN_PERIOD_MS = 3_600_000;
/** Bytes on the air of a usual statement with its proof. */
const USUAL_BYTES = 163;
const PROOF_BYTES = 115;
/** Nodes that start together speak within the time of so many. */
const SPREAD_PACKETS = 2;
/** What was not proved is said again after the time of so many, then of twice as many. */
const RETRY_PACKETS = 8;
const MAX_DOUBLINGS = 10;
/** Statements of one peer that are answered: a conversation, then this often. */
const TAKEN = { perSecond: 1 / 1_800, burst: 4 };
const MAX_PEERS = 512;
const TIER = 2;

export interface ComparingHooks {
  readonly station: Station;
  readonly chance: () => number;
  readonly identity: Identity;
  readonly own: Destination;
  /** Peers that the operator named, in hex. */
  readonly configured: () => Iterable<string>;
  readonly lineOf: (wire: string) => RadioLine | undefined;
  /** Whether a wire is too slow for links. */
  readonly packetsOnly: (wire: string) => boolean;
  /** Asks the core to state what is held, or to answer what the peer said. */
  readonly compare: (peer: string, statement: Uint8Array | null) => void;
  readonly counts: { statements_sent: number; statements_received: number; statements_refused: number };
}

interface Peer {
  dueAt: Millis;
  /** Statements in a row that were not proved. */
  missed: number;
  /** When it last said what it holds. */
  heardAt: Millis;
  readonly taken: TokenBucket;
}

export class Comparing {
  readonly #hooks: ComparingHooks;
  readonly #peers = new BoundedMap<string, Peer>(MAX_PEERS);
  readonly #keys = new BoundedMap<string, Uint8Array>(MAX_PEERS);
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(hooks: ComparingHooks) {
    this.#hooks = hooks;
  }
  start(): void {
    for (const peer of this.#hooks.configured()) this.#look(peer);
    const { clock } = this.#hooks.station;
    this.#cancelTimer = clock.schedule(clock.now() + LOOK_MS, () => this.start());
  }
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  #now(): Millis {
    return this.#hooks.station.clock.now();
  }
  /** The line to a peer that is reached by packets alone. */
  #lineTo(peer: string): RadioLine | undefined {
    const { station, lineOf, packetsOnly } = this.#hooks;
    const path = station.endpoint.path(fromHex(peer));
    return path !== undefined && packetsOnly(path.wireId) ? lineOf(path.wireId) : undefined;
  }
  #periodMs(line: RadioLine): Millis {
    const airMs = line.airtimeMs(USUAL_BYTES) + line.airtimeMs(PROOF_BYTES);
    return Math.max(MIN_PERIOD_MS, airMs / (AIR_SHARE * line.duty)) * (0.9 + this.#hooks.chance() / 5);
  }
  #spreadMs(line: RadioLine): Millis {
    return SPREAD_PACKETS * line.airtimeMs(USUAL_BYTES) * this.#hooks.chance();
  }
  #peer(peer: string, line: RadioLine): Peer {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const now = this.#now();
    const taken = new TokenBucket(TAKEN.perSecond, TAKEN.burst, now);
    const made: Peer = { dueAt: now + this.#spreadMs(line), missed: 0, heardAt: Number.NEGATIVE_INFINITY, taken };
    this.#peers.set(peer, made);
    return made;
  }

  #look(peer: string): void {
    const line = this.#lineTo(peer);
    if (line === undefined || this.#keyOf(peer) === undefined) return;
    const state = this.#peer(peer, line);
    if (this.#now() < state.dueAt) return;
    state.dueAt = this.#now() + this.#periodMs(line);
    this.#hooks.compare(peer, null);
  }
  /** The peer announced itself: what did not reach it is said again. */
  heard(peer: string): void {
    const line = this.#lineTo(peer);
    const state = this.#peers.get(peer);
    if (line !== undefined && state !== undefined && state.missed > 0)
      state.dueAt = Math.min(state.dueAt, this.#now() + this.#spreadMs(line));
  }

  /** Sends what the core states. */
  say(peer: string, body: Uint8Array): void {
    const { station, own, counts } = this.#hooks;
    const line = this.#lineTo(peer);
    const key = this.#keyOf(peer);
    if (line === undefined || key === undefined || this.#stopped) return;
    const state = this.#peer(peer, line);
    const sender = own.hash.subarray(0, SENDER_BYTES);
    const message = concatBytes(Uint8Array.of(STATEMENT), sender, codeOf(key, own.hash, body), body);
    let sentAt = this.#now();
    const missed = (): void => {
      // It was compared all the same, from the other side.
      if (this.#stopped || state.heardAt >= sentAt) return;
      const retryMs = RETRY_PACKETS * line.airtimeMs(USUAL_BYTES) * 2 ** Math.min(state.missed++, MAX_DOUBLINGS);
      state.dueAt = this.#now() + Math.min(this.#periodMs(line), retryMs);
    };
    const transmit = (): void => {
      if (this.#stopped) return;
      sentAt = this.#now();
      try {
        const receipt = station.act(() => station.endpoint.send(fromHex(peer), message));
        counts.statements_sent++;
        receipt.onFailed = missed;
        receipt.onDelivered = () => {
          state.missed = 0;
        };
      } catch {
        missed();
      }
    };
    const offered = line.offer({ tier: TIER, packets: [packetBytes(message.length)], receiver: peer, transmit });
    if (offered === "full") missed();
  }

  /** Whether a packet is a statement of a named peer to this node: only those are proved. */
  isGenuine(data: Uint8Array): boolean {
    return this.#senderOf(data) !== undefined;
  }
  packet(data: Uint8Array): void {
    const { counts, compare } = this.#hooks;
    const peer = this.#senderOf(data);
    const line = peer === undefined ? undefined : this.#lineTo(peer);
    if (peer === undefined || line === undefined) {
      counts.statements_refused++;
      return;
    }
    const state = this.#peer(peer, line);
    if (!state.taken.take(1, this.#now())) {
      counts.statements_refused++;
      return;
    }
    counts.statements_received++;
    // What the two differ in comes out in the answer: one of them is enough to begin.
    state.missed = 0;
    state.heardAt = this.#now();
    state.dueAt = this.#now() + this.#periodMs(line);
    compare(peer, data.slice(HEADER_BYTES));
  }

  #senderOf(data: Uint8Array): string | undefined {
    if (data[0] !== STATEMENT || data.length <= HEADER_BYTES) return undefined;
    const prefix = toHex(data.subarray(1, 1 + SENDER_BYTES));
    const code = data.subarray(1 + SENDER_BYTES, HEADER_BYTES);
    for (const peer of this.#hooks.configured()) {
      const key = peer.startsWith(prefix) ? this.#keyOf(peer) : undefined;
      if (key !== undefined && sameBytes(code, codeOf(key, fromHex(peer), data.subarray(HEADER_BYTES)))) return peer;
    }
    return undefined;
  }
  /** What both identities make and nobody else can; undefined while the peer's is unknown. */
  #keyOf(peer: string): Uint8Array | undefined {
    const made = this.#keys.get(peer);
    if (made !== undefined) return made;
    const { station, identity } = this.#hooks;
    const known = station.endpoint.known.get(fromHex(peer));
    const shared = known === undefined ? undefined : identity.agree(known.identity);
    if (shared === undefined) return undefined;
    const key = hkdf(32, shared, KEY_NAME);
    this.#keys.set(peer, key);
    return key;
  }
}

/** Of what the node with that destination says. */
function codeOf(key: Uint8Array, sender: Uint8Array, body: Uint8Array): Uint8Array {
  return hmacSha256(key, sender, body).subarray(0, CODE_BYTES);
}
