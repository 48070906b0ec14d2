/**
 * Capability tokens: who let an issuer publish what, and for how long. spec/spine.md section 6, with two additions of
 * ours that a token may leave out: `audience` (nodes it is meant for) and `parent` (the token it was narrowed from).
 * Pure: signatures are checked by the caller's Verifier between `tokenClaims` and `judgeToken`.
 */
import { SpineError } from "./errors.ts";
import { factKind } from "./fact.ts";
import { foreignIssuer, isStrictKey, parseIssuer, parseSignature } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";
import { bytesWithout } from "./nested-signature.ts";
import type { Claim, Issuer, Millis } from "./ports.ts";
import { parseTime } from "./time.ts";

/** Why a token does not count, in the order in which the checks are made. */
export type TokenRefusal =
  | "missing_capability_token"
  | "invalid_capability_token"
  | "invalid_token_id"
  | "revoked_token_id"
  | "invalid_token_issuer"
  | "revoked_token_issuer"
  | "invalid_token_subject"
  | "token_subject_mismatch"
  | "token_audience_mismatch"
  | "token_not_yet_valid"
  | "token_expired"
  | "invalid_token_signature"
  | "self_issued_tokens_disallowed"
  | "untrusted_token_issuer"
  | "invalid_token_scopes"
  | "token_exceeds_parent"
  | "missing_required_scope";

/** What the judging node knows. */
export interface TokenRules {
  readonly now: Millis;
  /** The judging node: must be named by a token that has an audience. */
  readonly self: Issuer;
  readonly allowSelfIssued: boolean;
  /** Issuers whose tokens count; null when no list is configured, and any issuer's do. */
  readonly trustedIssuers: ReadonlySet<Issuer> | null;
  /** `issuer` is undefined when the token names none that can be read. */
  isTokenRevoked(tokenId: string, issuer: Issuer | undefined): boolean;
  isIssuerRevoked(issuer: Issuer): boolean;
}

/** Tokens from the leaf to the root of a chain. */
export const MAX_TOKEN_CHAIN = 4;
export const MAX_TOKEN_SCOPES = 64;
export const MAX_TOKEN_AUDIENCE = 64;

const SCOPES: Readonly<Record<string, string>> = {
  policy_delta: "policy:publish",
  revocation: "revocation:publish",
  log_checkpoint: "log:publish_checkpoint",
};

/** The scope that a fact of this schema needs; unknown schemas name themselves. */
export function scopeOf(factSchema: string): string {
  const kind = factKind(factSchema)?.kind ?? factSchema;
  return Object.hasOwn(SCOPES, kind) ? (SCOPES[kind] as string) : `facts:publish:${kind}`;
}

/** Exact, or by prefix when `granted` ends in `*`. `wanted` may itself be such a pattern, and is then covered as a whole. */
export function coversScope(granted: string, wanted: string): boolean {
  return granted.endsWith("*") ? wanted.startsWith(granted.slice(0, -1)) : granted === wanted;
}

/** What the token's issuer signs. */
export function tokenSigningBytes(token: JsonObject): Uint8Array {
  return bytesWithout(token, ["signature"]);
}

function readIssuer(value: Json | undefined): Issuer | undefined {
  if (typeof value !== "string") return undefined;
  try {
    return foreignIssuer(value);
  } catch {
    return undefined;
  }
}

/** The token and its parents, leaf first; undefined when a link is no object or there are too many. */
function chainOf(token: Json): readonly JsonObject[] | undefined {
  const chain: JsonObject[] = [];
  for (let next: Json | undefined = token; next !== undefined && next !== null; next = chain.at(-1)?.["parent"]) {
    if (!isJsonObject(next) || chain.length === MAX_TOKEN_CHAIN) return undefined;
    chain.push(next);
  }
  return chain;
}

function claimOfToken(token: JsonObject): Claim | undefined {
  const issuer = readIssuer(token["issuer"]);
  const signature: Json | undefined = token["signature"];
  if (issuer === undefined || typeof signature !== "string") return undefined;
  const key = parseIssuer(issuer);
  if (!isStrictKey(key)) return undefined;
  try {
    return { key, message: tokenSigningBytes(token), signature: parseSignature(signature) };
  } catch (error) {
    if (error instanceof SpineError) return undefined;
    throw error;
  }
}

/** The signatures to check before judging, leaf first. Ends early at a token that cannot be verified. Never throws. */
export function tokenClaims(token: Json): readonly Claim[] {
  const claims: Claim[] = [];
  for (const link of chainOf(token) ?? []) {
    const claim = claimOfToken(link);
    if (claim === undefined) break;
    claims.push(claim);
  }
  return claims;
}

