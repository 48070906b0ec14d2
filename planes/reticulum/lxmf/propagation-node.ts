/**
 * A propagation node: takes messages for recipients who are away, hands them out, and exchanges them with its peers
 * (spec/reticulum.md section 21.6). No message is confirmed before it is on disk.
 */
import { concatBytes, fromHex, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { Destination, RemoteDestination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { Identity, PublicIdentity } from "../stack/identity.ts";
import type { Link } from "../stack/link.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "../stack/msgpack.ts";
import { SINGLE } from "../stack/name.ts";
import type { RequestArrival } from "../stack/request.ts";
import { propagationAppData } from "./app-data.ts";
import { deliveryHash } from "./delivery-links.ts";
import { type LxmfHost, resume } from "./host.ts";
import {
  byteList,
  peeringMaterial,
  REFUSAL,
  readUpload,
  type StampedMessage,
  splitStamped,
  TRANSIENT_ID_BYTES,
} from "./propagation.ts";
import { PropagationControl } from "./propagation-control.ts";
import { PropagationPeers } from "./propagation-peer.ts";
import type { PropagationStore } from "./propagation-store.ts";
import { ROUNDS } from "./stamp.ts";

const MIN_STAMP_COST = 13;
const THROTTLE_MS = 180_000;
const SWEEP_MS = 3_600_000;
const MAX_OFFERED = 50_000;
const MAX_PENDING_UPLOADS = 16;
const MAX_WANTED = 1000;
/** Offers not kept before a peer is throttled. */
const BROKEN_PROMISES = 3;
const MAX_THROTTLED = 1024;
/** Largest message that the delivery address takes, kB. */
const MAX_DELIVERY_KB = 1000;
const PROPAGATION_NAME = "lxmf.propagation";
const VERSION = 1;

export interface PropagationNodeOptions {
  readonly identity: Identity;
  readonly store: PropagationStore;
  readonly name?: string;
  /** Bits of work per message: 16, of which 3 are forgiven; at least 13. */
  readonly stampCost?: number;
  readonly stampFlexibility?: number;
  readonly peeringCost?: number;
  /** Largest upload of a client, and of one sync of a peer. */
  readonly transferLimitKb?: number;
  readonly syncLimitKb?: number;
  /** Addresses of peers, 16 bytes each. */
  readonly peers?: readonly Uint8Array[];
  /** Peer with nodes heard of; yes by default. */
  readonly autoPeer?: boolean;
  readonly maxPeers?: number;
  readonly maxPeerHops?: number;
  readonly maxPeeringCost?: number;
  /** Identity hashes (hex) that may ask the control destination, besides the node's own. */
  readonly controllers?: readonly string[];
  /** A delivery address of this same node: its messages are taken at once. */
  readonly local?: { readonly destination: Destination; readonly take: (packed: Uint8Array) => void };
}

/** What is known of one link to the node. */
interface Visit {
  /** Ids the peer offered and we want, once its key was good; uploads of several messages need this. */
  promised: Set<string> | undefined;
  /** Uploads being judged, one after the other. */
  pending: number;
  last: Promise<unknown>;
}

export type NodeCounter =
  | "stored"
  | "from_clients"
  | "from_strangers"
  | "from_strangers_bytes"
  | "refused"
  | "handed_out"
  | "offers"
  | "throttled"
  | "unexpected"
  | "broken_promises";

export class PropagationNode {
  readonly destination: Destination;
  readonly peers: PropagationPeers;
  readonly store: PropagationStore;
  readonly control: PropagationControl;
  readonly counters = new Map<NodeCounter, number>();
  readonly #host: LxmfHost;
  readonly #options: PropagationNodeOptions;
  readonly #stampCost: number;
  readonly #flexibility: number;
  readonly #peeringCost: number;
  readonly #visits = new Map<Link, Visit>();
  readonly #throttled = new Map<string, Millis>();
  readonly #broken = new Map<string, number>();
  readonly #startedAt: Millis;
  #cancelSweep: (() => void) | undefined;
  constructor(host: LxmfHost, options: PropagationNodeOptions) {
    const { identity, store, stampCost = 16, stampFlexibility = 3, peeringCost = 18 } = options;
    this.#host = host;
    this.#options = options;
    this.store = store;
    this.#stampCost = Math.max(MIN_STAMP_COST, stampCost);
    this.#flexibility = stampFlexibility;
    this.#peeringCost = peeringCost;
    this.destination = new Destination({ type: SINGLE, appName: "lxmf", aspects: ["propagation"], identity });
    this.destination.onLink = (link) => this.#visited(link);
    this.peers = new PropagationPeers(host, {
      identity,
      store,
      maxPeers: options.maxPeers ?? 20,
      maxHops: options.maxPeerHops ?? 4,
      maxPeeringCost: options.maxPeeringCost ?? 26,
    });
    this.#startedAt = host.unixMs();
    const { controllers = [] } = options;
    this.control = new PropagationControl(host, {
      identity,
      controllers,
      peers: this.peers,
      about: () => this.#about(),
    });
    const { requests } = this.destination;
    requests.register({ path: "/get", allow: "all", handle: (arrival, respond) => this.#get(arrival, respond) });
    requests.register({ path: "/offer", allow: "all", handle: (arrival, respond) => this.#offered(arrival, respond) });
    this.destination.appData = () => this.#appData();
    host.act(() => {
      host.endpoint.register(this.destination);
      host.endpoint.onAnnounce({
        name: "lxmf.propagation",
        pathResponses: true,
        heard: ({ destination, appData, hops }) => {
          if (options.autoPeer !== false || this.peers.get(toHex(destination)) !== undefined) {
            this.peers.heard(destination, appData, hops);
          }
        },
      });
      for (const peer of options.peers ?? []) this.peers.add(peer);
      this.#sweep();
    });
  }
  #count(name: NodeCounter, by = 1): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + by);
  }
  get #transferLimit(): number {
    return (this.#options.transferLimitKb ?? 256) * 1000;
  }
  get #syncLimit(): number {
    return (this.#options.syncLimitKb ?? 10_240) * 1000;
  }
  announce(): void {
    this.#host.act(() => this.#host.endpoint.announce(this.destination));
  }
  #appData(): Uint8Array {
    return propagationAppData({
      at: this.#host.unixMs() / 1000,
      active: true,
      transferLimitKb: this.#transferLimit / 1000,
      syncLimitKb: this.#syncLimit / 1000,
      stampCost: this.#stampCost,
      stampFlexibility: this.#flexibility,
      peeringCost: this.#peeringCost,
      name: this.#options.name,
    });
  }
  /** For the control destination. */
  #about(): ReadonlyMap<string, Packable> {
    const options = this.#options;
    const counted = (name: NodeCounter): number => this.counters.get(name) ?? 0;
    return new Map<string, Packable>([
      ["identity_hash", options.identity.hash],
      ["destination_hash", this.destination.hash],
      ["uptime", new Double((this.#host.unixMs() - this.#startedAt) / 1000)],
      ["delivery_limit", MAX_DELIVERY_KB],
      ["propagation_limit", this.#transferLimit / 1000],
      ["sync_limit", this.#syncLimit / 1000],
      ["target_stamp_cost", this.#stampCost],
      ["stamp_cost_flexibility", this.#flexibility],
      ["peering_cost", this.#peeringCost],
      ["max_peering_cost", options.maxPeeringCost ?? 26],
      ["autopeer_maxdepth", options.maxPeerHops ?? 4],
      ["from_static_only", false],
      [
        "messagestore",
        new Map<Packable, Packable>([
          ["count", this.store.count],
          ["bytes", this.store.bytes],
          ["limit", this.store.maxBytes],
        ]),
      ],
      [
        "clients",
        new Map<Packable, Packable>([
          ["client_propagation_messages_received", counted("from_clients")],
          ["client_propagation_messages_served", counted("handed_out")],
        ]),
      ],
      ["unpeered_propagation_incoming", counted("from_strangers")],
      ["unpeered_propagation_rx_bytes", counted("from_strangers_bytes")],
    ]);
  }
  #sweep(): void {
    const { context } = this.#host.endpoint;
    this.#cancelSweep = context.schedule(context.now() + SWEEP_MS, () => {
      this.peers.sweep();
      const expired = this.store.expire(this.#host.unixMs() / 1000);
      resume(
        this.#host,
        expired,
        () => undefined,
        () => undefined,
      );
      this.#sweep();
    });
  }

  // --- uploads ---

  #visited(link: Link): void {
    const visit: Visit = { promised: undefined, pending: 0, last: Promise.resolve() };
    this.#visits.set(link, visit);
    link.proofs = "none";
    link.resources.maxBytes = this.#syncLimit + 1_000_000;
    link.acceptResource = ({ totalBytes }) =>
      visit.pending < MAX_PENDING_UPLOADS &&
      totalBytes <= (visit.promised === undefined ? this.#transferLimit : this.#syncLimit) + 1000;
    link.onPacket = (data, prove) => this.#upload(link, visit, data, prove);
    link.onResource = ({ data }) => this.#upload(link, visit, data, () => undefined);
    link.onClosed = () => {
      this.#visits.delete(link);
      if (link.peer !== undefined && (visit.promised?.size ?? 0) > 0) this.#promiseBroken(link.peer);
    };
  }
  #promiseBroken(peer: PublicIdentity): void {
    this.#count("broken_promises");
    const broken = (this.#broken.get(peer.hex) ?? 0) + 1;
    if (this.#broken.size >= MAX_THROTTLED) this.#broken.clear();
    this.#broken.set(peer.hex, broken);
    if (broken >= BROKEN_PROMISES) this.#throttle(peer);
  }
  #throttle(peer: PublicIdentity): void {
    this.#count("throttled");
    this.#broken.delete(peer.hex);
    const [oldest] = this.#throttled.keys();
    if (this.#throttled.size >= MAX_THROTTLED && oldest !== undefined) this.#throttled.delete(oldest);
    this.#throttled.set(peer.hex, this.#host.endpoint.now + THROTTLE_MS);
  }
  #isThrottled(peer: PublicIdentity): boolean {
    return (this.#throttled.get(peer.hex) ?? 0) > this.#host.endpoint.now;
  }
  #upload(link: Link, visit: Visit, data: Uint8Array, prove: () => void): void {
    let messages: readonly StampedMessage[];
    try {
      messages = readUpload(data).map((one) => {
        const stamped = one.length > this.#transferLimit ? undefined : splitStamped(one);
        if (stamped === undefined) throw new SpineError("frame_syntax", "message of an impossible size");
        return stamped;
      });
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      this.#refuse(link);
      return;
    }
    const isPeer = visit.promised !== undefined;
    const throttled = link.peer !== undefined && this.#isThrottled(link.peer);
    const crowded = visit.pending >= MAX_PENDING_UPLOADS;
    if (crowded || throttled || messages.length === 0 || (messages.length > 1 && !isPeer)) {
      this.#refuse(link);
      return;
    }
    const fresh = messages.filter(({ id }) => this.#wants(visit, id));
    const taken = visit.last.then(() => this.#takeAll(link, fresh));
    visit.pending++;
    visit.last = taken.catch(() => undefined);
    resume(
      this.#host,
      taken,
      (allGood) => {
        visit.pending--;
        if (allGood) prove();
        else this.#invalidStamp(link);
      },
      () => {
        visit.pending--;
        this.#refuse(link);
      },
    );
  }
  /** A peer may only bring what it offered; anybody's message that is here already is fine and costs nothing. */
  #wants(visit: Visit, id: Uint8Array): boolean {
    const key = toHex(id);
    if (visit.promised !== undefined && !visit.promised.delete(key)) {
      this.#count("unexpected");
      return false;
    }
    return !this.store.knows(key);
  }
  #refuse(link: Link): void {
    this.#count("refused");
    link.close();
  }
  #invalidStamp(link: Link): void {
    if (link.peer !== undefined) this.#throttle(link.peer);
    if (link.isUp) link.send(pack([REFUSAL.invalidStamp]));
    this.#refuse(link);
  }
  /** Resolved = all good ones are on disk; false when a stamp was too light. */
  async #takeAll(link: Link, messages: readonly StampedMessage[]): Promise<boolean> {
    const least = Math.max(0, this.#stampCost - this.#flexibility);
    const peerHash = link.peer === undefined ? undefined : new RemoteDestination(PROPAGATION_NAME, link.peer).hex;
    for (const message of messages) {
      const value = await this.#host.stamps.value(message.id, ROUNDS.propagation, message.stamp);
      if (value < least) return false;
      if (this.#takeLocally(message)) continue;
      await this.store.add(message, value, this.#host.unixMs() / 1000);
      this.#count("stored");
      this.#countOrigin(link, peerHash, message.message.length);
      this.#host.act(() => this.peers.stored(toHex(message.id), peerHash));
    }
    return true;
  }
  #countOrigin(link: Link, peerHash: string | undefined, bytes: number): void {
    const isSync = this.#visits.get(link)?.promised !== undefined;
    if (!isSync || peerHash === undefined) this.#count("from_clients");
    else if (this.peers.get(peerHash) !== undefined) this.peers.brought(peerHash, bytes);
    else {
      this.#count("from_strangers");
      this.#count("from_strangers_bytes", bytes);
    }
  }
  #takeLocally({ id, message }: StampedMessage): boolean {
    const { local } = this.#options;
    const to = message.subarray(0, ADDRESS_BYTES);
    if (local === undefined || toHex(to) !== local.destination.hex) return false;
    const plain = local.destination.decrypt(message.subarray(ADDRESS_BYTES));
    if (plain !== undefined) this.#host.act(() => local.take(concatBytes(to, plain)));
    this.store.gone.add(toHex(id));
    return true;
  }

  // --- retrieval ---

  #get({ identity, data }: RequestArrival, respond: (value: Packable) => void): void {
    if (identity === undefined) {
      respond(REFUSAL.noIdentity);
      return;
    }
    const [wants = null, haves = null, limit] = Array.isArray(data) ? (data as readonly Packable[]) : [];
    const mine = this.store.for(toHex(deliveryHash(identity)));
    if (wants === null && haves === null) {
      respond(mine.map(({ id }) => fromHex(id)));
      return;
    }
    const own = new Map(mine.map((one) => [one.id, one]));
    const listed = (value: Packable): string[] => {
      try {
        return value === null ? [] : byteList(value).map(toHex);
      } catch {
        return [];
      }
    };
    // Nobody can fetch or delete what is not theirs.
    const removed = Promise.all(listed(haves).map((id) => (own.has(id) ? this.store.remove(id) : undefined)));
    let left = Math.min((packedNumber(limit) ?? Number.POSITIVE_INFINITY) * 1000, this.#syncLimit);
    const chosen = listed(wants).filter((id) => {
      const bytes = own.get(id)?.bytes;
      if (bytes === undefined || bytes > left) return false;
      left -= bytes;
      return true;
    });
    const read = removed.then(() => Promise.all(chosen.map((id) => this.store.get(id))));
    resume(
      this.#host,
      read,
      (found) => {
        const messages = found.filter((one) => one !== undefined).map(({ message }) => message);
        this.#count("handed_out", messages.length);
        this.#host.changed();
        respond(messages);
      },
      () => respond(REFUSAL.notFound),
    );
  }

  // --- peers ---

  #offered(arrival: RequestArrival, respond: (value: Packable) => void): void {
    const { identity, data } = arrival;
    this.#count("offers");
    if (identity === undefined) {
      respond(REFUSAL.noIdentity);
      return;
    }
    if (this.#isThrottled(identity)) {
      respond(REFUSAL.throttled);
      return;
    }
    const [key, list] = Array.isArray(data) ? (data as readonly Packable[]) : [];
    const fits =
      key instanceof Uint8Array &&
      Array.isArray(list) &&
      list.length <= MAX_OFFERED &&
      list.every((id) => id instanceof Uint8Array && id.length === TRANSIENT_ID_BYTES);
    if (!fits) {
      respond(REFUSAL.invalidData);
      return;
    }
    const ids = (list as readonly Uint8Array[]).map((id) => id.slice());
    const material = peeringMaterial(this.#options.identity.hash, identity.hash);
    resume(
      this.#host,
      this.#host.stamps.value(material, ROUNDS.peering, key),
      (value) => respond(value < this.#peeringCost ? REFUSAL.invalidKey : this.#choose(identity, ids)),
      () => respond(REFUSAL.throttled),
    );
  }
  #choose(identity: PublicIdentity, ids: readonly Uint8Array[]): Packable {
    const { hash } = new RemoteDestination(PROPAGATION_NAME, identity);
    const known = this.#host.endpoint.known.get(hash);
    if (known !== undefined && this.#options.autoPeer !== false && this.peers.get(toHex(hash)) === undefined) {
      this.peers.heard(hash, known.appData, this.#host.endpoint.path(hash)?.hops ?? 1);
    }
    this.peers.has(toHex(hash), ids);
    const wanted = ids.filter((id) => !this.store.knows(toHex(id))).slice(0, MAX_WANTED);
    for (const [link, visit] of this.#visits) {
      if (link.peer?.hex === identity.hex) visit.promised = new Set(wanted.map(toHex));
    }
    if (wanted.length === 0) return false;
    return wanted.length === ids.length ? true : wanted;
  }

  /** Peers and what is not taken again, for the disk; messages are in their files. */
  save(): Uint8Array {
    return pack([VERSION, this.peers.save(), this.store.gone.values()]);
  }
  /** Throws `frame_syntax`. */
  load(file: Uint8Array): void {
    const list = unpack(file);
    const [version, peers, gone] = Array.isArray(list) ? (list as readonly Packable[]) : [];
    if (version !== VERSION || !Array.isArray(gone)) throw new SpineError("frame_syntax", "propagation file");
    for (const id of gone) if (typeof id === "string") this.store.gone.add(id);
    this.#host.act(() => this.peers.load(peers as Packable));
  }
  close(): void {
    this.#host.act(() => {
      this.#cancelSweep?.();
      this.peers.close();
      for (const link of [...this.#visits.keys()]) link.close();
      this.#host.endpoint.deregister(this.destination);
      this.control.close();
    });
  }
}
