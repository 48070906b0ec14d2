/**
 * Checkpoint statements: one tree head in the mesh's own spelling, chained by hash, co-signed by witnesses and carried in
 * a `log_checkpoint` fact of the log's chain. Spec: spec/spine.md sections 7.2, 9.1, 9.2; rules 9.
 */
import { fromHex, toHex, utf8 } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { SpineError } from "./errors.ts";
import { isEnvelopeHash, isIssuer, parseIssuer, parseSignature, signatureText } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";
import type { Claim, Issuer, Sha256, Verifier } from "./ports.ts";
import {
  CHECKPOINT_STATEMENT_SCHEMA,
  WITNESS_SIGNATURE_SCHEMA,
  witnessMessage,
  witnessRequestMessage,
} from "./tags.ts";
import { parseTime } from "./time.ts";

/** Most witness lines read from one fact or proof. */
export const MAX_WITNESS_LINES = 100;
const FACT_SCHEMA = /^(?:aegis|clawdstrike)\.spine\.fact\.log_checkpoint\.v1$/;
const STATEMENT_FIELDS = 7;

export interface CheckpointStatement {
  /** Issuer id of the log's key. */
  readonly logId: Issuer;
  /** From 1. */
  readonly seq: number;
  /** `0x` hash of the statement before; null for seq 1 (a foreign log that lost its first rounds may start later). */
  readonly prev: string | null;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Leaves. */
  readonly size: number;
  /** RFC 3339, as signed. */
  readonly issuedAt: string;
}

export interface WitnessLine {
  readonly witness: Issuer;
  /** 64 bytes over the witness message of the statement. */
  readonly signature: Uint8Array;
}

function statementObject(statement: CheckpointStatement): JsonObject {
  return {
    checkpoint_seq: statement.seq,
    issued_at: statement.issuedAt,
    log_id: statement.logId,
    merkle_root: `0x${toHex(statement.root)}`,
    prev_checkpoint_hash: statement.prev,
    schema: CHECKPOINT_STATEMENT_SCHEMA,
    tree_size: statement.size,
  };
}

/** Canonical JSON: what is hashed, stored and sent. */
export function statementText(statement: CheckpointStatement): string {
  return canonicalText(statementObject(statement));
}

/** 32 bytes. */
export function checkpointHash(sha256: Sha256, statement: CheckpointStatement): Uint8Array {
  return sha256(utf8(statementText(statement)));
}

/** As it stands in the next statement's `prev_checkpoint_hash`. */
export function checkpointHashText(sha256: Sha256, statement: CheckpointStatement): string {
  return `0x${toHex(checkpointHash(sha256, statement))}`;
}

function bad(what: string): SpineError {
  return new SpineError("checkpoint_field", what);
}

function integer(value: Json | undefined, least: number, name: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) throw bad(`${name} is out of range`);
  return value;
}

/** The six statement fields of a statement or a fact; throws `checkpoint_field`. */
function readFields(object: JsonObject): CheckpointStatement {
  const { log_id, prev_checkpoint_hash, merkle_root, issued_at } = object;
  const seq = integer(object["checkpoint_seq"], 1, "checkpoint_seq");
  if (typeof log_id !== "string" || !isIssuer(log_id)) throw bad("log_id is not an issuer id");
  if (
    prev_checkpoint_hash !== null &&
    (typeof prev_checkpoint_hash !== "string" || !isEnvelopeHash(prev_checkpoint_hash))
  ) {
    throw bad("prev_checkpoint_hash is neither null nor a hash");
  }
  if (seq === 1 && prev_checkpoint_hash !== null) throw bad("the first checkpoint has a previous hash");
  if (typeof merkle_root !== "string" || !isEnvelopeHash(merkle_root)) throw bad("merkle_root is not a hash");
  if (typeof issued_at !== "string" || parseTime(issued_at) === undefined) throw bad("issued_at is not a time");
  const size = integer(object["tree_size"], 0, "tree_size");
  return {
    logId: log_id,
    seq,
    prev: prev_checkpoint_hash,
    root: fromHex(merkle_root.slice(2), TREE_HASH_BYTES),
    size,
    issuedAt: issued_at,
  };
}

/** Strict: exactly the seven fields. Throws `checkpoint_field`. */
export function readStatement(value: Json): CheckpointStatement {
  if (!isJsonObject(value)) throw bad("a statement is a JSON object");
  if (value["schema"] !== CHECKPOINT_STATEMENT_SCHEMA) throw bad("schema is not that of a checkpoint statement");
  if (Object.keys(value).length !== STATEMENT_FIELDS) throw bad("unknown field");
  return readFields(value);
}

/** Any spelling of the JSON. Throws `checkpoint_field` or the json codes. */
export function parseStatement(text: string): CheckpointStatement {
  return readStatement(parseJson(text));
}

