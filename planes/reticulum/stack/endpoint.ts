/**
 * The endpoint: everything a leaf of a Reticulum network does, without I/O. A driver feeds it frames and the time and
 * sends what it returns (spec/reticulum.md sections 7 to 12). Forwarding for others is left to `transport.ts`.
 */
import { type Millis, type Random, SpineError, toHex } from "../../../spine/index.ts";
import { type AnnounceHandler, type AnnounceOptions, Announces, announcePacket } from "./announces.ts";
import { type CounterName, type StackContext, type Wire, wireLinkMtu } from "./context.ts";
import { Counters } from "./counters.ts";
import type { Destination } from "./destination.ts";
import { EphemeralKeys } from "./ephemeral-keys.ts";
import { encodeSignalling, linkRequestPacket, parseLinkRequest } from "./handshake.ts";
import { ADDRESS_BYTES, addressHexAt } from "./hash.ts";
import { HashFilter } from "./hash-filter.ts";
import { type Identity, sealWith } from "./identity.ts";
import { hasAccessCode } from "./ifac.ts";
import { KnownDestinations } from "./known.ts";
import { Link } from "./link.ts";
import { GROUP, LINK, PLAIN, SINGLE } from "./name.ts";
import { NetworkMemory } from "./network-memory.ts";
import { OwnLinks } from "./own-links.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  DATA,
  DIRECT_MDU,
  ENCRYPTED_MDU,
  LINK_REQUEST,
  NETWORK_MTU,
  type Packet,
  PROOF,
  packetHash,
  parsePacket,
  REPEATABLE,
  routeVia,
} from "./packet.ts";
import { PathQuestions } from "./path-questions.ts";
import {
  PATH_REQUEST_HASH,
  parsePathRequest,
  pathRequestPacket,
  TUNNEL_HASH,
  tunnelSynthesis,
} from "./path-request.ts";
import { type PathEntry, PathTable } from "./path-table.ts";
import { proves, singleProof } from "./proof.ts";
import { Receipt } from "./receipt.ts";
import { Timers } from "./timers.ts";
import { Transport } from "./transport.ts";
import { carriesAnnounce } from "./wire-policy.ts";

const MAX_RECEIPTS = 1024;
const PER_HOP_MS = 6000;
/** Below it a wire is narrow, bits per second. */
const NARROW_BITRATE = 50_000;
/** Packet hashes remembered per generation by a node that forwards. */
const TRANSPORT_FILTER = 131_072;
const LEAF_FILTER = 32_768;

/** A frame to put on a wire, access code included. */
export interface Send {
  readonly wire: string;
  readonly frame: Uint8Array;
}

export interface EndpointOptions {
  readonly random: Random;
  /** Told what application callbacks threw, and any defect of the stack itself. */
  readonly onError?: (error: unknown) => void;
  /** The wall clock for announces, when the time given to the endpoint is only monotonic. */
  readonly unixMs?: () => Millis;
  /** Explicit proofs carry the packet hash as well. */
  readonly explicitProofs?: boolean;
  /** Names this node to others: as transport node, and where its connections come back. */
  readonly identity?: Identity;
  /** Forward for others; needs an identity. */
  readonly transport?: boolean;
}

