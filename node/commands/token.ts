/** `spine token issue|attenuate|verify`: capability tokens made with this node's key, and judged without a node. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import {
  Authority,
  claimOf,
  draftToken,
  feedAuthority,
  isIssuer,
  isJsonObject,
  type Json,
  type JsonObject,
  judgeToken,
  openEnvelope,
  parseJson,
  parseTime,
  readActing,
  SpineError,
  sealToken,
  type TokenRules,
  tokenClaims,
} from "../../spine/index.ts";
import { authorityTrust, readTrustFile } from "../authority/trust-file.ts";
import { sha256Hex } from "../hash.ts";
import { openInput } from "../input.ts";
import { readKeyFile } from "../keyfile.ts";
import { type Line, lineBytes, splitLines } from "../lines.ts";
import { createSigner, type IssuerSigner } from "../signer.ts";
import { WorkerVerifier } from "../verifier.ts";
import { type CaseAnswer, eachLine, refuseCase, runCases } from "./cases.ts";
import type { Verb, VerbContext } from "./verb.ts";

const wanted = {
  token_id: z.string().optional(),
  subject: z.string(),
  scopes: z.array(z.string()),
  audience: z.array(z.string()).nullish(),
  not_before: z.string().nullish(),
  // Stated, so that nobody makes a token for ever by leaving it out.
  expires_at: z.string().nullable(),
};
const issued = z.strictObject(wanted);
const narrowed = z.strictObject({ ...wanted, token: z.record(z.string(), z.unknown()) });

function read<T>(schema: z.ZodType<T>, line: Line): T {
  const result = schema.safeParse(parseJson(lineBytes(line)));
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.join(".") || "(line)"}: ${message}`);
  throw new SpineError("token_invalid", issues.slice(0, 5).join("; "));
}

function make(input: z.infer<typeof issued>, signer: IssuerSigner, parent: JsonObject | null): CaseAnswer {
  const { token_id, subject, scopes, audience, not_before, expires_at } = input;
  const { token, signingBytes } = draftToken({
    ...{ tokenId: token_id ?? `tok_${randomUUID()}`, issuer: signer.issuer, subject, scopes, parent },
    ...{ audience: audience ?? null, notBefore: not_before ?? null, expiresAt: expires_at },
  });
  return { ok: true, token: sealToken(token, signer.sign(signingBytes)) };
}

export const tokenIssue: Verb = {
  usage: "token issue [FILE|-]",
  about:
    'Signs a capability token with this node\'s key for each line {"subject","scopes","expires_at"} and, if wanted, "audience",\n' +
    '"not_before" and "token_id". expires_at may be null: a token for ever. It counts where the trust file names this node as token issuer.',
  examples: ["spine token issue wishes.jsonl"],
  operands: { least: 0, most: 1 },
  async run(context) {
    const signer = createSigner(await readKeyFile(context.dir.issuerKey, "issuer"));
    const answer = eachLine((line) => make(read(issued, line), signer, null));
    return await runCases(context, answer);
  },
};

export const tokenAttenuate: Verb = {
  usage: "token attenuate [FILE|-]",
  about:
    'Narrows tokens whose subject is this node: each line is as for `token issue`, with the wider one as "token". Nobody can\n' +
    "pass on more than they have: scopes and audience beyond the wider token's are refused, and each bound of it stays.",
  examples: ["spine token attenuate wishes.jsonl"],
  operands: { least: 0, most: 1 },
  async run(context) {
    const signer = createSigner(await readKeyFile(context.dir.issuerKey, "issuer"));
    await using verifier = new WorkerVerifier();
    return await runCases(context, async (lines) => {
      const answers: CaseAnswer[] = [];
      for (const line of lines) {
        try {
          const { token, ...wish } = read(narrowed, line);
          const parent = token as JsonObject;
          const refusal = await judged(parent, verifier, { ...anybody(Date.now()), self: null }, null);
          answers.push(refusal === undefined ? make(wish, signer, parent) : refused(refusal, "the wider token"));
        } catch (caught) {
          answers.push(refuseCase(caught));
        }
      }
      return answers;
    });
  },
};

/** Everything about a token but whose word counts: what its maker can know. */
type Judge = Omit<TokenRules, "self"> & { readonly self: string | null };

function anybody(now: number): Omit<TokenRules, "self"> {
  return {
    ...{ now, allowSelfIssued: true, trustedIssuers: null },
    isTokenRevoked: () => false,
    isIssuerRevoked: () => false,
  };
}

function refused(code: string, what: string): CaseAnswer {
  return { ok: false, code, message: `${what} does not count: ${code}` };
}

