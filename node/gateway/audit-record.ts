/**
 * Records of the audit log: JSON objects, each with the hash of the one before, so that nothing can be changed, removed
 * or put in between (spec/spine.md 18). Written by `audit-log.ts`, checked by `audit-verify.ts`.
 */
import { canonicalText, isJsonObject, type Json, type JsonObject, parseJson, utf8 } from "../../spine/index.ts";
import { sha256Hex } from "../hash.ts";

export const AUDIT_GENESIS: string = `0x${"0".repeat(64)}`;
/** A record holds names and hashes, never content. */
export const MAX_AUDIT_LINE = 16_384;

export interface SealedRecord {
  readonly line: string;
  readonly hash: string;
}

/** Adds `prev_hash` and `hash`; the line is canonical JSON. */
export function sealRecord(fields: JsonObject, prevHash: string): SealedRecord {
  const record: Record<string, Json> = { ...fields, prev_hash: prevHash };
  const hash = `0x${sha256Hex(utf8(canonicalText(record)))}`;
  return { line: canonicalText({ ...record, hash }), hash };
}

export interface ReadRecord {
  readonly fields: JsonObject;
  readonly hash: string;
  readonly prevHash: string;
  /** Number of the record, from 1; null in logs of upstream, which do not count. */
  readonly number: number | null;
}

/** Undefined unless the line is a record whose hash is its own, in any spelling of its JSON. */
export function readAuditRecord(line: string): ReadRecord | undefined {
  if (line.length > MAX_AUDIT_LINE) return undefined;
  let value: Json;
  try {
    value = parseJson(line);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const { hash, ...rest } = value as Record<string, Json>;
  const prevHash = rest["prev_hash"];
  if (typeof hash !== "string" || typeof prevHash !== "string") return undefined;
  let computed: string;
  try {
    computed = `0x${sha256Hex(utf8(canonicalText(rest)))}`;
  } catch {
    return undefined;
  }
  if (computed !== hash) return undefined;
  const number = rest["n"];
  return { fields: value, hash, prevHash, number: typeof number === "number" ? number : null };
}
