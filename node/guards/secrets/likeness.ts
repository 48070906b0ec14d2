/**
 * Does a value look like something a machine drew at random, like something a person put in as an example, or like words?
 * Format matches are told from made-up ones by it, and values of password-like names from ordinary code.
 */

const COUNTS = new Uint32Array(128);

/** How often each character below U+0080 occurs; the others count as one. Valid until the next call. */
function countChars(text: string): Uint32Array {
  COUNTS.fill(0);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const index = code < 128 ? code : 127;
    COUNTS[index] = (COUNTS[index] as number) + 1;
  }
  return COUNTS;
}

/** Shannon entropy in bits per character. */
export function entropyBits(text: string): number {
  if (text.length === 0) return 0;
  let bits = 0;
  for (const count of countChars(text)) if (count > 0) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}

const FILLER_WORDS =
  /example(?:key)?$|^example|[_-]example|your[_-]?\w|my[_-](?:secret|token|key|password)|change[_-]?(?:me|it|this)|replace[_-]?(?:me|with|this)|placeholder|redacted|dummy|sample|insert[_-]|todo|fixme|not[_-]?(?:a[_-])?real|(?:^|[_-])fake|(?:^|[_-])mock|lorem|deadbeef|xxxx|\*\*\*|\.\.\.|___/i;
const FILLER_RUN = /(.)\1{7,}/;
const KEYBOARD = /qwertyui|asdfghjk|zxcvbnm/i;
/** Neighbours in a row that are no chance: `12345678`, `hgfedcba`. */
const SEQUENCE_STEPS = 7;

/** Says itself that it is none: an example, a filler, one character over and over. */
export function isFiller(text: string): boolean {
  return FILLER_WORDS.test(text) || FILLER_RUN.test(text);
}

const LONG_FILLER_WORDS =
  /example(?:key)?$|^example|[_-]example|placeholder|redacted|changeme|change[_-]me|your[_-]|insert[_-]|replace[_-]|xxxxxx|\*{4}|\.{4}|<[a-z]/i;
const LONG_FILLER_RUN = /(.)\1{11,}/;
/** Words are looked for in this much: in more, chance spells some. */
const MAX_WORD_CHARS = 200;

/** As `isFiller` for a text of a known format: drawn ones hold short words and runs by chance, keys hold lengths of zeros. */
export function isFormatFiller(text: string): boolean {
  if (LONG_FILLER_RUN.test(text) || LONG_FILLER_WORDS.test(text.slice(0, MAX_WORD_CHARS))) return true;
  return Math.max(...countChars(text)) * 2 > text.length;
}

/** Typed along the alphabet, the digits or the keyboard: common in documentation, never drawn. */
export function hasSequence(text: string): boolean {
  let up = 0;
  let down = 0;
  for (let at = 1; at < text.length; at++) {
    const step = text.charCodeAt(at) - text.charCodeAt(at - 1);
    // After 9 comes 0 again.
    const wraps = text.charAt(at - 1) === "9" && text.charAt(at) === "0";
    up = step === 1 || wraps ? up + 1 : 0;
    down = step === -1 ? down + 1 : 0;
    if (up >= SEQUENCE_STEPS || down >= SEQUENCE_STEPS) return true;
  }
  return KEYBOARD.test(text);
}

/** Share of the characters that are in runs of letters one could pronounce: near 1 for identifiers, near 0 for keys. */
export function wordShare(text: string): number {
  let letters = 0;
  for (const run of text.match(/[A-Z]?[a-z]{3,}|[A-Z]{4,}/g) ?? []) {
    const vowels = run.match(/[aeiouy]/gi)?.length ?? 0;
    if (vowels >= run.length * 0.2 && vowels <= run.length * 0.7) letters += run.length;
  }
  return text.length === 0 ? 0 : letters / text.length;
}

const HEX = /^(?:0x)?[0-9a-fA-F]+$/;
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;
const MIN_TOKEN_CHARS = 16;

/** A key or token: long, of a token's characters, and random. */
export function isRandomToken(text: string): boolean {
  if (text.length < MIN_TOKEN_CHARS || text.length > 4096 || !/^[A-Za-z0-9+/=_.~:$@!%-]+$/.test(text)) return false;
  return isRandom(text) && !hasSequence(text) && !isFiller(text);
}

function isRandom(text: string): boolean {
  const bits = entropyBits(text);
  if (bits < 2.8) return false;
  if (UUID.test(text)) return true;
  if (HEX.test(text)) return /\d/.test(text) && /[a-f]/i.test(text);
  const digits = text.match(/\d/g)?.length ?? 0;
  const mixed = /[a-z]/.test(text) && /[A-Z]/.test(text);
  if (!/[A-Za-z]/.test(text) || (digits < 2 && !(mixed && bits >= 4.2))) return false;
  return bits >= 3.2 && wordShare(text) <= 0.4;
}

/** A password a person or a generator chose with care: three kinds of characters, or letters and digits well mixed. */
export function isStrongPassword(text: string): boolean {
  if (text.length < 8 || text.length > 128 || /\s/.test(text)) return false;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(text)).length;
  const bits = entropyBits(text);
  const mixed =
    kinds >= 3
      ? bits >= 2.7 && /\d|[!@#$%^&*?]/.test(text) && (kinds === 4 || wordShare(text) <= 0.7)
      : kinds === 2 && /\d/.test(text) && text.length >= 10 && bits >= 3 && wordShare(text) <= 0.4;
  return mixed && !hasSequence(text) && !isFiller(text);
}
