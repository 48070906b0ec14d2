/**
 * Urgent envelopes for peers to whom there is no link: by packets where the wire is too slow for links, else by mail, which
 * waits with a propagation node while a peer is away (spec/spine.md section 16.5, rules 10). Owned by `plane.ts`.
 */
import {
  BoundedMap,
  type Envelope,
  factKind,
  fragmentMessage,
  fromHex,
  type Millis,
  radioClass,
  type Tier,
} from "../../../spine/index.ts";
import type { PublicIdentity } from "../stack/identity.ts";
import { ENCRYPTED_MDU } from "../stack/packet.ts";
import type { Station } from "../station.ts";
import type { RadioLine } from "./radio-line.ts";
import { spellEnvelope } from "./spellings.ts";

const MAX_PENDING = 1_024;
/** A link that is just being made is better than mail. */
const MAIL_GRACE_MS = 10_000;
const RETRY_MIN_MS = 30_000;
const RETRY_MAX_MS = 3_600_000;
/** Tries by packet; revocations are tried until they arrive. */
const MAX_TRIES = 6;
/** Of a packet to a destination: header, ephemeral key, initialisation vector and code. */
const SEALED_OVERHEAD_BYTES = 19 + 32 + 48;
const BLOCK_BYTES = 16;
const HAND_AGAIN_MS = 12 * 3_600_000;

/** Bytes on the air of a packet to a destination. */
export function packetBytes(contentBytes: number): number {
  return (Math.floor(contentBytes / BLOCK_BYTES) + 1) * BLOCK_BYTES + SEALED_OVERHEAD_BYTES;
}

/** What became of one envelope for one peer. "left": a propagation node has it. */
export interface Delivery {
  /** Hex of the peer's destination. */
  readonly peer: string;
  readonly envelope: Envelope;
  readonly way: "packet" | "mail";
  readonly state: "delivered" | "left" | "failed";
}

/** Mail to identities that were heard of. */
export interface MailDrop {
  /** Calls `done` once, unless cancelled by what it returns. Throws `rate_limited` when too much is on its way. */
  send(to: PublicIdentity, content: Uint8Array, done: (state: Delivery["state"]) => void): () => void;
}

export interface AbsentHooks {
  readonly station: Station;
  /** Peers that the operator named, in hex. */
  readonly configured: () => Iterable<string>;
  readonly isLinked: (peer: string) => boolean;
  readonly lineOf: (wire: string) => RadioLine | undefined;
  /** Whether a wire is too slow for links. */
  readonly packetsOnly: (wire: string) => boolean;
  readonly mail: MailDrop | undefined;
  readonly recorded: (delivery: Delivery) => void;
  readonly counts: { packets_sent: number; mails_sent: number; frames_too_slow: number; left_dropped: number };
}

interface Pending {
  readonly peer: string;
  readonly envelope: Envelope;
  readonly tier: Tier;
  tries: number;
  /** On its way by packet or mail. */
  busy: boolean;
  cancel: (() => void) | undefined;
}

export class Absent {
  readonly #hooks: AbsentHooks;
  readonly #pending = new Map<string, Pending>();
  /** When it was delivered or given up: not begun again, unless the peer says much later that it lacks it. */
  readonly #done = new BoundedMap<string, Millis>(4 * MAX_PENDING);
  #stopped = false;

  constructor(hooks: AbsentHooks) {
    this.#hooks = hooks;
  }
  get waiting(): number {
    return this.#pending.size;
  }

