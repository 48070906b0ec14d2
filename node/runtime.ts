/**
 * A node in one process: keys, store, driver and publisher, with or without planes. Built in order, closed in reverse.
 * The daemon and the offline verbs share it.
 */
import { setMaxListeners } from "node:events";
import { join } from "node:path";
import { Libp2pPlane, type Plane, type reticulum } from "../planes/index.ts";
import {
  Admission,
  AuthorityLoader,
  type AuthorityTrust,
  type Issuer,
  openSigningBytes,
  parseIssuer,
  RowTable,
  type Run,
  SpineError,
} from "../spine/index.ts";
import { LevelStore } from "../storage/index.ts";
import { Transparency, type TransparencyEvent } from "./attest/transparency.ts";
import { genesisOf } from "./authority/identity.ts";
import type { ClockAnomaly } from "./authority/incidents.ts";
import { OwnChainKeeper } from "./authority/own-chain.ts";
import { RevocationSets } from "./authority/revocation-sets.ts";
import { authorityTrust, EMPTY_TRUST } from "./authority/trust-file.ts";
import { reloadTrust, type TrustState } from "./authority/trust-keeper.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { NodeDir } from "./dir.ts";
import { Driver, type DriverEvent } from "./driver.ts";
import type { Enclave } from "./enclave/enclave.ts";
import { Gateway, gatewayPaths } from "./gateway/gateway.ts";
import { sha256Hex } from "./hash.ts";
import { IssueClock } from "./issue-clock.ts";
import { readKeyFile } from "./keyfile.ts";
import { NatsFeed } from "./nats/feed.ts";
import { NatsService } from "./nats/service.ts";
import { planeOf, readPeerbook } from "./peerbook.ts";
import { Publisher } from "./publish.ts";
import type { RadioStatus } from "./reticulum/radio-status.ts";
import { readSecretText } from "./secret-file.ts";
import { createSigner, type ReceiptSigner } from "./signer.ts";
import { WorkerVerifier } from "./verifier.ts";

/** How long a stopping node waits for its last anchor. */
const LAST_ANCHOR_MS = 2_000;
const MIB = 1_048_576;
/** Parts of a node that end with it; Node warns of more than 10. */
const MAX_PARTS = 64;

export interface RuntimeOptions {
  readonly dir: NodeDir;
  readonly config: Config;
  /** Told what the planes and the core tell. */
  readonly onEvent: (event: DriverEvent) => void;
  readonly onPlaneLog?: (event: string, fields: Readonly<Record<string, string | number>>) => void;
  /** Range requests per link; 0 makes a node that asks for nothing. */
  readonly requestsPerLink?: number;
  /** Joins several planes by policy, if the configuration says so: the daemon does. */
  readonly joinPlanes?: boolean;
  readonly onGatewayWarning?: (text: string, fields: Readonly<Record<string, string | number>>) => void;
  /** Planes will run, so that peers can be asked for the own chain. */
  readonly willAsk?: boolean;
  /** The operator's word that no other copy of this node signs. */
  readonly acceptForkRisk?: boolean;
  /** Told what the log, the witness and the follower of logs tell. */
  readonly onTransparency?: (event: TransparencyEvent) => void;
  /** Told of a clock that cannot be right, with by how many seconds. */
  readonly onClock?: (kind: ClockAnomaly, seconds: number) => void;
  readonly onOwnChainNote?: (note: string, fields: Readonly<Record<string, string | number>>) => void;
}

/** What the stored facts say of who may speak, judged by `trust`. */
async function loadAuthority(store: LevelStore, trust: AuthorityTrust): Promise<AuthorityLoader> {
  const loader = new AuthorityLoader(trust);
  for await (const { key, value } of store.rows(RowTable.authority)) loader.add(key, value);
  return loader;
}

/** Issued-at of the newest own envelope, in seconds: own times never decrease, over restarts too. */
async function lastIssuedAt(store: LevelStore, issuer: Issuer, seq: number | undefined): Promise<number> {
  const stored = seq === undefined ? undefined : await store.at(issuer, seq);
  if (stored === undefined) return 0;
  return Math.floor(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex).issuedAtMs / 1000);
}