/** The tree head a log states next; throws `log_conflict` when the tree shrank or changed under the same size. */
export function nextStatement(
  sha256: Sha256,
  previous: CheckpointStatement | null,
  head: Pick<CheckpointStatement, "logId" | "root" | "size" | "issuedAt">,
): CheckpointStatement {
  const { logId, root, size, issuedAt } = head;
  if (previous === null) return { logId, seq: 1, prev: null, root, size, issuedAt };
  const isSameRoot = toHex(root) === toHex(previous.root);
  if (logId !== previous.logId || size < previous.size || (size === previous.size && !isSameRoot)) {
    throw new SpineError(
      "log_conflict",
      `a tree of ${size} leaves does not extend the ${previous.size} already stated`,
    );
  }
  // A clock that ran backwards must not make the chain's times do so.
  const isBackwards = (parseTime(issuedAt) ?? 0) < (parseTime(previous.issuedAt) ?? 0);
  const prev = checkpointHashText(sha256, previous);
  return { logId, seq: previous.seq + 1, prev, root, size, issuedAt: isBackwards ? previous.issuedAt : issuedAt };
}

/** What a witness's line claims. */
export function witnessClaim(sha256: Sha256, statement: CheckpointStatement, line: WitnessLine): Claim {
  const message = witnessMessage(checkpointHash(sha256, statement));
  return { key: parseIssuer(line.witness), message, signature: line.signature };
}

/** What a log's signature of a witness request claims. */
export function witnessRequestClaim(sha256: Sha256, statement: CheckpointStatement, signature: Uint8Array): Claim {
  const message = witnessRequestMessage(checkpointHash(sha256, statement));
  return { key: parseIssuer(statement.logId), message, signature };
}

/** Distinct witnesses whose lines hold, in the lines' order. Wrong lines are left out: they prove nothing of the rest. */
export async function validWitnesses(
  sha256: Sha256,
  statement: CheckpointStatement,
  lines: readonly WitnessLine[],
  verifier: Verifier,
): Promise<Issuer[]> {
  const verdicts = await verifier.verify(lines.map((line) => witnessClaim(sha256, statement, line)));
  return [...new Set(lines.filter((_, i) => verdicts[i] === true).map((line) => line.witness))];
}

/** `{witness_node_id, signature}`; other fields are ignored. Throws `witness_signature` or `issuer_syntax`. */
export function readWitnessLine(value: Json | undefined): WitnessLine {
  if (!isJsonObject(value)) throw new SpineError("witness_signature", "a witness line is a JSON object");
  const { witness_node_id, signature } = value;
  if (typeof witness_node_id !== "string" || typeof signature !== "string") {
    throw new SpineError("witness_signature", "witness_node_id and signature are strings");
  }
  if (!isIssuer(witness_node_id)) throw new SpineError("issuer_syntax", "witness_node_id is not an issuer id");
  try {
    return { witness: witness_node_id, signature: parseSignature(signature) };
  } catch (cause) {
    throw new SpineError("witness_signature", "not 128 hex digits", { cause });
  }
}

export function readWitnessLines(value: Json | undefined): WitnessLine[] {
  if (!Array.isArray(value)) throw new SpineError("witness_signature", "witness lines are an array");
  if (value.length > MAX_WITNESS_LINES) throw new SpineError("witness_signature", `${value.length} witness lines`);
  return (value as readonly Json[]).map(readWitnessLine);
}

export function writeWitnessLines(lines: readonly WitnessLine[]): JsonObject[] {
  return lines.map((line) => ({ signature: signatureText(line.signature), witness_node_id: line.witness }));
}

/** A witness's answer to a request in the parent implementation's shape (spec/spine.md 9.2). */
export function witnessSignatureObject(sha256: Sha256, statement: CheckpointStatement, line: WitnessLine): JsonObject {
  return {
    checkpoint_hash: checkpointHashText(sha256, statement),
    schema: WITNESS_SIGNATURE_SCHEMA,
    signature: signatureText(line.signature),
    witness_node_id: line.witness,
  };
}

/** What a `log_checkpoint` fact says. */
export interface CheckpointFact {
  readonly statement: CheckpointStatement;
  readonly witnesses: readonly WitnessLine[];
  /** The same tree head as a C2SP signed note, carried verbatim; null when the log has no public face. */
  readonly note: string | null;
}

/** `factId` is `cp_` and a UUID; `prefix` is "aegis" or "clawdstrike". */
export function writeCheckpointFact(fact: CheckpointFact, factId: string, prefix: "aegis" | "clawdstrike"): JsonObject {
  return {
    ...statementObject(fact.statement),
    anchors: { eas: null, rekor: null, solana: null },
    fact_id: factId,
    included_heads: [],
    ...(fact.note === null ? {} : { note: fact.note }),
    schema: `${prefix}.spine.fact.log_checkpoint.v1`,
    witnesses: writeWitnessLines(fact.witnesses),
  };
}

/** Throws `checkpoint_field`, `witness_signature` or `issuer_syntax`. Signatures are not verified. */
export function readCheckpointFact(fact: Json): CheckpointFact {
  if (!isJsonObject(fact)) throw bad("the fact is not a JSON object");
  if (typeof fact["schema"] !== "string" || !FACT_SCHEMA.test(fact["schema"])) throw bad("not a log_checkpoint fact");
  const note = fact["note"] ?? null;
  if (note !== null && typeof note !== "string") throw bad("note is not a string");
  const lines = fact["witnesses"] ?? fact["witness_signatures"] ?? [];
  return { statement: readFields(fact), witnesses: readWitnessLines(lines), note };
}
