/**
 * Forwarding for others: what a transport node does beyond an endpoint, without I/O (spec/reticulum.md sections 8 to 10).
 * Made and fed by `endpoint.ts`.
 */
import { concatBytes, SpineError, toHex } from "../../../spine/index.ts";
import type { Announce } from "./announce.ts";
import { AnnounceRates } from "./announce-rate.ts";
import { AnnounceTable } from "./announce-table.ts";
import { ownedFrame, type StackContext, type Wire, wireLinkMtu } from "./context.ts";
import { encodeSignalling, openLinkProof, parseLinkRequest } from "./handshake.ts";
import { ADDRESS_BYTES, addressHexAt, sameAt } from "./hash.ts";
import type { HashFilter } from "./hash-filter.ts";
import { type HashKey, keyOf, keyOfText } from "./hash-key.ts";
import type { Identity } from "./identity.ts";
import type { KnownDestinations } from "./known.ts";
import { type LinkEntry, LinkTable } from "./link-table.ts";
import {
  ANNOUNCE,
  CONTEXT,
  LINK_REQUEST,
  LONG_HEADER_BYTES,
  longPacketHash,
  MAX_HOPS,
  NETWORK_MTU,
  type Packet,
  PROOF,
  parsePacket,
  REPEATABLE,
} from "./packet.ts";
import { PathFinder } from "./path-finder.ts";
import type { PathRequest } from "./path-request.ts";
import type { CachedAnnounce, PathEntry, PathTable } from "./path-table.ts";
import { ReverseTable } from "./reverse-table.ts";
import { announceRateOf } from "./wire-policy.ts";

const PER_HOP_MS = 6000;

export interface TransportPorts {
  readonly context: StackContext;
  readonly identity: Identity;
  readonly known: KnownDestinations;
  readonly paths: PathTable;
  readonly wires: ReadonlyMap<string, Wire>;
  /** Asks for a path unless that was done just now. */
  searchPath(target: Uint8Array): void;
  /** Packets taken lately. */
  readonly seen: HashFilter;
  /** Is this destination (hex) of this node? */
  isOwn(destination: string): boolean;
  /** May another path request go out on this wire? */
  sendsRequest(wireId: string): boolean;
}

/** Sizes of the tables, for status. */
export interface TransportStatus {
  /** Address of the transport node, hex. */
  readonly identity: string;
  readonly reverse: number;
  readonly links: number;
  readonly announces: number;
  readonly queuedAnnounces: number;
  readonly searches: number;
  readonly rates: number;
}

export class Transport {
  readonly id: Uint8Array;
  readonly hex: string;
  readonly announces: AnnounceTable;
  readonly finder: PathFinder;
  readonly links = new LinkTable();
  readonly reverse = new ReverseTable();
  readonly #rates = new AnnounceRates();
  readonly #ports: TransportPorts;
  readonly #context: StackContext;
  constructor(ports: TransportPorts) {
    const { context, identity, wires, paths } = ports;
    this.#ports = ports;
    this.#context = context;
    this.id = identity.hash;
    this.hex = identity.hex;
    this.announces = new AnnounceTable(context, this.id, wires);
    this.finder = new PathFinder(context, {
      wires,
      transportId: this.id,
      path: (key) => paths.getByHex(key, context.now()),
      sendsRequest: (wireId) => ports.sendsRequest(wireId),
      queuedOn: (wireId) => this.announces.queuedOn(wireId),
    });
  }
  status(): TransportStatus {
    return {
      identity: this.hex,
      reverse: this.reverse.size,
      links: this.links.size,
      announces: this.announces.size,
      queuedAnnounces: this.announces.queued,
      searches: this.finder.searches,
      rates: this.#rates.size,
    };
  }

  // --- announces ---

