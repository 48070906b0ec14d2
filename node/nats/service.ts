/** The NATS plane of a node, with its bus and its feed: built from the configuration, started and stopped by the runtime. */
import { resolve } from "node:path";
import { type NatsAuth, NatsBus, NatsPlane, natsNames, readNatsFile } from "../../planes/index.ts";
import { SpineError } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { LogKeeper } from "../attest/keeper.ts";
import type { Witness } from "../attest/witness.ts";
import type { NodeDir } from "../dir.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { fileExists } from "../init.ts";
import { createKeyFile, readKeyFile } from "../keyfile.ts";
import { readSecretText } from "../secret-file.ts";
import type { NatsConfig } from "./config.ts";
import type { NatsFeed } from "./feed.ts";
import { LeafMirror } from "./leaf-mirror.ts";
import { StreamTree } from "./stream-tree.ts";
import { WitnessDesk } from "./witness-desk.ts";

export type PlaneLog = (event: string, fields: Readonly<Record<string, string | number>>) => void;

/** `spine status`: the cluster as this node sees it. */
export interface NatsStatus {
  readonly connected: boolean;
  readonly server: string | null;
  readonly version: string | null;
  readonly streams_ready: boolean;
  readonly features: Readonly<Record<string, boolean | string>> | null;
  readonly problems: readonly string[];
  readonly counters: Readonly<Record<string, number>>;
}

/** What of the node takes part in logs on the cluster. */
export interface NatsLogParts {
  readonly store: Store;
  readonly keeper: LogKeeper;
  readonly witness: Witness;
  readonly gateway: Gateway | undefined;
}

export class NatsService {
  readonly plane: NatsPlane;
  readonly bus: NatsBus | null;
  /** The own log's questions to witnesses and the own witness's answers. */
  readonly desk: WitnessDesk | null = null;
  readonly #feed: NatsFeed | null;
  readonly #mirror: LeafMirror | null = null;

  private constructor(
    plane: NatsPlane,
    bus: NatsBus | null,
    feed: NatsFeed | null,
    config: NatsConfig,
    { store, keeper, witness, gateway }: NatsLogParts,
    tree: { root(size: number): Promise<Uint8Array | undefined> } | undefined,
  ) {
    this.plane = plane;
    this.bus = bus;
    this.#feed = feed;
    if (bus === null) return;
    this.desk = new WitnessDesk({
      ...{ line: bus.witness, witness },
      leavesRoot: tree === undefined ? undefined : (size) => tree.root(size),
      mayAsk: () => gateway?.index.mayTellKindOn("nats", keeper.logId, "log_checkpoint") ?? true,
    });
    if (config.streams.log) this.#mirror = new LeafMirror({ store, keeper, gateway, bus });
  }

  /** Not started yet. Makes the plane's key at first use. Throws `config_invalid` and `key_*`. */
  static async make(
    dir: NodeDir,
    config: NatsConfig,
    feed: NatsFeed | null,
    parts: NatsLogParts,
    log: PlaneLog | undefined,
  ): Promise<NatsService> {
    if (!(await fileExists(dir.natsKey))) await createKeyFile(dir.natsKey, "nats");
    const plane = new NatsPlane({
      servers: config.servers,
      auth: await readAuth(dir, config),
      clientName: "spine",
      privateKeySeed: await readKeyFile(dir.natsKey, "nats"),
      subjectPrefix: config.preset,
      peers: config.peers,
      discover: config.discover,
      startOffline: true,
      ...readTls(dir, config),
      ...(log === undefined ? {} : { log }),
    });
    if (!config.streams.enabled || feed === null) return new NatsService(plane, null, null, config, parts, undefined);
    const { replicas, envelopeBytes, logBytes, duplicateWindowSeconds } = config.streams;
    let tree: StreamTree | undefined;
    const bus = new NatsBus(plane, {
      names: natsNames(config.preset),
      limits: { replicas, envelopeBytes, logBytes, duplicateWindowMs: duplicateWindowSeconds * 1000 },
      withLog: config.streams.log,
      sender: plane.id,
      durable: `spine_${plane.id.slice(0, 32)}`,
      onBatch: feed.batch,
      onHead: (data) => feed.head(data),
      onReady: () => feed.poke(),
      onLost: () => {
        feed.startOver();
        tree?.clear();
      },
      ...(log === undefined ? {} : { log }),
    });
    tree = config.witness === "leaves" ? new StreamTree(bus) : undefined;
    return new NatsService(plane, bus, feed, config, parts, tree);
  }

  /** Publishes what is stored until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.bus === null) return;
    await Promise.all([this.#feed?.run(this.bus, signal), this.#mirror?.run(signal)]);
  }

  status(): NatsStatus {
    const { plane, bus } = this;
    const features = bus?.features ?? null;
    return {
      connected: plane.server !== null,
      server: plane.server?.name ?? null,
      version: plane.server?.version ?? null,
      streams_ready: bus?.ready ?? false,
      features: features === null ? null : { ...features },
      problems: [
        ...(plane.server === null ? ["no NATS server can be reached"] : []),
        ...(bus?.problems ?? []),
        ...this.#sizeProblem(),
        ...this.#mirrorProblem(),
      ],
      counters: this.counters(),
    };
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.bus?.counters(), ...this.#feed?.counters(), ...this.#mirror?.counters() };
  }
  #sizeProblem(): string[] {
    const count = this.#feed?.counters()["feed_oversized"] ?? 0;
    return count === 0
      ? []
      : [`${count} envelope(s) are larger than the cluster takes (max_payload, or the stream's max_msg_size)`];
  }
  #mirrorProblem(): string[] {
    const problem = this.#mirror?.problem ?? null;
    return problem === null ? [] : [problem];
  }

  async stop(): Promise<void> {
    await this.bus?.stop();
  }
}

async function readAuth(dir: NodeDir, config: NatsConfig): Promise<NatsAuth> {
  const ways = [config.credsFile, config.nkeyFile, config.tokenFile, config.passwordFile].filter(
    (one) => one !== undefined,
  );
  if (ways.length > 1) throw new SpineError("config_invalid", "planes.nats: name one way to log in, not several");
  const read = async (path: string): Promise<string> => (await readSecretText(resolve(dir.path, path))).trim();
  if (config.credsFile !== undefined) return { type: "creds", creds: await read(config.credsFile) };
  if (config.nkeyFile !== undefined) return { type: "nkey", seed: await read(config.nkeyFile) };
  if (config.tokenFile !== undefined) return { type: "token", token: await read(config.tokenFile) };
  if (config.passwordFile === undefined) return { type: "none" };
  const [user = "", ...rest] = (await read(config.passwordFile)).split(":");
  return { type: "user", user, password: rest.join(":") };
}

function readTls(dir: NodeDir, config: NatsConfig): { tls?: { ca?: string; cert?: string; key?: string } } {
  const { tls, caFile, certFile, keyFile } = config;
  if (!tls && caFile === undefined && certFile === undefined) return {};
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new SpineError("config_invalid", "planes.nats: certFile and keyFile go together");
  }
  const read = (path: string): string => readNatsFile(resolve(dir.path, path));
  return {
    tls: {
      ...(caFile === undefined ? {} : { ca: read(caFile) }),
      ...(certFile === undefined ? {} : { cert: read(certFile) }),
      ...(keyFile === undefined ? {} : { key: read(keyFile) }),
    },
  };
}
