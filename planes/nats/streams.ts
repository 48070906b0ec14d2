/**
 * Makes sure that a cluster has the streams and buckets the node needs, and says aloud what differs. It creates what is
 * missing and changes nothing that exists: the operator of the cluster owns it. Used by `bus.ts`.
 */
import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { SpineError } from "../../spine/index.ts";
import type { NatsNames, StreamName } from "./names.ts";

export interface StreamLimits {
  /** Copies of each stream and bucket. */
  readonly replicas: number;
  /** Bytes of the envelope streams on each replica's disk, together; the oldest go first. */
  readonly envelopeBytes: number;
  /** Bytes of the log stream on each replica's disk; when full it refuses, so that no leaf is ever lost unseen. */
  readonly logBytes: number;
  /** How long a server remembers message ids. */
  readonly duplicateWindowMs: number;
}

/** What the server can do that older ones cannot; each is said in status. */
export interface ServerFeatures {
  readonly version: string;
  /** Servers before 2.9 have no direct reads: they are refused. */
  readonly supported: boolean;
  readonly streamMetadata: boolean;
  readonly perMessageTtl: boolean;
  readonly batchRead: boolean;
}

const MS_TO_NANOS = 1_000_000;
/** A server with less room than asked for gets smaller streams, down to this. */
const MIN_STREAM_BYTES = 4 * 1_048_576;
const API = {
  insufficient: new Set([10_023, 10_047, 10_028]),
  overlap: 10_065,
  exists: 10_058,
  replicas: new Set([10_074, 10_005]),
};

export function serverFeatures(version: string): ServerFeatures {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const atLeast = (wanted: number): boolean => major > 2 || (major === 2 && minor >= wanted);
  return {
    version,
    supported: atLeast(9),
    streamMetadata: atLeast(10),
    perMessageTtl: atLeast(11),
    batchRead: atLeast(11),
  };
}

/** The number of a JetStream API error, or 0. */
export function apiCode(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "number" ? code : 0;
}

/** Says what differs from what was asked for, or merely what was made; one sentence each. */
export type Say = (text: string, made?: boolean) => void;

function wanted(
  stream: StreamName,
  kind: "log" | "envelopes",
  limits: StreamLimits,
  bytes: number,
): Partial<StreamConfig> & { name: string } {
  return {
    name: stream.name,
    subjects: [...stream.subjects],
    storage: "file",
    retention: "limits",
    // A full log must say so; full telemetry makes room.
    discard: kind === "log" ? "new" : "old",
    num_replicas: limits.replicas,
    max_bytes: bytes,
    duplicate_window: limits.duplicateWindowMs * MS_TO_NANOS,
    allow_direct: true,
  };
}

/** Finds or creates a stream. Throws `nats_stream` when it cannot be used as it is. */
export async function ensureStream(
  jsm: JetStreamManager,
  stream: StreamName,
  kind: "log" | "envelopes",
  limits: StreamLimits,
  say: Say,
): Promise<StreamInfo> {
  try {
    const info = await jsm.streams.info(stream.name);
    verifyStream(info.config, stream, kind, limits, say);
    return info;
  } catch (error) {
    if (apiCode(error) !== 10_059) throw error;
  }
  const share = kind === "log" ? limits.logBytes : Math.floor(limits.envelopeBytes);
  for (let bytes = share; ; bytes = Math.floor(bytes / 2)) {
    try {
      const info = await jsm.streams.add(wanted(stream, kind, limits, bytes));
      say(`stream ${stream.name} created: ${limits.replicas} replica(s), ${bytes} bytes`, true);
      return info;
    } catch (error) {
      const code = apiCode(error);
      if (API.insufficient.has(code) && bytes / 2 >= MIN_STREAM_BYTES) continue;
      throw streamError(stream.name, code, error);
    }
  }
}

function streamError(name: string, code: number, error: unknown): SpineError {
  const text = error instanceof Error ? error.message : String(error);
  const why =
    code === API.overlap
      ? "another stream has its subjects already"
      : API.replicas.has(code)
        ? "the cluster has fewer servers than replicas asked for (planes.nats.streams.replicas)"
        : text;
  return new SpineError("nats_stream", `stream ${name}: ${why}`, { cause: error });
}

