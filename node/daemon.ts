/** The composition root: builds a node from its directory and configuration and takes it down in reverse order. */
import { type Issuer, RowTable, SpineError } from "../spine/index.ts";
import { PublicServer } from "./api/public.ts";
import { ApiServer } from "./api/server.ts";
import type { TransparencyEvent } from "./attest/transparency.ts";
import { AuthorityWork, authorityWarnings } from "./authority/authority-work.ts";
import { dayOf, type IncidentReporter } from "./authority/incidents.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { removeDaemonInfo, writeDaemonInfo } from "./daemon-info.ts";
import type { NodeDir } from "./dir.ts";
import type { DriverEvent } from "./driver.ts";
import { Enclave } from "./enclave/enclave.ts";
import { EventHub } from "./event-hub.ts";
import { agentSockets, observeGuard } from "./guards/daemon/wiring.ts";
import { GuardHost } from "./guards/index.ts";
import { HookDesk, HookWatch, keptDenials } from "./hooks/index.ts";
import { verifyWhenIdle } from "./idle-verify.ts";
import { readTokenFile } from "./keyfile.ts";
import { LocalNode } from "./local-node.ts";
import type { Log } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { Deliveries, radioStatus } from "./reticulum/radio-status.ts";
import { ReticulumNode } from "./reticulum/station.ts";
import { Runtime } from "./runtime.ts";
import { socketPath } from "./socket-path.ts";
import { splitViewCause, Upkeep } from "./upkeep.ts";
import { VERSION } from "./version.ts";

export interface DaemonOptions {
  readonly dir: NodeDir;
  readonly config: Config;
  readonly log: Log;
  /** The operator's word that no other copy of this node signs. */
  readonly acceptForkRisk?: boolean;
}

export interface Daemon {
  readonly issuer: Issuer;
  /** `unix:PATH`, then `http://HOST:PORT` if configured. */
  readonly api: readonly string[];
  readonly planes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** What the operator should know, one sentence each. */
  readonly warnings: readonly string[];
  /** Pending while the daemon works; rejects when it can no longer, such as on a failing disk. */
  readonly failed: Promise<never>;
  /** Graceful and idempotent: no handle is left open when it resolves. */
  stop(): Promise<void>;
}

/** Turns events of the core and the planes into logs, metrics and subscriptions. */
class Listener {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #own: () => Issuer | undefined;
  hub: EventHub | undefined;
  runtime: Runtime | undefined;
  incidents: IncidentReporter | undefined;
  authority: AuthorityWork | undefined;
  guard: GuardHost | undefined;
  reject: (error: SpineError) => void = () => {};
  #ownKeyConflict = false;

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
    this.#own = () => this.runtime?.issuer;
  }

  on(event: DriverEvent): void {
    if (event.type !== "link" && event.type !== "fatal") this.authority?.on(event);
    switch (event.type) {
      case "stored": {
        const { run, link } = event;
        const source = link !== null ? "synced" : run.issuer === this.#own() ? "published" : "imported";
        this.#metrics.stored(source, run.hashes.length);
        this.hub?.stored(run.hashes.length);
        this.guard?.stored(run);
        this.runtime?.enclave?.stored(run);
        this.runtime?.stored(run);
        return this.#log.debug({ issuer: run.issuer, from: run.from, count: run.hashes.length }, "envelopes stored");
      }
      case "fork":
        this.hub?.tell({ type: "fork", issuer: event.issuer, seq: event.seq });
        this.incidents?.report({ kind: "fork", issuer: event.issuer, seq: event.seq });
        this.runtime?.enclave?.refresh();
        return this.#log.warn({ issuer: event.issuer, seq: event.seq }, "issuer frozen: it signed two histories");
      case "own-key-conflict":
        if (this.#ownKeyConflict) return;
        this.#ownKeyConflict = true;
        this.incidents?.report({ kind: "own_key_misuse", seq: event.seq });
        this.runtime?.publisher.stop(new SpineError("own_key_conflict", `seen at seq ${event.seq}`));
        return this.#log.error({ seq: event.seq }, "another node signs with this node's key: publishing stopped");
      case "own-chain":
        return;
      case "authority":
        this.runtime?.enclave?.refresh();
        this.guard?.authorityChanged();
        return this.#log.info(
          { cause: event.cause, issuer: event.issuer, hash: event.hash, revoked: event.revocation?.targets.length },
          "authority changed",
        );
      case "revocation-set":
        return;
      case "peer-revoked":
        return this.#log.warn({ link: event.link, issuer: event.issuer }, "peer sent away: its key was revoked");
      case "ready":
        return this.#log.info({ link: event.link, issuer: event.issuer }, "peer proved its issuer");
      case "refused":
        this.#metrics.refused(event.code);
        return this.#log.debug({ link: event.link, code: event.code }, "input refused");
      case "link": {
        const { link, plane, info, reason } = event;
        this.hub?.tell({ type: "link", link, plane, up: info !== null });
        return info === null
          ? this.#log.info({ link, reason }, "link down")
          : this.#log.info({ link, address: info.address }, "link up");
      }
      case "fatal":
        this.#log.fatal({ err: event.error, code: event.error.code }, "the node must stop");
        return this.reject(event.error);
    }
  }
}

