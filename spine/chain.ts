/**
 * The link rule between an issuer's head and a next envelope: upstream's, with a first seq of 0 tolerated as the
 * parent implementation issues it. spec/spine.md section 5.
 */
import { SpineError } from "./errors.ts";
import { foreignIssuer } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";

/** Sequence numbers are compared as given; bigint allows for upstream's whole u64 range. */
export type Seq = number | bigint;

export interface ChainHead {
  readonly issuer: string;
  readonly seq: Seq;
  readonly hash: string;
}

export interface ChainLink {
  readonly issuer: string;
  readonly seq: Seq;
  readonly prev: string | null;
}

export type LinkVerdict =
  | { readonly type: "new-chain" }
  | { readonly type: "continuation" }
  | { readonly type: "invalid-head" }
  | { readonly type: "seq-mismatch"; readonly expectedSeq: Seq; readonly actualSeq: Seq }
  | { readonly type: "prev-mismatch"; readonly expectedPrev: string; readonly actualPrev: string | null };

const U64_MAX = 2n ** 64n - 1n;
const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

function smallest(seq: bigint): Seq {
  return seq <= SAFE_MAX ? Number(seq) : seq;
}

/** Judges `link` as the successor of `head`, or as the start of a chain when there is no head. Seqs are integers. */
export function linkVerdict(head: ChainHead | null, link: ChainLink): LinkVerdict {
  if (head === null) {
    const starts = (link.seq === 0 || link.seq === 1 || link.seq === 0n || link.seq === 1n) && link.prev === null;
    return { type: starts ? "new-chain" : "invalid-head" };
  }
  if (head.issuer.toLowerCase() !== link.issuer.toLowerCase()) return { type: "invalid-head" };
  const expected = BigInt(head.seq) + 1n;
  if (expected > U64_MAX) return { type: "invalid-head" };
  if (BigInt(link.seq) !== expected)
    return { type: "seq-mismatch", expectedSeq: smallest(expected), actualSeq: link.seq };
  if ((link.prev ?? "") !== head.hash) return { type: "prev-mismatch", expectedPrev: head.hash, actualPrev: link.prev };
  return { type: "continuation" };
}

function seqField(object: JsonObject): Seq {
  const seq: Json | undefined = object["seq"];
  if (typeof seq === "bigint" && seq >= 0n) return seq;
  if (typeof seq === "number" && Number.isSafeInteger(seq) && seq >= 0) return seq;
  throw new SpineError("envelope_field", "seq is not an unsigned integer");
}

function issuerField(object: JsonObject): string {
  if (typeof object["issuer"] !== "string") throw new SpineError("envelope_field", "issuer is not a string");
  return foreignIssuer(object["issuer"]);
}

/** Reads what `linkVerdict` needs from a parsed envelope of any kind; throws `envelope_field` or `issuer_syntax`. */
export function chainLinkOf(value: Json): ChainLink {
  if (!isJsonObject(value)) throw new SpineError("envelope_field", "an envelope is a JSON object");
  const prev: Json | undefined = value["prev_envelope_hash"];
  const link = { issuer: issuerField(value), seq: seqField(value) };
  if (prev !== null && typeof prev !== "string")
    throw new SpineError("envelope_field", "prev_envelope_hash is neither null nor a string");
  return { ...link, prev };
}

/** Reads upstream's head record `{issuer, seq, envelope_hash}`, without other fields; throws as `chainLinkOf`. */
export function chainHeadOf(value: Json): ChainHead {
  if (!isJsonObject(value)) throw new SpineError("envelope_field", "a head record is a JSON object");
  const hash: Json | undefined = value["envelope_hash"];
  if (typeof hash !== "string") throw new SpineError("envelope_field", "envelope_hash is not a string");
  if (Object.keys(value).length !== 3) throw new SpineError("envelope_field", "a head record has three fields");
  return { issuer: issuerField(value), seq: seqField(value), hash };
}
