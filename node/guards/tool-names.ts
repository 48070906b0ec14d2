/** The names under which one tool may be meant: raw, folded, and without server or namespace prefixes. Guards of MCP use it. */
import { stripInvisible } from "./text/canonical.ts";
import { foldConfusables } from "./text/variants.ts";

/** `raw` first; the rest in lower case, without look-alikes, invisible characters and surrounding blanks. */
export function toolNames(raw: string): readonly string[] {
  const folded = foldConfusables(stripInvisible(raw.normalize("NFKC")).trim().toLowerCase());
  const names = new Set([raw, folded]);
  const server = /^mcp__.+?__(.+)$/s.exec(folded)?.[1];
  if (server !== undefined) names.add(server);
  const plain = server ?? folded;
  for (const separator of ["__", ".", "/", ":", "::"]) {
    const at = plain.lastIndexOf(separator);
    if (at >= 0) names.add(plain.slice(at + separator.length));
  }
  for (const name of [...names]) names.add(name.replaceAll("-", "_").replace(/\s+/g, "_"));
  return [...names];
}
