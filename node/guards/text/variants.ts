/**
 * Other readings of a text that a model would understand and a plain matcher would not: look-alike letters, digits for
 * letters, spaced-out letters, invisible tag characters, and decoded base64, hex, percent and rot13 runs. Each is bounded.
 */
import { canonicaliseText, isAscii } from "./canonical.ts";

export interface Variant {
  /** How it was obtained, such as `base64`; goes into the evidence. */
  readonly kind: string;
  readonly text: string;
}

/** At most this many encoded runs are decoded in one text, each of at most RUN_CHARS characters. */
const MAX_RUNS = 64;
const RUN_CHARS = 65_536;
const MIN_RUN_CHARS = 16;

/** Cyrillic, Greek and other letters that look like a Latin one. Lower case: applied to canonical text. */
const LOOKALIKES: Readonly<Record<string, string>> = {
  а: "a",
  ɑ: "a",
  α: "a",
  в: "b",
  ʙ: "b",
  с: "c",
  ϲ: "c",
  ԁ: "d",
  ɗ: "d",
  е: "e",
  ҽ: "e",
  ε: "e",
  ɡ: "g",
  һ: "h",
  ʜ: "h",
  н: "h",
  і: "i",
  ı: "i",
  ι: "i",
  ӏ: "l",
  ј: "j",
  к: "k",
  κ: "k",
  ʟ: "l",
  м: "m",
  ո: "n",
  η: "n",
  о: "o",
  ο: "o",
  օ: "o",
  σ: "o",
  р: "p",
  ρ: "p",
  ԛ: "q",
  г: "r",
  ʀ: "r",
  ѕ: "s",
  т: "t",
  τ: "t",
  υ: "u",
  ս: "u",
  ѵ: "v",
  ν: "v",
  ԝ: "w",
  ω: "w",
  х: "x",
  χ: "x",
  у: "y",
  γ: "y",
  ʏ: "y",
  ᴢ: "z",
};
const LEET: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "@": "a",
  $: "s",
};

const LOOKS_ALIKE = new RegExp(`[${Object.keys(LOOKALIKES).join("")}]`, "iu");

/** Folds look-alikes in words that also hold Latin letters, and accents everywhere; other scripts stay as they are. */
export function foldConfusables(text: string): string {
  if (isAscii(text)) return text;
  const plain = text.normalize("NFD").replace(/[\u0300-\u036f]+/g, "");
  if (!LOOKS_ALIKE.test(plain)) return plain;
  return plain.replace(/[^\s]+/gu, (word) => {
    if (!/[a-z]/i.test(word)) return word;
    return [...word].map((char) => LOOKALIKES[char] ?? LOOKALIKES[char.toLowerCase()] ?? char).join("");
  });
}

/** ASCII that was hidden as Unicode tag characters (U+E0020 to U+E007E). */
export function hiddenTags(text: string): string {
  if (isAscii(text)) return "";
  let out = "";
  for (const match of text.matchAll(/[\u{e0020}-\u{e007e}]+/gu)) {
    for (const char of match[0]) out += String.fromCharCode((char.codePointAt(0) as number) - 0xe0000);
    out += " ";
  }
  return out.trim();
}

/** Readings of `original` besides its canonical form `canonical`; duplicates of it are left out. */
export function textVariants(original: string, canonical: string, maxBytes: number): readonly Variant[] {
  const variants: Variant[] = [];
  const add = (kind: string, text: string): void => {
    if (text !== "" && text !== canonical && !variants.some((variant) => variant.text === text)) {
      variants.push({ kind, text });
    }
  };
  const canonicalise = (text: string): string => canonicaliseText(text, maxBytes, true).text;
  const folded = foldConfusables(canonical);
  // Accents are ordinary spelling; look-alikes of another script are not.
  add(/[\u0370-\u058f]/.test(canonical) ? "confusables" : "accents", folded);
  add("tag characters", canonicalise(hiddenTags(original.slice(0, maxBytes))));
  add("escapes", canonicalise(unescapeText(original.slice(0, maxBytes))));
  add("markup", canonicalise(readableMarkup(original.slice(0, maxBytes))));
  if (/snoitcurtsni|tpmorp|erongi|drawssap/.test(canonical)) add("reversed", [...canonical].reverse().join(""));
  add("leetspeak", unleet(folded));
  // Before white space is collapsed: two blanks divide words there.
  add("letter spacing", canonicalise(unspace(original.slice(0, maxBytes))));
  for (const { kind, text } of decodedRuns(original.slice(0, maxBytes))) add(kind, canonicalise(text));
  if (/\brot-?13\b|\bvtaber\b|\bcerivbhf\b|\bflfgrz\b|vafgehpgvba|cnffjbeq/.test(canonical))
    add("rot13", rot13(canonical));
  return variants;
}

/** Elements that end a word or a line; all others may stand inside a word. */
const BLOCK =
  /^\/?(?:p|div|br|hr|li|ul|ol|td|th|tr|table|h[1-6]|section|article|header|footer|title|body|head|html)\b/i;
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
  shy: "",
};

