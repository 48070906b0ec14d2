/**
 * What a model's own instructions forbid it to give away, and whether a text is about that. Who asks for the very thing
 * that is protected needs less further evidence; the text guards use it when a caller passes the instructions along.
 */
import type { Watched } from "../model/classifier.ts";
import { stemOf } from "../model/features.ts";
import { MEANINGS, meanings } from "../model/lexicon.ts";

const MOST_CHARS = 20_000;
const MOST_WORDS = 64;
const STEM_LETTERS = 5;

const FORBIDS =
  /\b(?:do not|don't|never|must not|mustn't|may not|should not|shouldn't|cannot|can't|not allowed|no circumstances|refuse|keep|secret|confidential|protect)\b/i;
/** Words of the ban itself and of any conversation. */
const COMMON = new Set(
  (
    "about above after again allowed always answer answers anyone anything assistant because before being cannot chat circumstances " +
    "confidential conversation could directly discuss does doing don't ever every everything following from give given have helpful " +
    "information instructions just keep keeping like matter mention message must never other others people please protect prompt " +
    "question questions refuse regardless reply request requests respond response reveal rules said saying share should shouldn't " +
    "speak such system talk tell text that their them then there these they this those under user users very what whatever when " +
    "where which while with without word words would write your yourself secret"
  ).split(" "),
);

const SECRET = Object.keys(MEANINGS).indexOf("secret") + 1;
const RULES = Object.keys(MEANINGS).indexOf("rules") + 1;
/** A ban on speaking of the instructions themselves. */
const OWN_WORDS =
  /\b(?:your|these|this|the|own) (?:\w+ )?(?:instructions?|prompts?|rules|configuration|guidelines|setup)\b/i;

let known: ReturnType<typeof meanings> | undefined;

function isSecret(word: string): boolean {
  known ??= meanings();
  if (known.words.get(word) === SECRET || known.stems.get(word.slice(0, STEM_LETTERS)) === SECRET) return true;
  for (let at = 0; at + 2 <= word.length; at++) if (known.pairs.get(word.slice(at, at + 2)) === SECRET) return true;
  return false;
}

function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}']{2,}/gu) ?? [];
}

/** Undefined when there are no instructions, or they protect nothing. */
export function protectedBy(instructions: string | undefined): Watched | undefined {
  if (instructions === undefined) return undefined;
  const stems = new Set<number>();
  const protectedMeanings = new Set<number>();
  for (const sentence of instructions.slice(0, MOST_CHARS).split(/[.!?\n;]+/)) {
    if (!FORBIDS.test(sentence)) continue;
    if (OWN_WORDS.test(sentence)) protectedMeanings.add(RULES);
    for (const word of wordsOf(sentence)) {
      if (isSecret(word)) protectedMeanings.add(SECRET);
      if (word.length < 4 || COMMON.has(word) || stems.size >= MOST_WORDS) continue;
      stems.add(stemOf(word));
    }
  }
  return stems.size + protectedMeanings.size > 0 ? { stems, meanings: protectedMeanings } : undefined;
}
