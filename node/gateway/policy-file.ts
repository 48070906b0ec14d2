/**
 * `gateway.yaml`: what may cross from plane to plane, in one validated format; upstream's file of two directions is read
 * too. What is in effect stands in `gateway.accepted`: a file that loosens it waits for the operator's word (rules 11).
 */
import { stat } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";
import {
  asSpineError,
  canonicalText,
  type DisclosurePolicy,
  type DisclosureRates,
  type DisclosureRule,
  defaultDisclosure,
  type Json,
  kindName,
  looseningOf,
  SpineError,
  utf8,
} from "../../spine/index.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import { sha256Hex } from "../hash.ts";
import { readBounded } from "./read-bounded.ts";

const MAX_FILE_BYTES = 1_048_576;
const plane = z
  .string()
  .regex(/^(\*|[a-z][a-z0-9]*(\/[A-Za-z0-9 ._-]+)?)$/, "expected a plane's name, local, file or *");
const kind = z
  .string()
  .max(256)
  .regex(/^(\*|[a-z][a-z0-9_]*\*?|sdr:[a-z0-9_]*\*?|schema:.*)$/, "expected a kind, sdr:KIND, schema:NAME or *");

const rule = z.strictObject({
  from: plane.default("*").describe("Where the issuer lives: a plane, local, file or *."),
  to: plane.describe("The plane it would cross to."),
  kinds: z.array(kind).min(1).max(256).describe("Fact kinds; nested facts must be allowed too."),
  issuers: z
    .array(z.string().regex(/^aegis:ed25519:[0-9a-f]{64}$/, "expected aegis:ed25519: and 64 lower-case hex digits"))
    .min(1)
    .max(10_000)
    .optional(),
  policyHashes: z
    .array(z.string().regex(/^[0-9a-f]{64}$/, "expected 64 lower-case hex digits"))
    .min(1)
    .max(1_000)
    .optional(),
});
const rate = (perSecond: number, burst: number) =>
  z
    .strictObject({
      perSecond: z.number().positive().max(1_000_000).default(perSecond),
      burst: z.int().min(1).max(10_000_000).default(burst),
    })
    .prefault({});

const schema = z.strictObject({
  default: z.boolean().default(false).describe("Begin with the default table; the rules here add to it."),
  allow: z.array(rule).max(1_000).default([]),
  deny: z.array(rule).max(1_000).default([]),
  rates: z
    .strictObject({
      issuer: rate(2_000, 20_000).describe("Envelopes of one issuer that cross to one plane; revocations are exempt."),
      kind: rate(5_000, 50_000).describe("Envelopes of one kind that cross to one plane; revocations are exempt."),
    })
    .prefault({}),
});

const upstreamSide = z.object({ allowed: z.array(z.string()).default([]), blocked: z.array(z.string()).default([]) });
const upstream = z.object({
  nats_to_reticulum: upstreamSide.optional(),
  reticulum_to_nats: upstreamSide.optional(),
});

export interface GatewayPolicy {
  readonly disclosure: DisclosurePolicy;
  readonly rates: DisclosureRates;
}

/** The table of the README, with the default rates. */
export function defaultPolicy(): GatewayPolicy {
  return { disclosure: defaultDisclosure(), rates: schema.parse({}).rates };
}

export function policyHash(policy: GatewayPolicy): string {
  return sha256Hex(utf8(canonicalText(JSON.parse(JSON.stringify(policy)) as Json)));
}

/** Throws `gateway_policy`, one `path: problem` per line. */
export function parsePolicy(text: string, where: string): GatewayPolicy {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new SpineError("gateway_policy", `${where}: ${asSpineError(cause).message}`, { cause });
  }
  if (isUpstream(value)) return { disclosure: upstreamDisclosure(value), rates: schema.parse({}).rates };
  const result = schema.safeParse(value ?? {});
  if (!result.success) {
    const lines = result.error.issues.map(({ path, message }) => `${where}: ${path.join(".") || "(file)"}: ${message}`);
    throw new SpineError("gateway_policy", lines.slice(0, 20).join("\n"));
  }
  const { default: withDefault, allow, deny, rates } = result.data;
  const base = withDefault ? defaultDisclosure().allow : [];
  return { disclosure: { allow: [...base, ...allow.map(asRule)], deny: deny.map(asRule) }, rates };
}

function asRule(one: z.output<typeof rule>): DisclosureRule {
  const { from, to, kinds, issuers, policyHashes } = one;
  return {
    from,
    to,
    kinds,
    ...(issuers === undefined ? {} : { issuers }),
    ...(policyHashes === undefined ? {} : { policyHashes }),
  };
}

function isUpstream(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return "nats_to_reticulum" in value || "reticulum_to_nats" in value;
}

/**
 * Upstream's two lists of schema patterns as rules. Where it lets everything through when a list is empty, nothing goes
 * through here; its names of kinds mean the kind under every prefix; its rates were read by nothing and are ignored.
 */