export class Endpoint {
  readonly known = new KnownDestinations();
  readonly paths = new PathTable();
  /** Explicit proofs carry the packet hash as well. */
  explicitProofs: boolean;
  readonly #options: EndpointOptions;
  readonly #context: StackContext;
  readonly #ephemerals: EphemeralKeys;
  readonly #timers = new Timers();
  readonly #wires = new Map<string, Wire>();
  readonly #destinations = new Map<string, Destination>();
  readonly #links: OwnLinks;
  readonly #receipts = new Map<string, { receipt: Receipt; destination: Uint8Array }>();
  readonly transport: Transport | undefined;
  readonly memory: NetworkMemory;
  /** Hashes of the packets taken lately. */
  readonly seen: HashFilter;
  readonly #sent = new HashFilter(LEAF_FILTER);
  readonly #questions = new PathQuestions();
  readonly #announces: Announces;
  readonly #counters = new Counters();
  #now: Millis = 0;
  #out: Send[] = [];

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.explicitProofs = options.explicitProofs ?? false;
    this.#context = {
      now: () => this.#now,
      random: options.random,
      schedule: (at, task) => this.#timers.schedule(at, task),
      transmit: (raw, wire, repeated) => this.#transmit(raw, wire, repeated),
      count: (name, by = 1) => this.#count(name, by),
      notify: (task) => this.#notify(task),
    };
    this.#ephemerals = new EphemeralKeys(this.#context);
    this.#links = new OwnLinks(this.#context, this.#ephemerals, (link) => this.#linkClosed(link));
    this.#announces = new Announces(this.#context, this.known, this.paths, {
      unixMs: () => this.#unixMs(),
      repeated: (packet) => this.transport?.announces.heard(packet),
      isWanted: (key) => this.#questions.isFresh(key, this.#now) || this.transport?.finder.isSearching(key) === true,
      accepted: (packet, announce, cached, wire) => this.transport?.accepted(packet, announce, cached, wire),
    });
    const { known, paths } = this;
    this.memory = new NetworkMemory({
      known,
      paths,
      wires: this.#wires,
      now: () => this.#now,
      unixMs: () => this.#unixMs(),
    });
    const { identity, transport } = options;
    if (transport === true && identity === undefined)
      throw new SpineError("key_missing", "transport needs an identity");
    this.seen = new HashFilter(transport === true ? TRANSPORT_FILTER : LEAF_FILTER);
    if (transport === true && identity !== undefined) {
      const searchPath = (target: Uint8Array): void => this.searchPath(target);
      const sendsRequest = (wireId: string): boolean => this.#announces.sendsRequest(wireId);
      this.transport = new Transport({
        context: this.#context,
        identity,
        known,
        paths,
        wires: this.#wires,
        seen: this.seen,
        isOwn: (destination) => this.#destinations.has(destination),
        searchPath,
        sendsRequest,
      });
    }
  }

  // --- for the driver ---

  /** One received frame. Never throws because of its content. */
  handle(wireId: string, frame: Uint8Array, now: Millis): readonly Send[] {
    this.#now = Math.max(this.#now, now);
    this.#receive(wireId, frame);
    return this.#takeOut();
  }
  /** Runs what is due. */
  wake(now: Millis): readonly Send[] {
    return this.act(now, () => this.#timers.runDue(now));
  }
  /** When `wake` is wanted next. */
  get nextWakeAt(): Millis | undefined {
    return this.#timers.next();
  }
  /** Does something with the endpoint at a time; returns what it made to send. */
  act(now: Millis, task: () => void): readonly Send[] {
    this.#now = Math.max(this.#now, now);
    task();
    return this.#takeOut();
  }
  #takeOut(): readonly Send[] {
    if (this.#out.length === 0) return NOTHING;
    const out = this.#out;
    this.#out = [];
    return out;
  }
  /** Paths that were known when the wire went away are known again. */
  attach(wire: Wire): void {
    this.#wires.set(wire.id, wire);
    this.#announces.attach(wire);
    this.memory.attached(wire);
    const { identity } = this.#options;
    if (wire.tunnelName === undefined || identity === undefined) return;
    this.#transmit(tunnelSynthesis(identity, wire.tunnelName, this.#context.random(ADDRESS_BYTES)).packet, wire.id);
  }
  /** Links and paths over the wire end. */
  detach(wireId: string): void {
    const wire = this.#wires.get(wireId);
    this.#wires.delete(wireId);
    this.memory.detached(wireId, wire);
    this.#announces.detach(wireId);
    this.transport?.dropWire(wireId);
    for (const link of [...this.#links.byId.values()]) if (link.wireId === wireId) link.wireLost();
  }
  /** What is known of the network, for the disk. */
  saveTables(): Uint8Array {
    return this.memory.save();
  }
  /** Takes what `saveTables` wrote, before wires are attached. Throws `frame_syntax`. */
  loadTables(file: Uint8Array, now: Millis): void {
    this.#now = Math.max(this.#now, now);
    this.memory.load(file);
  }
  #unixMs(): Millis {
    return this.#options.unixMs?.() ?? this.#now;
  }
  get now(): Millis {
    return this.#now;
  }
  get context(): StackContext {
    return this.#context;
  }
  get wires(): ReadonlyMap<string, Wire> {
    return this.#wires;
  }
  /** Announces held back because too many came at once. */
  get heldAnnounces(): number {
    return this.#announces.held;
  }
  get counters(): ReadonlyMap<CounterName, number> {
    return this.#counters.all;
  }
  get links(): ReadonlyMap<string, Link> {
    return this.#links.byId;
  }
  /** Packets outside links whose proof is awaited. */
  get unproved(): number {
    return this.#receipts.size;
  }
  get waitingTimers(): number {
    return this.#timers.size;
  }

  // --- for applications, inside `act` ---

  register(destination: Destination): void {
    this.#destinations.set(destination.hex, destination);
  }
  deregister(destination: Destination): void {
    this.#destinations.delete(destination.hex);
  }
  /** Returns a function that removes the handler. */
  onAnnounce(handler: AnnounceHandler): () => void {
    return this.#announces.listen(handler);
  }
  /** Announces a SINGLE destination; a due ratchet is rotated and saved first. */
  announce(destination: Destination, options: AnnounceOptions = {}): void {
    const raw = announcePacket(this.#context, destination, options, this.memory.emissionMs());
    if (options.wire === undefined) this.#broadcast(raw, (wire) => carriesAnnounce(wire, "local"));
    else this.#transmit(raw, options.wire);
  }
  hasPath(hash: Uint8Array): boolean {
    return this.path(hash) !== undefined;
  }
  path(hash: Uint8Array): PathEntry | undefined {
    return this.paths.get(hash, this.#now);
  }
  /** Asks the network for the way to a destination. */
  requestPath(target: Uint8Array): void {
    this.#questions.asked(toHex(target), this.#now);
    const tag = this.#context.random(ADDRESS_BYTES);
    const raw = pathRequestPacket({ target, transportId: this.transport?.id, tag });
    this.#broadcast(raw, ({ id }) => this.#announces.sendsRequest(id));
  }
  /** Asks for the way, unless that was done in the last 20 s. */
  searchPath(target: Uint8Array): void {
    if (!this.#questions.isFresh(toHex(target), this.#now)) this.requestPath(target);
  }
  /** Sends to a SINGLE destination that was announced. Throws `path_unknown`, `payload_size` or `link_congested`. */
  send(hash: Uint8Array, data: Uint8Array): Receipt {
    const known = this.known.get(hash);
    if (known === undefined) throw new SpineError("path_unknown", `no announce of ${toHex(hash)} was heard`);
    if (data.length > ENCRYPTED_MDU)
      throw new SpineError("payload_size", `${data.length} bytes, limit ${ENCRYPTED_MDU}`);
    if (this.#receipts.size >= MAX_RECEIPTS) throw new SpineError("link_congested", "too many unproved packets");
    this.known.markUsed(hash);
    const ratchet = this.known.ratchet(hash, this.#now);
    const sealed = sealWith(this.#ephemerals.seal(known.identity, ratchet), data, this.#context.random);
    const raw = buildPacket({ packetType: DATA, destinationType: SINGLE, destination: hash, data: sealed });
    const full = packetHash(raw);
    const key = toHex(full.subarray(0, ADDRESS_BYTES));
    const receipt = new Receipt(this.#context, full, this.#roundTripMs(hash), () => this.#receipts.delete(key));
    this.#receipts.set(key, { receipt, destination: hash });
    this.#route(raw, hash);
    return receipt;
  }
  /** Sends to all members of a GROUP or PLAIN destination within one hop, on one wire or all. Throws `payload_size`. */
  sendTo(destination: Destination, data: Uint8Array, wire?: string): void {
    const sealed = destination.encrypt(data, this.#context.random);
    if (sealed.length > DIRECT_MDU) throw new SpineError("payload_size", `${sealed.length} bytes, limit ${DIRECT_MDU}`);
    const fields = { packetType: DATA, destinationType: destination.type, destination: destination.hash } as const;
    const raw = buildPacket({ ...fields, data: sealed });
    if (wire === undefined) this.#broadcast(raw);
    else this.#transmit(raw, wire);
  }
  /** Asks a SINGLE destination for a link. Throws `path_unknown` when no announce of it was heard, or `link_congested`. */
  openLink(hash: Uint8Array, patienceMs: Millis = 0): Link {
    const known = this.known.get(hash);
    if (known === undefined) throw new SpineError("path_unknown", `no announce of ${toHex(hash)} was heard`);
    if (this.#links.isFull) throw new SpineError("link_congested", "too many links");
    this.known.markUsed(hash);
    const path = this.path(hash);
    const wire = path === undefined ? undefined : this.#wires.get(path.wireId);
    const mtu = wire === undefined ? NETWORK_MTU : wireLinkMtu(wire);
    const keys = { exchange: this.#ephemerals.exchange(), signing: this.#ephemerals.signing() };
    const raw = linkRequestPacket(hash, keys, encodeSignalling(mtu));
    const link = Link.initiate(
      {
        context: this.#context,
        id: parseLinkRequest(parsePacket(raw)).linkId,
        role: "initiator",
        destination: hash.slice(),
        mtu,
        hops: path?.hops ?? 1,
        establishmentTimeoutMs: this.#roundTripMs(hash) + patienceMs,
        forget: (gone) => this.#links.forget(gone),
      },
      keys,
      known.identity,
    );
    this.#links.byId.set(link.hex, link);
    this.#route(raw, hash);
    return link;
  }

  // --- sending ---

  /** Three packets' airtime on the first hop covers a full exchange even on the slowest radio. */
  #roundTripMs(hash: Uint8Array): Millis {
    const path = this.path(hash);
    const bitrates = [...this.#wires.values()].map((wire) => wire.bitrate);
    const bitrate = (path && this.#wires.get(path.wireId)?.bitrate) ?? Math.min(...bitrates, 1e9);
    return (3 * NETWORK_MTU * 8 * 1000) / bitrate + PER_HOP_MS * (1 + Math.max(1, path?.hops ?? 1));
  }
  #route(raw: Uint8Array, hash: Uint8Array): void {
    const path = this.path(hash);
    if (path === undefined) this.#broadcast(raw);
    else this.#transmit(path.hops > 1 ? routeVia(raw, path.nextHop) : raw, path.wireId);
    this.paths.touch(toHex(hash), this.#now);
  }
  #broadcast(raw: Uint8Array, fits: (wire: Wire) => boolean = () => true): void {
    if (this.#wires.size === 0) this.#count("drop_no_wire");
    for (const wire of this.#wires.values()) if (fits(wire)) this.#transmit(raw, wire.id);
  }
  #transmit(raw: Uint8Array, wireId: string, repeated = false): void {
    const wire = this.#wires.get(wireId);
    if (wire === undefined) {
      this.#count("drop_no_wire");
      return;
    }
    if (repeated && wire.medium !== "stream") this.#sent.add(packetHash(raw));
    const frame = wire.ifac === undefined ? raw : wire.ifac.mask(raw);
    this.#counters.sent(frame.length);
    this.#out.push({ wire: wireId, frame });
  }

  // --- receiving ---

  #receive(wireId: string, frame: Uint8Array): void {
    const wire = this.#wires.get(wireId);
    if (wire === undefined) return;
    this.#counters.received(frame.length);
    try {
      const raw = this.#openAccess(wire, frame);
      if (raw === undefined) this.#count("drop_access_code");
      else if (this.transport?.passesOn(raw, wire) !== true) this.#packet(parsePacket(raw), wire);
    } catch (caught) {
      this.#count("drop_malformed");
      if (!(caught instanceof SpineError)) this.#options.onError?.(caught);
    }
  }
  #openAccess(wire: Wire, frame: Uint8Array): Uint8Array | undefined {
    if (wire.ifac !== undefined) return wire.ifac.open(frame);
    return hasAccessCode(frame) ? undefined : frame;
  }
  #packet(packet: Packet, wire: Wire): void {
    packet.hops++;
    const { packetType, destinationType, context } = packet;
    if (packet.transportId !== undefined && packetType !== ANNOUNCE && this.transport === undefined) {
      this.#count("drop_not_for_us");
      return;
    }
    if ((destinationType === PLAIN || destinationType === GROUP) && (packetType === ANNOUNCE || packet.hops > 1)) {
      this.#count("drop_hops");
      return;
    }
    if (packetType === ANNOUNCE) {
      if (!this.#destinations.has(toHex(packet.destination))) this.#announces.heard(packet, wire);
    } else if (destinationType === LINK || (packetType === PROOF && context === CONTEXT.linkRequestProof))
      this.#forLink(packet, wire);
    else if (!REPEATABLE.has(context) && !this.#firstTime(packet)) this.#count("drop_duplicate");
    else if (packetType === PROOF) this.#proof(packet, wire);
    else if (packetType === LINK_REQUEST) {
      this.#links.requested(packet, wire, this.#destinations.get(toHex(packet.destination)));
    } else this.#data(packet, wire);
  }
  #firstTime(packet: Packet): boolean {
    return this.seen.add(packetHash(packet.raw));
  }
  #forLink(packet: Packet, wire: Wire): void {
    const link = this.#links.byId.get(addressHexAt(packet.destination, 0));
    if (link === undefined) {
      if (this.transport?.linkPacket(packet, wire) !== true) this.#count("drop_link_unknown");
    } else if (link.hops > 1 && wire.medium !== "stream" && this.#sent.has(packetHash(packet.raw))) {
      this.#count("drop_echo");
    } else if (
      !REPEATABLE.has(packet.context) &&
      packet.context !== CONTEXT.linkRequestProof &&
      !this.#firstTime(packet)
    ) {
      this.#count("drop_duplicate");
    } else link.receive(packet, wire);
  }
  #proof(packet: Packet, wire: Wire): void {
    const entry = this.#receipts.get(toHex(packet.destination));
    const known = entry && this.known.get(entry.destination);
    if (entry === undefined || known === undefined) {
      if (this.transport?.proof(packet, wire) !== true) this.#count("drop_proof_unknown");
    } else if (proves(packet.data, entry.receipt.hash, known.identity)) entry.receipt.deliver();
    else this.#count("drop_proof_invalid");
  }
  #data(packet: Packet, wire: Wire): void {
    const key = toHex(packet.destination);
    if (key === PATH_REQUEST_HEX && packet.destinationType === PLAIN) {
      this.#pathRequest(packet, wire);
      return;
    }
    if (key === TUNNEL_HEX && packet.destinationType === PLAIN && this.transport !== undefined) {
      this.memory.tunnel(packet.data, wire);
      return;
    }
    const destination = this.#destinations.get(key);
    if (destination === undefined || destination.type !== packet.destinationType) {
      this.#count("drop_unknown_destination");
      return;
    }
    const plain = destination.decrypt(packet.data);
    if (plain === undefined) {
      this.#count("drop_undecryptable");
      return;
    }
    const { proofs, identity } = destination;
    if (identity !== undefined && destination.type === SINGLE) {
      if (proofs === "all" || (typeof proofs === "function" && proofs(plain))) {
        const form = this.explicitProofs ? "explicit" : "implicit";
        this.#transmit(singleProof(packetHash(packet.raw), identity, form), wire.id);
      }
    }
    const { onPacket } = destination;
    if (onPacket !== undefined) this.#notify(() => onPacket(plain, packet, wire.id));
  }
  #pathRequest(packet: Packet, wire: Wire): void {
    const request = parsePathRequest(packet.data);
    if (request === undefined || !this.#questions.isNew(request)) {
      this.#count("drop_path_request");
      return;
    }
    const destination = this.#destinations.get(toHex(request.target));
    if (destination === undefined || destination.type !== SINGLE) {
      if (this.transport === undefined) this.#count("drop_path_request");
      else if (!this.#announces.takesRequest(wire.id)) this.#count("drop_rate_limited");
      else this.transport.request(request, wire);
    } else if (!this.#questions.mayAnswer(destination.hex + wire.id, this.#now)) this.#count("drop_rate_limited");
    else this.announce(destination, { wire: wire.id, pathResponse: true });
  }
  #linkClosed(link: Link): void {
    const failed = link.role === "initiator" && link.closeReason === "timeout" && link.rttMs === 0;
    if (!failed || !this.known.get(link.destinationHash)) return;
    const path = this.path(link.destinationHash);
    const wire = path === undefined ? undefined : this.#wires.get(path.wireId);
    // There is no other way to a neighbour on a narrow wire, and every question costs the air of all: its announces tell.
    if (path !== undefined && path.hops <= 1 && wire !== undefined && wire.bitrate < NARROW_BITRATE) return;
    this.paths.expire(link.destinationHash);
    this.searchPath(link.destinationHash);
  }

  // --- bookkeeping ---

  #count(name: CounterName, by = 1): void {
    this.#counters.count(name, by);
  }
  #notify(task: () => void): void {
    try {
      task();
    } catch (caught) {
      this.#count("handler_failed");
      this.#options.onError?.(caught);
    }
  }
}

const NOTHING: readonly Send[] = [];
const PATH_REQUEST_HEX = toHex(PATH_REQUEST_HASH);
const TUNNEL_HEX = toHex(TUNNEL_HASH);
