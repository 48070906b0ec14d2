/**
 * Does a value look like something a machine drew at random, like something a person put in as an example, or like words?
 * Format matches are told from made-up ones by it, and values of password-like names from ordinary code.
 */

/** Shannon entropy in bits per character. */
export function entropyBits(text: string): number {
  if (text.length === 0) return 0;
  const counts = new Map<string, number>();
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}

const FILLER_WORDS =
  /example(?:key)?$|^example|[_-]example|your[_-]?\w|my[_-](?:secret|token|key|password)|change[_-]?(?:me|it|this)|replace[_-]?(?:me|with|this)|placeholder|redacted|dummy|sample|insert[_-]|todo|fixme|not[_-]?(?:a[_-])?real|(?:^|[_-])fake|(?:^|[_-])mock|lorem|deadbeef|xxxx|\*\*\*|\.\.\.|___/i;
const FILLER_RUN = /(.)\1{7,}/;
const SEQUENCE =
  "abcdefghijklmnopqrstuvwxyz 01234567890123456789 98765432109876543210 zyxwvutsrqponmlkjihgfedcba qwertyuiopasdfghjkl";
const CAPITAL_SEQUENCE = SEQUENCE.toUpperCase();
const SEQUENCE_CHARS = 8;

/** Says itself that it is none: an example, a filler, one character over and over. */
export function isFiller(text: string): boolean {
  return FILLER_WORDS.test(text) || FILLER_RUN.test(text);
}

/** Typed along the alphabet, the digits or the keyboard: common in documentation, never drawn. */
export function hasSequence(text: string): boolean {
  for (let at = 0; at + SEQUENCE_CHARS <= text.length; at++) {
    const piece = text.slice(at, at + SEQUENCE_CHARS);
    if (!piece.includes(" ") && (SEQUENCE.includes(piece) || CAPITAL_SEQUENCE.includes(piece))) return true;
  }
  return false;
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
  if (text.length < MIN_TOKEN_CHARS || text.length > 4096 || isFiller(text) || hasSequence(text)) return false;
  if (!/^[A-Za-z0-9+/=_.~:$@!%-]+$/.test(text)) return false;
  const bits = entropyBits(text);
  if (UUID.test(text)) return bits >= 2.8;
  if (HEX.test(text)) return bits >= 2.8 && /\d/.test(text) && /[a-f]/i.test(text);
  const digits = text.match(/\d/g)?.length ?? 0;
  const mixed = /[a-z]/.test(text) && /[A-Z]/.test(text);
  if (!/[A-Za-z]/.test(text) || (digits < 2 && !(mixed && bits >= 4.2))) return false;
  return bits >= 3.2 && wordShare(text) <= 0.4;
}

/** A password a person or a generator chose with care: three kinds of characters, or letters and digits well mixed. */
export function isStrongPassword(text: string): boolean {
  if (text.length < 8 || text.length > 128 || /\s/.test(text) || isFiller(text) || hasSequence(text)) return false;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(text)).length;
  const bits = entropyBits(text);
  if (kinds >= 3) return bits >= 2.7 && /\d|[!@#$%^&*?]/.test(text) && (wordShare(text) <= 0.7 || kinds === 4);
  return kinds === 2 && /\d/.test(text) && text.length >= 10 && bits >= 3 && wordShare(text) <= 0.4;
}
