/**
 * Handing an identity over: `succession.v1`, signed by the recovery key, is the way out of a freeze, a lost or a stolen
 * key; `rotation.v1`, signed by the old key, reveals the committed next key (rules 7). Any envelope may carry them:
 * what counts is the signatures inside. Read by `authority.ts`, which judges them by the issuer's genesis.
 */
import { toHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { factKind } from "./fact.ts";
import { checkFact } from "./fact-shape.ts";
import { commitToKey, type KeyCommitment } from "./genesis.ts";
import { isEnvelopeHash, issuerOf, parseIssuer, signatureText } from "./identity.ts";
import type { Json, JsonObject } from "./lossless.ts";
import {
  bytesWithout,
  factObject,
  fieldClaim,
  issuerField,
  keyField,
  seqField,
  textField,
  timeField,
} from "./nested-signature.ts";
import type { Claim, EnvelopeHash, Issuer, Sha256Hex } from "./ports.ts";
import { formatTime } from "./time.ts";

export const SUCCESSION_SCHEMA = "aegis.spine.fact.succession.v1";
export const ROTATION_SCHEMA = "aegis.spine.fact.rotation.v1";

export interface Handover {
  readonly kind: "succession" | "rotation";
  readonly old: Issuer;
  /** Last envelope of the old issuer that its owner stands by; 0 and null when there is none. */
  readonly lastSeq: number;
  readonly lastHash: EnvelopeHash | null;
  readonly successor: Issuer;
  /** Commitment to the key that gives the right: the recovery key, or the successor's own as the committed next key. */
  readonly right: KeyCommitment;
}

/** A handover and the two signatures that make it true, both to be verified before it is handed to `Authority`. */
export interface ReadHandover {
  readonly handover: Handover;
  readonly claims: readonly [Claim, Claim];
}

const SIGNATURES: Readonly<Record<Handover["kind"], readonly [string, string]>> = {
  succession: ["recovery_signature", "new_signature"],
  rotation: ["old_signature", "new_signature"],
};

export interface HandoverInput {
  readonly factId: string;
  readonly old: Issuer;
  readonly lastSeq: number;
  readonly lastHash: EnvelopeHash | null;
  readonly successor: Issuer;
  /** Whole seconds since the epoch. */
  readonly issuedAt: number;
}

/** A handover that lacks its two signatures over `signingBytes`: recovery or old key first, then the successor. */
export interface HandoverDraft {
  readonly fact: JsonObject;
  readonly signingBytes: Uint8Array;
  readonly kind: Handover["kind"];
}

function draft(kind: Handover["kind"], schema: string, input: HandoverInput, more: JsonObject): HandoverDraft {
  const fact: JsonObject = {
    schema,
    fact_id: input.factId,
    old_issuer: input.old,
    last_seq: input.lastSeq,
    last_hash: input.lastHash,
    new_issuer: input.successor,
    issued_at: formatTime(input.issuedAt),
    ...more,
  };
  return { fact, signingBytes: bytesWithout(fact, []), kind };
}

/** `recoveryKey`: the 32-byte public key that the old issuer's genesis commits to. */
export function draftSuccession(input: HandoverInput, recoveryKey: Uint8Array): HandoverDraft {
  return draft("succession", SUCCESSION_SCHEMA, input, { recovery_key: toHex(recoveryKey) });
}

export function draftRotation(input: HandoverInput): HandoverDraft {
  return draft("rotation", ROTATION_SCHEMA, input, {});
}

/** Adds the signatures, 64 bytes each. Does not verify them. */
export function sealHandover(draft: HandoverDraft, first: Uint8Array, successor: Uint8Array): JsonObject {
  const [one, other] = SIGNATURES[draft.kind];
  return { ...draft.fact, [one]: signatureText(first), [other]: signatureText(successor) };
}

/** Reads a `succession` or `rotation` fact. Throws `fact_invalid`; verifies nothing. */
export function readHandover(fact: Json, sha256Hex: Sha256Hex): ReadHandover {
  checkFact(fact);
  const object = factObject(fact);
  const kind = factKind(textField(object, "schema"))?.kind;
  if (kind !== "succession" && kind !== "rotation") throw new SpineError("fact_invalid", "the fact is no handover");
  const old = issuerField(object, "old_issuer");
  const successor = issuerField(object, "new_issuer");
  const lastSeq = seqField(object, "last_seq");
  const lastHash = object["last_hash"] ?? null;
  timeField(object, "issued_at");
  if ((lastSeq === 0) !== (lastHash === null) || (lastHash !== null && !isEnvelopeHash(String(lastHash))))
    throw new SpineError("fact_invalid", "fact.last_hash does not fit fact.last_seq");
  const first = kind === "succession" ? keyField(object, "recovery_key") : parseIssuer(old);
  if (old === successor || successor === issuerOf(first))
    throw new SpineError("fact_invalid", "the successor is not a new key");
  const message = bytesWithout(object, SIGNATURES[kind]);
  const [one, other] = SIGNATURES[kind];
  const right = commitToKey(kind === "succession" ? first : parseIssuer(successor), sha256Hex);
  return {
    handover: { kind, old, lastSeq, lastHash: lastHash as EnvelopeHash | null, successor, right },
    claims: [fieldClaim(object, one, first, message), fieldClaim(object, other, parseIssuer(successor), message)],
  };
}