  leave(envelope: Envelope, tier: Tier): void {
    for (const peer of this.#hooks.configured())
      if (!this.#done.has(keyOf(peer, envelope))) this.#take(peer, envelope, tier);
  }
  /** One peer said that it lacks the envelope. */
  hand(peer: string, envelope: Envelope, tier: Tier): void {
    const doneAt = this.#done.get(keyOf(peer, envelope)) ?? Number.NEGATIVE_INFINITY;
    // It may refuse what it was given.
    if (doneAt < this.#hooks.station.clock.now() - HAND_AGAIN_MS) this.#take(peer, envelope, tier);
  }
  #take(peer: string, envelope: Envelope, tier: Tier): void {
    const key = keyOf(peer, envelope);
    if (this.#hooks.isLinked(peer) || this.#pending.has(key)) return;
    const byPackets = this.#byPackets(peer);
    if (byPackets && factKind(envelope.factSchema)?.kind === "log_checkpoint" && !this.#supersede(peer, envelope))
      return;
    this.#makeRoom(tier);
    if (this.#pending.size >= MAX_PENDING) {
      this.#hooks.counts.left_dropped++;
      return;
    }
    const pending: Pending = { peer, envelope, tier, tries: 0, busy: false, cancel: undefined };
    this.#pending.set(key, pending);
    if (byPackets) this.#try(key, pending);
    else this.#later(key, pending, MAIL_GRACE_MS);
  }
  /** Where a checkpoint takes minutes only a log's newest one is worth them; false if a newer one waits. */
  #supersede(peer: string, { issuer, seq }: Envelope): boolean {
    for (const [key, pending] of this.#pending) {
      const { envelope } = pending;
      if (pending.peer !== peer || envelope.issuer !== issuer || pending.busy) continue;
      if (factKind(envelope.factSchema)?.kind !== "log_checkpoint") continue;
      if (envelope.seq > seq) return false;
      this.#forget(key, pending);
    }
    return true;
  }
  /** What is less urgent than revocations gives way, oldest first. */
  #makeRoom(tier: Tier): void {
    if (this.#pending.size < MAX_PENDING || tier > 1) return;
    for (const [key, pending] of this.#pending) {
      if (pending.tier === 1) continue;
      this.#forget(key, pending);
      this.#hooks.counts.left_dropped++;
      return;
    }
  }

  /** The peer announced itself. */
  heard(peer: string): void {
    for (const [key, pending] of this.#pending)
      if (pending.peer === peer && !pending.busy && pending.tries === 0) this.#try(key, pending);
  }
  /** A link is up: it carries what waited. */
  linked(peer: string): void {
    for (const [key, pending] of this.#pending) if (pending.peer === peer) this.#forget(key, pending);
  }
  stop(): void {
    this.#stopped = true;
    // Mail under way stays in its own queue, on disk.
    this.#pending.clear();
  }
  #forget(key: string, pending: Pending): void {
    this.#pending.delete(key);
    pending.cancel?.();
  }

  #byPackets(peer: string): boolean {
    const { station, packetsOnly } = this.#hooks;
    const path = station.endpoint.path(fromHex(peer));
    return path !== undefined && packetsOnly(path.wireId);
  }

  #later(key: string, pending: Pending, inMs: Millis): void {
    const { clock } = this.#hooks.station;
    clock.schedule(clock.now() + inMs, () => {
      if (!this.#stopped && this.#pending.get(key) === pending && !pending.busy) this.#try(key, pending);
    });
  }

  #try(key: string, pending: Pending): void {
    const { station, mail, isLinked, counts } = this.#hooks;
    const { peer, envelope } = pending;
    if (isLinked(peer)) return this.#forget(key, pending);
    const { endpoint } = station;
    const known = endpoint.known.get(fromHex(peer));
    if (known === undefined) {
      station.act(() => endpoint.searchPath(fromHex(peer)));
      return this.#again(key, pending);
    }
    if (this.#byPackets(peer)) return this.#sendPackets(key, pending);
    if (mail === undefined) return this.#again(key, pending);
    try {
      pending.busy = true;
      pending.cancel = mail.send(known.identity, spellEnvelope(envelope), (state) =>
        this.#over(key, pending, "mail", state),
      );
      counts.mails_sent++;
    } catch {
      pending.busy = false;
      this.#again(key, pending);
    }
  }
  #again(key: string, pending: Pending): void {
    pending.busy = false;
    pending.tries++;
    this.#later(key, pending, Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(pending.tries, 10)));
  }
  #over(key: string, pending: Pending, way: Delivery["way"], state: Delivery["state"]): void {
    if (this.#pending.get(key) !== pending) return;
    // A revocation is deferred, not lost.
    if (state === "failed" && pending.tier === 1 && way === "mail") return this.#again(key, pending);
    this.#pending.delete(key);
    this.#done.set(key, this.#hooks.station.clock.now());
    const { peer, envelope } = pending;
    this.#hooks.recorded({ peer, envelope, way, state });
  }

  // ---- packets ----

  #sendPackets(key: string, pending: Pending): void {
    const { envelope } = pending;
    const id = fromHex(envelope.hash.slice(2)).subarray(0, 4);
    pending.busy = true;
    this.#sendPart(key, pending, fragmentMessage(spellEnvelope(envelope), id, ENCRYPTED_MDU, "short"), 0);
  }

  /** One packet after the other, each when the one before was proved. */
  #sendPart(key: string, pending: Pending, parts: readonly Uint8Array[], at: number): void {
    const { station, lineOf, counts } = this.#hooks;
    const { peer, envelope, tier } = pending;
    const hash = fromHex(peer);
    const part = parts[at] as Uint8Array;
    const missed = (): void => {
      if (this.#pending.get(key) !== pending) return;
      station.act(() => station.endpoint.searchPath(hash));
      if (tier > 1 && pending.tries >= MAX_TRIES) this.#over(key, pending, "packet", "failed");
      else this.#again(key, pending);
    };
    const transmit = (): void => {
      if (this.#stopped || this.#pending.get(key) !== pending) return;
      try {
        const receipt = station.act(() => station.endpoint.send(hash, part));
        counts.packets_sent++;
        receipt.onFailed = missed;
        receipt.onDelivered = () => {
          if (this.#pending.get(key) !== pending) return;
          if (at + 1 < parts.length) this.#sendPart(key, pending, parts, at + 1);
          else this.#over(key, pending, "packet", "delivered");
        };
      } catch {
        missed();
      }
    };
    const path = station.endpoint.path(hash);
    const line = path === undefined ? undefined : lineOf(path.wireId);
    if (line === undefined) return missed();
    const packets = [packetBytes(part.length)];
    const evidence = radioClass(envelope.factSchema, true) === "proof";
    const result = line.offer({ tier, packets, receiver: peer, issuer: envelope.issuer, transmit, evidence });
    if (result === "too_slow") {
      counts.frames_too_slow++;
      this.#over(key, pending, "packet", "failed");
    } else if (result === "full") missed();
  }
}

function keyOf(peer: string, { hash }: Envelope): string {
  return `${peer} ${hash}`;
}
