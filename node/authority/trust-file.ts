/**
 * `trust.yaml`: whose word counts on this node, in one validated format (rules 8). Read by `trust-keeper.ts` and the
 * `spine trust` verbs; the core gets it as `AuthorityTrust`.
 */
import { open } from "node:fs/promises";
import { stringify } from "yaml";
import { z } from "zod";
import {
  type AuthorityTrust,
  BoundedMap,
  isIssuer,
  isStrictKey,
  MAX_REVOKERS,
  parseIssuer,
  parseJson,
  REVOCATION_SCOPES,
  SpineError,
} from "../../spine/index.ts";
import { parseConfigText } from "../config-file.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import { readTrustLayout } from "./trust-text.ts";

/** Every list full of the longest names stays below it. */
const MAX_FILE_BYTES = 8 * 1_048_576;
/** Half of what the core weighs, so that the stricter of two files always fits. */
const MAX_FILE_REVOKERS = MAX_REVOKERS / 2;

const key = z
  .string()
  .regex(/^aegis:ed25519:[0-9a-f]{64}$/, "expected aegis:ed25519: and 64 lower-case hex digits")
  .refine((text) => !isIssuer(text) || isStrictKey(parseIssuer(text)), "a key that no honest signer has");
const named = { key, name: z.string().max(64).optional().describe("For people.") };
const hash = z.string().regex(/^0x[0-9a-f]{64}$/, "expected 0x and 64 lower-case hex digits");

function listOf<T extends z.ZodObject<{ key: z.ZodString }>>(entry: T, most: number) {
  return z
    .array(entry)
    .max(most)
    .superRefine((entries, context) => {
      const seen = new Set<string>();
      for (const [i, one] of entries.entries()) {
        const text = String((one as { key: unknown }).key);
        if (seen.has(text)) context.addIssue({ code: "custom", path: [i, "key"], message: "named twice" });
        seen.add(text);
      }
    })
    .default([]);
}

const curator = z.strictObject({
  ...named,
  level: z.enum(["full", "audit-only"]).default("audit-only").describe("full: its loosenings may count (M of N)."),
  feeds: z.array(z.string().min(1).max(256)).max(64).default([]).describe("Feeds it speaks for; none means any."),
});
const revoker = z.strictObject({
  ...named,
  scope: z
    .array(z.enum(REVOCATION_SCOPES as ["node", "key", "token", "bundle"]))
    .min(1)
    .max(REVOCATION_SCOPES.length)
    .describe("What it may revoke."),
  quorum: z.int().min(1).max(MAX_FILE_REVOKERS).default(1).describe("Revokers that must agree, this one included."),
});
const plain = z.strictObject(named);
const issuer = z.strictObject({
  ...named,
  attests: z.boolean().default(false).describe("Its attestations admit other issuers."),
  recoveryKeyHash: hash.optional().describe("Its recovery key's commitment, known by other means than its chain."),
});

const fields = (mostRevokers: number) =>
  z.strictObject({
    curators: listOf(curator, 256),
    revokers: listOf(revoker, mostRevokers),
    logs: listOf(plain, 256),
    witnesses: listOf(plain, 256),
    witnessQuorum: z.int().min(1).max(256).default(1).describe("Witnesses that must have co-signed a checkpoint."),
    tokenIssuers: listOf(plain, 1_000),
    issuers: listOf(issuer, 10_000).describe("Issuers this operator vouches for."),
  });

/** What an operator writes. */
export const trustSchema = fields(MAX_FILE_REVOKERS).superRefine(({ revokers, witnesses, witnessQuorum }, context) => {
  for (const [i, { quorum }] of revokers.entries())
    if (quorum > revokers.length)
      context.addIssue({ code: "custom", path: ["revokers", i, "quorum"], message: "more than there are revokers" });
  if (witnessQuorum > Math.max(1, witnesses.length))
    context.addIssue({ code: "custom", path: ["witnessQuorum"], message: "more than there are witnesses" });
});
/** What is in effect: the stricter of two files may well ask for more than can be had, and so let nothing through. */
const effectiveSchema = fields(MAX_REVOKERS);

