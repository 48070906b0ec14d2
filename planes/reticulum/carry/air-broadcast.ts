/**
 * An envelope for all neighbours on one slow wire goes out once (rules 10). With a group key everything does, sealed; without
 * one only what is no secret: revocations and checkpoints. Revocations are repaired at once: each neighbour is told what it
 * was to hear and asks for what it did not; the rest is repaired by heads and inventories. Owned by `plane.ts`. WIRE.md 10.
 */
import {
  BoundedMap,
  concatBytes,
  type Envelope,
  encodeFrame,
  equalBytes,
  factTier,
  fragmentMessage,
  fromHex,
  isFragment,
  type Millis,
  Reassembler,
  radioClass,
  SpineError,
  type Tier,
  TokenBucket,
  toHex,
  writeRecord,
} from "../../../spine/index.ts";
import { Destination } from "../stack/destination.ts";
import { GROUP, PLAIN } from "../stack/name.ts";
import type { Station } from "../station.ts";
import type { RadioLine } from "./radio-line.ts";
import { openSpelling, spellEnvelope } from "./spellings.ts";

/** First bytes of a node's own destination, which say who sends. */
export const SENDER_BYTES = 4;
/** Bytes of a broadcast's content that fit one packet: in the clear, and sealed. */
const PLAIN_ROOM = 464 - SENDER_BYTES;
const SEALED_ROOM = 415 - SENDER_BYTES;
const HEADER_BYTES = 19;
const SEAL_BYTES = 64;
/** Least urgent tier that may be heard by everybody. */
const OPEN_TIER: Tier = 2;
/** Up to this tier the core pushes what it passes on. */
const URGENT_TIER: Tier = 4;
const MAX_KEPT = 512;
const MAX_NAMES = 4_096;
const MAX_REPAIRS = 3;
const ASK_AGAIN_MS = 120_000;
const ANSWER_AGAIN_MS = 60_000;
/**
 * An envelope heard so often is not sent once more; whoever passes one on waits up to so many packets for that. More copies
 * and less patience make more collisions, not more receivers; what is urgent above all is worth them.
 */
const COMMON_COPIES = 2;
const PATIENCE_PACKETS = 16;
const COMMON_REVOCATIONS = 3;
const REVOCATION_PATIENCE_PACKETS = 8;
const SEALED = "!";
/** Senders remembered per envelope. */
const MAX_SENDERS = 64;
/** What the air hands to the core, per wire. */
const HEARD = { perSecond: 5, burst: 100 };
/** A "have" or "need" on the air, about. */
const REPAIR_PACKET_BYTES = 118;
const NAME_BYTES = 8;
const NAMES_PER_PACKET = 16;

export interface AirNeighbour {
  /** Hex of its destination. */
  readonly peer: string;
  repair(what: "have" | "need", names: Uint8Array): boolean;
}

export interface AirHooks {
  readonly station: Station;
  readonly chance: () => number;
  readonly lineOf: (wire: string) => RadioLine | undefined;
  /** Neighbours with a link over the wire. */
  readonly neighbours: (wire: string) => readonly AirNeighbour[];
  /** An envelope that was not heard before. */
  readonly heard: (wire: string, envelope: Envelope) => void;
  readonly counts: { air_sent: number; air_received: number; air_dropped: number; air_repaired: number };
}

/** An envelope that the core holds. */
interface Kept {
  readonly envelope: Envelope;
  tier: Tier;
  /** Wires on which it went out. */
  readonly sent: Set<string>;
  /** Peers that said over their links that they hold it. */
  readonly confirmed: Set<string>;
  /** How often each peer got it again. */
  readonly repaired: Map<string, { readonly times: number; readonly at: Millis }>;
}

export class AirBroadcast {
  readonly #hooks: AirHooks;
  readonly #sender: Uint8Array;
  readonly #open = new Destination({ type: PLAIN, appName: "aegis", aspects: ["spine", "air"] });
  readonly #sealed: Destination | undefined;
  readonly #kept = new BoundedMap<string, Kept>(MAX_KEPT);
  /** Names of envelopes that the core holds; nothing that was only heard is among them. */
  readonly #held = new BoundedMap<string, true>(MAX_NAMES);
  /** Who was heard with what, signature included: in the clear anybody can be the sender, so it saves air and proves nothing. */
  readonly #heardFrom = new BoundedMap<string, Set<string>>(MAX_KEPT);
  /** When a neighbour was asked for an envelope: the question and its answer are sent until they are proved. */
  readonly #askedAt = new BoundedMap<string, Millis>(MAX_KEPT);
  readonly #parts = new Reassembler("short");
  readonly #buckets = new Map<string, TokenBucket>();
  /** Names to tell each neighbour of, by wire and peer. */
  readonly #owed = new Map<string, { readonly wire: string; readonly peer: string; readonly names: Set<string> }>();
  #stopped = false;

