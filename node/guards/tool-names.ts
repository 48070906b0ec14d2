/** The names under which one tool may be meant: raw, folded, and without server or namespace prefixes. Guards of MCP use it. */
import { stripInvisible } from "./text/canonical.ts";
import { foldConfusables } from "./text/variants.ts";

/** `raw` first; the rest in lower case, without look-alikes, invisible characters and surrounding blanks. */
export function toolNames(raw: string): readonly string[] {
  const visible = stripInvisible(raw.normalize("NFKC")).trim();
  // `shellExec` and `ShellExec` are `shell_exec`.
  const split = visible.replace(/([a-z0-9])([A-Z])/g, "$1_$2");
  const names = new Set([raw]);
  for (const folded of new Set([visible, split].map((name) => foldConfusables(name.toLowerCase())))) {
    names.add(folded);
    const server = /^mcp__.+?__(.+)$/s.exec(folded)?.[1];
    if (server !== undefined) names.add(server);
    const plain = server ?? folded;
    for (const separator of ["__", ".", "/", ":", "::"]) {
      const at = plain.lastIndexOf(separator);
      if (at >= 0) names.add(plain.slice(at + separator.length));
    }
  }
  for (const name of [...names]) names.add(name.replace(/[-.\s]+/g, "_"));
  return [...names];
}