export type TrustFile = z.output<typeof trustSchema>;
/** The lists of a trust file. */
export type TrustRole = Exclude<keyof TrustFile, "witnessQuorum">;
export const TRUST_ROLES = ["curators", "revokers", "logs", "witnesses", "tokenIssuers", "issuers"] as const;

/** "written" by an operator, or "effective": derived from two files by the daemon. */
export type TrustKind = "written" | "effective";

/** Trusts nobody. */
export const EMPTY_TRUST: TrustFile = trustSchema.parse({});

/** Throws `config_invalid` naming every field that does not fit. `where` opens each message. */
export function checkTrust(value: unknown, where: string, kind: TrustKind = "written"): TrustFile {
  const result = (kind === "written" ? trustSchema : effectiveSchema).safeParse(value ?? {});
  if (result.success) return result.data;
  const lines = result.error.issues.map(({ path, message }) => `${where}: ${path.join(".") || "(file)"}: ${message}`);
  throw new SpineError("config_invalid", lines.slice(0, 20).join("\n"));
}

/** Throws `config_invalid`. */
export function parseTrustText(text: string, path: string): TrustFile {
  return checkTrust(readTrustLayout(text) ?? parseConfigText(text, path), path);
}

function parseEffectiveText(text: string, path: string): TrustFile {
  try {
    return checkTrust(parseJson(text), path, "effective");
  } catch (cause) {
    if (cause instanceof SpineError && cause.code === "config_invalid") throw cause;
    throw new SpineError("config_invalid", `${path}: no JSON as \`spine trust confirm\` writes it`, { cause });
  }
}

export function trustText(file: TrustFile): string {
  return `# Whose word counts on this node. Changed with \`spine trust add\` and \`spine trust remove\`, or by hand and\n# \`spine trust confirm\`: what would loosen it has no effect before that.\n${stringify(file)}`;
}

/** The last text read from each file: most reloads find one of the two files as it was. Whoever gets a trust never changes it. */
const lastRead = new BoundedMap<string, { readonly text: string; readonly kind: TrustKind; readonly trust: TrustFile }>(
  4,
);

/**
 * Undefined when the file does not exist. Throws `config_invalid`, also for a file that is too large or that others
 * could have changed: whoever can write it decides whom this node believes.
 */
export async function readTrustFile(path: string, kind: TrustKind = "written"): Promise<TrustFile | undefined> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new SpineError("config_invalid", `${path}: cannot be read`, { cause });
  });
  if (handle === undefined) return undefined;
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new SpineError("config_invalid", `${path}: no ordinary file`);
    if ((info.mode & 0o077) !== 0) throw new SpineError("config_invalid", `${path}: open to others; run chmod 600`);
    if (info.size > MAX_FILE_BYTES) throw new SpineError("config_invalid", `${path}: larger than 8 MiB`);
    const text = await handle.readFile("utf8");
    const known = lastRead.get(path);
    if (known?.text === text && known.kind === kind) return known.trust;
    const trust = kind === "written" ? parseTrustText(text, path) : parseEffectiveText(text, path);
    lastRead.set(path, { text, kind, trust });
    return trust;
  } finally {
    await handle.close();
  }
}

/** Whole or not at all, mode 0600: what an operator writes as YAML, what is in effect as JSON, which is read faster. */
export async function writeTrustFile(path: string, file: TrustFile, kind: TrustKind = "written"): Promise<void> {
  const text = kind === "written" ? trustText(file) : `${JSON.stringify(file)}\n`;
  await writeFileAtomic(path, text, { mode: 0o600, exclusive: false });
}

/** What the core judges by. */
export function authorityTrust(file: TrustFile): AuthorityTrust {
  return {
    revokers: new Map(file.revokers.map((one) => [one.key, { scopes: new Set(one.scope), quorum: one.quorum }])),
    curators: new Set(file.curators.map((one) => one.key)),
    tokenIssuers: new Set(file.tokenIssuers.map((one) => one.key)),
    recoveryPins: new Map(
      file.issuers.flatMap((one) => (one.recoveryKeyHash === undefined ? [] : [[one.key, one.recoveryKeyHash]])),
    ),
    attesters: new Set(file.issuers.flatMap((one) => (one.attests ? [one.key] : []))),
    named: new Set(TRUST_ROLES.flatMap((role) => file[role].map((one) => one.key))),
  };
}