  constructor(hooks: AirHooks, own: Uint8Array, groupKey: Uint8Array | undefined) {
    this.#hooks = hooks;
    this.#sender = own.slice(0, SENDER_BYTES);
    if (groupKey !== undefined)
      this.#sealed = new Destination({ type: GROUP, appName: "aegis", aspects: ["spine", "group"], groupKey });
    for (const destination of this.#destinations())
      destination.onPacket = (data, _, wire) => this.#received(data, wire, destination);
  }
  #destinations(): Destination[] {
    return this.#sealed === undefined ? [this.#open] : [this.#open, this.#sealed];
  }
  start(): void {
    for (const destination of this.#destinations()) this.#hooks.station.endpoint.register(destination);
  }
  stop(): void {
    this.#stopped = true;
    for (const destination of this.#destinations()) this.#hooks.station.endpoint.deregister(destination);
    this.#owed.clear();
  }

  /** Whether envelopes of this tier are broadcast at all. */
  carries(tier: Tier): boolean {
    return this.#sealed !== undefined || tier <= OPEN_TIER;
  }

  /**
   * Sends an envelope on a wire once; false if it must go to each neighbour. `forwarded`: others may send it at the same
   * moment, so it waits a little.
   */
  send(wire: string, envelope: Envelope, tier: Tier): boolean {
    const line = this.#hooks.lineOf(wire);
    if (line === undefined || !this.carries(tier)) return false;
    const kept = this.#keep(envelope, tier);
    if (kept.sent.has(wire)) return true;
    kept.sent.add(wire);
    const destination = this.#sealed ?? this.#open;
    const packets = this.#packetsOf(envelope);
    const overhead = HEADER_BYTES + (destination.type === GROUP ? SEAL_BYTES : 0);
    const offer = (): void => {
      if (this.#stopped || !this.#isWanted(wire, kept) || this.#isCommon(kept)) return;
      let spared = false;
      const result = line.offer({
        tier,
        packets: packets.map((packet) => packet.length + overhead),
        receiver: "*",
        evidence: radioClass(envelope.factSchema, true) === "proof",
        transmit: (index) => {
          // While it waited for its turn, others may have said it.
          spared ||= index === 0 && (!this.#isWanted(wire, kept) || this.#isCommon(kept));
          if (!spared)
            this.#transmit(destination, packets[index] as Uint8Array, wire, kept, index === packets.length - 1);
        },
      });
      if (result === "full" || result === "too_slow") this.#hooks.counts.air_dropped++;
    };
    const { clock } = this.#hooks.station;
    // Heard on the air, it was heard by others too, who pass it on just now.
    if (this.#heardFrom.get(spellingOf(envelope)) === undefined) offer();
    else
      clock.schedule(
        clock.now() +
          (tier === 1 ? REVOCATION_PATIENCE_PACKETS : PATIENCE_PACKETS) *
            this.#hooks.chance() *
            line.airtimeMs(overhead + (packets[0]?.length ?? 0)),
        offer,
      );
    return true;
  }
  #transmit(destination: Destination, packet: Uint8Array, wire: string, kept: Kept, last: boolean): void {
    const { station, counts } = this.#hooks;
    station.act(() => station.endpoint.sendTo(destination, packet, wire));
    if (!last) return;
    counts.air_sent++;
    if (kept.tier > 1) return;
    for (const { peer } of this.#hooks.neighbours(wire))
      if (!this.#knows(peer, kept)) this.#owe(wire, peer, kept.envelope);
  }

  /** A push to one neighbour: true if the air carries it for all, or the neighbour has it or will say what it lacks. */
  push(wire: string, peer: string, envelope: Envelope, tier: Tier): boolean {
    const kept = this.#keep(envelope, tier);
    if (this.#knows(peer, kept)) return true;
    if (this.#wasHeard(peer, envelope, false)) {
      this.#owe(wire, peer, envelope);
      return true;
    }
    if (kept.sent.has(wire)) return true;
    return this.#hooks.neighbours(wire).length >= 2 && this.send(wire, envelope, tier);
  }
  /**
   * An envelope for everybody on a wire; returns how many neighbours it goes to. `tier` is absent for what others issued:
   * what is urgent of that comes as pushes, judged by the core. One neighbour gets what is urgent as a push, with proof.
   */
  spread(wire: string, envelope: Envelope, tier: Tier | undefined, fromHere: boolean): number {
    const kind = tier ?? factTier(envelope.factSchema);
    if (tier === undefined && kind <= URGENT_TIER) return 0;
    const { length } = this.#hooks.neighbours(wire);
    if (length === 0 || (length === 1 && kind <= URGENT_TIER)) return 0;
    if (fromHere && !this.#isWanted(wire, this.#keep(envelope, kind))) return 0;
    return this.send(wire, envelope, kind) ? length : 0;
  }
  /** Some neighbour may lack it. */
  #isWanted(wire: string, kept: Kept): boolean {
    return this.#hooks.neighbours(wire).some(({ peer }) => !this.#knows(peer, kept));
  }
  /** Heard from so many that whoever is near has it; for revocations only what the group sealed counts. */
  #isCommon({ envelope, tier }: Kept): boolean {
    const senders = [...(this.#heardFrom.get(spellingOf(envelope)) ?? [])];
    if (tier > 1) return senders.length >= COMMON_COPIES;
    return senders.filter((one) => one.endsWith(SEALED)).length >= COMMON_REVOCATIONS;
  }
  #wasHeard(peer: string, envelope: Envelope, sealed: boolean): boolean {
    return this.#heardFrom.get(spellingOf(envelope))?.has(senderOf(prefixOf(peer), sealed)) === true;
  }
  /** In the clear nothing that was heard counts for a revocation: the sender may be anybody. */
  #knows(peer: string, { envelope, tier, confirmed }: Kept): boolean {
    if (confirmed.has(peer) || this.#wasHeard(peer, envelope, true)) return true;
    return tier > 1 && this.#wasHeard(peer, envelope, false);
  }

  /** Since it was handed in, the peer was heard with it. */
  isKnown(peer: string, envelope: Envelope): boolean {
    const kept = this.#kept.get(nameOf(envelope));
    return kept !== undefined && this.#knows(peer, kept);
  }

  /** The core holds it, and said how urgent it is. */
  #keep(envelope: Envelope, tier: Tier): Kept {
    this.holds(envelope);
    const name = nameOf(envelope);
    const known = this.#kept.get(name);
    if (known !== undefined) {
      known.tier = tier;
      return known;
    }
    const kept: Kept = { envelope, tier, sent: new Set(), confirmed: new Set(), repaired: new Map() };
    this.#kept.set(name, kept);
    return kept;
  }
  /** The core holds the envelope, by whatever way it came. */
  holds(envelope: Envelope): void {
    this.#held.set(nameOf(envelope), true);
  }

  #packetsOf(envelope: Envelope): Uint8Array[] {
    const message = spellEnvelope(envelope);
    const room = this.#sealed === undefined ? PLAIN_ROOM : SEALED_ROOM;
    const id = fromHex(envelope.hash.slice(2)).subarray(0, 4);
    return fragmentMessage(message, id, room, "short").map((part) => concatBytes(this.#sender, part));
  }

  // ---- hearing ----

  #received(data: Uint8Array, wire: string, { type }: Destination): void {
    const { station, counts } = this.#hooks;
    if (this.#stopped || data.length <= SENDER_BYTES) return;
    const sender = data.subarray(0, SENDER_BYTES);
    if (equalBytes(sender, this.#sender)) return;
    const from = senderOf(toHex(sender), type === GROUP);
    const now = station.clock.now();
    try {
      let message: Uint8Array | undefined = data.subarray(SENDER_BYTES);
      if (isFragment(message)) message = this.#parts.add(from, message, now);
      if (message === undefined) return;
      const opened = openSpelling(message);
      if (opened.type !== "envelope") return;
      this.#heard(opened.envelope, from, wire, now);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      counts.air_dropped++;
    }
  }
  #heard(envelope: Envelope, from: string, wire: string, now: Millis): void {
    const { counts } = this.#hooks;
    const spelling = spellingOf(envelope);
    const known = this.#heardFrom.get(spelling);
    if (known !== undefined) {
      if (known.size < MAX_SENDERS) known.add(from);
      return;
    }
    // Before anything is kept: what strangers make up must not push out what is real.
    if (!this.#bucket(wire, now).take(1, now)) {
      counts.air_dropped++;
      return;
    }
    this.#heardFrom.set(spelling, new Set([from]));
    counts.air_received++;
    this.#hooks.heard(wire, envelope);
  }
  #bucket(wire: string, now: Millis): TokenBucket {
    const bucket = this.#buckets.get(wire) ?? new TokenBucket(HEARD.perSecond, HEARD.burst, now);
    this.#buckets.set(wire, bucket);
    return bucket;
  }

  // ---- repair ----

  /** Tells a neighbour what it was to hear, after it had the time to say that it has. */
  #owe(wire: string, peer: string, envelope: Envelope): void {
    const { station, lineOf, chance } = this.#hooks;
    const key = `${wire} ${peer}`;
    const owed = this.#owed.get(key);
    if (owed !== undefined) {
      if (owed.names.size < MAX_KEPT) owed.names.add(nameOf(envelope));
      return;
    }
    this.#owed.set(key, { wire, peer, names: new Set([nameOf(envelope)]) });
    const patience = (2 + 4 * chance()) * (lineOf(wire)?.airtimeMs(REPAIR_PACKET_BYTES) ?? 0);
    station.clock.schedule(station.clock.now() + patience, () => this.#tell(key));
  }
  #tell(key: string): void {
    const owed = this.#owed.get(key);
    this.#owed.delete(key);
    if (owed === undefined || this.#stopped) return;
    const { wire, peer } = owed;
    const unsure = [...owed.names].filter((name) => {
      const kept = this.#kept.get(name);
      return kept !== undefined && !this.#knows(peer, kept);
    });
    this.#say(wire, peer, "have", unsure);
  }
  #say(wire: string, peer: string, what: "have" | "need", names: readonly string[]): void {
    const neighbour = this.#hooks.neighbours(wire).find((one) => one.peer === peer);
    for (let at = 0; at < names.length; at += NAMES_PER_PACKET)
      neighbour?.repair(what, concatBytes(...names.slice(at, at + NAMES_PER_PACKET).map((name) => fromHex(name))));
  }

  /** The neighbour pushed the envelope over its link: it holds it. */
  confirmed(peer: string, envelope: Envelope): void {
    this.#kept.get(nameOf(envelope))?.confirmed.add(peer);
  }
  /** Answers "have" with what is lacking here; for "need", the frames to push and their tiers. */
  repair(wire: string, peer: string, what: "have" | "need", list: Uint8Array): { frame: Uint8Array; tier: Tier }[] {
    const names = Array.from({ length: list.length / NAME_BYTES }, (_, i) =>
      toHex(list.subarray(i * NAME_BYTES, (i + 1) * NAME_BYTES)),
    );
    const now = this.#hooks.station.clock.now();
    if (what === "have") {
      for (const name of names) this.#kept.get(name)?.confirmed.add(peer);
      const lacking = names.filter((name) => {
        const asked = (this.#askedAt.get(name) ?? Number.NEGATIVE_INFINITY) > now - ASK_AGAIN_MS;
        return !asked && !this.#held.has(name) && this.#bucket(wire, now).take(1, now);
      });
      for (const name of lacking) this.#askedAt.set(name, now);
      if (lacking.length > 0) this.#say(wire, peer, "need", lacking);
      return [];
    }
    const kept = names
      .map((name) => this.#kept.get(name))
      .filter((one) => one !== undefined)
      .filter(({ repaired }) => {
        const { times, at } = repaired.get(peer) ?? { times: 0, at: Number.NEGATIVE_INFINITY };
        // The question may come again before its proof was heard.
        if (times >= MAX_REPAIRS || now - at < ANSWER_AGAIN_MS) return false;
        repaired.set(peer, { times: times + 1, at: now });
        return true;
      });
    this.#hooks.counts.air_repaired += kept.length;
    return kept.map(({ envelope, tier }) => ({
      frame: encodeFrame({ type: "push", records: [writeRecord(envelope.signingBytes, envelope.signature)] }),
      tier,
    }));
  }
}

/** A sender as it was heard: in the clear, or sealed by the group. */
function senderOf(prefix: string, sealed: boolean): string {
  return `${prefix}${sealed ? SEALED : ""}`;
}
/** Hash and signature: two that differ in either are not the same word. */
function spellingOf({ hash, signature }: Envelope): string {
  return `${hash}${toHex(signature)}`;
}
function nameOf({ hash }: Envelope): string {
  return hash.slice(2, 2 + 2 * NAME_BYTES);
}
function prefixOf(peer: string): string {
  return peer.slice(0, 2 * SENDER_BYTES);
}
