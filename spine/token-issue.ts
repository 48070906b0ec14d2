/**
 * Making capability tokens (spec/spine.md section 6): a first one, and one narrowed from a token that names its maker as
 * subject. Refuses what no node would count. Called by `spine token`; judged by `token.ts`.
 */
import { SpineError } from "./errors.ts";
import { isIssuer, signatureText } from "./identity.ts";
import type { JsonObject } from "./lossless.ts";
import type { Issuer } from "./ports.ts";
import { parseTime } from "./time.ts";
import { coversScope, MAX_TOKEN_AUDIENCE, MAX_TOKEN_CHAIN, MAX_TOKEN_SCOPES, tokenSigningBytes } from "./token.ts";

export interface TokenInput {
  readonly tokenId: string;
  /** Who signs. */
  readonly issuer: Issuer;
  /** Who may use it. */
  readonly subject: Issuer;
  readonly scopes: readonly string[];
  /** Nodes it is meant for; null = any. */
  readonly audience: readonly Issuer[] | null;
  /** RFC 3339; null = no bound. */
  readonly notBefore: string | null;
  readonly expiresAt: string | null;
  /** The token it is narrowed from. */
  readonly parent: JsonObject | null;
}

const MAX_TOKEN_ID = 256;

function invalid(message: string): SpineError {
  return new SpineError("token_invalid", message);
}

function checkNames(what: string, names: readonly string[], most: number): void {
  if (names.length === 0 || names.length > most) throw invalid(`${names.length} ${what}, 1 to ${most} are possible`);
  if (names.includes("")) throw invalid(`an empty name in ${what}`);
}

function checkTimes({ notBefore, expiresAt }: TokenInput): void {
  const [from, until] = [notBefore, expiresAt].map((text) => (text === null ? null : (parseTime(text) ?? Number.NaN)));
  if (Number.isNaN(from)) throw invalid("not_before is no RFC 3339 time");
  if (Number.isNaN(until)) throw invalid("expires_at is no RFC 3339 time");
  if (typeof from === "number" && typeof until === "number" && from >= until)
    throw invalid("expires_at must be later than not_before");
}

function parentsOf(token: JsonObject | null): number {
  let count = 0;
  for (let next = token; next !== null && count <= MAX_TOKEN_CHAIN; count++)
    next = (next["parent"] ?? null) as JsonObject;
  return count;
}

/** What a parent does not grant cannot be passed on. Its signatures are for the caller to check. */
function checkNarrowed({ issuer, scopes, audience, parent }: TokenInput): void {
  if (parent === null) return;
  if (parentsOf(parent) >= MAX_TOKEN_CHAIN) throw invalid(`at most ${MAX_TOKEN_CHAIN} tokens stand in a chain`);
  if (parent["subject"] !== issuer) throw invalid("only the subject of a token can narrow it");
  const granted = parent["scopes"] as readonly string[];
  const wider = scopes.find((scope) => !granted.some((one) => coversScope(one, scope)));
  if (wider !== undefined) throw invalid(`the parent does not grant ${wider}`);
  const allowed = (parent["audience"] ?? null) as readonly string[] | null;
  const stranger = allowed === null ? undefined : audience?.find((one) => !allowed.includes(one));
  if (stranger !== undefined) throw invalid(`the parent is not meant for ${stranger}`);
}

/** The token to sign, and its bytes. Throws `token_invalid`. */
export function draftToken(input: TokenInput): { readonly token: JsonObject; readonly signingBytes: Uint8Array } {
  const { tokenId, issuer, subject, scopes, audience, notBefore, expiresAt, parent } = input;
  if (tokenId === "" || tokenId.length > MAX_TOKEN_ID) throw invalid(`token_id has 1 to ${MAX_TOKEN_ID} characters`);
  if (!isIssuer(subject)) throw invalid("subject is no issuer id");
  checkNames("scopes", scopes, MAX_TOKEN_SCOPES);
  if (audience !== null) {
    checkNames("nodes in audience", audience, MAX_TOKEN_AUDIENCE);
    if (!audience.every(isIssuer)) throw invalid("audience names no issuer id");
  }
  checkTimes(input);
  checkNarrowed(input);
  const token: JsonObject = {
    ...{ token_id: tokenId, issuer, subject, scopes: [...scopes] },
    ...(audience === null ? {} : { audience: [...audience] }),
    ...(notBefore === null ? {} : { not_before: notBefore }),
    ...(expiresAt === null ? {} : { expires_at: expiresAt }),
    ...(parent === null ? {} : { parent }),
  };
  return { token, signingBytes: tokenSigningBytes(token) };
}

/** Does not verify. */
export function sealToken(token: JsonObject, signature: Uint8Array): JsonObject {
  return { ...token, signature: signatureText(signature) };
}
