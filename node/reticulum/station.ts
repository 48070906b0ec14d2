/**
 * The node on Reticulum networks: its station, identity and destinations. The daemon runs one while
 * `planes.reticulum.enabled`; `rns probe` and `rns announce` run one for their own duration when no daemon does.
 */
import { join } from "node:path";
import { reticulum } from "../../planes/index.ts";
import { asSpineError, fromHex, SpineError, toHex } from "../../spine/index.ts";
import type { NodeDir } from "../dir.ts";
import { airOf } from "./air.ts";
import type { ReticulumConfig } from "./config.ts";
import { FetchSchedule } from "./fetch-schedule.ts";
import { loadNetwork, openIdentity, openRatchets, readGroupKey, saveNetwork } from "./files.ts";
import { makeInterface } from "./interfaces.ts";
import { Mail } from "./mail.ts";
import type {
  MailOptions,
  PathOptions,
  ProbeOptions,
  ProbeResult,
  RnsAnnounced,
  RnsFetched,
  RnsOutgoing,
  RnsPath,
  RnsService,
  RnsStatus,
} from "./service.ts";
import { statusOf } from "./status.ts";

const MAX_PROBES = 32;
const SAVE_MS = 300_000;
const POLL_MS = 5;
/** A path request may be lost: it is sent again after this long. */
const ASK_AGAIN_MS = 5000;
const ADDRESS_BYTES = 16;
/** How long the way to the propagation node is looked for. */
const FETCH_PATH_MS = 20_000;
/** Three announces within a second count as a burst. */
const ANNOUNCE_SPACING_MS = 600;

export interface StationLog {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
}

export interface ReticulumOptions {
  readonly dir: NodeDir;
  readonly config: ReticulumConfig;
  readonly log: StationLog;
}

/** 16 bytes from 32 hex digits, as people write them: with `rns:` or in angle brackets too. Throws `api_input`. */
export function readDestination(text: string): Uint8Array {
  const digits = text.replace(/^rns:/, "").replace(/^<([^>]*)>$/, "$1");
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) {
    throw new SpineError("api_input", `"${text.slice(0, 80)}" is not a destination: expected 32 hex digits`);
  }
  return fromHex(digits.toLowerCase(), ADDRESS_BYTES);
}

export class ReticulumNode implements RnsService {
  readonly station: reticulum.Station;
  readonly identity: reticulum.Identity;
  /** Where the node itself is reached: `spine.node`. */
  readonly node: reticulum.Destination;
  /** Carries envelopes; undefined when the configuration says so. Started and stopped by the runtime. */
  readonly plane: reticulum.ReticulumPlane | undefined;
  readonly #options: ReticulumOptions;
  readonly #destinations: reticulum.Destination[];
  readonly #startedAt = performance.now();
  #mail: Mail | undefined;
  #probes = 0;
  #saveTimer: NodeJS.Timeout | undefined;
  #announceTimer: NodeJS.Timeout | undefined;
  #fetching: FetchSchedule | undefined;
  #learnt = 0;

  /** Told what became of envelopes for peers who were away. */
  onDelivery: ((delivery: reticulum.Delivery) => void) | undefined;

