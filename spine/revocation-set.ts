/**
 * The root of a set of revocations: RFC 6962 over the sorted canonical texts of what is in force, so that two nodes of
 * equal trust and knowledge state the same 32 bytes (rules 8). Called beside checkpoints; stated in `revocation_set.v1`.
 */
import type { RevokedItem } from "./authority.ts";
import { toHex, utf8 } from "./bytes.ts";
import { canonicalText } from "./canonical.ts";
import { Frontier, type TreeHasher } from "./merkle.ts";

export interface RevocationSetRoot {
  readonly count: number;
  /** `0x` and 64 hex digits. */
  readonly root: string;
}

/** Items per step: well below a millisecond of work. */
const STEP_ITEMS = 64;
/** Texts that are sorted at once, within one step. */
const RUN_ITEMS = 512;

/** One leaf of the set; the text sorts by what is revoked. */
export function revokedItemText({ scope, value, fromSeq, owner }: RevokedItem): string {
  return canonicalText({ from_seq: fromSeq, owner, scope, value });
}

/** Count and root, the same for any order of `items`. */
export function revocationSetRoot(items: Iterable<RevokedItem>, hasher: TreeHasher): RevocationSetRoot {
  const steps = revocationSetSteps(items, hasher);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps, for whoever must not be held up by a hundred thousand items. */
export function* revocationSetSteps(
  items: Iterable<RevokedItem>,
  hasher: TreeHasher,
): Generator<undefined, RevocationSetRoot, undefined> {
  let runs: string[][] = [];
  let open: string[] = [];
  for (const item of items) {
    open.push(revokedItemText(item));
    if (open.length % STEP_ITEMS === 0) yield;
    if (open.length < RUN_ITEMS) continue;
    runs.push(open.sort());
    open = [];
  }
  runs.push(open.sort());
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      const out: string[] = [];
      yield* merge(runs[i] as string[], runs[i + 1] ?? [], out);
      merged.push(out);
    }
    runs = merged;
  }
  const texts = runs[0] as string[];
  const frontier = new Frontier(hasher);
  for (const text of texts) {
    frontier.append(hasher.leaf(utf8(text)));
    if (frontier.size % STEP_ITEMS === 0) yield;
  }
  return { count: texts.length, root: `0x${toHex(frontier.root())}` };
}

/** Two sorted lists into one, by UTF-16 code units as `sort` does. */
function* merge(a: readonly string[], b: readonly string[], out: string[]): Generator<undefined, void, undefined> {
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    if (right === undefined || (left !== undefined && left <= right)) {
      out.push(left as string);
      i++;
    } else {
      out.push(right);
      j++;
    }
    if (out.length % RUN_ITEMS === 0) yield;
  }
}