/** What the log and the witness tell, for people. */
function tellTransparency(log: Log, hub: () => EventHub | undefined, event: TransparencyEvent): void {
  switch (event.type) {
    case "checkpoint": {
      const { seq, size } = event.record.statement;
      hub()?.tell({ type: "checkpoint", checkpoint_seq: seq, tree_size: size });
      return log.debug({ seq, size, witnesses: event.record.lines.length }, "checkpoint published");
    }
    case "checkpoint-waits":
      return log.warn({ seq: event.seq, reason: event.reason }, "checkpoint waits for co-signatures");
    case "log-stopped":
      return log.error({ code: event.error.code, err: event.error.message }, "the log signs no more checkpoints");
    case "cosigned":
      return log.debug({ log_id: event.logId, size: event.size }, "checkpoint co-signed");
    case "witness-conflict":
      return log.error({ log_id: event.logId, reason: event.reason }, "a log asked to co-sign what contradicts it");
    case "witness-unproven":
      return log.warn(
        { log_id: event.logId, size: event.size, reason: event.reason },
        "a log's tree was shown without proof that it extends the one co-signed",
      );
    case "witness-refused":
      return log.warn({ witness: event.witness, code: event.code, detail: event.detail }, "a witness did not co-sign");
    case "split-view":
      hub()?.tell({ type: "split-view", log_id: event.logId, shape: event.shape, proof_hash: event.proofHash });
      return log.error({ log_id: event.logId, shape: event.shape }, "a log showed two views: proof stored");
  }
}

function transparencyWarnings({ transparency }: Runtime): string[] {
  const { keeper, witness, follower } = transparency;
  return [
    ...(keeper.stopped === undefined ? [] : [`The log signs no more checkpoints: ${keeper.stopped.message}.`]),
    ...witness.restored.map((logId) => `Witness state of ${logId} is older than its last co-signature: it is refused.`),
    ...witness.unproven.map((logId) => `A tree of ${logId} was shown without proof that it extends the one co-signed.`),
    ...[...follower.proofs.keys()].map((logId) => `The log ${logId} showed two views; see \`spine checkpoint list\`.`),
  ];
}

function observe(metrics: Metrics, runtime: Runtime, hub: EventHub): void {
  const { driver, publisher } = runtime;
  metrics.observe("gauge", "log_envelopes", "Envelopes ever committed.", () => hub.logSize);
  metrics.observe("gauge", "links_open", "Links to peers.", () => driver.mesh.links().length);
  metrics.observe("gauge", "publish_waiting", "Facts waiting to be signed.", () => publisher.waiting);
  metrics.observe("gauge", "commit_waiting_bytes", "Bytes waiting for the disk.", () => driver.committer.waitingBytes);
  metrics.observe("counter", "commits_total", "Synced writes.", () => driver.committer.writes);
  metrics.observe("gauge", "requests_open", "Range requests without an answer yet.", () => driver.mesh.load.requests);
  metrics.observe(
    "gauge",
    "holes_held",
    "Holes in the chains held, of a bounded number.",
    () => driver.mesh.load.holes,
  );
  metrics.observe("gauge", "claims_held", "Head claims of issuers not admitted.", () => driver.mesh.load.claims);
  metrics.observe("gauge", "outbox_bytes", "Bytes waiting for links.", () => driver.outbox.bytes);
  metrics.observe("counter", "received_bytes_total", "Bytes of frames read.", () => driver.receivedBytes);
  metrics.observe("counter", "served_envelopes_total", "Envelopes sent in answers.", () => driver.servedEnvelopes);
  metrics.observe("gauge", "event_subscribers", "Event streams open.", () => hub.subscribers);
  metrics.observe("counter", "events_dropped_total", "Live events slow subscribers missed.", () => hub.dropped);
  for (const plane of runtime.planes) metrics.observePlane(plane.name, () => plane.counters());
  const { nats, gateway } = runtime;
  if (nats !== undefined) metrics.observePlane("nats/streams", () => nats.counters());
  if (gateway !== undefined) metrics.observePlane("gateway", () => gateway.counters());
  metrics.observePlane("log", () => runtime.transparency.exchange.counters());
}

