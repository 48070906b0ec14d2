/**
 * Retention per fact kind (rules 14): finds up to where an issuer's envelopes have outlived their time and has the core
 * and the store forget them. What acts on trust stays for ever; leaves, and so all proofs, stay too.
 */
import {
  actingKind,
  type EnvelopeHash,
  factKind,
  type Issuer,
  type IssuerRecord,
  type KeptEnvelope,
  keptBelow,
  MAX_KEPT,
  openSigningBytes,
  type PrunePlan,
  type Span,
  walkRecords,
} from "../spine/index.ts";
import type { Store } from "../storage/index.ts";
import { pause } from "./disk-watch.ts";
import type { Driver } from "./driver.ts";
import { sha256Hex } from "./hash.ts";

/**
 * Never removed: who may speak and who may not rests on what acts, also on nodes that join later; the versions of a
 * curator's policies count on from each other.
 */
function isLasting(factSchema: string): boolean {
  return actingKind(factSchema) !== undefined || factKind(factSchema)?.kind === "policy_delta";
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** The first round begins this long after the start. */
const FIRST_MS = 60_000;
/** Removed at once: more would make publishing wait. */
const STEP = 1_024;
/** Fewer are not worth a change of the record. */
const LEAST = 64;
/** Looked at of one issuer in one round. */
const MAX_SCANNED = 100_000;

export interface RetentionRules {
  /** Days by kind, such as `heartbeat`; the kind of a schema outside the known families is the schema itself. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Days of everything else; 0 = for ever. */
  readonly defaultDays: number;
}

/** When a fact may go, milliseconds since 1970; infinite = never. */
export function expiresAt(rules: RetentionRules, factSchema: string, issuedAtMs: number): number {
  if (isLasting(factSchema)) return Number.POSITIVE_INFINITY;
  const kind = factKind(factSchema)?.kind ?? factSchema;
  const days = rules.kinds.get(kind) ?? rules.defaultDays;
  return days === 0 ? Number.POSITIVE_INFINITY : issuedAtMs + days * DAY_MS;
}

/** Up to where an issuer's envelopes may go, and what of them stays; undefined = not worth it. */
export async function planPruning(
  store: Store,
  record: IssuerRecord,
  rules: RetentionRules,
  now: number,
): Promise<PrunePlan | undefined> {
  const { issuer, ranges, prunedBelow } = record;
  const first = ranges.find(({ to }) => to >= prunedBelow);
  const top = ranges.at(-1)?.to;
  if (first === undefined || top === undefined) return undefined;
  const from = Math.max(first.from, prunedBelow);
  const kept: KeptEnvelope[] = [];
  for (const span of keptBelow(record)) kept.push(...(await readKept(store, issuer, span)));
  /** Where to cut, and what the envelope there says of its predecessor. */
  let cut: { readonly seq: number; readonly prev: EnvelopeHash | null } | undefined;
  scan: for await (const piece of store.records(issuer, from, Math.min(top, from + MAX_SCANNED))) {
    for (const { signingBytes, signature } of walkRecords(piece.records)) {
      const { seq, prev, hash, factSchema, issuedAtMs } = openSigningBytes(signingBytes, signature, sha256Hex);
      cut = { seq, prev };
      const lasting = isLasting(factSchema);
      if (lasting && kept.length < MAX_KEPT) kept.push({ seq, prev, hash });
      else if (lasting || expiresAt(rules, factSchema, issuedAtMs) > now) break scan;
    }
  }
  // The last one looked at stays in any case: the chain goes on from it.
  if (cut === undefined || cut.seq - from < LEAST) return undefined;
  const below = cut.seq;
  const scanned = ranges.flatMap((one): Span[] =>
    one.from < below ? [{ from: one.from, to: Math.min(one.to, below - 1) }] : [],
  );
  return { below, prev: cut.prev, kept: kept.filter(({ seq }) => seq < below), scanned };
}

async function readKept(store: Store, issuer: Issuer, { from, to }: Span): Promise<KeptEnvelope[]> {
  const found: KeptEnvelope[] = [];
  for (let seq = from; seq <= to; seq++) {
    const stored = await store.at(issuer, seq);
    if (stored === undefined) continue;
    const { prev } = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex);
    found.push({ seq, prev, hash: stored.hash });
  }
  return found;
}

export interface RetentionOptions {
  readonly store: Store;
  readonly driver: Driver;
  readonly rules: RetentionRules;
  /** The own chain is pruned too. */
  readonly own: boolean;
  readonly issuer: Issuer;
  readonly now: () => number;
  readonly onPruned: (issuer: Issuer, below: number, removed: number) => void;
}

/**
 * The time retention goes by: no later than a day after the newest head of another issuer, so that a clock that jumps
 * years ahead removes nothing.
 */
export function retentionNow(
  heads: Iterable<{ readonly issuer: Issuer; readonly sentAt: number }>,
  options: Pick<RetentionOptions, "issuer" | "own" | "now">,
): number {
  let newest = 0;
  for (const { issuer, sentAt } of heads) {
    if (issuer !== options.issuer || options.own) newest = Math.max(newest, sentAt * 1000);
  }
  return Math.min(options.now(), newest + DAY_MS);
}

/** Removes from the store what the record no longer holds; also what a crash kept from being removed. */
async function removePruned({ store, driver, onPruned }: RetentionOptions, issuer: Issuer, signal: AbortSignal) {
  const record = driver.mesh.issuer(issuer);
  if (record === undefined || record.prunedBelow === 0) return;
  let removed = 0;
  for (;;) {
    const count = await store.prune(issuer, record.prunedBelow, STEP, keptBelow(record));
    removed += count;
    if (count === 0 || signal.aborted) break;
    // Commits that wait go first.
    await pause(5, signal);
  }
  if (removed > 0) onPruned(issuer, record.prunedBelow, removed);
}

/** One round over all issuers. */
export async function runRetention(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  const { store, driver, rules, own, issuer: self } = options;
  const all = [...driver.mesh.issuers()];
  const now = retentionNow(
    all.flatMap(({ head }) => (head === null ? [] : [head])),
    options,
  );
  for (const { record } of all) {
    if (signal.aborted) return;
    if (record.issuer === self && !own) continue;
    await driver.settled();
    const plan = await planPruning(store, driver.mesh.issuer(record.issuer) ?? record, rules, now);
    if (plan !== undefined) await driver.change({ type: "prune", issuer: record.issuer, plan });
    await removePruned(options, record.issuer, signal);
  }
}

/** Rounds every hour until the signal aborts. */
export async function keepRetention(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  await pause(FIRST_MS, signal);
  while (!signal.aborted) {
    await runRetention(options, signal);
    await pause(HOUR_MS, signal);
  }
}