/** What would lose or double data is refused; what merely differs is said. */
function verifyStream(
  config: StreamConfig,
  stream: StreamName,
  kind: "log" | "envelopes",
  limits: StreamLimits,
  say: Say,
): void {
  const refuse = (why: string): never => {
    throw new SpineError("nats_stream", `stream ${stream.name} cannot be used: ${why}`);
  };
  if (config.retention !== "limits") refuse(`its retention is ${config.retention}, expected limits`);
  if (config.no_ack) refuse("it does not acknowledge");
  if (config.sealed) refuse("it is sealed");
  const missing = stream.subjects.filter((subject) => !config.subjects.some((held) => covers(held, subject)));
  if (missing.length > 0) refuse(`it lacks the subjects ${missing.join(", ")}`);
  if (kind === "log") {
    // With anything but leaves in it, a sequence number is no leaf index.
    if (config.subjects.length !== 1) refuse("a log stream holds leaves only");
    if (config.discard !== "new") refuse("it discards old messages: leaves would be lost");
    if (config.max_age > 0 || config.max_msgs > 0) refuse("it has a limit of age or messages: leaves would be lost");
  }
  if (config.storage !== "file") say(`stream ${stream.name} is kept in memory: a restart empties it`);
  if (config.num_replicas < limits.replicas) {
    say(`stream ${stream.name} has ${config.num_replicas} replica(s), ${limits.replicas} asked for`);
  }
  if (config.max_bytes < 0) say(`stream ${stream.name} has no limit of bytes`);
}

/** Whether every subject of `narrow` is one of `wide`'s, for names with `*` and a final `>`. */
export function covers(wide: string, narrow: string): boolean {
  const [a, b] = [wide.split("."), narrow.split(".")];
  for (let i = 0; i < a.length; i++) {
    if (a[i] === ">") return i < b.length;
    if (b[i] === undefined || b[i] === ">") return false;
    if (a[i] !== "*" && a[i] !== b[i]) return false;
  }
  return a.length === b.length;
}

/** Streams of envelopes, and the log's stream and buckets when `withLog`. */
export async function ensureAll(
  connection: NatsConnection,
  jsm: JetStreamManager,
  names: NatsNames,
  limits: StreamLimits,
  withLog: boolean,
  say: Say,
): Promise<ReadonlyMap<string, StreamInfo>> {
  const found = new Map<string, StreamInfo>();
  const share = { ...limits, envelopeBytes: limits.envelopeBytes / names.envelopes.length };
  for (const stream of names.envelopes)
    found.set(stream.name, await ensureStream(jsm, stream, "envelopes", share, say));
  if (!withLog) return found;
  found.set(names.log.name, await ensureStream(jsm, names.log, "log", limits, say));
  const kvm = new (await import("@nats-io/kv")).Kvm(connection);
  for (const bucket of [names.logIndex, names.checkpoints]) await ensureBucket(kvm, bucket, limits, say);
  return found;
}

/** An existing bucket is opened as it is, whatever it was made with. */
async function ensureBucket(kvm: Kvm, bucket: string, limits: StreamLimits, say: Say): Promise<void> {
  const wanted = { history: 1, replicas: limits.replicas, max_bytes: Math.floor(limits.logBytes) };
  try {
    const { ttl, replicas } = await (await kvm.create(bucket, wanted)).status();
    if (ttl > 0) throw new SpineError("nats_stream", `bucket ${bucket} forgets after ${ttl} ms: entries would be lost`);
    if (replicas < limits.replicas) say(`bucket ${bucket} has ${replicas} replica(s), ${limits.replicas} asked for`);
  } catch (error) {
    if (error instanceof SpineError) throw error;
    if (apiCode(error) !== API.exists) throw streamError(`KV_${bucket}`, apiCode(error), error);
    say(`bucket ${bucket} exists with other settings: used as it is`);
  }
}