export class Runtime implements AsyncDisposable {
  readonly dir: NodeDir;
  readonly config: Config;
  readonly issuer: Issuer;
  /** For guard receipts; everything else is signed by the publisher and the driver. */
  readonly signer: ReceiptSigner;
  readonly store: LevelStore;
  readonly driver: Driver;
  readonly publisher: Publisher;
  readonly verifier: WorkerVerifier;
  readonly ownChain: OwnChainKeeper;
  readonly transparency: Transparency;
  readonly revocationSets: RevocationSets;
  readonly planes: Plane[] = [];
  /** The WireGuard plane's keeper, while it runs. */
  enclave: Enclave | undefined;
  readonly gateway: Gateway | undefined;
  nats: NatsService | undefined;
  /** What the radio plane shows, while it runs. */
  radio: (() => RadioStatus) | undefined;
  /** The trust in effect, and what is wrong with the file or waits for confirmation. */
  trust: TrustState = { effective: EMPTY_TRUST, pending: [], problem: null };
  readonly #options: RuntimeOptions;
  readonly #abort = new AbortController();
  readonly #work: Promise<void>[] = [];
  #feed: NatsFeed | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    parts: Pick<
      Runtime,
      "store" | "driver" | "publisher" | "verifier" | "signer" | "ownChain" | "transparency" | "gateway"
    >,
    options: RuntimeOptions,
  ) {
    this.dir = options.dir;
    this.config = options.config;
    this.signer = parts.signer;
    this.issuer = parts.signer.issuer;
    this.store = parts.store;
    this.driver = parts.driver;
    this.publisher = parts.publisher;
    this.verifier = parts.verifier;
    this.ownChain = parts.ownChain;
    this.transparency = parts.transparency;
    this.revocationSets = new RevocationSets({
      authority: parts.driver.mesh.authority,
      now: systemClock.now,
      publish: (fact) => parts.publisher.publish([fact]),
    });
    this.gateway = parts.gateway;
    this.#options = options;
    setMaxListeners(MAX_PARTS, this.#abort.signal);
  }

  /** Throws `key_*`, `store_*` or `config_invalid` and leaves nothing open. */
  static async open(options: RuntimeOptions): Promise<Runtime> {
    const { dir, config, onEvent } = options;
    const signer = createSigner(await readKeyFile(dir.issuerKey, "issuer"));
    const store = new LevelStore(dir.store);
    await store.open();
    const verifier = new WorkerVerifier();
    try {
      const snapshot = await store.load();
      const ownChain = await OwnChainKeeper.open({
        ...{ dir, store, snapshot, issuer: signer.issuer },
        acceptForkRisk: options.acceptForkRisk === true,
        willAsk: options.willAsk === true,
        onNote: options.onOwnChainNote ?? (() => {}),
      });
      const trust = await reloadTrust({ file: dir.trust, accepted: dir.trustAccepted });
      const judged = authorityTrust(trust.effective);
      const authority = await loadAuthority(store, judged);
      const transparency = await Transparency.open(
        {
          ...{ dir, config, store, signer, verifier },
          clock: systemClock,
          onEvent: options.onTransparency ?? (() => {}),
        },
        snapshot.logSize,
      );
      const gateway =
        options.joinPlanes === true
          ? await openGateway(options, store, signer.issuer, transparency.keeper.logId)
          : undefined;
      const driver = new Driver({
        store,
        snapshot,
        authority,
        signer,
        verifier,
        sha256Hex,
        clock: systemClock,
        open: config.issuers.open,
        limits: {
          claims: config.quotas.claims,
          issuers: config.quotas.issuers,
          envelopesPerIssuer: config.quotas.envelopesPerIssuer,
          issuerBytesPerDay: config.quotas.issuerMiBPerDay * MIB,
          peerBytesPerDay: config.quotas.peerMiBPerDay * MIB,
          freshPerSecond: config.publish.gossipRatePerSecond,
          ...(options.requestsPerLink === undefined ? {} : { requestsPerLink: options.requestsPerLink }),
        },
        commitDelayMs: config.store.commitDelayMs,
        ownChain: ownChain.start,
        ...(gateway === undefined ? {} : { disclosure: gateway.index }),
        onAttest: (link, _, body) => transparency.message(link, body),
        onEvent: (event) => {
          if (event.type !== "link" && event.type !== "fatal") ownChain.on(event);
          transparency.on(event);
          if (event.type === "fork") gateway?.forked(event.issuer, event.seq);
          if (event.type === "refused" && event.code === "not_disclosed" && event.link !== null)
            gateway?.asked(event.link);
          onEvent(event);
        },
      });
      const issueClock = new IssueClock({
        wall: systemClock.now,
        steady: () => performance.now(),
        onJump: (ms) => options.onClock?.(ms > 0 ? "clock_jump" : "clock_step_back", Math.round(Math.abs(ms) / 1000)),
      });
      const publisher = new Publisher({
        signer,
        sha256Hex,
        now: () => Math.max(issueClock.now(), 1000 * ownChain.seenSeconds),
        onAhead: (seconds) => options.onClock?.("issued_at_ahead", seconds),
        head: () => driver.mesh.ownHead,
        lastIssuedAtSeconds: await lastIssuedAt(store, signer.issuer, driver.mesh.ownHead?.seq),
        local: (envelopes) => driver.local(envelopes),
        signAside: (message) => signer.signAside(message),
        maxBatch: config.publish.maxBatch,
        gate: () => ownChain.gate(),
      });
      const runtime = new Runtime(
        { store, driver, publisher, verifier, ownChain, transparency, gateway, signer },
        options,
      );
      gateway?.bind(driver, publisher);
      runtime.trust = trust;
      await driver.change({ type: "trust", trust: judged });
      for (const issuer of config.issuers.allow) await runtime.admit(issuer, Admission.allowed);
      await transparency.bind(driver, trust.effective);
      runtime.checkOwnStanding();
      if (!driver.mesh.authority.isRevoked(runtime.issuer)) await runtime.#beginChain();
      return runtime;
    } catch (caught) {
      await verifier.close();
      await store.close();
      throw caught;
    }
  }

  /** Takes over the trust file as far as it loosens nothing; what is wrong with it stays in `trust`. */
  async reloadTrust(): Promise<TrustState> {
    const before = JSON.stringify(this.trust.effective);
    this.trust = await reloadTrust({ file: this.dir.trust, accepted: this.dir.trustAccepted });
    if (JSON.stringify(this.trust.effective) !== before) {
      await this.driver.change({ type: "trust", trust: authorityTrust(this.trust.effective) });
      await this.transparency.setTrust(this.trust.effective);
    }
    return this.trust;
  }

  /** Nothing that an issuer signs at or above its own cut is taken by anybody: publishing stops, and says so. */
  checkOwnStanding(): void {
    const { authority, ownHead } = this.driver.mesh;
    if (authority.decide(this.issuer, (ownHead?.seq ?? 0) + 1) !== "revoked") return;
    this.publisher.stop(new SpineError("issuer_revoked", "this node's own key was revoked or has handed over"));
  }

  /** Seq 1 commits to the recovery key and the next key (rules 7); a node made without them begins with its first fact. */
  async #beginChain(): Promise<void> {
    if (this.driver.mesh.ownHead !== undefined || this.ownChain.phase !== "signing") return;
    const genesis = await genesisOf(this.dir, this.issuer, systemClock.now());
    if (genesis === undefined) return;
    const [outcome] = await this.publisher.publish([genesis]);
    if (outcome?.ok === false) throw new SpineError(outcome.code, outcome.message);
  }

  /** Durable when resolved; nothing happens if it is so already. */
  async admit(issuer: Issuer, admission: Admission): Promise<void> {
    parseIssuer(issuer);
    if (issuer === this.issuer) return;
    if (this.driver.mesh.issuer(issuer)?.admission === admission) return;
    await this.driver.change({ type: "admit", issuer, admission });
    this.enclave?.refresh();
  }

  /** Starts the configured planes. */
  async startPlanes(signal: AbortSignal): Promise<void> {
    await this.#startLibp2p(signal, false);
    if (this.config.planes.nats.enabled) await this.#startNats(signal);
  }

  /** Starts one plane that listens nowhere and looks for nobody: for one-shot syncs. */
  async dial(plane: string, signal: AbortSignal): Promise<void> {
    if (plane === "libp2p") await this.#startLibp2p(signal, true);
    if (plane === "nats") await this.#dialNats(signal);
  }

  async #dialNats(signal: AbortSignal): Promise<void> {
    const { transparency, store, gateway } = this;
    const parts = { store, gateway, keeper: transparency.keeper, witness: transparency.witness };
    const alone = { ...this.config.planes.nats, peers: [], discover: false };
    this.nats = await NatsService.make(this.dir, alone, null, parts, this.#options.onPlaneLog);
    await this.nats.plane.start({ signal });
    this.planes.push(this.nats.plane);
    this.driver.attach(this.nats.plane);
  }

  async #startLibp2p(signal: AbortSignal, dialOnly: boolean): Promise<void> {
    const { libp2p } = this.config.planes;
    if (!libp2p.enabled) return;
    const book = await readPeerbook(this.dir.peerbook);
    const added = book.filter((address) => planeOf(address) === "libp2p");
    const peers = dialOnly ? [] : [...new Set([...libp2p.peers, ...added])];
    const log = this.#options.onPlaneLog;
    const psk = libp2p.pskFile === undefined ? undefined : await readSecretText(join(this.dir.path, libp2p.pskFile));
    const plane = new Libp2pPlane({
      privateKeySeed: await readKeyFile(this.dir.libp2pKey, "libp2p"),
      listen: dialOnly ? [] : libp2p.listen,
      bootstrap: dialOnly ? [] : libp2p.bootstrap,
      peers,
      mdns: libp2p.mdns && !dialOnly,
      relay: { server: libp2p.relay.server && !dialOnly, use: dialOnly ? [] : libp2p.relay.use },
      limits: { maxConnections: libp2p.maxConnections, ...(libp2p.discover && !dialOnly ? {} : { targetLinks: 0 }) },
      ...(dialOnly ? {} : { datastorePath: this.dir.peerStore }),
      ...(psk === undefined ? {} : { psk }),
      ...(log === undefined ? {} : { log }),
    });
    await plane.start({ signal });
    this.planes.push(plane);
    this.driver.attach(plane);
  }

  /** The plane over a station that somebody else runs, and stops after this runtime. */
  async startReticulum(plane: reticulum.ReticulumPlane, signal: AbortSignal): Promise<void> {
    for (const address of await readPeerbook(this.dir.peerbook))
      if (planeOf(address) === "reticulum") await plane.addPeer(address);
    const { statedHead } = this.driver.mesh;
    // Where a policy governs what is told, the next head is judged by it before it is announced.
    if (statedHead !== null && this.gateway === undefined) plane.stateHead(statedHead);
    await plane.start({ signal });
    this.planes.push(plane);
    this.driver.attach(plane);
  }

  /** Makes checkpoints until the runtime closes. */
  keepLog(): void {
    this.background((signal) => this.transparency.keeper.run(signal));
  }

  async #startNats(signal: AbortSignal): Promise<void> {
    const { nats } = this.config.planes;
    const { store, driver, verifier, gateway, issuer, transparency } = this;
    const feed = new NatsFeed({
      ...{ own: issuer, ownLog: transparency.keeper.logId, store, driver, verifier, gateway },
      publishAll: this.config.gateway.mode === "off",
      window: nats.streams.window,
      senderRate: { perSecond: nats.senderPerSecond, burst: 2 * nats.senderPerSecond },
      now: systemClock.now,
      leaves: transparency.keeper.leaves,
    });
    // From the same moment on it is told of every run.
    this.#feed = feed;
    const parts = { store, gateway, keeper: transparency.keeper, witness: transparency.witness };
    const service = await NatsService.make(this.dir, nats, feed, parts, this.#options.onPlaneLog);
    transparency.askElsewhere = (witness, body, until) => service.desk?.ask(witness, body, until) ?? nobody();
    for (const address of await readPeerbook(this.dir.peerbook))
      if (planeOf(address) === "nats") await service.plane.addPeer(address);
    await service.plane.start({ signal });
    this.nats = service;
    this.planes.push(service.plane);
    this.driver.attach(service.plane);
    this.background((until) => service.run(until));
  }

  /** Envelopes were stored; called for every run. */
  stored(run: Run): void {
    this.#feed?.stored(run);
  }

  /** Runs `work` until the runtime closes; a failure other than closing is fatal. */
  background(work: (signal: AbortSignal) => Promise<void>): void {
    const { signal } = this.#abort;
    const run = work(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#options.onEvent({ type: "fatal", error: asFatal(error) });
    });
    this.#work.push(run);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }
  async #close(): Promise<void> {
    await Promise.race([this.gateway?.anchor(), new Promise((resolve) => setTimeout(resolve, LAST_ANCHOR_MS).unref())]);
    this.publisher.stop(new SpineError("api_unavailable", "the node is stopping"));
    this.#abort.abort();
    await this.enclave?.stop();
    await this.nats?.stop();
    for (const plane of [...this.planes].reverse()) await plane.stop();
    await this.driver.stop();
    await this.ownChain.close();
    await this.transparency.witness.settled();
    await Promise.all(this.#work);
    this.gateway?.close();
    await this.verifier.close();
    await this.store.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The gateway of a node with several planes, unless it was switched off. */
async function openGateway(
  options: RuntimeOptions,
  store: LevelStore,
  own: Issuer,
  ownLog: Issuer,
): Promise<Gateway | undefined> {
  const { config, dir } = options;
  const planes = Object.values(config.planes).filter(({ enabled }) => enabled);
  if (config.gateway.mode === "off" || planes.length < 2) return undefined;
  const { audit, ...paths } = gatewayPaths(dir.path);
  return Gateway.open({
    ...{ own, ownLog, store, paths },
    auditFolder: audit,
    auditFileBytes: config.gateway.auditFileBytes,
    auditFiles: config.gateway.auditFiles,
    anchorMs: 1000 * config.gateway.anchorSeconds,
    now: systemClock.now,
    warn: options.onGatewayWarning ?? (() => {}),
  });
}

async function nobody(): Promise<undefined> {}

function asFatal(error: unknown): SpineError {
  return error instanceof SpineError ? error : new SpineError("internal", String(error), { cause: error });
}
