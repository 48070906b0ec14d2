/**
 * What may be told on which link: the port the core asks wherever it announces, pushes or serves, and the policy behind
 * it (rules 11). A policy is default-deny: a fact crosses from plane to plane when a rule allows it and everything
 * nested in it, and none denies any of it. Absent = every link may hear everything, at no cost.
 */
import type { Row, Run } from "./commit.ts";
import type { Envelope } from "./envelope.ts";
import { factKind } from "./fact.ts";
import { holds, type Span } from "./have.ts";
import type { LinkId } from "./link.ts";
import { isJsonObject, type Json } from "./lossless.ts";
import type { Issuer } from "./ports.ts";

export interface Disclosure {
  /**
   * Envelopes of an issuer are about to be committed that came on a link, null when imported: rows to commit with them,
   * so that no crash parts an envelope from where it came from.
   */
  heard(issuer: Issuer, via: LinkId | null): readonly Row[];
  /** A run is on disk; called before anything is said of it. */
  stored(run: Run): void;
  /** Which seqs of an issuer may be told on a link; undefined = all that is held. */
  spans(link: LinkId, issuer: Issuer): readonly Span[] | undefined;
  /** Judges an envelope that is not stored in its chain, such as one branch of a fork. */
  mayTell(link: LinkId, envelope: Envelope): boolean;
  /** Whether a fact of this kind by this issuer may be told on a link, whatever else is in it. */
  mayTellKind(link: LinkId, issuer: Issuer, kind: string): boolean;
  /** A fork of the issuer was proven: nothing more of it crosses but the proof. */
  frozen(issuer: Issuer): void;
}

/** Whether one stored envelope may be told on a link. */
export function tells(disclosure: Disclosure | undefined, link: LinkId, issuer: Issuer, seq: number): boolean {
  const spans = disclosure?.spans(link, issuer);
  return spans === undefined || holds(spans, seq);
}

/** A stored envelope, or a kind of fact of an issuer (`kindName`). */
export type About =
  | { readonly issuer: Issuer; readonly seq: number }
  | { readonly issuer: Issuer; readonly kind: string };

/** Whether all of it may be told on a link. */
export function tellsAll(disclosure: Disclosure | undefined, link: LinkId, about: readonly About[]): boolean {
  if (disclosure === undefined) return true;
  return about.every((one) =>
    "seq" in one ? tells(disclosure, link, one.issuer, one.seq) : disclosure.mayTellKind(link, one.issuer, one.kind),
  );
}

/** Where own facts come from. */
export const LOCAL = "local";
/** Where imported facts come from. */
export const FILE = "file";
const MAX_NESTED = 1_024;

export interface DisclosureRule {
  /** A plane ("nats", "reticulum" for all its interfaces), "local", "file", or "*". */
  readonly from: string;
  readonly to: string;
  /** "revocation", "sdr:tetragon_event", "sdr:*", "schema:some.exact.name", "schema:prefix.*", or "*". */
  readonly kinds: readonly string[];
  /** Absent = any. */
  readonly issuers?: readonly string[];
  /** `policy_hash` of the fact or of something nested, 64 hex digits; absent = any or none. */
  readonly policyHashes?: readonly string[];
}

export interface DisclosurePolicy {
  readonly allow: readonly DisclosureRule[];
  /** Wins over `allow`. */
  readonly deny: readonly DisclosureRule[];
}

/** What a policy sees of one envelope: its fact and everything nested in it. */
export interface Disclosed {
  readonly issuer: Issuer;
  /** Names of kinds, the fact's own first. */
  readonly kinds: readonly string[];
  readonly policyHashes: readonly string[];
  /** More was nested than is looked at. */
  readonly excessive: boolean;
}

/** Schemas of the protocol that stand inside facts and are none themselves. */
const PROTOCOL_SCHEMA =
  /^(?:aegis|clawdstrike)\.spine\.(?:envelope|checkpoint_statement|witness_signature|head_announcement|reticulum|capability_token)\.v[1-9]\d*$/;

/** A kind as rules name it: the same under every prefix and, for revocations, in both families. */
export function kindName(schema: string): string {
  const known = factKind(schema);
  if (known === undefined) return `schema:${schema}`;
  return known.family === "sdr" ? `sdr:${known.kind}` : known.kind;
}

