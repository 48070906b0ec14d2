/**
 * Whether a caller may do anything at all: keys and tokens revoked on the mesh (design/rules.md rule 8), tokens demanded
 * or presented, stale knowledge of revocations. Asked at every decision, so a revocation acts on the next one.
 */
import {
  type Authority,
  type Claim,
  type Issuer,
  isIssuer,
  type Json,
  judgeToken,
  type TokenRules,
  tokenClaims,
} from "../../../spine/index.ts";
import type { GuardRequest, Refusal } from "../service.ts";

/** What is asked of the authority; a node without one revokes nobody. */
export type GuardAuthority = Pick<
  Authority,
  | "decide"
  | "isRevoked"
  | "isTokenRevoked"
  | "isTokenIssuerRevoked"
  | "isBundleRevoked"
  | "standing"
  | "trust"
  | "version"
>;

export interface CallerRules {
  readonly self: Issuer;
  readonly authority: GuardAuthority | undefined;
  readonly requireToken: boolean;
  /** Nothing passes on knowledge of revocations that is older; undefined: any age will do. */
  readonly denyAboveMs: number | undefined;
  readonly revocationsAgeMs: number | undefined;
}

/** Undefined when the guards may go on to judge the action. */
export function refusalOf(request: GuardRequest, rules: CallerRules): Refusal | undefined {
  const { authority, self } = rules;
  if (authority?.isRevoked(self) === true)
    return { reason: "node_revoked", message: "This node's key was revoked: everything is denied" };
  const { agent } = request.caller;
  if (authority !== undefined && agent !== undefined && isIssuer(agent)) {
    if (authority.isRevoked(agent)) return { reason: "agent_revoked", message: "The agent's key was revoked" };
    if (authority.standing(agent).frozenAt !== null)
      return { reason: "agent_frozen", message: "The agent's key signed two histories and is frozen" };
  }
  if (request.tokenRefusal !== undefined)
    return { reason: request.tokenRefusal, message: `The capability token does not count: ${request.tokenRefusal}` };
  const { denyAboveMs, revocationsAgeMs } = rules;
  if (denyAboveMs !== undefined && !(revocationsAgeMs !== undefined && revocationsAgeMs <= denyAboveMs))
    return { reason: "revocations_stale", message: "What this node knows of revocations is too old to act on" };
  return undefined;
}

/** Why a token does not count for the agent that shows it; undefined when it does, or none is shown and none needed. */
export async function tokenRefusal(
  token: Json | undefined,
  agent: string | undefined,
  rules: CallerRules,
  ports: { readonly nowMs: number; readonly verify: (claims: readonly Claim[]) => Promise<readonly boolean[]> },
): Promise<string | undefined> {
  if (token === undefined) return rules.requireToken ? "missing_capability_token" : undefined;
  if (agent === undefined || !isIssuer(agent)) return "token_subject_mismatch";
  const { authority } = rules;
  const trusted = authority?.trust.tokenIssuers;
  const judged: TokenRules = {
    now: ports.nowMs,
    self: rules.self,
    allowSelfIssued: false,
    trustedIssuers: trusted ?? new Set(),
    isTokenRevoked: (id, issuer) => authority?.isTokenRevoked(id, issuer) ?? false,
    isIssuerRevoked: (issuer) => authority?.isTokenIssuerRevoked(issuer) ?? false,
  };
  const claims = tokenClaims(token);
  const verdicts = claims.length === 0 ? [] : await ports.verify(claims);
  return judgeToken(token, { issuer: agent, scope: null, required: rules.requireToken }, verdicts, judged);
}
