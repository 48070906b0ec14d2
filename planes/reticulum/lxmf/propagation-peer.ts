/**
 * The peers of a propagation node: who they are, what they do not have yet, and passing it on to them
 * (spec/reticulum.md section 21.6). Used by `propagation-node.ts`.
 */
import { fromHex, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import type { Identity } from "../stack/identity.ts";
import type { Link } from "../stack/link.ts";
import { Double, type Packable, packedNumber } from "../stack/msgpack.ts";
import { type PropagationAppData, readPropagationAppData } from "./app-data.ts";
import { type LxmfHost, resume } from "./host.ts";
import { byteList, joinStamped, packUpload, peeringMaterial, REFUSAL, type StampedMessage } from "./propagation.ts";
import type { PropagationStore, StoredMessage } from "./propagation-store.ts";
import { ROUNDS } from "./stamp.ts";
import { MAX_STAMP_COST } from "./stamp-pool.ts";

/** A little patience lets messages that come together go together. */
const SYNC_DELAY_MS = 1000;
const BACKOFF_STEP_MS = 720_000;
const MAX_BACKOFF_STEPS = 10;
const UNREACHABLE_SECONDS = 1_209_600;
const OFFER_TIMEOUT_MS = 60_000;
const MAX_OFFERED = 1000;
const MAX_UNHANDLED = 100_000;

export interface Peer {
  /** Its `lxmf.propagation` address. */
  readonly hash: Uint8Array;
  readonly hex: string;
  appData: Uint8Array;
  /** Unix seconds of its last sign of life. */
  heardAt: number;
  /** Configured: never dropped. */
  readonly fixed: boolean;
  key: Uint8Array | undefined;
  /** Transient ids (hex) it may not have. */
  readonly unhandled: Set<string>;
  failures: number;
  /** Unix seconds; 0 = never. */
  lastSyncAt: number;
  nextSyncAt: number;
  /** Messages offered to it, of these taken by it, and brought by it; since the node started. */
  offered: number;
  outgoing: number;
  incoming: number;
  outgoingBytes: number;
  incomingBytes: number;
  state: "idle" | "key" | "linking" | "offering" | "sending";
  link: Link | undefined;
  cancelTimer: (() => void) | undefined;
}

export interface PeersOptions {
  readonly identity: Identity;
  readonly store: PropagationStore;
  readonly maxPeers: number;
  readonly maxHops: number;
  readonly maxPeeringCost: number;
}

export class PropagationPeers {
  readonly #host: LxmfHost;
  readonly #options: PeersOptions;
  readonly #byHex = new Map<string, Peer>();
  #closed = false;
  constructor(host: LxmfHost, options: PeersOptions) {
    this.#host = host;
    this.#options = options;
  }
  get all(): readonly Peer[] {
    return [...this.#byHex.values()];
  }
  get maxPeers(): number {
    return this.#options.maxPeers;
  }
  get(hex: string): Peer | undefined {
    return this.#byHex.get(hex);
  }
  /** A peer the operator named. */
  add(hash: Uint8Array): void {
    const known = this.#host.endpoint.known.get(hash);
    this.#make(hash, known?.appData ?? new Uint8Array(0), true);
    if (known === undefined) this.#host.act(() => this.#host.endpoint.requestPath(hash));
  }
  /** A propagation node announced itself. */
  heard(hash: Uint8Array, appData: Uint8Array, hops: number): void {
    const about = readPropagationAppData(appData);
    if (about === undefined) return;
    const peer = this.#byHex.get(toHex(hash));
    const { maxPeers, maxHops, maxPeeringCost } = this.#options;
    if (peer !== undefined) {
      const cost = readPropagationAppData(peer.appData)?.peeringCost;
      if (cost !== about.peeringCost) peer.key = undefined;
      peer.appData = appData.slice();
      peer.heardAt = this.#host.unixMs() / 1000;
      if (!about.active && !peer.fixed) this.drop(peer);
      else if (peer.state === "idle" && peer.unhandled.size > 0) this.#schedule(peer, SYNC_DELAY_MS);
      return;
    }
    const fits = about.active && hops <= maxHops && about.peeringCost <= Math.min(maxPeeringCost, MAX_STAMP_COST);
    if (fits && this.#byHex.size < maxPeers) this.#make(hash, appData, false);
  }
  #make(hash: Uint8Array, appData: Uint8Array, fixed: boolean): Peer {
    const peer: Peer = {
      hash: hash.slice(),
      hex: toHex(hash),
      appData: appData.slice(),
      heardAt: this.#host.unixMs() / 1000,
      fixed,
      key: undefined,
      unhandled: new Set(this.#options.store.ids().map(toHex)),
      failures: 0,
      lastSyncAt: 0,
      nextSyncAt: 0,
      offered: 0,
      outgoing: 0,
      incoming: 0,
      outgoingBytes: 0,
      incomingBytes: 0,
      state: "idle",
      link: undefined,
      cancelTimer: undefined,
    };
    this.#byHex.set(peer.hex, peer);
    this.#host.changed();
    if (peer.unhandled.size > 0) this.#schedule(peer, SYNC_DELAY_MS);
    return peer;
  }
  drop(peer: Peer): void {
    peer.cancelTimer?.();
    peer.link?.close();
    this.#byHex.delete(peer.hex);
    this.#host.changed();
  }
  /** A message is here: all peers but those known to have it are told. */
  stored(id: string, except: string | undefined): void {
    for (const peer of this.#byHex.values()) {
      if (peer.hex === except) continue;
      if (peer.unhandled.size < MAX_UNHANDLED) peer.unhandled.add(id);
      if (peer.state === "idle" && peer.failures === 0) this.#schedule(peer, SYNC_DELAY_MS);
    }
  }
  /** The peer told that it has these. */
  has(hex: string, ids: readonly Uint8Array[]): void {
    const peer = this.#byHex.get(hex);
    for (const id of ids) peer?.unhandled.delete(toHex(id));
  }
  #schedule(peer: Peer, inMs: Millis): void {
    if (this.#closed) return;
    this.#host.act(() => {
      const { context } = this.#host.endpoint;
      peer.cancelTimer?.();
      peer.nextSyncAt = (this.#host.unixMs() + inMs) / 1000;
      peer.cancelTimer = context.schedule(context.now() + inMs, () => {
        peer.cancelTimer = undefined;
        this.sync(peer);
      });
    });
  }
  /** Drops who was silent too long; tries the others again. */
  sweep(): void {
    const now = this.#host.unixMs() / 1000;
    for (const peer of this.all) {
      if (!peer.fixed && now - peer.heardAt > UNREACHABLE_SECONDS) this.drop(peer);
    }
  }
  /** A message that the peer brought. */
  brought(hex: string, bytes: number): void {
    const peer = this.#byHex.get(hex);
    if (peer === undefined) return;
    peer.incoming++;
    peer.incomingBytes += bytes;
  }
  /** The operator wants it now: earlier failures do not count. */
  syncNow(peer: Peer): void {
    peer.failures = 0;
    this.sync(peer);
  }
  /** Offers what the peer may lack. Does nothing while a sync runs. */
  sync(peer: Peer): void {
    if (peer.state !== "idle" || peer.unhandled.size === 0 || this.#closed) return;
    const { endpoint, stamps } = this.#host;
    const known = endpoint.known.get(peer.hash);
    const about = readPropagationAppData(peer.appData);
    if (known === undefined || about === undefined) {
      endpoint.searchPath(peer.hash);
      this.#failed(peer);
      return;
    }
    if (peer.key === undefined) {
      if (about.peeringCost > Math.min(this.#options.maxPeeringCost, MAX_STAMP_COST)) return;
      peer.state = "key";
      const material = peeringMaterial(known.identity.hash, this.#options.identity.hash);
      resume(
        this.#host,
        stamps.search(material, ROUNDS.peering, about.peeringCost),
        (key) => {
          peer.key = key;
          peer.state = "idle";
          this.#host.changed();
          this.sync(peer);
        },
        () => this.#failed(peer),
      );
      return;
    }
    if (!endpoint.hasPath(peer.hash)) endpoint.searchPath(peer.hash);
    this.#connect(peer, peer.key, about);
  }
  #connect(peer: Peer, key: Uint8Array, about: PropagationAppData): void {
    peer.state = "linking";
    peer.lastSyncAt = this.#host.unixMs() / 1000;
    let link: Link;
    try {
      link = this.#host.endpoint.openLink(peer.hash);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      this.#failed(peer);
      return;
    }
    peer.link = link;
    link.onEstablished = () => {
      link.identify(this.#options.identity);
      this.#offer(peer, link, key, about);
    };
    link.onClosed = () => {
      peer.link = undefined;
      if (peer.state !== "idle") this.#failed(peer);
    };
  }
  #failed(peer: Peer): void {
    peer.state = "idle";
    peer.failures++;
    peer.link?.close();
    this.#schedule(peer, BACKOFF_STEP_MS * Math.min(peer.failures, MAX_BACKOFF_STEPS));
  }
  /** What goes into one offer: small and young first, within the peer's limits. */
  #choose(peer: Peer, about: PropagationAppData): StoredMessage[] {
    const { store } = this.#options;
    const now = this.#host.unixMs() / 1000;
    const fitting: StoredMessage[] = [];
    for (const id of peer.unhandled) {
      const message = store.entry(id);
      if (message === undefined || message.bytes > about.transferLimitKb * 1000) peer.unhandled.delete(id);
      else fitting.push(message);
    }
    fitting.sort((a, b) => store.weight(a, now) - store.weight(b, now));
    let left = about.syncLimitKb * 1000;
    return fitting.slice(0, MAX_OFFERED).filter(({ bytes }) => {
      left -= bytes;
      return left >= 0;
    });
  }
  #offer(peer: Peer, link: Link, key: Uint8Array, about: PropagationAppData): void {
    const offered = this.#choose(peer, about);
    if (offered.length === 0) {
      this.#finished(peer, link);
      return;
    }
    peer.state = "offering";
    const ids = offered.map(({ id }) => fromHex(id));
    const request = link.request("/offer", [key, ids], OFFER_TIMEOUT_MS);
    request.onFailed = () => this.#failed(peer);
    request.onResponse = ({ value }) => {
      if (typeof value === "number") {
        if (value === REFUSAL.invalidKey) peer.key = undefined;
        this.#failed(peer);
        return;
      }
      peer.heardAt = this.#host.unixMs() / 1000;
      const wanted = this.#wanted(value, offered);
      if (wanted === undefined) this.#failed(peer);
      else this.#send(peer, link, key, about, offered, wanted);
    };
  }
  /** Only what was offered can be wanted, whatever the peer says. */
  #wanted(value: Packable, offered: readonly StoredMessage[]): ReadonlySet<string> | undefined {
    if (value === false) return new Set();
    const all = offered.map(({ id }) => id);
    if (value === true) return new Set(all);
    try {
      const asked = new Set(byteList(value).map(toHex));
      return new Set(all.filter((id) => asked.has(id)));
    } catch {
      return undefined;
    }
  }
  #send(
    peer: Peer,
    link: Link,
    key: Uint8Array,
    about: PropagationAppData,
    offered: readonly StoredMessage[],
    wanted: ReadonlySet<string>,
  ): void {
    peer.offered += offered.length;
    const done = (): void => {
      for (const { id } of offered) peer.unhandled.delete(id);
      this.#host.changed();
      this.#offer(peer, link, key, about);
    };
    if (wanted.size === 0) {
      done();
      return;
    }
    peer.state = "sending";
    const read = Promise.all([...wanted].map((id) => this.#options.store.get(id)));
    const transfer = (found: readonly (StampedMessage | undefined)[]): void => {
      if (!link.isUp) return;
      const messages = found.filter((one) => one !== undefined).map(joinStamped);
      const resource = link.sendResource(packUpload(this.#host.unixMs() / 1000, messages));
      resource.onConcluded = () => {
        if (resource.state !== "complete") {
          this.#failed(peer);
          return;
        }
        peer.outgoing += messages.length;
        peer.outgoingBytes += resource.totalBytes;
        done();
      };
    };
    resume(this.#host, read, transfer, () => this.#failed(peer));
  }
  #finished(peer: Peer, link: Link): void {
    peer.state = "idle";
    peer.failures = 0;
    link.close();
    if (peer.unhandled.size > 0) this.#schedule(peer, SYNC_DELAY_MS);
  }

  save(): Packable {
    return this.all.map((peer): Packable => {
      const { hash, appData, heardAt, key, unhandled, fixed } = peer;
      return [hash, appData, new Double(heardAt), key ?? null, [...unhandled].map((id) => fromHex(id)), fixed];
    });
  }
  /** Throws `frame_syntax`. */
  load(saved: Packable): void {
    if (!Array.isArray(saved)) throw new SpineError("frame_syntax", "peers");
    for (const entry of saved as readonly Packable[]) {
      const [hash, appData, heard, key, unhandled, fixed] = Array.isArray(entry) ? (entry as readonly Packable[]) : [];
      const heardAt = packedNumber(heard);
      if (!(hash instanceof Uint8Array) || !(appData instanceof Uint8Array) || heardAt === undefined) {
        throw new SpineError("frame_syntax", "peer");
      }
      const peer = this.#make(hash, appData, fixed === true);
      peer.heardAt = Math.min(heardAt, this.#host.unixMs() / 1000);
      peer.key = key instanceof Uint8Array ? key.slice() : undefined;
      peer.unhandled.clear();
      for (const id of byteList(unhandled)) peer.unhandled.add(toHex(id));
      if (peer.unhandled.size > 0) this.#schedule(peer, SYNC_DELAY_MS);
    }
  }
  close(): void {
    this.#closed = true;
    for (const peer of this.all) {
      peer.cancelTimer?.();
      peer.state = "idle";
      peer.link?.close();
    }
  }
}
