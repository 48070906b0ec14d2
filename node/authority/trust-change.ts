/**
 * What of a new trust file would loosen the old one, and the stricter of the two (rules 8: a reload never loosens
 * silently). Loosening is whatever lets more be believed or less be revoked. Called by `trust-keeper.ts`.
 */
import { TRUST_ROLES, type TrustFile } from "./trust-file.ts";

type Entry<K extends keyof TrustFile> = TrustFile[K] extends readonly (infer E)[] ? E : never;

function byKey<E extends { readonly key: string }>(entries: readonly E[]): ReadonlyMap<string, E> {
  return new Map(entries.map((one) => [one.key, one]));
}

function label(one: { readonly key: string; readonly name?: string | undefined }): string {
  return one.name === undefined || one.name === "" ? one.key : `${one.key} (${one.name})`;
}

/** Entries of the new list that the old one has as well, each made no looser than it was. */
function meet<E extends { readonly key: string }>(
  old: readonly E[],
  next: readonly E[],
  merge: (old: E, next: E) => E | null,
): E[] {
  const known = byKey(old);
  return next.flatMap((one) => {
    const before = known.get(one.key);
    const merged = before === undefined ? null : merge(before, one);
    return merged === null ? [] : [merged];
  });
}

/** Entries of either list: for revokers, whose presence restricts. */
function unite<E extends { readonly key: string }>(
  old: readonly E[],
  next: readonly E[],
  merge: (old: E, next: E) => E,
): E[] {
  const [before, after] = [byKey(old), byKey(next)];
  const kept = old.map((one) => {
    const now = after.get(one.key);
    return now === undefined ? one : merge(one, now);
  });
  return [...kept, ...next.filter((one) => !before.has(one.key))];
}

/** Feeds that both lists allow; an empty list allows any, null none. */
function commonFeeds(old: readonly string[], next: readonly string[]): string[] | null {
  if (old.length === 0) return [...next];
  const common = next.length === 0 ? [...old] : next.filter((one) => old.includes(one));
  return common.length === 0 ? null : common;
}

function stricterCurator(old: Entry<"curators">, next: Entry<"curators">): Entry<"curators"> | null {
  const feeds = commonFeeds(old.feeds, next.feeds);
  if (feeds === null) return null;
  return { ...next, feeds, level: old.level === "full" && next.level === "full" ? "full" : "audit-only" };
}

function stricterRevoker(old: Entry<"revokers">, next: Entry<"revokers">): Entry<"revokers"> {
  return { ...next, scope: [...new Set([...old.scope, ...next.scope])], quorum: Math.min(old.quorum, next.quorum) };
}

/** A pin gives a key power over an issuer, so the old one stays until the change is confirmed. */
function stricterIssuer(old: Entry<"issuers">, next: Entry<"issuers">): Entry<"issuers"> {
  const { recoveryKeyHash: _, ...rest } = next;
  const pin = old.recoveryKeyHash === undefined ? {} : { recoveryKeyHash: old.recoveryKeyHash };
  return { ...rest, attests: old.attests && next.attests, ...pin };
}

/** What both files allow, and all that either restricts. Equal to `next` exactly when `next` loosens nothing. */
export function stricterTrust(old: TrustFile, next: TrustFile): TrustFile {
  return {
    curators: meet(old.curators, next.curators, stricterCurator),
    revokers: unite(old.revokers, next.revokers, stricterRevoker),
    logs: meet(old.logs, next.logs, (_, one) => one),
    witnesses: meet(old.witnesses, next.witnesses, (_, one) => one),
    witnessQuorum: Math.max(old.witnessQuorum, next.witnessQuorum),
    tokenIssuers: meet(old.tokenIssuers, next.tokenIssuers, (_, one) => one),
    issuers: meet(old.issuers, next.issuers, stricterIssuer),
  };
}

/** One sentence for each way in which `next` is looser than `old`. Names of entries do not count. */
export function trustLoosenings(old: TrustFile, next: TrustFile): string[] {
  const found: string[] = [];
  for (const role of TRUST_ROLES) {
    if (role === "revokers") continue;
    const known = byKey<{ readonly key: string }>(old[role]);
    for (const one of next[role]) if (!known.has(one.key)) found.push(`${role}: adds ${label(one)}`);
  }
  const curators = byKey(old.curators);
  for (const one of next.curators)
    if (curators.get(one.key)?.level === "audit-only" && one.level === "full")
      found.push(`curators: raises ${label(one)} from audit-only to full`);
  for (const one of next.curators) {
    const before = curators.get(one.key)?.feeds ?? [];
    if (before.length === 0) continue;
    if (one.feeds.length === 0) found.push(`curators: lets ${label(one)} speak for any feed`);
    for (const feed of one.feeds)
      if (!before.includes(feed)) found.push(`curators: lets ${label(one)} speak for feed ${feed}`);
  }
  const revokers = byKey(next.revokers);
  for (const one of old.revokers) {
    const now = revokers.get(one.key);
    if (now === undefined) found.push(`revokers: removes ${label(one)}`);
    else {
      for (const scope of one.scope)
        if (!now.scope.includes(scope)) found.push(`revokers: takes scope ${scope} from ${label(one)}`);
      if (now.quorum > one.quorum)
        found.push(`revokers: raises the quorum of ${label(one)} from ${one.quorum} to ${now.quorum}`);
    }
  }
  if (next.witnessQuorum < old.witnessQuorum)
    found.push(`witnessQuorum: lowers it from ${old.witnessQuorum} to ${next.witnessQuorum}`);
  const issuers = byKey(old.issuers);
  for (const one of next.issuers) {
    const before = issuers.get(one.key);
    if (before === undefined) continue;
    if (one.attests && !before.attests) found.push(`issuers: lets ${label(one)} attest others`);
    if (one.recoveryKeyHash !== before.recoveryKeyHash)
      found.push(`issuers: changes the recovery key of ${label(one)}`);
  }
  return found;
}
