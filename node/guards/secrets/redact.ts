/** Texts that are kept or logged, without the secrets in them. Receipts' openings use it. */
import { scanSecrets } from "./scan.ts";

/** A key's text is no longer than this. */
const MAX_KEY_CHARS = 32_768;

/** Every finding of the text itself becomes `[redacted NAME]`; a text that hides one in an encoding is withheld whole. */
export function redactSecrets(text: string): string {
  const plain = scanSecrets(text, { readings: false });
  let out = "";
  let from = 0;
  for (const { start, end, name } of [...plain].sort((a, b) => a.start - b.start)) {
    const last = wholeEnd(text, end, name);
    if (last <= from) continue;
    out += `${text.slice(from, Math.max(from, start))}[redacted ${name}]`;
    from = last;
  }
  out += text.slice(from);
  const hidden = scanSecrets(out).find((finding) => finding.severity !== "warning");
  return hidden === undefined ? out : `[redacted: holds ${hidden.name}]`;
}

/** Formats end where they are surely one; what follows without a gap belongs to it, and to a key all its lines. */
function wholeEnd(text: string, end: number, name: string): number {
  if (name.startsWith("private_key")) {
    const foot = /-----END [A-Z0-9 ]{0,40}-----/.exec(text.slice(end, end + MAX_KEY_CHARS));
    if (foot !== null) return end + foot.index + foot[0].length;
    return end + (/^[A-Za-z0-9+/=\s\\]*/.exec(text.slice(end, end + MAX_KEY_CHARS))?.[0].length ?? 0);
  }
  let at = end;
  while (at < text.length && /[A-Za-z0-9+/=_-]/.test(text.charAt(at))) at++;
  return at;
}