/** HTML as a reader sees it, with comments kept and entities written out; "" when there is no markup. One pass. */
function readableMarkup(text: string): string {
  if (!/<[a-z!/]/i.test(text) && !/&[a-z]{2,6};/i.test(text)) return "";
  let out = "";
  let from = 0;
  for (let open = text.indexOf("<"); open >= 0; open = text.indexOf("<", from)) {
    out += text.slice(from, open);
    const close = text.indexOf(">", open);
    if (close < 0) {
      from = open;
      break;
    }
    const tag = text.slice(open + 1, close);
    // A comment's words stay: who writes to a model writes there. Other tags show nothing.
    if (tag.startsWith("!--")) out += ` ${tag.slice(3).replace(/--$/, "")} `;
    else if (/^[a-z/!]/i.test(tag)) out += BLOCK.test(tag) ? " " : "";
    else out += `<${tag}>`;
    from = close + 1;
  }
  out += text.slice(from);
  const named = out.replace(/&([a-z]{2,6});/gi, (whole, name: string) => ENTITIES[name.toLowerCase()] ?? whole);
  return unescapeText(named) || named;
}

/** Numeric HTML entities and `\\u0069` or `\\x69` escapes; "" when there are none. */
function unescapeText(text: string): string {
  if (!/&#|\\[ux]/.test(text)) return "";
  return text.replace(
    /&#(\d{1,7});?|&#x([0-9a-f]{1,6});?|\\u\{?([0-9a-f]{4,6})\}?|\\x([0-9a-f]{2})/gi,
    (whole, decimal?: string, ...hex: unknown[]) => {
      const digits = hex.slice(0, 3).find((part) => typeof part === "string") as string | undefined;
      const code = decimal === undefined ? Number.parseInt(digits ?? "", 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

/** Digits for letters, only inside words that mix both. */
function unleet(text: string): string {
  let out = "";
  let from = 0;
  const inWord = (at: number): boolean => /[a-z0-9@$]/.test(text[at] ?? " ");
  for (const { index } of text.matchAll(/[a-z][013457@$]|[013457@$][a-z]/g)) {
    if (index < from) continue;
    let start = index;
    let end = index + 2;
    while (start > from && inWord(start - 1)) start--;
    while (inWord(end)) end++;
    const word = text.slice(start, end);
    out += text.slice(from, start);
    out += word.length < 3 ? word : word.replace(/[013457@$]/g, (char) => LEET[char] ?? char);
    from = end;
  }
  return out === "" ? text : out + text.slice(from);
}

const SPACED = /(?<![a-z])[a-z](?:[ ._*-][a-z]){2,}(?![a-z])/gi;

/** `i g n o r e` and `i-g-n-o-r-e` become one word; "" when there are none. */
function unspace(text: string): string {
  return text.search(SPACED) < 0 ? "" : text.replace(SPACED, (run) => run.replace(/[ ._*-]/g, ""));
}

function rot13(text: string): string {
  return text.replace(/[a-z]/g, (char) => String.fromCharCode(((char.charCodeAt(0) - 84) % 26) + 97));
}

/** Printable texts behind base64, hex and percent runs. One layer deep, then base64 once more. */
export function decodedRuns(text: string, depth = 2): readonly Variant[] {
  const found: Variant[] = [];
  const take = (kind: string, decoded: string | undefined): void => {
    if (decoded === undefined || found.length >= MAX_RUNS) return;
    found.push({ kind, text: decoded });
    if (depth > 1) for (const inner of decodedRuns(decoded, depth - 1)) if (found.length < MAX_RUNS) found.push(inner);
  };
  for (const match of encodedRuns(text)) {
    if (/^[0-9a-fA-F]+$/.test(match) && match.length % 2 === 0) take("hex", printable(Buffer.from(match, "hex")));
    take("base64", printable(Buffer.from(match, "base64")));
  }
  for (const [run] of text.slice(0, RUN_CHARS).matchAll(/(?:[01]{8}[ ,]?){8,8192}/g))
    take("binary", printable(Buffer.from((run.match(/[01]{8}/g) ?? []).map((bits) => Number.parseInt(bits, 2)))));
  for (const [run] of text.slice(0, RUN_CHARS).matchAll(/[A-Z2-7]{24,8192}/g)) take("base32", printable(base32(run)));
  if (/%[0-9a-fA-F]{2}/.test(text)) {
    take(
      "percent",
      printable(
        Buffer.from(
          text.slice(0, RUN_CHARS).replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => {
            const code = Number.parseInt(hex, 16);
            return code < 128 ? String.fromCharCode(code) : "";
          }),
          "utf8",
        ),
      ),
    );
  }
  return found;
}

/** RFC 4648 section 6, without its padding. */
function base32(run: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const char of run) {
    held = ((held << 5) | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
  }
  return Buffer.from(bytes);
}

/** Characters of base64, base64url and hex. */
const ENCODED = Uint8Array.from({ length: 128 }, (_, code) =>
  /[A-Za-z0-9+/_-]/.test(String.fromCharCode(code)) ? 1 : 0,
);

/** Runs of at least 16 such characters. A loop, not an expression: it looks at each character once. */
function encodedRuns(text: string): readonly string[] {
  const found: string[] = [];
  let start = 0;
  for (let at = 0; at <= text.length && found.length < MAX_RUNS; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0;
    if (code < 128 && ENCODED[code] === 1) continue;
    if (at - start >= MIN_RUN_CHARS) found.push(text.slice(start, Math.min(at, start + RUN_CHARS)));
    start = at + 1;
  }
  return found;
}

/** The bytes as text when nearly all of it is printable: decoding something that was never encoded gives noise. */
function printable(bytes: Buffer): string | undefined {
  if (bytes.length < 8) return undefined;
  const wide =
    bytes.length % 2 === 0 && bytes.subarray(0, 64).filter((byte, at) => at % 2 === 1 && byte === 0).length > 24;
  const text = bytes.toString(wide ? "utf16le" : "utf8");
  const odd = text.match(/[\x00-\x08\x0e-\x1f\x7f\ufffd]/g)?.length ?? 0;
  return odd * 20 > text.length ? undefined : text;
}