  /** An announce was learned from; `packet` has its hops counted. */
  accepted(packet: Packet, announce: Announce, cached: CachedAnnounce, wire: Wire): void {
    const key = toHex(announce.destination);
    const pathResponse = packet.context === CONTEXT.pathResponse;
    this.finder.found(key, announce.destination, cached, packet.hops);
    if (pathResponse) return;
    const limit = announceRateOf(wire);
    if (limit !== undefined && !this.#rates.allows(key, limit, this.#context.now())) {
      this.#context.count("announces_blocked");
      return;
    }
    this.announces.add(packet, announce, cached, wire.id);
  }
  request(request: PathRequest, wire: Wire): void {
    this.finder.request(request, wire);
  }

  // --- packets ---

  /**
   * What a transport node does most: a packet with a long header, not for a destination of ours, is judged and sent on from
   * its bytes. False for all others.
   */
  passesOn(raw: Uint8Array, wire: Wire): boolean {
    const flags = raw[0] as number;
    const isLong = (flags & 0x40) !== 0 && raw.length >= LONG_HEADER_BYTES && (raw[1] as number) < MAX_HOPS;
    if (!isLong || (flags & 3) === ANNOUNCE) return false;
    if (!sameAt(raw, 2, this.id, 0)) {
      this.#context.count("drop_not_for_us");
      return true;
    }
    const destination = addressHexAt(raw, 2 + ADDRESS_BYTES);
    if (this.#ports.isOwn(destination)) return false;
    const hash = keyOfText(longPacketHash(raw));
    const repeats = REPEATABLE.has(raw[LONG_HEADER_BYTES - 1] as number);
    if (repeats || this.#ports.seen.addKey(hash)) this.#forward(ownedFrame(raw, wire), wire, destination, hash);
    else this.#context.count("drop_duplicate");
    return true;
  }

  /** Section 10.3. `raw` is rewritten where it lies; `destination` in hex. */
  #forward(raw: Uint8Array, wire: Wire, destination: string, hash: HashKey): void {
    const now = this.#context.now();
    const path = this.#ports.paths.getByHex(destination, now);
    const out = path && this.#ports.wires.get(path.wireId);
    if (path === undefined || out === undefined) {
      this.#context.count("drop_no_path");
      return;
    }
    this.#ports.paths.touch(destination, now);
    raw[1] = (raw[1] as number) + 1;
    if (((raw[0] as number) & 3) === LINK_REQUEST) {
      const packet = parsePacket(raw);
      this.#forwardLinkRequest(packet, onward(raw.slice(), path), wire, out, path.hops);
      return;
    }
    this.reverse.add(hash, wire.id, out.id, now);
    this.#send(onward(raw, path), out.id);
  }
  #send(raw: Uint8Array, wireId: string): void {
    this.#context.count("packets_forwarded");
    this.#context.transmit(raw, wireId);
  }
  #forwardLinkRequest(packet: Packet, raw: Uint8Array, wire: Wire, out: Wire, remainingHops: number): void {
    const { linkId, signalling } = parseLinkRequest(packet);
    const now = this.#context.now();
    const key = toHex(linkId);
    const entry: LinkEntry = {
      destination: packet.destination.slice(),
      inWire: wire.id,
      outWire: out.id,
      takenHops: packet.hops,
      remainingHops,
      validated: false,
      proofBy: now + PER_HOP_MS * Math.max(1, remainingHops) + (8 * NETWORK_MTU * 1000) / wire.bitrate,
      usedAt: now,
      movedAt: now,
      cancelTimer: undefined,
    };
    if (!this.addLink(key, entry)) {
      this.#context.count("drop_table_full");
      return;
    }
    this.#context.count("links_forwarded");
    this.#send(signalling.length === 0 ? raw : clamped(raw, signalling, wire, out), out.id);
  }
  /** False when the table is full. */
  addLink(key: string, entry: LinkEntry): boolean {
    if (!this.links.add(key, entry, this.#context.now())) return false;
    if (!entry.validated) entry.cancelTimer = this.#context.schedule(entry.proofBy, () => this.#unproved(key, entry));
    return true;
  }
  /** Nobody answered the request: next to an end of the link, that speaks against the path. */
  #unproved(key: string, entry: LinkEntry): void {
    this.links.delete(key);
    const { destination, takenHops, remainingHops } = entry;
    const path = this.#ports.paths.get(destination, this.#context.now());
    if (path !== undefined && takenHops > 1 && remainingHops > 1) return;
    this.#ports.paths.markUnresponsive(toHex(destination));
    this.#ports.searchPath(destination);
  }

  /** A packet of a link that is not ours; true when it was for a link that runs through here. */
  linkPacket(packet: Packet, wire: Wire): boolean {
    const key = addressHexAt(packet.destination, 0);
    const entry = this.links.get(key);
    if (entry === undefined) return false;
    const { hops } = packet;
    if (packet.packetType === PROOF && packet.context === CONTEXT.linkRequestProof) {
      this.#linkProof(packet, wire, entry);
      return true;
    }
    const { inWire, outWire, takenHops, remainingHops } = entry;
    const fromFar = wire.id === outWire && hops === remainingHops;
    const fromNear = wire.id === inWire && hops === takenHops;
    if (!fromFar && !fromNear) {
      this.#context.count("drop_link_hops");
      return true;
    }
    this.links.touch(key, entry, this.#context.now());
    this.#send(rehopped(packet, wire), fromFar ? inWire : outWire);
    return true;
  }
  #linkProof(packet: Packet, wire: Wire, entry: LinkEntry): void {
    const known = this.#ports.known.get(entry.destination);
    if (wire.id !== entry.outWire || known === undefined || (entry.validated && packet.hops !== entry.remainingHops)) {
      this.#context.count("drop_link_hops");
      return;
    }
    try {
      openLinkProof(packet.data, packet.destination, known.identity);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      this.#context.count("drop_proof_invalid");
      return;
    }
    // The path became longer or shorter since it was announced; the signature vouches for what is true now.
    entry.remainingHops = packet.hops;
    entry.validated = true;
    entry.cancelTimer?.();
    entry.cancelTimer = undefined;
    this.#send(rehopped(packet, wire), entry.inWire);
  }
  /** The proof of a packet forwarded before; true when it was one. */
  proof(packet: Packet, wire: Wire): boolean {
    const inWire = this.reverse.take(keyOf(packet.destination), wire.id, this.#context.now());
    if (inWire === undefined) return false;
    this.#send(rehopped(packet, wire), inWire);
    return true;
  }

  dropWire(wireId: string): void {
    this.links.dropWire(wireId);
    this.reverse.dropWire(wireId);
    this.announces.dropWire(wireId);
  }
}

/** The packet with the hops counted here. */
function rehopped(packet: Packet, wire: Wire): Uint8Array {
  const raw = ownedFrame(packet.raw, wire);
  raw[1] = packet.hops;
  return raw;
}

/** The packet for its next receiver, in the same memory: to the next node, or with a short header to the destination itself. */
function onward(raw: Uint8Array, path: PathEntry): Uint8Array {
  if (path.hops > 1) {
    raw.set(path.nextHop, 2);
    return raw;
  }
  raw[ADDRESS_BYTES] = (raw[0] as number) & 0x0f;
  raw[ADDRESS_BYTES + 1] = raw[1] as number;
  return raw.subarray(ADDRESS_BYTES);
}

/** The link's MTU can be no larger than either wire allows; a wire of fixed packets takes no signalling at all. */
function clamped(raw: Uint8Array, signalling: Uint8Array, wire: Wire, out: Wire): Uint8Array {
  const head = raw.subarray(0, raw.length - signalling.length);
  if (!out.signalsMtu) return head;
  const [high = 0, middle = 0, low = 0] = signalling;
  const mtu = ((high & 31) << 16) | (middle << 8) | low;
  // The mode is between the ends and passes as it is.
  return concatBytes(head, encodeSignalling(Math.min(mtu, wireLinkMtu(wire), wireLinkMtu(out)), high >>> 5));
}