/** Expands a fact: walks all that is nested in it, envelopes inside facts too. */
export function expandFact(issuer: Issuer, schema: string, fact: Json): Disclosed {
  const kinds: string[] = [kindName(schema)];
  const policyHashes: string[] = [];
  const waiting: Json[] = [fact];
  let seen = 0;
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (Array.isArray(value)) {
      for (const one of value) if (typeof one === "object" && one !== null) waiting.push(one);
    } else if (isJsonObject(value)) {
      if (++seen > MAX_NESTED) break;
      const nested = value["schema"];
      if (value !== fact && typeof nested === "string" && !PROTOCOL_SCHEMA.test(nested)) kinds.push(kindName(nested));
      const policy = value["policy_hash"];
      if (typeof policy === "string") policyHashes.push(policy.toLowerCase().replace(/^0x/, ""));
      for (const one of Object.values(value)) if (typeof one === "object" && one !== null) waiting.push(one);
    }
  }
  return { issuer, kinds: [...new Set(kinds)], policyHashes, excessive: seen > MAX_NESTED };
}

export type Crossing = "allowed" | "denied" | "not_allowed" | "nested_too_deep";

/** "denied": a rule says no. "not_allowed": none says yes. */
export function judgeDisclosure(policy: DisclosurePolicy, from: string, to: string, what: Disclosed): Crossing {
  if (what.excessive) return "nested_too_deep";
  const applies = (rule: DisclosureRule): boolean =>
    matchesPlane(rule.from, from) &&
    matchesPlane(rule.to, to) &&
    (rule.issuers === undefined || rule.issuers.includes(what.issuer)) &&
    (rule.policyHashes === undefined || what.policyHashes.some((hash) => rule.policyHashes?.includes(hash)));
  for (const rule of policy.deny) {
    if (applies(rule) && what.kinds.some((kind) => matchesKind(rule.kinds, kind))) return "denied";
  }
  const allowing = policy.allow.filter(applies);
  for (const kind of what.kinds) {
    if (!allowing.some((rule) => matchesKind(rule.kinds, kind))) return "not_allowed";
  }
  return "allowed";
}

function matchesPlane(pattern: string, plane: string): boolean {
  return pattern === "*" || pattern === plane || plane.startsWith(`${pattern}/`);
}

function matchesKind(patterns: readonly string[], kind: string): boolean {
  return patterns.some((pattern) => {
    if (pattern === "*" || pattern === kind) return true;
    return pattern.endsWith("*") && pattern.length > 1 && kind.startsWith(pattern.slice(0, -1));
  });
}

/** Rules of `next` that let through what `held` may not: empty = taking `next` loosens nothing. */
export function looseningOf(held: DisclosurePolicy, next: DisclosurePolicy): string[] {
  const text = (rule: DisclosureRule): string =>
    JSON.stringify([
      rule.from,
      rule.to,
      [...rule.kinds].sort(),
      rule.issuers === undefined ? null : [...rule.issuers].sort(),
      rule.policyHashes === undefined ? null : [...rule.policyHashes].sort(),
    ]);
  const heldDenies = new Set(next.deny.map(text));
  return [
    ...next.allow.filter((rule) => !held.allow.some((one) => narrows(one, rule))).map((rule) => `allow ${text(rule)}`),
    ...held.deny.filter((rule) => !heldDenies.has(text(rule))).map((rule) => `no longer deny ${text(rule)}`),
  ];
}

/** Whether `narrow` allows nothing that `wide` does not. */
function narrows(wide: DisclosureRule, narrow: DisclosureRule): boolean {
  const plane = (a: string, b: string): boolean => (b !== "*" ? matchesPlane(a, b) : a === "*");
  const subset = (a: readonly string[] | undefined, b: readonly string[] | undefined): boolean =>
    a === undefined || (b?.every((one) => a.includes(one)) ?? false);
  const kind = (pattern: string): boolean =>
    wide.kinds.some(
      (one) => one === pattern || one === "*" || (one.endsWith("*") && pattern.startsWith(one.slice(0, -1))),
    );
  return (
    plane(wide.from, narrow.from) &&
    plane(wide.to, narrow.to) &&
    narrow.kinds.every(kind) &&
    subset(wide.issuers, narrow.issuers) &&
    subset(wide.policyHashes, narrow.policyHashes)
  );
}
