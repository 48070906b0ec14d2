/**
 * The enclave: Spine frames between attested peers, inside WireGuard. The plane keeps the interface's peers equal to the
 * operator's list (`members.ts`, `keeper.ts`) and links with those the interface holds (`tunnel-links.ts`). While the
 * interface is down there are no links and nothing listens; it is set up again on its own.
 */
import { createServer, type Server } from "node:net";
import {
  asSpineError,
  claimOf,
  type Envelope,
  type ErrorCode,
  type Issuer,
  isIssuer,
  type LinkId,
  SpineError,
  toHex,
  type Verdict,
} from "../../spine/index.ts";
import { EventQueue } from "../event-queue.ts";
import { Lifecycle } from "../lifecycle.ts";
import { FAULT_POINTS, PenaltyBook } from "../penalties.ts";
import type { Plane, PlaneEvent, PlanePeer, PlaneTraits } from "../plane.ts";
import { type Binding, readBinding } from "./binding.ts";
import { CARD_PREFIX, openCard } from "./card.ts";
import type { DeviceState } from "./device.ts";
import { contains, formatAddress, formatNetwork, parseAddress, parseNetwork, singleOf } from "./ip.ts";
import { Keeper } from "./keeper.ts";
import { type Absence, Members } from "./members.ts";
import { DEFAULT_ENCLAVE_LIMITS, type EnclaveLimits, type WireguardOptions } from "./options.ts";
import { publicKeyOf } from "./transport-key.ts";
import { LINK_PREFIX, TunnelLinks, type TunnelPeer } from "./tunnel-links.ts";

/** Where the MTU goes when full packets vanish; the two small ones exist in IPv4 alone. */
const MTU_STEPS = [1_280, 1_100, 576];
const MTU_LEAST = { 4: 576, 6: 1_280 } as const;

/** For status: the enclave as a whole. */
export interface EnclaveStatus {
  readonly publicKey: string | null;
  readonly up: boolean;
  readonly mtuBytes: number;
  /** Why it is down or not as wished; null while all is well. */
  readonly failure: SpineError | null;
  readonly absent: readonly { readonly issuer: Issuer; readonly reason: Absence | string }[];
}