  private constructor(options: ReticulumOptions, identity: reticulum.Identity, groupKey: Uint8Array | undefined) {
    const { dir, config, log } = options;
    this.#options = options;
    this.identity = identity;
    const warn = (text: string): void => log.warn({}, text);
    this.station = new reticulum.Station(
      {
        random: reticulum.systemRandom,
        identity,
        transport: config.transport,
        onError: (error) => log.warn({ err: asSpineError(error).message }, "reticulum: a handler failed"),
        onWire: (wire, up) => {
          log.info({ wire }, up ? "reticulum interface up" : "reticulum interface down");
          if (up) this.#fetching?.wireUp(wire);
        },
      },
      config.interfaces.map(makeInterface),
    );
    const { SINGLE, Destination } = reticulum;
    const about = { type: SINGLE, identity } as const;
    const bare = new Destination({ ...about, appName: "spine", aspects: ["node"] });
    const ratchets = openRatchets(dir, bare.hex, identity, warn);
    this.node = new Destination({ ...about, appName: "spine", aspects: ["node"], ratchets, acceptsLinks: false });
    this.#destinations = [this.node];
    if (config.respondToProbes) {
      const probe = new Destination({ ...about, appName: "rnstransport", aspects: ["probe"], acceptsLinks: false });
      probe.proofs = "all";
      this.#destinations.push(probe);
    }
    const { mesh } = config;
    this.plane = mesh.enabled
      ? new reticulum.ReticulumPlane({
          station: this.station,
          ownsStation: false,
          identity,
          peers: mesh.peers,
          discover: mesh.discover,
          airOf: (wire) => airOf(config, wire),
          onDelivery: (delivery) => this.onDelivery?.(delivery),
          ...(groupKey === undefined ? {} : { groupKey }),
          ...(config.lxmf.enabled && mesh.mail ? { mail: { send: (...mail) => this.#postman().send(...mail) } } : {}),
          log: (event, fields) => log.info(fields, event),
        })
      : undefined;
    const { endpoint } = this.station;
    this.station.act(() => {
      loadNetwork(dir, endpoint, endpoint.now, warn);
      for (const destination of this.#destinations) endpoint.register(destination);
      endpoint.onAnnounce({ pathResponses: true, heard: () => this.#learnt++ });
    });
  }

  /** Resolved = interfaces work or keep trying. Throws `config_invalid`, `port_in_use`, `key_*` and leaves nothing open. */
  static async start(options: ReticulumOptions): Promise<ReticulumNode> {
    const { groupKeyFile } = options.config.mesh;
    const groupKey = groupKeyFile === undefined ? undefined : await readGroupKey(join(options.dir.path, groupKeyFile));
    const node = new ReticulumNode(options, await openIdentity(options.dir), groupKey);
    try {
      if (options.config.lxmf.enabled) {
        const { dir, config, log } = options;
        const onEnvelope = (content: Uint8Array): boolean => node.plane?.take("mail", content) === true;
        const { identity, station } = node;
        node.#mail = await Mail.open({ ...{ dir, identity, station, log, onEnvelope }, config: config.lxmf });
      }
      await node.station.start();
    } catch (caught) {
      await node.#mail?.close();
      await node.station.stop();
      throw caught;
    }
    node.#keepSaving();
    const { announceMinutes } = options.config;
    if (announceMinutes > 0) node.#keepAnnouncing(announceMinutes * 60_000);
    const { fetchMinutes } = options.config.lxmf;
    if (node.#mail?.propagationNode !== undefined && fetchMinutes > 0) {
      node.#fetching = new FetchSchedule({
        intervalMs: fetchMinutes * 60_000,
        isOnline: () => node.station.status().some((one) => one.online),
        fetch: (signal) => node.fetchMail(signal),
        log: options.log,
      });
    }
    return node;
  }

  #postman(): reticulum.MailDrop {
    if (this.#mail === undefined) throw new SpineError("plane_not_started", "LXMF does not run yet");
    return this.#mail.drop;
  }

  /** Closes links and interfaces, and keeps what was learnt. Idempotent. */
  async stop(): Promise<void> {
    clearTimeout(this.#saveTimer);
    clearTimeout(this.#announceTimer);
    this.#fetching?.stop();
    await this.#mail?.close();
    await this.station.stop();
    this.#save();
  }

  #keepSaving(): void {
    this.#saveTimer = setTimeout(() => {
      this.#save();
      this.#keepSaving();
    }, SAVE_MS);
  }
  #save(): void {
    if (this.#learnt === 0) return;
    this.#learnt = 0;
    try {
      saveNetwork(this.#options.dir, this.station.endpoint);
    } catch (caught) {
      this.#options.log.warn({ err: asSpineError(caught).message }, "known destinations were not saved");
    }
  }
  /** The first time as soon as an interface is up, then at the interval, give or take a tenth. */
  #keepAnnouncing(intervalMs: number): void {
    const online = this.station.status().some((one) => one.online);
    if (online) this.#announceAll(undefined);
    const delay = online ? intervalMs * (0.9 + Math.random() / 5) : 1000;
    this.#announceTimer = setTimeout(() => this.#keepAnnouncing(intervalMs), delay);
  }
  /** One after the other: receivers hold back what comes in a burst. The first one tells at once when it cannot be sent. */
  #announceAll(appData: Uint8Array | undefined): void {
    const { station } = this;
    const { endpoint } = station;
    const own = this.#destinations.map((destination) => () => {
      endpoint.announce(destination, destination === this.node && appData !== undefined ? { appData } : {});
    });
    const all = [...own, ...(this.#mail?.announcements() ?? [])];
    station.act(() => {
      const [first, ...rest] = all;
      first?.();
      for (const [i, task] of rest.entries()) {
        endpoint.context.schedule(endpoint.now + (i + 1) * ANNOUNCE_SPACING_MS, task);
      }
    });
  }

  async status(): Promise<RnsStatus> {
    return statusOf({
      station: this.station,
      identity: this.identity.hex,
      uptimeMs: performance.now() - this.#startedAt,
      destinations: this.#named(),
      lxmf: this.#mail?.status() ?? null,
    });
  }
  #named(): { readonly name: string; readonly hash: string }[] {
    const mail = this.#mail?.destinations() ?? [];
    return [...this.#destinations, ...mail].map(({ name, hex }) => ({ name, hash: hex }));
  }

  async paths(): Promise<readonly RnsPath[]> {
    const { endpoint } = this.station;
    return this.station.act(() => {
      const live = [...endpoint.paths.entries()].filter(([, { expiresAt }]) => expiresAt > endpoint.now);
      const rows = live.map(([key, entry]) => pathRow(key, entry, endpoint.now));
      return rows.sort((a, b) => a.hops - b.hops || (a.destination < b.destination ? -1 : 1));
    });
  }
  /** Throws `api_input` for a bad destination, `path_unknown` when no answer came in time. */
  async findPath({ destination, timeoutMs, signal }: PathOptions): Promise<RnsPath> {
    const hash = readDestination(destination);
    const { endpoint } = this.station;
    const found = await this.#findPath(hash, timeoutMs, signal);
    const path = this.station.act(() => endpoint.path(hash));
    if (!found || path === undefined) {
      throw new SpineError("path_unknown", `no path to ${toHex(hash)} within ${timeoutMs} ms`);
    }
    return pathRow(toHex(hash), path, endpoint.now);
  }
  async dropPath(destination: string): Promise<boolean> {
    const hash = readDestination(destination);
    return this.station.act(() => this.station.endpoint.paths.drop(hash));
  }
  #mailBox(): Mail {
    if (this.#mail === undefined) throw new SpineError("plane_not_started", "planes.reticulum.lxmf.enabled is false");
    return this.#mail;
  }
  async sendMail(options: MailOptions): Promise<RnsOutgoing> {
    return this.#mailBox().send({ ...options, to: readDestination(options.to) });
  }
  async fetchMail(signal?: AbortSignal): Promise<RnsFetched> {
    const mail = this.#mailBox();
    const node = mail.propagationNode;
    if (node === undefined) {
      throw new SpineError("propagation_refused", "planes.reticulum.lxmf.propagationNode is not set");
    }
    // Without an announce of the node there is no key to link with.
    if (!(await this.#findPath(node, FETCH_PATH_MS, signal))) {
      throw new SpineError("path_unknown", `no path to the propagation node ${toHex(node)}`);
    }
    return mail.fetch();
  }

  /** Throws `payload_size`, or `plane_not_started` when no interface is up. */
  async announce({ appData }: { readonly appData?: Uint8Array | undefined }): Promise<RnsAnnounced> {
    const interfaces = this.station.status().filter(({ wires }) => wires > 0);
    if (interfaces.length === 0) throw new SpineError("plane_not_started", "no reticulum interface is up");
    this.#announceAll(appData);
    return { announced: this.#named(), interfaces: interfaces.map(({ name }) => name) };
  }

  /** Throws `api_input` for a bad destination, `payload_size`, `rate_limited` when too many probes run. */
  async probe(options: ProbeOptions): Promise<ProbeResult> {
    if (this.#probes >= MAX_PROBES) throw new SpineError("rate_limited", `${MAX_PROBES} probes are under way`);
    const hash = readDestination(options.destination);
    this.#probes++;
    try {
      return await this.#probe(hash, options);
    } finally {
      this.#probes--;
    }
  }
  async #probe(hash: Uint8Array, { sizeBytes, timeoutMs, signal }: ProbeOptions): Promise<ProbeResult> {
    const destination = toHex(hash);
    const failed = (code: "path_unknown" | "request_timeout", message: string): ProbeResult => {
      return { ok: false, destination, code, message };
    };
    if (this.#destinations.some(({ hex }) => hex === destination)) {
      throw new SpineError("api_input", `${destination} is this node's own`);
    }
    const { endpoint } = this.station;
    if (!(await this.#findPath(hash, timeoutMs, signal))) {
      return failed("path_unknown", `no path to ${destination} within ${timeoutMs} ms`);
    }
    const receipt = this.station.act(() => endpoint.send(hash, reticulum.systemRandom(sizeBytes)));
    const answered = await until(() => receipt.state !== "sent", timeoutMs, signal);
    const path = this.station.act(() => endpoint.path(hash));
    if (!answered || receipt.state !== "delivered") {
      this.station.act(() => receipt.fail());
      return failed("request_timeout", `no proof from ${destination}`);
    }
    const name = path?.wireId.split("/")[0] ?? "";
    const details = this.station.status().find((one) => one.name === name)?.details ?? {};
    const measured = (value: unknown): number | null => (typeof value === "number" ? value : null);
    return {
      ok: true,
      destination,
      hops: path?.hops ?? 0,
      interface: name,
      bytes: sizeBytes,
      rtt_ms: Math.round((receipt.rttMs ?? 0) * 1000) / 1000,
      rssi_dbm: measured(details["lastRssiDbm"]),
      snr_db: measured(details["lastSnrDb"]),
    };
  }
  async #findPath(hash: Uint8Array, timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    const { station } = this;
    const { endpoint } = station;
    let askedAt = Number.NEGATIVE_INFINITY;
    return until(
      () => {
        if (station.act(() => endpoint.hasPath(hash) && endpoint.known.get(hash) !== undefined)) return true;
        const now = performance.now();
        const online = station.status().some(({ wires }) => wires > 0);
        if (online && now - askedAt > ASK_AGAIN_MS) {
          askedAt = now;
          station.act(() => endpoint.requestPath(hash));
        }
        return false;
      },
      timeoutMs,
      signal,
    );
  }
}

function pathRow(destination: string, path: reticulum.PathEntry, now: number): RnsPath {
  return {
    destination,
    hops: path.hops,
    via: toHex(path.nextHop),
    interface: path.wireId.split("/")[0] ?? "",
    expires_seconds: Math.max(0, Math.round((path.expiresAt - now) / 1000)),
    responsive: !path.unresponsive,
  };
}

/** Polls; false at the deadline. Rejects when aborted. */
async function until(done: () => boolean, timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!done()) {
    signal?.throwIfAborted();
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}
