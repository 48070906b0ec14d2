/**
 * Names on a NATS cluster: subjects, streams and buckets of the two presets, and which subject belongs to which fact
 * (spec/spine.md 1, 14). An envelope on a subject that does not match its fact is dropped by whoever reads it.
 */
import { type Envelope, factKind, factOf, isJsonObject } from "../../spine/index.ts";

export type NatsPreset = "aegis" | "clawdstrike";

export interface StreamName {
  readonly name: string;
  readonly subjects: readonly string[];
}

export interface NatsNames {
  /** First word of every subject, and prefix of the fact schemas emitted. */
  readonly prefix: NatsPreset;
  /** Envelopes are published on `envelope.KIND`. */
  readonly envelope: string;
  readonly heads: string;
  readonly leaf: string;
  readonly witness: string;
  /** Leaves only: a leaf's index is its stream sequence less one. */
  readonly log: StreamName;
  /** Where envelopes are kept for those who are away. */
  readonly envelopes: readonly StreamName[];
  readonly logIndex: string;
  readonly checkpoints: string;
}

/** Kinds with a subject of their own, beside telemetry; everything else is `other`. */
const KINDS = [
  "revocation",
  "revocation_set",
  "log_checkpoint",
  "incident",
  "policy_delta",
  "policy",
  "policy_bundle",
  "policy_attestation",
  "review_attestation",
  "feed_entry",
  "head_announcement",
  "node_attestation",
  "transport_binding",
  "genesis",
  "succession",
  "rotation",
  "run",
  "run_receipt",
  "receipt",
  "receipt_verification",
  "runtime_proof",
  "artifact_pointer",
  "heartbeat",
  "fork_proof",
  "split_view_proof",
  "gateway_audit",
  "other",
] as const;
const KIND_SET: ReadonlySet<string> = new Set(KINDS);
const TETRAGON_EVENTS: ReadonlySet<string> = new Set(["process_exec", "process_exit", "process_kprobe", "process_lsm"]);

export function natsNames(preset: NatsPreset): NatsNames {
  const base = `${preset}.spine`;
  const common = {
    prefix: preset,
    envelope: `${base}.envelope`,
    heads: `${base}.heads.v1`,
    leaf: `${base}.log.leaf.v1`,
    witness: `${base}.witness.sign.v1`,
  };
  if (preset === "aegis") {
    return {
      ...common,
      log: { name: "AEGISNET_LOG", subjects: [common.leaf] },
      envelopes: [{ name: "AEGISNET_ENVELOPES", subjects: [`${base}.envelope.>`] }],
      logIndex: "AEGISNET_LOG_INDEX",
      checkpoints: "AEGISNET_CHECKPOINTS",
    };
  }
  // An upstream cluster has streams for telemetry already, and subjects of streams must not overlap.
  return {
    ...common,
    log: { name: "CLAWDSTRIKE_SPINE_LOG", subjects: [common.leaf] },
    envelopes: [
      { name: "CLAWDSTRIKE_SPINE_FACTS", subjects: KINDS.map((kind) => `${base}.envelope.${kind}.*`) },
      { name: "CLAWDSTRIKE_TETRAGON", subjects: [`${base}.envelope.tetragon.>`] },
      { name: "CLAWDSTRIKE_HUBBLE", subjects: [`${base}.envelope.hubble.flow.v1`] },
    ],
    logIndex: "CLAWDSTRIKE_LOG_INDEX",
    checkpoints: "CLAWDSTRIKE_CHECKPOINTS",
  };
}

/** The last words of the subject for an envelope, such as "revocation.v1" or "tetragon.process_exec.v1". */
export function subjectTail(envelope: Envelope): string {
  const known = factKind(envelope.factSchema);
  if (known === undefined) return "other.v1";
  const { kind, version } = known;
  if (known.family === "sdr" && kind === "hubble_flow") return "hubble.flow.v1";
  if (known.family === "sdr" && kind === "tetragon_event") {
    const fact = factOf(envelope);
    const event = isJsonObject(fact) ? fact["event_type"] : undefined;
    return `tetragon.${typeof event === "string" && TETRAGON_EVENTS.has(event) ? event : "other"}.v1`;
  }
  return known.family !== "sdr" && KIND_SET.has(kind) ? `${kind}.v${version}` : "other.v1";
}

/**
 * Whether an envelope may have come on this subject: its own under either prefix, or one of the forms upstream's
 * producers use (its gateway, its command line, its marketplace).
 */
export function subjectMatches(subject: string, envelope: Envelope): boolean {
  const match = /^(?:aegis|clawdstrike)\.spine\.envelope\.(.+)$/.exec(subject);
  const tail = match?.[1];
  if (tail === undefined) return false;
  if (tail === "cli.v1" || tail === subjectTail(envelope)) return true;
  if (tail === `reticulum.${envelope.factSchema}`) return true;
  const known = factKind(envelope.factSchema);
  if (known === undefined) return false;
  if (tail.startsWith("clawdstrike.")) return known.family !== "sdr";
  const [source] = tail.split(".");
  return known.family === "sdr" && SDR_SOURCES[source ?? ""] === known.kind;
}

/** Upstream's other bridges: first word of the subject → the kind they publish. */
const SDR_SOURCES: Readonly<Record<string, string>> = {
  auditd: "auditd_event",
  k8s_audit: "k8s_audit_event",
  darwin: "darwin_telemetry_event",
};