function openDeliveries({ store, driver }: Runtime, log: Log): Promise<Deliveries> {
  return Deliveries.open({
    rows: store.rows(RowTable.radio),
    clock: systemClock,
    commit: (rows) => driver.commitRows(rows),
    warn: (error) => log.warn({ err: error.message }, "a delivery was not recorded"),
  });
}

/** What the operator should know of the cluster and of what joins planes. */
function planeWarnings({ nats, gateway, config, planes }: Runtime): string[] {
  return [
    ...(gateway?.warnings() ?? []),
    ...(nats?.status().problems.map((problem) => `NATS: ${problem}.`) ?? []),
    ...(config.gateway.mode === "off" && planes.length > 1
      ? ["Planes are joined without a policy: everything crosses (gateway.mode)."]
      : []),
  ];
}

/** Resolved = the node can be used. Rejects with a coded error and leaves nothing open. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { dir, config, log } = options;
  const metrics = createMetrics(VERSION);
  const listener = new Listener(log, metrics);
  const failed = new Promise<never>((_, reject) => {
    listener.reject = reject;
  });
  failed.catch(() => {});
  const startedAtMs = Date.now();
  const token = await readTokenFile(dir.apiToken);
  const runtime = await Runtime.open({
    dir,
    config,
    onEvent: (event) => listener.on(event),
    onTransparency: (event) => {
      tellTransparency(log, () => listener.hub, event);
      if (event.type === "split-view") listener.incidents?.report(splitViewCause(event));
    },
    onPlaneLog: (event, fields) => log.debug(fields, event),
    willAsk: true,
    joinPlanes: true,
    onGatewayWarning: (text, fields) => log.warn(fields, text),
    acceptForkRisk: options.acceptForkRisk === true,
    onOwnChainNote: (note, fields) => log.warn(fields, note),
    onClock: (kind, seconds) => {
      log.warn({ kind, seconds }, "the clock cannot be right");
      listener.incidents?.report({ kind, seconds, day: dayOf(Date.now()) });
    },
  });
  listener.runtime = runtime;
  const upkeep = new Upkeep({ runtime, log });
  listener.incidents = upkeep.incidents;
  const authorityWork = new AuthorityWork(runtime, log, (event) => listener.hub?.tell(event));
  listener.authority = authorityWork;
  const stopping = new AbortController();
  let ready = false;
  let publicApi: PublicServer | undefined;
  const publicAddresses: string[] = [];
  let api: ApiServer | undefined;
  let rns: ReticulumNode | undefined;
  let guard: GuardHost | undefined;
  const hooks = new HookWatch({
    dir: dir.path,
    onRemoved: (harness, faults) => {
      log.error({ harness, faults }, "a harness no longer asks the guards");
      upkeep.incidents.report({ kind: "hook_removed", harness, day: dayOf(Date.now()) });
    },
  });
  const warnings = (): string[] => [
    ...transparencyWarnings(runtime),
    ...(config.issuers.open ? ["Lab mode: every issuer is admitted (issuers.open)."] : []),
    ...runtime.ownChain.warnings(),
    ...upkeep.warnings(),
    ...authorityWarnings(runtime),
    ...(runtime.enclave?.warnings() ?? []),
    ...(guard?.warnings() ?? []),
    ...hooks.warnings(),
    ...planeWarnings(runtime),
  ];
  try {
    const hub = new EventHub(runtime.store, (await runtime.store.load()).logSize);
    listener.hub = hub;
    const reasons = (): string[] => (ready ? [] : ["starting"]);
    const readiness = () => ({ ready, reasons: reasons() });
    const guardStatus = () => guard?.status();
    const node = new LocalNode({ runtime, hub, metrics, running: true, startedAtMs, readiness, warnings, guardStatus });
    const socket = socketPath(dir, config);
    const agents = agentSockets(dir, config);
    const sockets = [socket, ...agents.map((agent) => agent.socket)];
    const authority = () => runtime.driver.mesh.authority;
    guard = await GuardHost.open({
      ...{ runtime, source: node, log, env: process.env, sockets, authority },
      revocationsAgeMs: () => runtime.revocationSets.ageMs,
    });
    const host = guard;
    listener.guard = guard;
    await hooks.look();
    const desk = new HookDesk({
      judge: host,
      denials: await keptDenials(runtime.store, (rows) => runtime.driver.commitRows(rows)),
      tierOf: (harness) => hooks.tierOf(harness),
      onBrokenDenial: ({ harness, envelopeHash, evidence }) => {
        log.error({ harness, evidence, envelope_hash: envelopeHash }, "an action ran after its denial");
        const day = dayOf(Date.now());
        upkeep.incidents.report({ kind: "enforcement_failed", harness, evidence, envelope_hash: envelopeHash, day });
      },
    });
    const { listen } = config.api;
    api = new ApiServer({
      node,
      socket,
      listen,
      token,
      log,
      metrics,
      rns: () => rns,
      enclave: () => runtime.enclave,
      guard: { host, openings: dir.guardOpenings },
      desk,
      agents,
      planes: { gateway: () => runtime.gateway, nats: () => runtime.nats },
    });
    await api.start();
    const { listen: publicListen, requestsPerSecond } = config.transparency;
    if (publicListen !== undefined) {
      const answer = node.transparency.bind(node);
      publicApi = new PublicServer({ listen: publicListen, requestsPerSecond, answer, now: Date.now });
      publicAddresses.push(await publicApi.start());
    }
    await runtime.startPlanes(stopping.signal);
    runtime.driver.feed({ type: "ask-own-chain" });
    if (config.planes.reticulum.enabled) {
      rns = await ReticulumNode.start({ dir, config: config.planes.reticulum, log });
      const { counters } = rns.station.endpoint;
      metrics.observePlane("rns", () => Object.fromEntries(counters));
      const { plane, station } = rns;
      if (plane !== undefined) {
        await runtime.startReticulum(plane, stopping.signal);
        const deliveries = await openDeliveries(runtime, log);
        rns.onDelivery = (delivery) => log.info(deliveries.record(delivery), "envelope for a peer who was away");
        runtime.radio = () => radioStatus(plane, station, deliveries);
      }
    }
    if (config.planes.wireguard.enabled) {
      const say = (event: string, fields: object): void => log.info(fields, event);
      const enclave = { runtime, config: config.planes.wireguard, log: say };
      runtime.enclave = await Enclave.start(enclave, stopping.signal);
    }
    observe(metrics, runtime, hub);
    observeGuard(metrics, host);
    runtime.background((signal) => host.watch(signal));
    runtime.background((signal) => hooks.watch(signal));
    runtime.background((signal) => authorityWork.run(signal));
    const { gateway } = runtime;
    if (gateway !== undefined) runtime.background((signal) => gateway.run(signal));
    const { store, driver, verifier } = runtime;
    runtime.background((signal) => verifyWhenIdle({ store, driver, verifier, signal }));
    await upkeep.start(metrics);
    runtime.keepLog();
    await writeDaemonInfo(dir, {
      pid: process.pid,
      socket,
      issuer: runtime.issuer,
      started_at: new Date(startedAtMs).toISOString(),
    });
    await runtime.ownChain.decided();
    ready = true;
  } catch (caught) {
    await publicApi?.stop();
    await api?.stop();
    await guard?.close();
    await runtime.close();
    await rns?.stop();
    throw caught;
  }
  const server = api;
  const guards = guard;
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    ready = false;
    stopping.abort();
    await removeDaemonInfo(dir);
    await publicApi?.stop();
    await server.stop();
    await guards.close();
    await runtime.close();
    await rns?.stop();
  };
  return {
    issuer: runtime.issuer,
    api: [...server.addresses, ...publicAddresses],
    planes: runtime.planes.map((plane) => ({ name: plane.name, addresses: plane.addresses() })),
    warnings: warnings(),
    failed,
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}