export function upstreamDisclosure(value: unknown): DisclosurePolicy {
  const result = upstream.safeParse(value);
  if (!result.success) throw new SpineError("gateway_policy", result.error.issues[0]?.message ?? "not a policy");
  const allow: DisclosureRule[] = [];
  const deny: DisclosureRule[] = [];
  const sides = [
    { from: "nats", to: "reticulum", side: result.data.nats_to_reticulum },
    { from: "reticulum", to: "nats", side: result.data.reticulum_to_nats },
  ];
  for (const { from, to, side } of sides) {
    if (side === undefined) continue;
    if (side.allowed.length > 0) allow.push({ from, to, kinds: side.allowed.map(upstreamKind) });
    if (side.blocked.length > 0) deny.push({ from, to, kinds: side.blocked.map(upstreamKind) });
  }
  return { allow, deny };
}

function upstreamKind(pattern: string): string {
  if (pattern === "*") return "*";
  if (!pattern.endsWith("*")) return kindName(pattern);
  const facts = /^(?:aegis|clawdstrike)\.(?:(sdr)\.fact|spine\.fact|marketplace)\.([a-z0-9_]*)\*$/.exec(pattern);
  if (facts === null) return `schema:${pattern}`;
  return facts[1] === undefined ? `${facts[2]}*` : `sdr:${facts[2]}*`;
}

// ---- what is in effect ----

export interface PolicyPaths {
  readonly file: string;
  readonly accepted: string;
}

export interface GatewayPolicyState {
  readonly effective: GatewayPolicy;
  /** What the file would loosen, one sentence each: without effect until confirmed. */
  readonly pending: readonly string[];
  readonly problem: SpineError | null;
}

function loosenings(held: GatewayPolicy, next: GatewayPolicy): string[] {
  const rates = (["issuer", "kind"] as const).filter(
    (name) =>
      next.rates[name].perSecond > held.rates[name].perSecond || next.rates[name].burst > held.rates[name].burst,
  );
  return [...looseningOf(held.disclosure, next.disclosure), ...rates.map((name) => `raise the rate of one ${name}`)];
}

async function readWritten(path: string): Promise<GatewayPolicy | undefined> {
  const text = await readBounded(path, MAX_FILE_BYTES);
  return text === undefined ? undefined : parsePolicy(text, path);
}

async function readAccepted(path: string): Promise<GatewayPolicy | undefined> {
  const text = await readBounded(path, 4 * MAX_FILE_BYTES);
  if (text === undefined) return undefined;
  const { rates, ...rest } = JSON.parse(text) as { rates: unknown } & Record<string, unknown>;
  return parsePolicy(JSON.stringify({ ...rest, rates }), path);
}

async function writeAccepted(path: string, policy: GatewayPolicy): Promise<void> {
  const { disclosure, rates } = policy;
  await writeFileAtomic(path, `${JSON.stringify({ allow: disclosure.allow, deny: disclosure.deny, rates })}\n`, {
    mode: 0o600,
    exclusive: false,
  });
}

/**
 * Takes over a file that loosens nothing and says what another would loosen. A file that cannot be read changes
 * nothing; a missing one means the default table, unless something stricter is in effect. The first file an operator
 * writes is their word already.
 */
export async function reloadPolicy(paths: PolicyPaths, first: boolean): Promise<GatewayPolicyState> {
  const accepted = await readAccepted(paths.accepted);
  const held = accepted ?? defaultPolicy();
  let written: GatewayPolicy;
  try {
    written = (await readWritten(paths.file)) ?? defaultPolicy();
  } catch (caught) {
    return { effective: held, pending: [], problem: asSpineError(caught) };
  }
  const pending = loosenings(held, written);
  if (pending.length > 0 && !(first && accepted === undefined)) return { effective: held, pending, problem: null };
  if (accepted === undefined || policyHash(accepted) !== policyHash(written))
    await writeAccepted(paths.accepted, written);
  return { effective: written, pending: [], problem: null };
}

/** The operator's word: puts the file into effect as it stands. Returns what it loosened. Throws `gateway_policy`. */
export async function confirmPolicy(paths: PolicyPaths): Promise<readonly string[]> {
  const written = (await readWritten(paths.file)) ?? defaultPolicy();
  const held = (await readAccepted(paths.accepted)) ?? defaultPolicy();
  await writeAccepted(paths.accepted, written);
  return loosenings(held, written);
}

/** Changes whenever the files may have changed. */
export async function policyStamp(paths: PolicyPaths): Promise<string> {
  const stamp = async (path: string): Promise<string> => {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      return `${mtimeMs}|${size}|${ino}`;
    } catch (caught) {
      return errorCodeOf(caught) ?? "unreadable";
    }
  };
  return `${await stamp(paths.file)} ${await stamp(paths.accepted)}`;
}
