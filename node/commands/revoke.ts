/** `spine revoke`: signs and publishes a revocation, or says who could. */
import { randomUUID } from "node:crypto";
import { type RevocationScope, revocationFact, SpineError } from "../../spine/index.ts";
import { openSession } from "../session.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** As named on the command line; an issuer is revoked as a key. */
const SCOPES: Readonly<Record<string, RevocationScope>> = {
  issuer: "key",
  key: "key",
  node: "node",
  token: "token",
  bundle: "bundle",
};

function scopeOf(context: VerbContext): RevocationScope {
  const word = context.text("scope") ?? "";
  if (!Object.hasOwn(SCOPES, word))
    throw new SpineError("usage", `--scope is one of ${Object.keys(SCOPES).join(", ")}`);
  return SCOPES[word] as RevocationScope;
}

function fromSeqOf(context: VerbContext, scope: RevocationScope): number {
  const text = context.text("from");
  if (text === undefined) return 0;
  if (scope === "token" || scope === "bundle") throw new SpineError("usage", "--from belongs to a node or key");
  const seq = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(seq)) throw new SpineError("usage", `--from ${text} is no seq`);
  return seq;
}

export const revoke: Verb = {
  usage: "revoke TARGET --scope issuer|key|node|token|bundle --reason R [--from SEQ]",
  about:
    "Revokes for ever: an issuer id, a token id or a bundle's hash. It takes effect on every node that gives this one the\n" +
    "right; without any right nothing is published, and those who have it are named.",
  examples: [`spine revoke aegis:ed25519:${"0".repeat(64)} --scope node --reason "laptop stolen" --from 120`],
  options: {
    scope: { type: "string", value: "SCOPE", help: "What TARGET is." },
    reason: { type: "string", value: "R", help: "Why, for people." },
    from: { type: "string", value: "SEQ", help: "Of an issuer: what it signed below this seq stays valid (0)." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const { operands, dir, env, out, json, signal } = context;
    const value = operands[0] as string;
    const scope = scopeOf(context);
    const reason = context.text("reason");
    if (reason === undefined || reason === "") throw new SpineError("usage", "--reason says why");
    const target = { scope, value, fromSeq: fromSeqOf(context, scope) };
    const issuedAt = Math.floor(Date.now() / 1000);
    const fact = revocationFact({ factId: `rev_${randomUUID()}`, targets: [target], reason, issuedAt });
    await using node = await openSession(dir, env);
    const { rights, revokers } = await node.revocationRight(scope, value);
    if (rights.length === 0) {
      const names = revokers.map(({ issuer, quorum }) => (quorum > 1 ? `${issuer} (${quorum} must agree)` : issuer));
      const who = names.length === 0 ? "by this node's trust nobody but its owner" : names.join(", ");
      throw new SpineError("not_authorised", `this node may not revoke ${scope} ${value}; who may: ${who}`);
    }
    const [result] = await node.publish([fact], { signal });
    if (result === undefined || !result.ok) throw new SpineError(result?.code ?? "internal", result?.message ?? "");
    const { envelope_hash, seq } = result;
    await out.line(json ? { revoked: value, scope, rights, envelope_hash, seq } : `revoked ${scope} ${value}`);
    return 0;
  },
};
