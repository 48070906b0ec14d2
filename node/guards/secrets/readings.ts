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

const CHAR = { other: 0, base64: 1, hex: 2 } as const;

/** Per code: 2 hex digit (also base64), 1 other base64 or base64url character, 0 none. */
const KIND = Uint8Array.from({ length: 128 }, (_, code) => {
  const char = String.fromCharCode(code);
  if (/[0-9a-fA-F]/.test(char)) return CHAR.hex;
  return /[A-Za-z0-9+/_-]/.test(char) ? CHAR.base64 : CHAR.other;
});

/** The text itself is not among them. */
export function otherReadings(text: string): readonly string[] {
  const found: string[] = [];
  const add = (reading: string): void => {
    if (reading !== text && !found.includes(reading)) found.push(reading);
  };
  add(stripInvisible(text));
  add(joined(text));
  const decoded = decodedText(text);
  if (decoded !== "") {
    add(decoded);
    const twice = decodedText(decoded);
    if (twice !== "") add(twice);
  }
  if (/%[2-7][0-9a-fA-F]/.test(text))
    add(text.replace(/%([2-7][0-9a-fA-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))));
  return found;
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
  let others = 0;
  for (let at = 0; at <= text.length && budget > 0; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 0;
    const kind = code < 128 ? (KIND[code] as number) : 0;
    if (kind !== 0) {
      if (kind === CHAR.base64) others++;
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
