/** The node as the API and the verbs see it, over the runtime in this process. Used by the daemon and offline. */
import type { TunnelStatus } from "../planes/index.ts";
import {
  Admission,
  asSpineError,
  decodeFork,
  type Envelope,
  type EnvelopeHash,
  envelopeText,
  headText,
  type Issuer,
  type JsonObject,
  normalTarget,
  type Outcome,
  openEnvelope,
  openSigningBytes,
  type RevocationScope,
  SpineError,
  toHex,
  walkRecords,
} from "../spine/index.ts";
import { type TransparencyAnswer, TransparencyApi, type TransparencyRequest } from "./api/transparency.ts";
import {
  type AuthorityStatus,
  type RevocationRight,
  recoveryHashOf,
  rightToRevoke,
  trustStatus,
} from "./authority/authority-status.ts";
import { requireEnclave } from "./enclave/enclave.ts";
import type { EventHub } from "./event-hub.ts";
import type { GuardStatus } from "./guards/index.ts";
import type {
  Fact,
  ForkStatus,
  GatewaySummary,
  ImportResult,
  IssuerPage,
  IssuerStatus,
  NatsSummary,
  NodeEvent,
  NodeHandle,
  NodeStatus,
  PeerStatus,
  PeerTunnel,
  PublishResult,
  Readiness,
  SyncOptions,
  SyncSummary,
} from "./handle.ts";
import { sha256Hex } from "./hash.ts";
import type { Metrics } from "./metrics.ts";
import type { NatsService } from "./nats/service.ts";
import { cardIssuer, changePeerbook, planeOf } from "./peerbook.ts";
import type { Runtime } from "./runtime.ts";
import { syncOnce } from "./sync-once.ts";
import { VERSION } from "./version.ts";

export interface LocalNodeOptions {
  readonly runtime: Runtime;
  readonly hub: EventHub;
  readonly metrics: Metrics | undefined;
  /** false: this process only looks at or changes the directory. */
  readonly running: boolean;
  readonly startedAtMs: number;
  /** What is missing before the node can be used, and what the operator should know. */
  readonly readiness: () => Readiness;
  readonly warnings: () => readonly string[];
  readonly guardStatus?: () => GuardStatus | undefined;
}

const STATUS_ISSUERS = 100;
const STATUS_LINKS = 100;
const IMPORT_BATCH = 256;

