/**
 * Stored envelopes in the order of storing, for the feed: leaves of one chain in a row are read as runs, a page ahead,
 * since a block holds many envelopes and each would be read again for every one of them.
 */
import { type EnvelopeHash, type EnvelopeState, type Issuer, recordOffsets, splitRecord } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";

/** One leaf; without more than its index when its envelope was pruned. */
export type Leaf =
  | { readonly leafIndex: number }
  | {
      readonly leafIndex: number;
      readonly issuer: Issuer;
      readonly seq: number;
      readonly hash: EnvelopeHash;
      readonly signingBytes: Uint8Array;
      readonly signature: Uint8Array;
      readonly state: EnvelopeState;
    };

const PAGE = 256;

/** Pages of leaves, from one on until there are no more now. */
export async function* readLeaves(store: Store, from: number): AsyncGenerator<readonly Leaf[]> {
  let page = readPage(store, from);
  for (;;) {
    const leaves = await page;
    if (leaves.length === 0) return;
    from += leaves.length;
    if (leaves.length < PAGE) return yield leaves;
    page = readPage(store, from);
    // A reader that stops early leaves the page ahead unread: its failure is nobody's.
    page.catch(() => {});
    yield leaves;
  }
}

/** At most a page of leaves from one on. */
export async function readPage(store: Store, from: number): Promise<Leaf[]> {
  const hashes = await store.leaves(from, PAGE);
  const out: Leaf[] = [];
  while (out.length < hashes.length) {
    const before = out.length;
    const place = await store.locate(hashes[before] as EnvelopeHash);
    if (place !== undefined) {
      const { issuer, seq } = place;
      for await (const run of store.runs(issuer, seq, seq + hashes.length - before - 1)) {
        // A hole, or another chain's leaves in between: what follows is looked up anew.
        if (run.from !== seq + out.length - before || run.hashes[0] !== hashes[out.length]) break;
        const offsets = recordOffsets(run.records, run.hashes.length);
        let matched = 0;
        for (; matched < run.hashes.length; matched++) {
          const hash = run.hashes[matched] as EnvelopeHash;
          if (hash !== hashes[out.length]) break;
          const { signingBytes, signature } = splitRecord(
            run.records,
            offsets[matched] as number,
            offsets[matched + 1] as number,
          );
          const state = run.states[matched] as EnvelopeState;
          out.push({
            leafIndex: from + out.length,
            issuer,
            seq: run.from + matched,
            hash,
            signingBytes,
            signature,
            state,
          });
        }
        if (matched < run.hashes.length) break;
      }
    }
    if (out.length === before) out.push({ leafIndex: from + before });
  }
  return out;
}
