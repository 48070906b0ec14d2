/**
 * From which seq on each configured revoker has lost its word, when revokers revoke each other (rules 8). A pure
 * function of the set of votes, so that it cannot depend on their order of arrival. Called by `authority.ts`.
 *
 * A vote falls when its signer is revoked at or below the vote's seq by votes that stand. Votes that would fell each
 * other in a circle are equals: all of the circle stand, and all its targets are revoked.
 */

import type { Issuer } from "./ports.ts";
import type { RevocationScope } from "./revocation.ts";

/** One revoker's word on another revoker. */
export interface Vote {
  readonly signer: Issuer;
  readonly target: Issuer;
  readonly scope: RevocationScope;
  /** Seq of the envelope in the signer's chain; 0 for one signed by the signer's recovery key. */
  readonly seq: number;
  readonly fromSeq: number;
}

/** A word that stands: who gave it, how far back it reaches, and how many must agree for it to count. */
export interface Word {
  readonly signer: Issuer;
  readonly fromSeq: number;
  readonly quorum: number;
}

/** The lowest seq from which enough distinct signers agree; Infinity when too few do. */
export function quorumCut(words: readonly Word[]): number {
  const reach = new Map<Issuer, Word>();
  for (const word of words) {
    const known = reach.get(word.signer);
    if (known === undefined || word.fromSeq < known.fromSeq) reach.set(word.signer, word);
  }
  let agreed = 0;
  let needed = Number.POSITIVE_INFINITY;
  for (const { fromSeq, quorum } of [...reach.values()].sort((a, b) => a.fromSeq - b.fromSeq)) {
    agreed++;
    needed = Math.min(needed, quorum);
    if (agreed >= needed) return fromSeq;
  }
  return Number.POSITIVE_INFINITY;
}

/** The cut of each target by the votes that `counts` lets through. Node and key are scopes of their own. */
function cutsOf(
  votes: readonly Vote[],
  quorumOf: (signer: Issuer) => number,
  counts: (index: number) => boolean,
): Map<Issuer, number> {
  const words = new Map<string, Word[]>();
  for (const [i, { signer, target, scope, fromSeq }] of votes.entries()) {
    if (!counts(i)) continue;
    const key = `${scope}|${target}`;
    const word: Word = { signer, fromSeq, quorum: quorumOf(signer) };
    const list = words.get(key);
    if (list === undefined) words.set(key, [word]);
    else list.push(word);
  }
  const cuts = new Map<Issuer, number>();
  for (const [key, list] of words) {
    const target = key.slice(key.indexOf("|") + 1);
    const cut = quorumCut(list);
    if (cut < (cuts.get(target) ?? Number.POSITIVE_INFINITY)) cuts.set(target, cut);
  }
  return cuts;
}

/** The nodes of `graph` (successors by index) that lie in a strongly connected component nobody outside points to. */
export function sources(graph: readonly (readonly number[])[]): ReadonlySet<number> {
  const component: number[] = componentsOf(graph);
  const entered = new Set<number>();
  for (const [from, targets] of graph.entries())
    for (const to of targets) if (component[from] !== component[to]) entered.add(component[to] as number);
  return new Set(component.flatMap((id, node) => (entered.has(id) ? [] : [node])));
}

/** Tarjan's algorithm with an explicit stack: the component number of each node. */
function componentsOf(graph: readonly (readonly number[])[]): number[] {
  const [index, low, component]: [number[], number[], number[]] = [[], [], []];
  const open: number[] = [];
  let visited = 0;
  let found = 0;
  for (const root of graph.keys()) {
    if (index[root] !== undefined) continue;
    const path: { node: number; edge: number }[] = [{ node: root, edge: 0 }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { node } = top;
      if (top.edge === 0) {
        index[node] = low[node] = visited++;
        open.push(node);
      }
      const next = graph[node]?.[top.edge++];
      if (next !== undefined) {
        if (index[next] === undefined) path.push({ node: next, edge: 0 });
        else if (component[next] === undefined) low[node] = Math.min(low[node] as number, index[next]);
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above !== undefined) low[above.node] = Math.min(low[above.node] as number, low[node] as number);
      if (low[node] !== index[node]) continue;
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = found;
        if (member === node) break;
      }
      found++;
    }
  }
  return component;
}

/**
 * The cut of each revoker by its fellows; a revoker that is missing in the result was not revoked by them. `votes` are
 * only those below the signer's own freeze and self-revocation, and name signer and target among the revokers.
 */
export function revokerCuts(votes: readonly Vote[], quorumOf: (signer: Issuer) => number): ReadonlyMap<Issuer, number> {
  const stands: (boolean | undefined)[] = votes.map(() => undefined);
  const cutOf = (cuts: ReadonlyMap<Issuer, number>, issuer: Issuer): number =>
    cuts.get(issuer) ?? Number.POSITIVE_INFINITY;
  for (;;) {
    const worst = cutsOf(votes, quorumOf, (i) => stands[i] !== false);
    const sure = cutsOf(votes, quorumOf, (i) => stands[i] === true);
    let changed = false;
    for (const [i, { signer, seq }] of votes.entries()) {
      if (stands[i] !== undefined) continue;
      if (seq < cutOf(worst, signer)) stands[i] = true;
      else if (seq >= cutOf(sure, signer)) stands[i] = false;
      changed ||= stands[i] !== undefined;
    }
    if (changed) continue;
    const undecided = votes.flatMap((_, i) => (stands[i] === undefined ? [i] : []));
    if (undecided.length === 0) return sure;
    // Only circles are left, and what hangs on them: the circles that hang on no other are decided first.
    const graph = undecided.map((i) => {
      const { target, fromSeq } = votes[i] as Vote;
      return undecided.flatMap((other, at) => {
        const felled = votes[other] as Vote;
        return felled.signer === target && felled.seq >= fromSeq ? [at] : [];
      });
    });
    for (const at of sources(graph)) stands[undecided[at] as number] = true;
  }
}
