/**
 * What the learned classifier sees of a text: hashed word n-grams, skip-grams and word beginnings, eight a token, computed
 * while walking over the characters once. Training and scoring share this file: a change here makes the weights void.
 */

import { meanings } from "./lexicon.ts";

/** Buckets of the hashed features, a power of two. */
export const BUCKETS = 1 << 20;
const SHIFT = 12;
/** Features of one token. */
export const PER_TOKEN = 8;

/** Letters of a word that stand for it in the coarse features: endings differ, meanings hardly. */
const STEM_CHARS = 5;
/** Longer words (hashes, keys, addresses) are all alike. */
const MAX_WORD_CHARS = 24;

const SEED = 0x811c9dc5;
const PRIME = 0x01000193;
/** Stands for any number. */
const NUMBER = 0x9e3779b1;
const LONG = 0x85ebca6b;

const OTHER = 0;
const LETTER = 1;
const DIGIT = 2;
const MARK = 3;

const ASCII = Uint8Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code);
  if (/[a-z'_]/i.test(char)) return LETTER;
  if (/[0-9]/.test(char)) return DIGIT;
  return /[?!:"<>[\]{}=#*|]/.test(char) ? MARK : OTHER;
});

/** A character outside ASCII that stands alone as a token: scripts written without spaces, and emoji halves. */
function standsAlone(code: number): boolean {
  return (
    (code >= 0x0e00 && code < 0x0f00) ||
    (code >= 0x1000 && code < 0x10a0) ||
    (code >= 0x1780 && code < 0x1800) ||
    (code >= 0x3040 && code < 0xa000) ||
    (code >= 0xd800 && code < 0xe000)
  );
}

function isSpaceOrPunctuation(code: number): boolean {
  return (
    code < 0xaa ||
    (code >= 0x2000 && code < 0x2070) ||
    (code >= 0x3000 && code < 0x3040) ||
    (code >= 0xff00 && code < 0xff0f) ||
    code === 0xbf ||
    code === 0xbb ||
    code === 0xb7
  );
}

/** Meanings by hash, behind a filter that turns nearly all other words away. */
interface MeaningIndex {
  readonly filter: Uint8Array;
  readonly words: ReadonlyMap<number, number>;
  readonly stems: ReadonlyMap<number, number>;
  readonly pairs: ReadonlyMap<number, number>;
}

const FILTER_MASK = 0xffff;
const IN_WORDS = 1;
const IN_STEMS = 2;
const IN_PAIRS = 4;
/** Tokens over which two meanings are still read together. */
const REACH = 10;

let index: MeaningIndex | undefined;

function meaningIndex(): MeaningIndex {
  if (index !== undefined) return index;
  const filter = new Uint8Array(FILTER_MASK + 1);
  const hashed = (
    map: ReadonlyMap<string, number>,
    hash: (key: string) => number,
    bit: number,
  ): Map<number, number> => {
    const found = new Map<number, number>();
    for (const [key, meaning] of map) {
      const at = hash(key);
      found.set(at, meaning);
      filter[at & FILTER_MASK] = (filter[at & FILTER_MASK] as number) | bit;
    }
    return found;
  };
  const { words, stems, pairs } = meanings();
  index = {
    filter,
    words: hashed(words, wordHash, IN_WORDS),
    stems: hashed(stems, wordHash, IN_STEMS),
    pairs: hashed(pairs, (pair) => pairHash(wordHash(pair.charAt(0)), wordHash(pair.charAt(1))), IN_PAIRS),
  };
  return index;
}

function wordHash(word: string): number {
  let hash = SEED;
  for (let at = 0; at < word.length; at++) hash = Math.imul(hash ^ word.charCodeAt(at), PRIME);
  return finish(hash);
}

function pairHash(before: number, word: number): number {
  return Math.imul(before, 3) ^ word;
}

function meaningOf({ filter, words, stems, pairs }: MeaningIndex, word: number, stem: number, pair: number): number {
  if (((filter[word & FILTER_MASK] as number) & IN_WORDS) !== 0) {
    const found = words.get(word);
    if (found !== undefined) return found;
  }
  if (((filter[stem & FILTER_MASK] as number) & IN_STEMS) !== 0) {
    const found = stems.get(stem);
    if (found !== undefined) return found;
  }
  if (((filter[pair & FILTER_MASK] as number) & IN_PAIRS) !== 0) return pairs.get(pair) ?? 0;
  return 0;
}

/** Called for each token with its features, indices below `BUCKETS` (the array is reused), its stem and its meaning, 0 for none. */
export type TokenSink = (features: Uint32Array, stem: number, meaning: number) => void;

/** The stem of a word in lower case, as sinks get it. */
export function stemOf(word: string): number {
  return wordHash(word.slice(0, STEM_CHARS));
}

/** Walks over `text`, which must be in canonical form (lower case, NFKC, single blanks). Linear, constant memory. */
export function walkTokens(text: string, sink: TokenSink): void {
  const features = new Uint32Array(PER_TOKEN);
  let word1 = 1;
  let word2 = 2;
  let word3 = 3;
  let stem1 = 1;
  let stem2 = 2;
  const known = meaningIndex();
  let meaning1 = 0;
  let meaning2 = 0;
  let since = 0;
  const emit = (word: number, stem: number): void => {
    features[0] = bucket(word, 0x1b873593);
    features[1] = bucket(Math.imul(word1, 3) ^ word, 0x2c1b3c6d);
    features[2] = bucket(Math.imul(word2, 5) ^ Math.imul(word1, 3) ^ word, 0x297a2d39);
    features[3] = bucket(Math.imul(word2, 7) ^ word, 0x5bd1e995);
    features[5] = bucket(stem, 0x68e31da5);
    features[6] = bucket(Math.imul(stem1, 3) ^ stem, 0x3c6ef373);
    const meaning = meaningOf(known, word, stem, pairHash(word1, word));
    since++;
    if (meaning === 0) {
      features[4] = bucket(Math.imul(word3, 11) ^ word, 0x7feb352d);
      features[7] = bucket(Math.imul(stem2, 13) ^ stem, 0x1f83d9ab);
    } else {
      if (since > REACH) meaning1 = meaning2 = 0;
      features[4] = bucket(finish((meaning1 << 8) | meaning), 0x7feb352d);
      features[7] = bucket(finish((meaning2 << 16) | (meaning1 << 8) | meaning | 0x1000000), 0x1f83d9ab);
      if (meaning !== meaning1) {
        meaning2 = meaning1;
        meaning1 = meaning;
      }
      since = 0;
    }
    sink(features, stem, meaning);
    word3 = word2;
    word2 = word1;
    word1 = word;
    stem2 = stem1;
    stem1 = stem;
  };
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    const kind = code < 128 ? (ASCII[code] as number) : isSpaceOrPunctuation(code) ? OTHER : LETTER;
    if (kind === OTHER) {
      at++;
      continue;
    }
    if (kind === MARK || (code >= 128 && standsAlone(code))) {
      const hash = finish(Math.imul(SEED ^ code, PRIME));
      emit(hash, hash);
      at++;
      continue;
    }
    let hash = SEED;
    let stem = 0;
    let digits = true;
    const start = at;
    for (; at < text.length; at++) {
      const next = text.charCodeAt(at);
      if (next < 128) {
        const nextKind = ASCII[next] as number;
        if (nextKind === LETTER) digits = false;
        else if (nextKind !== DIGIT) break;
      } else {
        if (isSpaceOrPunctuation(next) || standsAlone(next)) break;
        digits = false;
      }
      hash = Math.imul(hash ^ next, PRIME);
      if (at - start === STEM_CHARS - 1) stem = hash;
    }
    const length = at - start;
    if (digits) emit(NUMBER, NUMBER);
    else if (length > MAX_WORD_CHARS) emit(LONG, LONG);
    else emit(finish(hash), finish(length < STEM_CHARS ? hash : stem));
  }
}

function finish(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x7feb352d);
  return mixed ^ (mixed >>> 15);
}

/** The hashes that come in are well mixed: one multiplication by an odd number spreads their sums and differences. */
function bucket(hash: number, salt: number): number {
  return Math.imul(hash, salt) >>> SHIFT;
}