export class WireguardPlane implements Plane {
  readonly name = "wireguard";
  readonly traits: PlaneTraits = {
    broadcast: false,
    ordered: true,
    reliable: true,
    authenticated: true,
    storeAndForward: false,
  };
  readonly #options: WireguardOptions;
  readonly #limits: EnclaveLimits;
  readonly #now: () => number;
  readonly #life = new Lifecycle("wireguard");
  readonly #queue = new EventQueue();
  readonly #penalties: PenaltyBook;
  readonly #members: Members;
  readonly #links: TunnelLinks;
  readonly #keeper: Keeper;
  readonly #counts = {
    frames_sent: 0,
    frames_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    sends_held: 0,
    links_opened: 0,
    dials: 0,
    dials_failed: 0,
    strangers_refused: 0,
    black_holes: 0,
    bindings_learnt: 0,
    bindings_refused: 0,
  };
  #publicKey: string | null;
  /** What the interface holds for listed peers, by address. */
  #table = new Map<string, TunnelPeer>();
  readonly #handshakes = new Map<string, number>();
  #server: Server | null = null;
  #ticking: NodeJS.Timeout | null = null;
  #suspects = 0;
  /** A new key is being set. */
  #pokeDue = false;
  #stopped: Promise<void> | null = null;

  /** Throws `enclave_address`, `key_invalid` or `peer_address` for settings that cannot work. */
  constructor(options: WireguardOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_ENCLAVE_LIMITS, ...options.limits };
    this.#now = options.now ?? (() => performance.now());
    this.#penalties = new PenaltyBook({
      now: this.#now,
      limit: this.#limits.penaltyLimit,
      halfLifeMs: this.#limits.penaltyHalfLifeMs,
      banMs: this.#limits.banMs,
    });
    const { device, privateKey, issuer, keepaliveSeconds, listenPort, mtuBytes } = options;
    const network = parseNetwork(options.network);
    const own = parseAddress(options.address);
    if (!contains(network, own))
      throw new SpineError("enclave_address", `${options.address} is outside ${options.network}`);
    this.#publicKey = privateKey === null ? null : toHex(publicKeyOf(privateKey));
    const random = options.random ?? Math.random;
    const log = options.log ?? (() => undefined);
    this.#members = new Members({
      own: issuer,
      keepaliveSeconds,
      excluded: options.excluded ?? (() => false),
      attested: options.attested ?? (() => true),
    });
    this.#keeper = new Keeper({
      device,
      settings: {
        privateKey: privateKey ?? new Uint8Array(32),
        address: `${formatAddress(own)}/${network.prefix}`,
        listenPort,
        mtuBytes,
      },
      publicKey: this.#publicKey ?? "",
      network,
      ownAddress: formatAddress(own),
      pollMs: this.#limits.pollMs,
      retryMinMs: this.#limits.retryMinMs,
      retryMaxMs: this.#limits.retryMaxMs,
      now: options.wallNow ?? Date.now,
      random,
      log,
      changed: (state) => this.#interface(state),
    });
    this.#links = new TunnelLinks({
      issuer,
      ownAddress: formatAddress(own),
      queue: this.#queue,
      limits: this.#limits,
      now: this.#now,
      random,
      counts: this.#counts,
      ownKey: () => this.#publicKey,
      paddingBytes: () => this.#keeper.mtuBytes,
      peerAt: (address) => this.#table.get(address),
      bannedUntil: (peer) => this.#penalties.bannedUntil(peer),
      fault: (peer, code) => this.#punish(peer, code),
      blackHole: (peer) => this.#blackHole(peer),
    });
    // A list made for everybody names this node too.
    for (const peer of options.peers ?? []) this.#take(peer, true);
  }

  /** Also rejects with `enclave_address` and `enclave_refused`; a helper or interface that is not there is waited for. */
  async start(options: { signal: AbortSignal }): Promise<void> {
    this.#life.begin();
    try {
      await Promise.resolve();
      options.signal.throwIfAborted();
      this.#keeper.want(this.#members.wanted());
      await this.#keeper.start();
      await this.#listen();
      options.signal.throwIfAborted();
    } catch (error) {
      await this.stop();
      throw error instanceof SpineError ? error : new SpineError("plane_start_failed", String(error), { cause: error });
    }
    if (!this.#life.ready()) throw new SpineError("plane_start_failed", "stopped during start");
    this.#ticking = setInterval(() => this.#links.tick(), this.#limits.tickMs);
    this.#settle();
  }

  events(): AsyncIterable<PlaneEvent> {
    return this.#queue.events();
  }
  async send(link: LinkId, frame: Uint8Array, options: { signal: AbortSignal }): Promise<void> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    await this.#links.send(link, frame, options.signal);
  }
  async broadcast(_data: Uint8Array, options: { signal: AbortSignal }): Promise<number> {
    this.#life.requireRunning();
    options.signal.throwIfAborted();
    return 0;
  }
  judge(_id: string, _verdict: Verdict): void {}
  penalise(link: LinkId, code: string): void {
    const issuer = issuerOf(link);
    if (issuer !== null) this.#punish(issuer, code);
  }
  disconnect(link: LinkId, reason: string): void {
    const issuer = issuerOf(link);
    if (issuer !== null && this.#links.linkOf(issuer) === link) this.#links.close(issuer, reason);
  }

  /** A card, or the id of an issuer whose binding comes over another plane. */
  async addPeer(address: string): Promise<void> {
    if (this.#life.state === "stopped") this.#life.requireRunning();
    const issuer = this.#take(address);
    this.#wish();
    this.#links.nudge(issuer);
  }
  async removePeer(id: string): Promise<void> {
    if (!this.#members.unlist(id)) return;
    this.#links.close(id, "removed");
    this.#wish();
  }

  peers(): readonly PlanePeer[] {
    const watched = new Map(this.#keeper.peers().map((peer) => [peer.publicKey, peer]));
    return this.#members.listed.map((issuer): PlanePeer => {
      const binding = this.#members.binding(issuer);
      const held = [...this.#table.values()].find((peer) => peer.issuer === issuer);
      const tunnel = watched.get(held?.publicKey ?? binding?.publicKey ?? "");
      const absence = this.#members.absence(issuer) ?? this.#refusal(binding);
      return {
        id: issuer,
        addresses: binding === undefined ? [] : [`${binding.address}:${binding.port}`],
        configured: true,
        link: this.#links.linkOf(issuer),
        tunnel: {
          publicKey: held?.publicKey ?? binding?.publicKey ?? null,
          absence: absence ?? null,
          health: tunnel?.health ?? "never",
          handshakeAtMs: tunnel?.handshakeAtMs ?? 0,
          rxBytes: tunnel?.rxBytes ?? 0,
          txBytes: tunnel?.txBytes ?? 0,
          endpoint: tunnel?.endpoint ?? null,
          endpointChanges: tunnel?.endpointChanges ?? 0,
        },
      };
    });
  }
  addresses(): readonly string[] {
    const card = this.#life.running ? this.#options.card() : null;
    return card === null ? [] : [card];
  }
  counters(): Readonly<Record<string, number>> {
    const peers = this.#keeper.peers();
    const now = (this.#options.wallNow ?? Date.now)();
    const alive = peers.filter(({ health }) => health === "alive");
    const sum = (of: (peer: (typeof peers)[number]) => number): number =>
      peers.reduce((total, peer) => total + of(peer), 0);
    return {
      ...this.#counts,
      ...this.#keeper.counters(),
      links: this.#links.size,
      queued_bytes: this.#queue.bytes,
      penalties: this.#penalties.penalties,
      bans: this.#penalties.bans,
      interface_up: this.#keeper.state === null ? 0 : 1,
      mtu_bytes: this.#keeper.mtuBytes,
      peers_listed: this.#members.listed.length,
      peers_held: peers.length,
      peers_alive: alive.length,
      peers_stale: peers.filter(({ health }) => health === "stale").length,
      oldest_handshake_seconds: alive.reduce((oldest, peer) => Math.max(oldest, (now - peer.handshakeAtMs) / 1_000), 0),
      tunnel_received_bytes: sum(({ rxBytes }) => rxBytes),
      tunnel_sent_bytes: sum(({ txBytes }) => txBytes),
    };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
  async #stop(): Promise<void> {
    this.#life.end();
    if (this.#ticking !== null) clearInterval(this.#ticking);
    this.#links.end();
    await this.#hangUp();
    await this.#keeper.stop();
    this.#queue.end("stopped");
  }

  // ---- for the daemon ----

  /** A verified envelope that may carry a binding of a listed issuer. Bad ones are counted and change nothing. */
  learn(envelope: Envelope): void {
    let binding: Binding | undefined;
    try {
      binding = readBinding(envelope);
    } catch {
      this.#counts.bindings_refused++;
      return;
    }
    if (binding === undefined || !this.#members.learn(binding)) return;
    this.#counts.bindings_learnt++;
    this.#wish();
  }
  /** Exclusions or attestations may have changed: whoever lost its place is out of the interface at once. */
  refresh(): void {
    this.#wish();
  }
  /** A new transport key takes over: peers that know it as the next one keep their links. */
  changeKey(privateKey: Uint8Array): void {
    this.#publicKey = toHex(publicKeyOf(privateKey));
    this.#keeper.change({ privateKey }, this.#publicKey);
    this.#pokeDue = true;
  }
  /** Every wish was read back from the interface. */
  get settled(): boolean {
    return this.#keeper.settled;
  }
  get publicKey(): string | null {
    return this.#publicKey;
  }
  isListed(issuer: Issuer): boolean {
    return this.#members.isListed(issuer);
  }
  get listed(): readonly Issuer[] {
    return this.#members.listed;
  }
  enclave(): EnclaveStatus {
    const absent = this.#members.listed.flatMap((issuer) => {
      const reason = this.#members.absence(issuer) ?? this.#refusal(this.#members.binding(issuer));
      return reason === undefined ? [] : [{ issuer, reason }];
    });
    const { failure, state, mtuBytes } = this.#keeper;
    return { publicKey: this.#publicKey, up: state !== null, mtuBytes, failure, absent };
  }

  // ---- inside ----

  /** Puts a card's or an issuer id's issuer on the list. Throws `peer_address`, `signature_invalid` or `quota_exceeded`. */
  #take(address: string, ownToo = false): Issuer {
    if (!address.startsWith(CARD_PREFIX)) {
      if (!isIssuer(address)) {
        throw new SpineError("peer_address", "an enclave peer is a card (spine-peer:1:…) or an issuer id");
      }
      this.#list(address, ownToo);
      return address;
    }
    const envelope = openCard(address, this.#options.sha256Hex);
    if (!this.#options.verify(claimOf(envelope)))
      throw new SpineError("peer_address", "the card's signature does not verify");
    const binding = readBinding(envelope) as Binding;
    this.#list(envelope.issuer, ownToo);
    if (this.#members.learn(binding)) this.#counts.bindings_learnt++;
    return envelope.issuer;
  }
  #list(issuer: Issuer, ownToo: boolean): void {
    if (issuer === this.#options.issuer) {
      if (ownToo) return;
      throw new SpineError("peer_address", "this is the node's own card");
    }
    if (!this.#members.list(issuer) && !this.#members.isListed(issuer)) {
      throw new SpineError("quota_exceeded", "the enclave's list is full");
    }
  }

  #refusal(binding: Binding | undefined): string | undefined {
    return this.#keeper.refused.find(({ publicKey }) => publicKey === binding?.publicKey)?.reason;
  }

  #wish(): void {
    if (this.#life.state === "stopped") return;
    // Links first: a peer that lost its place is cut before the interface is even asked.
    this.#settle();
    this.#keeper.want(this.#members.wanted());
  }

  /** The interface was looked at. */
  #interface(state: DeviceState | null): void {
    if (this.#life.state === "stopped") return;
    if (!this.#options.device.owned) this.#publicKey = state?.publicKey ?? null;
    if (state === null) {
      this.#table = new Map();
      this.#links.cutAll("the interface is down");
      void this.#hangUp();
      return;
    }
    this.#tabulate(state);
    if (this.#life.running) void this.#listen().catch(() => undefined);
    this.#settle();
    if (this.#pokeDue && state.publicKey === this.#publicKey) {
      this.#pokeDue = false;
      this.#links.poke();
    }
    for (const { publicKey, handshakeAtMs } of state.peers) {
      if ((this.#handshakes.get(publicKey) ?? 0) === handshakeAtMs) continue;
      this.#handshakes.set(publicKey, handshakeAtMs);
      const peer = [...this.#table.values()].find((one) => one.publicKey === publicKey);
      if (peer !== undefined) this.#links.nudge(peer.issuer);
    }
    if (this.#handshakes.size > state.peers.length * 2 + 16) this.#handshakes.clear();
  }

  /** Which listed issuer each address belongs to: only if the interface gives the address to a key of that issuer. */
  #tabulate(state: DeviceState): void {
    const holder = new Map<string, string>();
    for (const { publicKey, allowedIps } of state.peers) for (const ip of allowedIps) holder.set(ip, publicKey);
    const table = new Map<string, TunnelPeer>();
    for (const { issuer, address, port } of this.#members.present()) {
      const key = holder.get(singleOf(parseAddress(address)));
      if (key === undefined || !this.#members.keys(issuer).includes(key) || table.has(address)) continue;
      table.set(address, { issuer, publicKey: key, address, port });
    }
    this.#table = table;
  }

  #settle(): void {
    const { state } = this.#keeper;
    if (state !== null) this.#tabulate(state);
    if (!this.#life.running) return;
    this.#links.settle([...this.#table.values()], (issuer) => this.#members.keys(issuer));
  }

  /** Listens on the tunnel's address, once it exists. */
  async #listen(): Promise<void> {
    if (this.#server !== null || this.#keeper.state === null) return;
    const { address, port } = this.#options;
    const server = createServer({ noDelay: true }, (socket) => this.#links.accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: formatAddress(parseAddress(address)), port }, resolve);
    }).catch((cause: unknown) => {
      if (this.#server === server) this.#server = null;
      const code: ErrorCode = (cause as { code?: string }).code === "EADDRINUSE" ? "port_in_use" : "plane_start_failed";
      throw new SpineError(code, asSpineError(cause).message, { cause });
    });
    server.on("error", () => undefined);
  }
  async #hangUp(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server?.listening === true) await new Promise<void>((done) => server.close(() => done()));
  }

  #punish(issuer: Issuer, code: string): void {
    if (!this.#penalties.add(issuer, FAULT_POINTS)) return;
    this.#options.log?.("peer banned", { peer: issuer, reason: code });
    this.#links.close(issuer, "banned");
  }

  #blackHole(issuer: Issuer): void {
    this.#counts.black_holes++;
    const { device, network, log } = this.#options;
    const least = MTU_LEAST[parseNetwork(network).family];
    const now = this.#keeper.mtuBytes;
    const next = MTU_STEPS.find((step) => step < now && step >= least);
    // Two in a row: one may be a peer that was just stopping.
    if (++this.#suspects % 2 === 1 || next === undefined || !device.owned) return;
    log?.("full packets vanish on the way: smaller ones from now on", {
      peer: issuer,
      mtu: next,
      network: formatNetwork(parseNetwork(network)),
    });
    this.#keeper.change({ mtuBytes: next });
  }
}

/** "wireguard:ISSUER/7" → ISSUER. */
function issuerOf(link: LinkId): Issuer | null {
  if (!link.startsWith(LINK_PREFIX)) return null;
  const [issuer] = link.slice(LINK_PREFIX.length).split("/");
  return issuer === undefined || issuer === "" ? null : issuer;
}