export class LocalNode implements NodeHandle {
  readonly #options: LocalNodeOptions;
  #transparency: TransparencyApi | undefined;
  constructor(options: LocalNodeOptions) {
    this.#options = options;
  }
  get #runtime(): Runtime {
    return this.#options.runtime;
  }
  get issuer(): Issuer {
    return this.#runtime.issuer;
  }

  async publish(facts: readonly Fact[], { signal }: { signal: AbortSignal }): Promise<readonly PublishResult[]> {
    signal.throwIfAborted();
    // Shapes are checked where envelopes are drafted, fact by fact.
    return await this.#runtime.publisher.publish(facts as readonly JsonObject[]);
  }

  async envelope(hash: EnvelopeHash): Promise<string | undefined> {
    const stored = await this.#runtime.store.envelope(hash);
    if (stored === undefined) {
      if ((await this.#runtime.store.locate(hash)) === undefined) return undefined;
      throw new SpineError("pruned", `${hash} is no longer held`);
    }
    return envelopeText(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash));
  }

  async *range(issuer: Issuer, from: number, to: number, limit: number): AsyncIterable<string> {
    let left = limit;
    for await (const run of this.#runtime.store.records(issuer, from, to)) {
      for (const { signingBytes, signature } of walkRecords(run.records)) {
        if (left-- <= 0) return;
        yield envelopeText(openSigningBytes(signingBytes, signature, sha256Hex));
      }
    }
  }

  async *heads(): AsyncIterable<string> {
    for (const { head } of this.#runtime.driver.mesh.issuers()) if (head !== null) yield headText(head);
  }

  async issuers({ after, limit }: { after?: Issuer | undefined; limit: number }): Promise<IssuerPage> {
    const all = [...this.#runtime.driver.mesh.issuers()].sort((a, b) => (a.record.issuer < b.record.issuer ? -1 : 1));
    const start = after === undefined ? 0 : all.findIndex(({ record }) => record.issuer > after);
    const { mesh } = this.#runtime.driver;
    const { logId } = this.#runtime.transparency.keeper;
    const page = start < 0 ? [] : all.slice(start, start + limit);
    const issuers = page.map(({ record, head }): IssuerStatus => {
      const { issuer, admission, ranges, prunedBelow, frozenAt } = record;
      const standing = mesh.authority.standing(issuer);
      return {
        issuer,
        admission: issuer === logId && admission === Admission.allowed ? "log" : admission,
        head: head === null ? null : { seq: head.seq, envelope_hash: head.hash },
        ranges: ranges.map(({ from, to }) => [from, to] as const),
        pruned_below: prunedBelow,
        frozen_at: frozenAt,
        admitted: mesh.isAdmitted(issuer),
        revoked_from: standing.revokedFrom,
        successor: standing.successor,
        attested_by: mesh.authority.attestersOf(issuer),
      };
    });
    const more = start >= 0 && start + limit < all.length;
    return { total: all.length, issuers, next: more ? (issuers.at(-1)?.issuer ?? null) : null };
  }

  allowIssuer(issuer: Issuer): Promise<void> {
    return this.#runtime.admit(issuer, Admission.allowed);
  }
  denyIssuer(issuer: Issuer): Promise<void> {
    return this.#runtime.admit(issuer, Admission.denied);
  }

  async peers(): Promise<readonly PeerStatus[]> {
    const issuers = new Map(this.#runtime.driver.mesh.links().map(({ id, issuer }) => [id, issuer]));
    return this.#runtime.planes.flatMap((plane) =>
      plane.peers().map(({ id, addresses, configured, link, tunnel }) => ({
        id,
        plane: plane.name,
        addresses,
        configured,
        connected: link !== null,
        issuer: link === null ? null : (issuers.get(link) ?? null),
        ...(tunnel === undefined ? {} : { tunnel: tunnelStatus(tunnel) }),
      })),
    );
  }

  async addPeer(address: string): Promise<void> {
    const plane = planeOf(address);
    if (plane === "wireguard") await requireEnclave(this.#runtime.enclave).add(address);
    else if (plane === "nats") await requireNats(this.#runtime.nats).plane.addPeer(address);
    else await this.#runtime.planes.find(({ name }) => name === plane)?.addPeer(address);
    await changePeerbook(this.#runtime.dir.peerbook, { add: [address] });
  }

  async removePeer(idOrAddress: string): Promise<void> {
    for (const plane of this.#runtime.planes) {
      const peer = plane.peers().find(({ id, addresses }) => id === idOrAddress || addresses.includes(idOrAddress));
      await plane.removePeer(peer?.id ?? idOrAddress);
    }
    const remove = (address: string): boolean =>
      address === idOrAddress || address.endsWith(`/p2p/${idOrAddress}`) || cardIssuer(address) === idOrAddress;
    await changePeerbook(this.#runtime.dir.peerbook, { remove });
  }

  sync(peer: string, options: SyncOptions): Promise<SyncSummary> {
    if (options.dryRun && this.#options.running) {
      throw new SpineError("api_input", "a running daemon fetches at once; stop it to use --dry-run");
    }
    return syncOnce(this.#runtime, this.#options.hub, peer, options);
  }

  async revocationRight(scope: RevocationScope, value: string): Promise<RevocationRight> {
    const normal = normalTarget(scope, value);
    if (normal === undefined) throw new SpineError("api_input", `no ${scope} to revoke: ${value.slice(0, 100)}`);
    return rightToRevoke(this.#runtime.driver.mesh.authority, this.issuer, scope, normal);
  }

  #nats(): NatsSummary | null {
    const status = this.#runtime.nats?.status();
    if (status === undefined) return null;
    const { server, version, streams_ready, counters } = status;
    const { feed_published: published = 0, read_added: read = 0, feed_cursor: cursor } = counters;
    const behind = cursor === undefined ? 0 : Math.max(0, this.#options.hub.logSize - cursor);
    return { server, version, streams_ready, published, read, behind };
  }

  #gateway(): GatewaySummary | null {
    const { gateway } = this.#runtime;
    if (gateway === undefined) return null;
    const { judged, deferred, audit, policy_pending } = gateway.status();
    const { forward: forwarded = 0, drop: dropped = 0, refused = 0 } = gateway.counters();
    const records = { audit_records: audit.records, audit_anchored: audit.anchored };
    return { judged, forwarded, dropped, refused, deferred, ...records, policy_pending: policy_pending.length };
  }

  async #authority(): Promise<AuthorityStatus> {
    const { driver, store, trust, revocationSets } = this.#runtime;
    const standing = driver.mesh.authority.standing(this.issuer);
    const { count, root } = await revocationSets.settled();
    const { ageMs } = revocationSets;
    return {
      revoked_from: standing.revokedFrom,
      frozen_at: standing.frozenAt,
      successor: standing.successor,
      recovery_key_hash: await recoveryHashOf(store, this.issuer),
      revoked: count,
      revoked_root: root,
      set_age_seconds: ageMs === null ? null : Math.floor(ageMs / 1000),
      set_behind: revocationSets.behind,
      trust: trustStatus(trust),
    };
  }

  async forks(): Promise<readonly ForkStatus[]> {
    const forks = await this.#runtime.store.forks();
    return forks.map(({ issuer, seq, proof }) => {
      const { statements } = decodeFork(proof, sha256Hex);
      const texts = statements.map((one) => (one.kind === "head" ? headText(one.head) : envelopeText(one.envelope)));
      return { issuer, seq, proof_hash: `0x${sha256Hex(proof)}`, proof: toHex(proof), statements: texts };
    });
  }

  async *importEnvelopes(
    texts: AsyncIterable<string>,
    { signal }: { signal: AbortSignal },
  ): AsyncIterable<ImportResult> {
    let batch: (Envelope | SpineError)[] = [];
    for await (const text of texts) {
      signal.throwIfAborted();
      try {
        batch.push(openEnvelope(text, sha256Hex));
      } catch (caught) {
        batch.push(asSpineError(caught));
      }
      if (batch.length < IMPORT_BATCH) continue;
      yield* await this.#offer(batch);
      batch = [];
    }
    if (batch.length > 0) yield* await this.#offer(batch);
  }

  /** What an envelope further down admits, such as a successor by its succession, is offered again. */
  async #offerAll(envelopes: readonly Envelope[]): Promise<readonly Outcome[]> {
    const { driver } = this.#runtime;
    const outcomes = [...(await driver.offer(envelopes))];
    const late = envelopes.flatMap(({ issuer }, i) =>
      outcomes[i] === "issuer_not_admitted" && driver.mesh.isAdmitted(issuer) ? [i] : [],
    );
    if (late.length === 0) return outcomes;
    const again = await driver.offer(late.map((i) => envelopes[i] as Envelope));
    for (const [at, i] of late.entries()) outcomes[i] = again[at] as Outcome;
    return outcomes;
  }

  async #offer(batch: readonly (Envelope | SpineError)[]): Promise<readonly ImportResult[]> {
    const envelopes = batch.filter((one): one is Envelope => !(one instanceof SpineError));
    const outcomes = await this.#offerAll(envelopes);
    let at = 0;
    return batch.map((one): ImportResult => {
      if (one instanceof SpineError) return { ok: false, code: one.code, message: one.message };
      const outcome = outcomes[at++] as Outcome;
      const { hash, issuer, seq } = one;
      if (outcome === "added" || outcome === "duplicate") {
        return { ok: true, envelope_hash: hash, issuer, seq, state: outcome === "added" ? "stored" : "known" };
      }
      return { ok: false, code: outcome, message: `${issuer} seq ${seq}` };
    });
  }

  transparency(request: TransparencyRequest): Promise<TransparencyAnswer> {
    this.#transparency ??= new TransparencyApi(this.#runtime.store, this.#runtime.transparency);
    return this.#transparency.answer(request);
  }

  subscribe(from: number | undefined, { signal }: { signal: AbortSignal }): AsyncIterable<NodeEvent> {
    return this.#options.hub.subscribe(from, signal);
  }

  async *storeDump({ signal }: { signal: AbortSignal }): AsyncIterable<Uint8Array> {
    for await (const piece of this.#runtime.store.dump()) {
      signal.throwIfAborted();
      yield piece;
    }
  }

  async metricsText(): Promise<string> {
    return (await this.#options.metrics?.text()) ?? "";
  }
  async ready(): Promise<Readiness> {
    return this.#options.readiness();
  }

  async status(): Promise<NodeStatus> {
    const { runtime, hub, running, startedAtMs } = this.#options;
    const { driver, planes, config, store, publisher } = runtime;
    const links = driver.mesh.links();
    const peers = planes.flatMap((plane) => plane.peers());
    const { mesh } = driver;
    const own = mesh.ownHead;
    return {
      issuer: this.issuer,
      name: config.name,
      version: VERSION,
      running,
      uptime_seconds: running ? Math.floor((Date.now() - startedAtMs) / 1000) : 0,
      head: own === undefined ? null : { seq: own.seq, envelope_hash: own.hash },
      log_size: hub.logSize,
      store_bytes: (await store.usage()).bytes,
      planes: planes.map((plane) => ({
        name: plane.name,
        addresses: plane.addresses(),
        links: plane.peers().filter(({ link }) => link !== null).length,
      })),
      links: links.slice(0, STATUS_LINKS).map(({ id, info, issuer }) => ({
        link: id,
        plane: id.split(":", 1)[0] as string,
        address: info.address,
        issuer,
        configured: info.configured,
      })),
      peers: { known: peers.length, connected: peers.filter(({ link }) => link !== null).length },
      issuers: await this.issuers({ limit: STATUS_ISSUERS }),
      queues: {
        publish: publisher.waiting,
        commits: mesh.load.commits,
        requests: mesh.load.requests,
        wanting: mesh.load.waiting,
        claims: mesh.load.claims,
        outbox_bytes: driver.outbox.bytes,
      },
      guard: this.#options.guardStatus?.() ?? null,
      radio: this.#runtime.radio?.() ?? null,
      nats: this.#nats(),
      gateway: this.#gateway(),
      authority: await this.#authority(),
      warnings: this.#options.warnings(),
    };
  }
}

function tunnelStatus(tunnel: TunnelStatus): PeerTunnel {
  const { publicKey, absence, health, handshakeAtMs, rxBytes, txBytes, endpoint, endpointChanges } = tunnel;
  return {
    public_key: publicKey,
    absence,
    health,
    handshake_age_seconds: handshakeAtMs === 0 ? null : Math.max(0, Math.round((Date.now() - handshakeAtMs) / 1000)),
    received_bytes: rxBytes,
    sent_bytes: txBytes,
    endpoint,
    endpoint_changes: endpointChanges,
  };
}

function requireNats(service: NatsService | undefined): NatsService {
  if (service === undefined) throw new SpineError("plane_not_started", "planes.nats.enabled is false");
  return service;
}
