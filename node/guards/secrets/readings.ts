/**
 * Other readings of a text in which a secret may stand: without characters nobody sees, with string pieces joined, and what
 * base64, hex and percent runs decode to. The work is bounded by the length of the text, wherever the run is.
 */
import { stripInvisible } from "../text/canonical.ts";

const MIN_BASE64_CHARS = 20;
const MIN_HEX_CHARS = 32;
/** Decoded per text, all runs together. */
const MAX_DECODED_CHARS = 4 << 20;
const MAX_RUN_CHARS = 1 << 20;
/** Characters decoded to see whether a run holds text at all. */
const PROBE_CHARS = 16;
/** Shorter lines are not those of a wrapped run. */
const MIN_LINE_CHARS = 60;
const NEWLINE = 10;

const CHAR = { other: 0, base64: 1, hex: 2 } as const;

/** Per code: 2 hex digit (also base64), 1 other base64 or base64url character, 0 none. */
const KIND = Uint8Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code);
  if (/[0-9a-fA-F]/.test(char)) return CHAR.hex;
  return /[A-Za-z0-9+/_-]/.test(char) ? CHAR.base64 : CHAR.other;
});

export interface Reading {
  readonly text: string;
  /** Names and values stand in it as they were written: what joins pieces makes up new ones. */
  readonly contexts: boolean;
}

/** The text itself is not among them. */
export function otherReadings(text: string): readonly Reading[] {
  const found: Reading[] = [];
  const add = (reading: string, contexts: boolean): void => {
    if (reading !== text && reading !== "" && !found.some((known) => known.text === reading))
      found.push({ text: reading, contexts });
  };
  add(stripInvisible(text), false);
  // UTF-16 in the middle of other text.
  if (text.includes("\0")) add(text.replaceAll("\0", ""), true);
  add(joined(text), false);
  if (/\\["ux]/.test(text)) add(unescaped(text), true);
  const decoded = decodedText(text);
  if (decoded !== "") {
    add(decoded, true);
    add(decodedText(decoded), true);
  }
  if (/%[2-7][0-9a-fA-F]/.test(text)) add(percentDecoded(text), false);
  return found;
}

const BACKSLASH = 92;
const PERCENT = 37;

/** Hex digits from `at` as a number, or undefined. */
function hexAt(text: string, at: number, digits: number): number | undefined {
  let value = 0;
  for (let i = 0; i < digits; i++) {
    const digit = Number.parseInt(text.charAt(at + i), 16);
    if (Number.isNaN(digit)) return undefined;
    value = value * 16 + digit;
  }
  return value;
}

/** `%41` is `A`; what is not printable ASCII stays as it is. */
function percentDecoded(text: string): string {
  return rewritten(text, PERCENT, (at) => {
    const code = hexAt(text, at + 1, 2);
    return code === undefined || code < 32 || code > 126 ? undefined : { code, skip: 2 };
  });
}

/** Escapes of string literals, as in JSON inside JSON. */
function unescaped(text: string): string {
  return rewritten(text, BACKSLASH, (at) => {
    const next = text.charAt(at + 1);
    if (next === "n" || next === "r" || next === "t") return { code: NEWLINE, skip: 1 };
    if (next === '"' || next === "'" || next === "\\" || next === "/") return { code: next.charCodeAt(0), skip: 1 };
    const digits = next === "u" ? 4 : next === "x" ? 2 : 0;
    const code = digits === 0 ? undefined : hexAt(text, at + 2, digits);
    return code === undefined ? undefined : { code, skip: digits + 1 };
  });
}

/** Copies the text unit by unit; where `mark` stands, `read` says what it stands for and how many units more it takes. */
function rewritten(
  text: string,
  mark: number,
  read: (at: number) => { readonly code: number; readonly skip: number } | undefined,
): string {
  const units = Buffer.alloc(text.length * 2);
  let size = 0;
  for (let at = 0; at < text.length; at++) {
    let code = text.charCodeAt(at);
    const meant = code === mark ? read(at) : undefined;
    if (meant !== undefined) {
      code = meant.code;
      at += meant.skip;
    }
    units[size++] = code & 255;
    units[size++] = code >> 8;
  }
  return units.toString("utf16le", 0, size);
}

/** String literals put together again, and lines a backslash continues. */
function joined(text: string): string {
  return text.replace(/["'`]\s{0,16}[+.,&\\]{0,2}\s{0,16}["'`]|\\\r?\n[ \t]{0,32}/g, "");
}

/** All runs that decode to text, one per line. Bytes of UTF-16 count as text too. */
export function decodedText(text: string): string {
  const out: string[] = [];
  let budget = MAX_DECODED_CHARS;
  let start = 0;
  let lineStart = 0;
  let others = 0;
  for (let at = 0; at <= text.length && budget > 0; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0;
    const kind = code < 128 ? (KIND[code] as number) : 0;
    if (kind !== 0) {
      if (kind === CHAR.base64) others++;
      continue;
    }
    // A wrapped run goes on in the next line.
    const line = at - Math.max(start, lineStart);
    if (code === NEWLINE && line >= MIN_LINE_CHARS && line % 4 === 0) {
      lineStart = at + 1;
      continue;
    }
    const length = at - start;
    if (length >= MIN_BASE64_CHARS) {
      const end = Math.min(at, start + MAX_RUN_CHARS);
      const asHex = others === 0 && length >= MIN_HEX_CHARS ? decode(text, start, end, "hex") : undefined;
      const decoded = asHex ?? decode(text, start, end, "base64");
      if (decoded !== undefined) {
        out.push(decoded);
        budget -= end - start;
      }
    }
    start = at + 1;
    others = 0;
  }
  return out.join("\n");
}

function decode(text: string, start: number, end: number, encoding: "hex" | "base64"): string | undefined {
  const probe = Buffer.from(text.slice(start, start + PROBE_CHARS), encoding);
  if (!mostlyText(probe)) return undefined;
  const bytes = Buffer.from(text.slice(start, end), encoding);
  return bytes[1] === 0 ? bytes.toString("utf16le") : bytes.toString("latin1");
}

function mostlyText(bytes: Uint8Array): boolean {
  let odd = 0;
  for (const byte of bytes)
    if ((byte < 32 && byte !== 0 && byte !== 9 && byte !== 10 && byte !== 13) || byte > 126) odd++;
  return odd === 0;
}
