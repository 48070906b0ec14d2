/**
 * The canonical form of judged text (spec/guards.md section 2.8): bounded prefix, NFKC, lower case, invisible code points
 * stripped, white space collapsed. The injection and jailbreak guards match on it; details report what was changed.
 */
import { createHash } from "node:crypto";

/** Code points the upstream form strips. */
const INVISIBLE = /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;
/** Every code point that renders as nothing: joiners, fillers, tags, variation selectors, invisible operators. */
const MORE_INVISIBLE = /[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]/gu;

export interface CanonicalText {
  readonly text: string;
  readonly scannedBytes: number;
  readonly truncated: boolean;
  readonly nfkcChanged: boolean;
  readonly caseChanged: boolean;
  /** Code points removed because nobody sees them. */
  readonly invisibleStripped: number;
  readonly spaceCollapsed: boolean;
}

/** `wide` also strips what the upstream form leaves in. */
export function canonicaliseText(original: string, maxBytes: number, wide: boolean): CanonicalText {
  const prefix = utf8Prefix(original, maxBytes);
  const ascii = isAscii(prefix);
  const normal = ascii ? prefix : prefix.normalize("NFKC");
  const lower = normal.toLowerCase();
  let visible = ascii ? lower : lower.replace(INVISIBLE, "");
  if (wide && !ascii) visible = visible.replace(MORE_INVISIBLE, "");
  // Single blanks, by far the most, are left alone.
  const text = visible.replace(/\s{2,}|[^\S ]/g, " ").trim();
  return {
    text,
    scannedBytes: Buffer.byteLength(prefix),
    truncated: prefix.length < original.length,
    nfkcChanged: normal !== prefix,
    caseChanged: lower !== normal,
    invisibleStripped: visible.length === lower.length ? 0 : [...lower].length - [...visible].length,
    spaceCollapsed: text !== visible,
  };
}

/** ASCII text has no look-alikes, no invisible code points and no compatibility forms. */
export function isAscii(text: string): boolean {
  return !/[^\x00-\x7f]/.test(text);
}

/** Removes every code point that renders as nothing. */
export function stripInvisible(text: string): string {
  if (isAscii(text)) return text;
  return text.replace(INVISIBLE, "").replace(MORE_INVISIBLE, "");
}

/** At most `maxBytes` of UTF-8, cut back to a character boundary. */
export function utf8Prefix(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text.slice(0, maxBytes + 1), "utf8");
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

/** `sha256:` and 64 hex digits of the whole original, for logs that must not hold the text. */
export function fingerprint(original: string): string {
  return `sha256:${createHash("sha256").update(original, "utf8").digest("hex")}`;
}

export function canonicalDetails(form: CanonicalText): Readonly<Record<string, unknown>> {
  return {
    scanned_bytes: form.scannedBytes,
    truncated: form.truncated,
    nfkc_changed: form.nfkcChanged,
    casefold_changed: form.caseChanged,
    zero_width_stripped: form.invisibleStripped,
    whitespace_collapsed: form.spaceCollapsed,
    canonical_bytes: Buffer.byteLength(form.text),
  };
}
