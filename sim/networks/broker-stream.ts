/**
 * The stream of a server like NATS with JetStream: each member publishes what it stored and may tell there, once it is on
 * disk; the server keeps each envelope once; every member reads from where it was, also after an absence. As the daemon's
 * feed does it beside the links through the same server.
 */
import {
  type Envelope,
  type EnvelopeHash,
  factTier,
  type LinkId,
  type Millis,
  openSigningBytes,
} from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { LinkShape } from "../scenario-file.ts";
import type { World } from "../world.ts";
import type { Traffic } from "./network.ts";

const PLANE = "nats";
/** Read at once, at most. */
const BATCH = 64;
/** Messages the server keeps: the oldest go first, and who is behind them catches up over links. */
const MAX_MESSAGES = 100_000;
const JUDGE_MS = 1;

interface Message {
  readonly envelope: Envelope;
  readonly bytes: number;
}

/** Of one member; numbers of messages since the begin of the stream, and of leaves on its disk. */
class Place {
  readonly peer: SimPeer;
  /** Leaves that the server has acknowledged, and that are on their way to it. */
  published = 0;
  sent = 0;
  /** Messages that the member has acknowledged. */
  read = 0;
  reading = false;
  /** Its connection is occupied until then. */
  busyUntil: Millis = 0;
  /** Counts connections: what was on its way over an earlier one is lost. */
  epoch = 0;
  isConnected = false;
  constructor(peer: SimPeer) {
    this.peer = peer;
  }
}

export class BrokerStream {
  readonly #world: World;
  readonly #name: string;
  readonly #shape: LinkShape;
  readonly #traffic: Traffic;
  readonly #via: LinkId;
  readonly #places = new Map<number, Place>();
  #messages: Message[] = [];
  /** Messages that the server no longer keeps. */
  #gone = 0;
  readonly #ids = new Set<EnvelopeHash>();

  constructor(world: World, name: string, members: readonly number[], shape: LinkShape, traffic: Traffic) {
    this.#world = world;
    this.#name = name;
    this.#shape = shape;
    this.#traffic = traffic;
    this.#via = `${PLANE}:${name}`;
    for (const index of members) this.#places.set(index, new Place(world.peer(index)));
  }

  /** A member started, stopped, or what separates nodes changed. */
  changed(): void {
    const { barriers } = this.#world;
    // In a partition the server stands with the first member that still has the network.
    const hub = [...this.#places.keys()].find((index) => !barriers.hasLost(this.#name, index));
    for (const [index, place] of this.#places) {
      const isConnected = place.peer.running && hub !== undefined && !barriers.between(this.#name, hub, index);
      if (isConnected === place.isConnected) continue;
      place.isConnected = isConnected;
      place.epoch++;
      place.reading = false;
      if (!isConnected) continue;
      // On a new disk everything is published again, and read again.
      const { length } = place.peer.disk.leaves;
      if (length < place.published) place.published = place.read = 0;
      place.sent = place.published;
      this.#publish(place);
      this.#read(place);
    }
  }
  /** A member stored something: told to the server once the core has judged whom it may tell. */
  stored(index: number): void {
    const place = this.#places.get(index);
    if (place === undefined) return;
    this.#world.clock.schedule(this.#world.now() + JUDGE_MS, () => this.#publish(place));
  }

  #publish(place: Place): void {
    const { peer, epoch } = place;
    while (place.isConnected && place.sent < peer.disk.leaves.length) {
      const hash = peer.disk.leaves[place.sent++] as EnvelopeHash;
      const leaf = place.sent;
      const message = this.#ids.has(hash) ? undefined : this.#messageOf(peer, hash);
      const acknowledged = (): void => {
        if (place.epoch !== epoch) return;
        place.published = leaf;
        if (message !== undefined) this.#keep(message);
      };
      if (message === undefined) {
        if (place.published === leaf - 1) place.published = leaf;
        continue;
      }
      this.#world.meter?.queued(peer.index, message.bytes, factTier(message.envelope.factSchema));
      this.#world.meter?.published(peer.index, message.bytes);
      this.#world.trace(`publish ${this.#name} ${peer.index} ${message.bytes}`);
      this.#transfer(place, message.bytes, acknowledged);
    }
  }
  #messageOf(peer: SimPeer, hash: EnvelopeHash): Message | undefined {
    const row = this.#world.pool.find(hash);
    if (row === undefined || !peer.mayTell(PLANE, row.issuer, row.seq)) return undefined;
    const envelope = openSigningBytes(row.signingBytes, row.signature, this.#world.ports.sha256Hex);
    return { envelope, bytes: row.record.length };
  }
  /** What two members publish is kept once. */
  #keep(message: Message): void {
    const { hash } = message.envelope;
    if (this.#ids.has(hash)) return;
    this.#ids.add(hash);
    this.#messages.push(message);
    if (this.#messages.length > MAX_MESSAGES) {
      const [oldest] = this.#messages.splice(0, 1);
      if (oldest !== undefined) this.#ids.delete(oldest.envelope.hash);
      this.#gone++;
    }
    for (const place of this.#places.values()) this.#read(place);
  }

  #read(place: Place): void {
    place.read = Math.max(place.read, this.#gone);
    const batch = this.#messages.slice(place.read - this.#gone, place.read - this.#gone + BATCH);
    if (!place.isConnected || place.reading || batch.length === 0) return;
    const { peer, epoch } = place;
    const upTo = place.read + batch.length;
    const envelopes = batch.map(({ envelope }) => envelope).filter(({ issuer }) => issuer !== peer.issuer);
    const bytes = batch.reduce((sum, one) => sum + (one.envelope.issuer === peer.issuer ? 0 : one.bytes), 0);
    place.reading = true;
    const done = (): void => {
      if (place.epoch !== epoch) return;
      place.reading = false;
      place.read = upTo;
      this.#read(place);
    };
    if (envelopes.length === 0) return done();
    this.#transfer(place, bytes, () => {
      if (place.epoch !== epoch) return;
      this.#world.meter?.fetched(peer.index, bytes);
      this.#world.trace(`read ${this.#name} ${peer.index} ${envelopes.length}`);
      peer.offer(envelopes, () => {}, { via: this.#via, answered: done });
    });
  }

  /** Between a member and the server, in order. */
  #transfer(place: Place, bytes: number, arrived: () => void): void {
    const world = this.#world;
    const { latencyMs, jitterMs, bitrate } = this.#shape;
    this.#traffic.frames++;
    this.#traffic.bytes += bytes;
    world.frames++;
    world.bytes += bytes;
    const delayMs = latencyMs + (bytes * 8_000) / bitrate + world.rng.float() * jitterMs;
    place.busyUntil = Math.max(place.busyUntil, world.now() + delayMs);
    world.clock.schedule(place.busyUntil, arrived);
  }
}
