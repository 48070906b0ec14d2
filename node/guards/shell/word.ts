/** Words of a command line after reading: field splitting, brace expansion, wildcards, `$'…'` escapes. `parse.ts` uses it. */

const MAX_BRACE_WORDS = 256;
const MAX_BRACE_CHARS = 2048;

/** Words of the grammar, in command position. */
export const RESERVED = new Set([
  "if",
  "then",
  "else",
  "elif",
  "fi",
  "for",
  "while",
  "until",
  "do",
  "done",
  "case",
  "esac",
  "{",
  "}",
  "!",
  "time",
  "function",
  "select",
  "coproc",
  "in",
]);

/** Assign in their operands. */
export const DECLARES = new Set(["export", "declare", "local", "readonly", "typeset"]);

/** A word under construction. `marks` says for each character whether it came from quotes. */
export interface Building {
  text: string;
  marks: boolean[];
  dynamic: boolean;
  quoted: boolean;
}

export function hasGlob(word: Building): boolean {
  return [...word.text].some((char, at) => "*?[".includes(char) && word.marks[at] !== true);
}

/** Values of unquoted expansions split at blanks, so `cat$IFS/etc/x` is two words. */
export function splitFields(word: Building): readonly Building[] {
  if (!/[ \t\n]/.test(word.text)) return [word];
  const parts: Building[] = [];
  let open: Building | undefined;
  for (let i = 0; i < word.text.length; i++) {
    const char = word.text[i] as string;
    if (word.marks[i] !== true && " \t\n".includes(char)) {
      open = undefined;
      continue;
    }
    if (open === undefined) {
      open = { text: "", marks: [], dynamic: word.dynamic, quoted: word.quoted };
      parts.push(open);
    }
    open.text += char;
    open.marks.push(word.marks[i] === true);
  }
  return parts;
}

/** `a{b,c}d` to `abd acd`; bounded. Quoted braces stay. */
export function expandBraces(word: Building, limit = { left: MAX_BRACE_WORDS }): readonly Building[] {
  if (!word.text.includes("{")) return [word];
  const open = word.marks.findIndex((mark, at) => !mark && word.text[at] === "{");
  if (open < 0) return [word];
  // Longer ones are no names of anything: what they become stays unknown.
  if (word.text.length > MAX_BRACE_CHARS) return [{ ...word, dynamic: true }];
  const commas: number[] = [];
  let depth = 0;
  for (let i = open; i < word.text.length; i++) {
    if (word.marks[i] === true) continue;
    const char = word.text[i];
    if (char === "{") depth++;
    else if (char === "," && depth === 1) commas.push(i);
    else if (char === "}" && --depth === 0) {
      if (commas.length === 0) return [word];
      const edges = [open, ...commas, i];
      const out: Building[] = [];
      for (let part = 0; part + 1 < edges.length && limit.left > 0; part++) {
        const from = (edges[part] as number) + 1;
        const to = edges[part + 1] as number;
        limit.left--;
        const joined: Building = {
          text: word.text.slice(0, open) + word.text.slice(from, to) + word.text.slice(i + 1),
          marks: [...word.marks.slice(0, open), ...word.marks.slice(from, to), ...word.marks.slice(i + 1)],
          dynamic: word.dynamic,
          quoted: word.quoted,
        };
        out.push(...expandBraces(joined, limit));
      }
      return out;
    }
  }
  return [word];
}

/** Escapes of `$'…'`. */
export function ansiC(text: string): string {
  const bytes = text.replace(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|([\s\S]))/g,
    (_, hex?: string, short?: string, long?: string, octal?: string, plain?: string) => {
      if (plain !== undefined)
        return { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v", e: "\x1b" }[plain] ?? plain;
      const code =
        octal !== undefined ? Number.parseInt(octal, 8) & 255 : Number.parseInt(hex ?? short ?? long ?? "0", 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : "";
    },
  );
  return bytes;
}