/** Undefined when absent, NaN when it is no time. */
function timeOf(value: Json | undefined): Millis | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? (parseTime(value) ?? Number.NaN) : Number.NaN;
}

function names(list: Json | undefined, most: number): readonly string[] | undefined {
  const values = Array.isArray(list) ? (list as readonly Json[]) : undefined;
  if (values === undefined || values.length > most) return undefined;
  return values.every((value) => typeof value === "string") ? (values as readonly string[]) : undefined;
}

/** The checks that each token of a chain must pass by itself. */
function judgeLink(token: JsonObject, subject: Issuer, valid: boolean, rules: TokenRules): TokenRefusal | undefined {
  const id: Json | undefined = token["token_id"];
  if (typeof id !== "string" || id === "") return "invalid_token_id";
  const issuer = readIssuer(token["issuer"]);
  if (rules.isTokenRevoked(id, issuer)) return "revoked_token_id";
  if (issuer === undefined) return "invalid_token_issuer";
  if (rules.isIssuerRevoked(issuer)) return "revoked_token_issuer";
  const named = readIssuer(token["subject"]);
  if (named === undefined) return "invalid_token_subject";
  if (named !== subject) return "token_subject_mismatch";
  const audience: Json | undefined = token["audience"];
  if (audience !== undefined && audience !== null) {
    if (names(audience, MAX_TOKEN_AUDIENCE)?.includes(rules.self) !== true) return "token_audience_mismatch";
  }
  const notBefore = timeOf(token["not_before"]);
  // Written so that NaN, an unreadable time, counts as not valid.
  if (notBefore !== undefined && !(notBefore <= rules.now)) return "token_not_yet_valid";
  const expiresAt = timeOf(token["expires_at"]);
  if (expiresAt !== undefined && !(rules.now < expiresAt)) return "token_expired";
  return valid ? undefined : "invalid_token_signature";
}

/**
 * Whether the last token of a chain comes from somebody who may issue tokens. Self-issued means by the envelope's own
 * issuer: a stranger's token for itself, narrowed for somebody else, is a stranger's token.
 */
function judgeRoot(root: JsonObject, envelopeIssuer: Issuer, rules: TokenRules): TokenRefusal | undefined {
  const issuer = readIssuer(root["issuer"]) as Issuer;
  if (issuer === envelopeIssuer) return rules.allowSelfIssued ? undefined : "self_issued_tokens_disallowed";
  return rules.trustedIssuers === null || rules.trustedIssuers.has(issuer) ? undefined : "untrusted_token_issuer";
}

function judgeScopes(chain: readonly JsonObject[], scope: string | null): TokenRefusal | undefined {
  let granted: readonly string[] | undefined;
  for (const token of chain) {
    const scopes = names(token["scopes"], MAX_TOKEN_SCOPES);
    if (scopes === undefined) return "invalid_token_scopes";
    if (granted?.some((one) => !scopes.some((wider) => coversScope(wider, one)))) return "token_exceeds_parent";
    granted = scopes;
  }
  const leaf = names((chain[0] as JsonObject)["scopes"], MAX_TOKEN_SCOPES) as readonly string[];
  return scope === null || leaf.some((one) => coversScope(one, scope)) ? undefined : "missing_required_scope";
}

/**
 * Why the `capability_token` of an envelope by `subject` does not count; undefined when it does, or when there is none
 * and none is required. `verdicts` are those of `tokenClaims`. `scope` is null where no scope is demanded.
 *
 * A token with a `parent` was narrowed by the parent's subject: every token of the chain is checked, each must be
 * covered by the next one's scopes, and only the last one's issuer must be trusted. Each limits the whole chain.
 */
export function judgeToken(
  token: Json | undefined,
  envelope: { readonly issuer: Issuer; readonly scope: string | null; readonly required: boolean },
  verdicts: readonly boolean[],
  rules: TokenRules,
): TokenRefusal | undefined {
  if (token === undefined || token === null) return envelope.required ? "missing_capability_token" : undefined;
  const chain = chainOf(token);
  if (chain === undefined) return "invalid_capability_token";
  let subject = envelope.issuer;
  for (const [i, link] of chain.entries()) {
    const refusal = judgeLink(link, subject, verdicts[i] === true, rules);
    if (refusal !== undefined) return refusal;
    subject = readIssuer(link["issuer"]) as Issuer;
  }
  const untrusted = judgeRoot(chain.at(-1) as JsonObject, envelope.issuer, rules);
  return untrusted ?? judgeScopes(chain, envelope.scope);
}
