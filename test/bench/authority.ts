/** How long one authority decision takes with 100,000 revocations in force and 10,000 issuers, and what they weigh. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { RevokedSet } from "../../node/authority/revoked-set.ts";
import { confirmTrust, reloadTrust, trustSchema, writeTrustFile } from "../../node/index.ts";
import { Authority, type AuthorityTrust, NO_TRUST, type RevocationScope } from "../../spine/index.ts";
import type { BenchResult } from "./run.ts";

const ISSUERS = 10_000;
const REVOCATIONS = 100_000;
const REVOKERS = 16;
const DECISIONS = 1_000_000;
/** Decisions between two facts that bear on revokers and make the node weigh them anew. */
const DECISIONS_PER_CHANGE = 1_000;
const SCOPES: readonly RevocationScope[] = ["node", "key", "token", "bundle"];

const randomIssuer = (): string => `aegis:ed25519:${randomBytes(32).toString("hex")}`;

/** A key that the trust file takes: not of small order, and its encoding below the field's prime. */
const strictIssuer = (): string => `aegis:ed25519:${randomBytes(30).toString("hex")}0101`;

/**
 * Reloading, in a process that did so before, a trust file with this many issuers vouched for, from disk to the state in
 * effect: as it was, and with one of them taken out, which is written down as in effect before it counts.
 */
async function reloadFileMs(issuers: number): Promise<{ sameMs: number; changedMs: number }> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  try {
    const paths = { file: join(folder, "trust.yaml"), accepted: join(folder, "trust.accepted") };
    const keys = Array.from({ length: issuers }, () => ({ key: strictIssuer() }));
    await writeTrustFile(paths.file, trustSchema.parse({ issuers: keys }));
    await confirmTrust(paths);
    for (let warm = 0; warm < 3; warm++) await reloadTrust(paths);
    const from = performance.now();
    await reloadTrust(paths);
    const sameMs = performance.now() - from;
    await writeTrustFile(paths.file, trustSchema.parse({ issuers: keys.slice(1) }));
    const changedFrom = performance.now();
    const { effective } = await reloadTrust(paths);
    if (effective.issuers.length !== issuers - 1) throw new Error(`${effective.issuers.length} issuers in effect`);
    return { sameMs, changedMs: performance.now() - changedFrom };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The root as the daemon works it out, and for how long at most anything else had to wait meanwhile. */
async function setRoot(authority: Authority): Promise<{ rootMs: number; longestMs: number; count: number }> {
  const set = new RevokedSet(authority);
  let [isOver, longestMs] = [false, 0];
  const from = performance.now();
  const settled = set.settled().finally(() => {
    isOver = true;
  });
  for (let last = performance.now(); !isOver; ) {
    await turn();
    const now = performance.now();
    [longestMs, last] = [Math.max(longestMs, now - last), now];
  }
  const { count } = await settled;
  return { rootMs: performance.now() - from, longestMs, count };
}

export async function benchAuthority(): Promise<BenchResult> {
  globalThis.gc?.();
  const before = process.memoryUsage();
  const issuers = Array.from({ length: ISSUERS }, randomIssuer);
  const revokers = issuers.slice(0, REVOKERS);
  const trust: AuthorityTrust = {
    ...NO_TRUST,
    revokers: new Map(revokers.map((one) => [one, { scopes: new Set(SCOPES), quorum: 1 }])),
    curators: new Set(issuers.slice(REVOKERS, 2 * REVOKERS)),
    tokenIssuers: new Set(issuers.slice(2 * REVOKERS, 3 * REVOKERS)),
  };
  const authority = new Authority(trust);
  const started = performance.now();
  for (const issuer of issuers)
    authority.addGenesis({ issuer, recovery: `0x${issuer.slice(14)}`, next: issuer.slice(14), createdAtMs: 0 });
  for (let i = 0; i < REVOCATIONS; i++) {
    const scope = SCOPES[i % 4] as RevocationScope;
    // Half of the revoked nodes and keys are of issuers that are asked about.
    const known = issuers[(i * 7) % ISSUERS] as string;
    const value = scope === "token" || scope === "bundle" || i % 8 < 4 ? randomIssuer() : known;
    const target = { scope, value, fromSeq: 500_000 };
    authority.addRevocation({ signer: revokers[i % REVOKERS] as string, seq: i, recovery: null, targets: [target] });
  }
  const loadMs = performance.now() - started;
  globalThis.gc?.();
  const after = process.memoryUsage();

  let allowed = 0;
  const decideFrom = performance.now();
  for (let i = 0; i < DECISIONS; i++)
    if (authority.decide(issuers[(i * 13) % ISSUERS] as string, i) === "allowed") allowed++;
  const decideUs = ((performance.now() - decideFrom) * 1000) / DECISIONS;

  const changingFrom = performance.now();
  for (let i = 0; i < DECISIONS; i++) {
    if (i % DECISIONS_PER_CHANGE === 0) authority.addFreeze(revokers[i % 7] as string, 2 * DECISIONS - i);
    authority.decide(issuers[(i * 13) % ISSUERS] as string, i);
  }
  const changingUs = ((performance.now() - changingFrom) * 1000) / DECISIONS;

  const reloadFrom = performance.now();
  authority.setTrust({ ...trust, curators: new Set() });
  authority.decide(issuers[0] as string, 1);
  const reloadMs = performance.now() - reloadFrom;
  const { rootMs, longestMs, count } = await setRoot(authority);
  const small = await reloadFileMs(1_000);
  const large = await reloadFileMs(10_000);
  return {
    bench: `authority: ${REVOCATIONS} revocations by ${REVOKERS} revokers, ${ISSUERS} issuers`,
    figures: {
      decision_us: decideUs,
      decision_while_revokers_change_us: changingUs,
      decisions_allowed: allowed,
      facts_added_us_each: (loadMs * 1000) / (REVOCATIONS + ISSUERS),
      trust_change_ms: reloadMs,
      trust_file_1000_issuers_reload_ms: small.changedMs,
      trust_file_10000_issuers_reload_ms: large.sameMs,
      trust_file_10000_issuers_changed_reload_ms: large.changedMs,
      set_root_ms: rootMs,
      set_root_longest_pause_ms: longestMs,
      set_count: count,
      rss_grown_mb: (after.rss - before.rss) / 2 ** 20,
      heap_grown_mb: (after.heapUsed - before.heapUsed) / 2 ** 20,
    },
  };
}
