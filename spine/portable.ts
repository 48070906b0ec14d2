/**
 * Portable proofs, `clawdstrike-portable-proof-v1`: an envelope, its path into a log's tree, and the log's whole
 * checkpoint envelope with witness lines, in one JSON file. Spec: spec/spine.md section 13. Verified by
 * `portable-verify.ts`.
 */
import { fromHex, toHex } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { readWitnessLines, type WitnessLine, writeWitnessLines } from "./checkpoint.ts";
import { type Envelope, envelopeText, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { isEnvelopeHash } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";
import { openEnvelopeValue } from "./open.ts";
import type { Sha256Hex } from "./ports.ts";
import { PORTABLE_PROOF_SCHEMA } from "./tags.ts";

/** Longest proof text read, bytes. */
export const MAX_PORTABLE_BYTES: number = 16 * MAX_ENVELOPE_BYTES;
const MAX_PATH = 63;

/** Parts of the format that this node carries but does not judge. */
export const UNJUDGED_PARTS = ["signed_bundle", "feed_entry", "eas_timestamp"] as const;
export type UnjudgedPart = (typeof UNJUDGED_PARTS)[number];
const FIELDS: ReadonlySet<string> = new Set([
  "schema",
  "attestation_envelope",
  "inclusion_proof",
  "checkpoint",
  ...UNJUDGED_PARTS,
]);

export interface PortableProof {
  /** What is proven. Opened: its hash was recomputed, its signature not yet verified. */
  readonly envelope: Envelope;
  /** 0-based leaf index in the log. */
  readonly index: number;
  /** As the prover states them; believed only where the checkpoint says the same. */
  readonly size: number;
  readonly checkpointSeq: number;
  /** Sibling hashes, leaf side first. */
  readonly path: readonly Uint8Array[];
  /** The log's envelope with its `log_checkpoint` fact. */
  readonly checkpoint: Envelope;
  /** Co-signatures that came after the checkpoint was published. */
  readonly lateWitnesses: readonly WitnessLine[];
  /** Carried as they came. */
  readonly unjudged: Readonly<Partial<Record<UnjudgedPart, Json>>>;
}

/** Canonical JSON, one spelling for one proof. */
export function formatPortableProof(proof: PortableProof): string {
  return canonicalText({
    ...proof.unjudged,
    attestation_envelope: parseJson(envelopeText(proof.envelope)),
    checkpoint: {
      envelope: parseJson(envelopeText(proof.checkpoint)),
      witness_signatures: writeWitnessLines(proof.lateWitnesses),
    },
    inclusion_proof: {
      audit_path: proof.path.map((hash) => `0x${toHex(hash)}`),
      checkpoint_seq: proof.checkpointSeq,
      log_index: proof.index,
      tree_size: proof.size,
    },
    schema: PORTABLE_PROOF_SCHEMA,
  });
}

/** Any spelling of the JSON. Throws `portable_proof`, the json codes, or those of `openEnvelope` and `readWitnessLines`. */
export function parsePortableProof(sha256Hex: Sha256Hex, input: string | Uint8Array): PortableProof {
  if (input.length > MAX_PORTABLE_BYTES) throw bad(`text of ${input.length} bytes`);
  const proof = object(parseJson(input), "the proof");
  if (proof["schema"] !== PORTABLE_PROOF_SCHEMA) throw bad("unknown schema");
  const unknown = Object.keys(proof).find((key) => !FIELDS.has(key));
  if (unknown !== undefined) throw bad(`unknown field ${JSON.stringify(unknown.slice(0, 100))}`);
  const inclusion = object(proof["inclusion_proof"], "inclusion_proof");
  const checkpoint = object(proof["checkpoint"], "checkpoint");
  const unjudged = UNJUDGED_PARTS.filter((part) => (proof[part] ?? null) !== null);
  return {
    envelope: openEnvelopeValue(object(proof["attestation_envelope"], "attestation_envelope"), sha256Hex),
    index: whole(inclusion["log_index"], "log_index"),
    size: whole(inclusion["tree_size"], "tree_size"),
    checkpointSeq: whole(inclusion["checkpoint_seq"], "checkpoint_seq"),
    path: readPath(inclusion["audit_path"]),
    checkpoint: openEnvelopeValue(object(checkpoint["envelope"], "checkpoint.envelope"), sha256Hex),
    lateWitnesses: readWitnessLines(checkpoint["witness_signatures"] ?? []),
    unjudged: Object.fromEntries(unjudged.map((part) => [part, proof[part] as Json])),
  };
}

function readPath(value: Json | undefined): Uint8Array[] {
  if (!Array.isArray(value) || value.length > MAX_PATH) throw bad("audit_path is not an array of at most 63 hashes");
  return (value as readonly Json[]).map((hash) => {
    if (typeof hash !== "string" || !isEnvelopeHash(hash)) throw bad("audit_path holds something that is no hash");
    return fromHex(hash.slice(2), TREE_HASH_BYTES);
  });
}

function object(value: Json | undefined, name: string): JsonObject {
  if (!isJsonObject(value)) throw bad(`${name} is not an object`);
  return value;
}

function whole(value: Json | undefined, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw bad(`${name} is not a whole number`);
  return value;
}

function bad(what: string): SpineError {
  return new SpineError("portable_proof", what);
}
