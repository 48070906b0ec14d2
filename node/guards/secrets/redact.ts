/** Texts that are kept or logged, without the secrets in them. Receipts' openings and audit exports use it. */
import { scanSecrets } from "./scan.ts";

/** Every finding of the text itself becomes `[redacted NAME]`; a text that hides one in an encoding is withheld whole. */
export function redactSecrets(text: string): string {
  const plain = scanSecrets(text, { readings: false });
  let out = "";
  let from = 0;
  for (const { start, end, name } of [...plain].sort((a, b) => a.start - b.start)) {
    if (end <= from) continue;
    out += `${text.slice(from, Math.max(from, start))}[redacted ${name}]`;
    from = end;
  }
  out += text.slice(from);
  const hidden = scanSecrets(out).find((finding) => finding.severity !== "warning");
  return hidden === undefined ? out : `[redacted: holds ${hidden.name}]`;
}
