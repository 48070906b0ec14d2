/**
 * The root of a set of revocations: RFC 6962 over the sorted canonical texts of what is in force, so that two nodes of
 * equal trust and knowledge state the same 32 bytes (rules 8). Called beside checkpoints; stated in `revocation_set.v1`.
 */
import type { RevokedItem } from "./authority.ts";
import { toHex, utf8 } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { Frontier, type TreeHasher } from "./merkle.ts";

/** One leaf of the set; the text sorts by what is revoked. */
export function revokedItemText({ scope, value, fromSeq, owner }: RevokedItem): string {
  return canonicalText({ from_seq: fromSeq, owner, scope, value });
}

/** Count and root (`0x` and 64 hex digits), the same for any order of `items`. */
export function revocationSetRoot(
  items: Iterable<RevokedItem>,
  hasher: TreeHasher,
): { readonly count: number; readonly root: string } {
  const texts = [...items].map(revokedItemText).sort();
  const frontier = new Frontier(hasher);
  for (const text of texts) frontier.append(hasher.leaf(utf8(text)));
  return { count: texts.length, root: `0x${toHex(frontier.root())}` };
}
