/**
 * What a call does besides what it says (spec/guards.md section 8 C): files a diff names, paths, URLs and commands in tool
 * arguments. Shell commands are taken apart by their own guard. Only the `spine` rule book derives.
 */
import type { Action } from "./action.ts";
import { parseDiff } from "./diff.ts";
import { normalisePath } from "./path-forms.ts";
import { toolNames } from "./tool-names.ts";

export interface DerivedEffects {
  readonly effects: readonly Action[];
  /** More than can be judged: the call is refused. */
  readonly overflow: boolean;
}

const MAX_EFFECTS = 1024;
const MAX_DEPTH = 64;

const PATH_KEY =
  /(?:^|[_-])(?:path|paths|file|files|filename|filepath|dir|directory|folder|source|destination|src|dest|dst|target|input|output|root|cwd|location|uri|notebook)s?$/;
const COMMAND_KEY = /^(?:cmd|command|commands|shell|bash|script|shell_command|command_line|cmdline|exec|run)$/;
const WRITE_NAME =
  /(?:write|edit|create|append|delete|remove|move|rename|patch|update|save|put|upload|mkdir|insert|replace)/;
const URL_START = /^[a-z][a-z0-9+.-]*:\/\//i;

export function deriveEffects(action: Action): DerivedEffects {
  if (action.type === "patch") return bounded(patchEffects(action.path, action.diff));
  if (action.type === "mcp_tool") return bounded(argumentEffects(action.name, action.args));
  return { effects: [], overflow: false };
}

function bounded(effects: readonly Action[]): DerivedEffects {
  return { effects: effects.slice(0, MAX_EFFECTS), overflow: effects.length > MAX_EFFECTS };
}

/** Every file in the headers, whatever the call declares as its target. */
function patchEffects(declared: string, diff: string): readonly Action[] {
  const paths = new Set(parseDiff(diff).files.flatMap((file) => [...file.paths]));
  paths.delete(declared);
  // A diff inside a repository names files from its root: the declared absolute path is then the same file.
  const base = normalisePath(declared);
  return [...paths]
    .filter((path) => !(base.startsWith("/") && base.endsWith(`/${normalisePath(path)}`)))
    .map((path): Action => ({ type: "patch", path, diff: "" }));
}

/** Keys in camelCase and snake_case are alike. */
function plainKey(key: string): string {
  return key.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
}

function argumentEffects(tool: string, args: unknown): readonly Action[] {
  const writes = toolNames(tool).some((name) => WRITE_NAME.test(name));
  const out: Action[] = [];
  const stack: { value: unknown; key: string; depth: number }[] = [{ value: args, key: "", depth: 0 }];
  while (stack.length > 0 && out.length <= MAX_EFFECTS) {
    const { value, key, depth } = stack.pop() as { value: unknown; key: string; depth: number };
    if (typeof value === "string") {
      const effect = textEffect(value, key, writes);
      if (effect !== undefined) out.push(effect);
    } else if (typeof value === "object" && value !== null && depth < MAX_DEPTH) {
      // A command given as a list of words is one command.
      if (COMMAND_KEY.test(key) && Array.isArray(value) && value.every((word) => typeof word === "string")) {
        out.push({ type: "shell", command: value.map(quoteWord).join(" ") });
        continue;
      }
      for (const [name, item] of Object.entries(value)) {
        stack.push({ value: item, key: Array.isArray(value) ? key : plainKey(name), depth: depth + 1 });
      }
    }
  }
  return out;
}

function textEffect(text: string, key: string, writes: boolean): Action | undefined {
  const value = text.trim();
  if (value === "" || value.length > 65_536) return undefined;
  if (COMMAND_KEY.test(key)) return { type: "shell", command: text };
  if (value.length > 4096) return undefined;
  const file = (path: string): Action => (writes ? { type: "file_write", path } : { type: "file_access", path });
  if (/^file:/i.test(value)) return file(value);
  if (URL_START.test(value) && !/\s/.test(value)) return { type: "egress", target: value };
  if (
    /^(?:host|hostname|domain|server|endpoint|address|base_url|url)$/.test(key) &&
    /^[\w.-]+(?::\d+)?$/.test(value) &&
    value.includes(".")
  ) {
    return { type: "egress", target: value };
  }
  if (PATH_KEY.test(key)) return file(text);
  // A lone absolute or home path is one under any key.
  return /^(?:\/|~\/|\.{1,2}\/|[A-Za-z]:\\)[^\n]*$/.test(value) && !/\s{2}|[{}<>]/.test(value) ? file(text) : undefined;
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