/** Where nobody judges for a node of its own, each audience is taken to be the right one. */
async function judged(token: Json, verifier: WorkerVerifier, rules: Judge, scope: string | null) {
  const subject = isJsonObject(token) ? token["subject"] : undefined;
  const audience = isJsonObject(token) ? token["audience"] : undefined;
  const first: Json | undefined = Array.isArray(audience) ? (audience as readonly Json[])[0] : undefined;
  const claims = tokenClaims(token);
  const verdicts = claims.length === 0 ? [] : await verifier.verify(claims);
  const issuer = typeof subject === "string" && isIssuer(subject) ? subject : "";
  const self = rules.self ?? (typeof first === "string" ? first : "");
  return judgeToken(token, { issuer, scope, required: true }, verdicts, { ...rules, self });
}

/** What is known to be revoked: from a file of envelopes as `spine export` writes it, each checked. */
async function knownAuthority(context: VerbContext, verifier: WorkerVerifier): Promise<Authority> {
  const path = context.text("trust");
  const trust = await readTrustFile(path ?? context.dir.trustAccepted, path === undefined ? "effective" : "written");
  if (trust === undefined) throw new SpineError("usage", "no trust file: name one with --trust");
  const authority = new Authority(authorityTrust(trust));
  const facts = context.text("facts");
  if (facts === undefined) return authority;
  for await (const lines of splitLines(await openInput(facts, context.signal)))
    for (const line of lines) {
      const envelope = openEnvelope(lineBytes(line), sha256Hex);
      const acting = readActing(envelope, sha256Hex);
      if (acting === undefined) continue;
      const verdicts = await verifier.verify([claimOf(envelope), ...acting.claims]);
      if (verdicts.every(Boolean)) feedAuthority(authority, acting.fact);
      else context.note(`${facts}: line ${line.number}: a signature does not verify; it counts for nothing`);
    }
  return authority;
}

export const tokenVerify: Verb = {
  usage: "token verify [--trust F] [--facts F] [--for ISSUER] [--scope S] [--at TIME] [FILE|-]",
  about:
    "Judges capability tokens, one per line, as a node of that trust does: signatures, audience, times, scopes, narrowing,\n" +
    "trusted issuers, and revocations as far as --facts tells of them. Needs no network and no node.",
  examples: ["spine token verify --trust trust.yaml --facts export.jsonl --scope policy:publish tokens.jsonl"],
  options: {
    trust: { type: "string", value: "F", help: "Trust file; this node's trust in effect if omitted." },
    facts: { type: "string", value: "F", help: "Envelopes as `spine export` prints them: what is revoked." },
    for: { type: "string", value: "ISSUER", help: "The node that judges: an audience must name it." },
    scope: { type: "string", value: "S", help: "Scope that is needed; none if omitted." },
    at: { type: "string", value: "TIME", help: "RFC 3339; now if omitted." },
  },
  operands: { least: 0, most: 1 },
  async run(context) {
    const { text } = context;
    const at = text("at");
    const now = at === undefined ? Date.now() : parseTime(at);
    if (now === undefined) throw new SpineError("usage", `--at ${at} is no RFC 3339 time`);
    const self = text("for") ?? null;
    if (self !== null && !isIssuer(self)) throw new SpineError("issuer_syntax", `--for ${self} is no issuer id`);
    await using verifier = new WorkerVerifier();
    const authority = await knownAuthority(context, verifier);
    const rules: Judge = {
      ...{ now, self: self ?? "", allowSelfIssued: false, trustedIssuers: authority.trust.tokenIssuers },
      isTokenRevoked: (id, issuer) => authority.isTokenRevoked(id, issuer),
      isIssuerRevoked: (issuer) => authority.isTokenIssuerRevoked(issuer),
    };
    const revocations = text("facts") === undefined ? "not checked: no --facts" : "checked";
    return await runCases(context, async (lines) => {
      const answers: CaseAnswer[] = [];
      for (const line of lines) {
        try {
          const token = parseJson(lineBytes(line));
          const refusal = await judged(token, verifier, rules, text("scope") ?? null);
          const about = isJsonObject(token) ? said(token) : {};
          answers.push(
            refusal === undefined
              ? { ok: true, ...about, revocations }
              : { ...refused(refusal, "the token"), ...about },
          );
        } catch (caught) {
          answers.push(refuseCase(caught));
        }
      }
      return answers;
    });
  },
};

function said(token: JsonObject) {
  const field = (name: string): Json => token[name] ?? null;
  const [token_id, issuer, subject, scopes] = ["token_id", "issuer", "subject", "scopes"].map(field);
  const [audience, not_before, expires_at] = ["audience", "not_before", "expires_at"].map(field);
  return { token_id, issuer, subject, audience, not_before, expires_at, scopes, narrowed: field("parent") !== null };
}
