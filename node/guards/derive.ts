/**
 * What a call does besides what it says (spec/guards.md section 8 C): files a diff names, paths, URLs, commands and programs
 * in tool arguments, also in JSON inside them and under a directory another argument names. Shell commands are taken apart by
 * their own guard. Only the `spine` rule book derives.
 */
import type { Action } from "./action.ts";
import { parseDiff } from "./diff.ts";
import { normalisePath } from "./path-forms.ts";
import { toolNames } from "./tool-names.ts";

export interface DerivedEffect {
  readonly action: Action;
  /** The directory it happens in, where the arguments name one. */
  readonly cwd?: string;
  /** Perhaps a file: only prohibitions apply to it. */
  readonly doubtful?: boolean;
}

export interface DerivedEffects {
  readonly effects: readonly DerivedEffect[];
  /** More than can be judged: the call is refused. */
  readonly overflow: boolean;
}

const MAX_EFFECTS = 1024;
const MAX_DEPTH = 64;
/** JSON in a text in JSON: so deep it is read, and so long. */
const MAX_NESTED_JSON = 4;
const MAX_JSON_CHARS = 1 << 20;

const PATH_KEY =
  /(?:^|[_-])(?:path|paths|file|files|filename|filepath|dir|directory|folder|source|destination|src|dest|dst|target|input|output|root|cwd|location|uri|notebook)s?$/;
/** Where the other arguments of the same object happen. */
const DIRECTORY_KEY =
  /^(?:cwd|pwd|work_?dir|working_?dir(?:ectory)?|current_?dir(?:ectory)?|base_?(?:dir|path|directory)|dir|directory|folder|root|root_?(?:dir|path)|repo|repo_?path|repository_?path|workspace|project_?(?:root|path|dir)|parent|parent_?path)$/;
const NAME_KEY = /^(?:name|title|entry|item|base_?name)$/;
const COMMAND_KEY = /(?:^|_)(?:cmd|command|commands|shell|bash|script|command_?line|cmdline|exec|run)$/;
/** Arguments that belong to a command under another key. */
const ARGUMENTS_KEY = /^(?:args|argv|arguments|params|parameters|options)$/;
const PROGRAM_KEY = /^(?:program|executable|binary|bin|argv|file)$/;
const CODE_KEY =
  /(?:^|_)(?:code|python|javascript|typescript|js|ts|ruby|perl|php|lua|sql|query|source_?code|program_?text|expression|statement|snippet|cell|eval)$/;
const HOST_KEY = /^(?:host|hostname|domain|server|endpoint|address|base_url|url|uri|link|href|webhook|proxy)$/;
const WRITE_NAME =
  /(?:write|edit|create|append|delete|remove|move|rename|patch|update|save|put|upload|mkdir|insert|replace)/;
const URL_START = /^[a-z][a-z0-9+.-]*:\/\//i;

/** `cwd`: the agent's own directory. */
export function deriveEffects(action: Action, cwd?: string): DerivedEffects {
  if (action.type === "patch") return bounded(patchEffects(action.path, action.diff));
  if (action.type === "mcp_tool") return bounded(new ArgumentReader(action.name, cwd).read(action.args));
  return { effects: [], overflow: false };
}

function bounded(effects: readonly DerivedEffect[]): DerivedEffects {
  return { effects: effects.slice(0, MAX_EFFECTS), overflow: effects.length > MAX_EFFECTS };
}

/** Every file in the headers, whatever the call declares as its target. */
function patchEffects(declared: string, diff: string): readonly DerivedEffect[] {
  const paths = new Set(parseDiff(diff).files.flatMap((file) => [...file.paths]));
  paths.delete(declared);
  // A diff inside a repository names files from its root: the declared absolute path is then the same file.
  const base = normalisePath(declared);
  return [...paths]
    .filter((path) => !(base.startsWith("/") && base.endsWith(`/${normalisePath(path)}`)))
    .map((path) => ({ action: { type: "patch", path, diff: "" } }));
}

/** Keys in camelCase and snake_case are alike. */
function plainKey(key: string): string {
  return key.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
}

/** Where a value stands among the arguments. */
interface Place {
  readonly key: string;
  readonly depth: number;
  readonly json: number;
  readonly cwd: string | undefined;
}

interface Pending {
  readonly value: unknown;
  readonly place: Place;
}

class ArgumentReader {
  readonly #writes: boolean;
  readonly #out: DerivedEffect[] = [];
  readonly #stack: Pending[] = [];
  readonly #base: string | undefined;

  constructor(tool: string, base: string | undefined) {
    this.#base = base;
    this.#writes = toolNames(tool).some((name) => WRITE_NAME.test(name));
  }

  read(args: unknown): readonly DerivedEffect[] {
    this.#stack.push({ value: args, place: { key: "", depth: 0, json: 0, cwd: undefined } });
    while (this.#stack.length > 0 && this.#out.length <= MAX_EFFECTS) {
      const { value, place } = this.#stack.pop() as Pending;
      if (typeof value === "string") this.#text(value, place);
      else if (Array.isArray(value)) this.#list(value, place);
      else if (typeof value === "object" && value !== null && place.depth < MAX_DEPTH)
        this.#object(value as Readonly<Record<string, unknown>>, place);
    }
    return this.#out;
  }

  #add(action: Action, cwd: string | undefined, doubtful = false): void {
    this.#out.push({ action, ...(cwd !== undefined && { cwd }), ...(doubtful && { doubtful }) });
  }

  #file(path: string, cwd: string | undefined, doubtful = false): void {
    this.#add(this.#writes ? { type: "file_write", path } : { type: "file_access", path }, cwd, doubtful);
  }

  #list(value: readonly unknown[], place: Place): void {
    const words = value.filter((word) => typeof word === "string");
    if (words.length === value.length && words.length > 0) {
      // A command given as a list of words is one command, a path given as its parts one path.
      if (COMMAND_KEY.test(place.key) || place.key === "argv")
        return this.#add({ type: "shell", command: words.map(quoteWord).join(" ") }, place.cwd);
      if (PATH_KEY.test(place.key) || /^(?:segments|parts|components)$/.test(place.key))
        this.#file(words.join("/"), place.cwd, true);
    }
    for (const item of value) this.#stack.push({ value: item, place: { ...place, depth: place.depth + 1 } });
  }

  #object(value: Readonly<Record<string, unknown>>, place: Place): void {
    const fields = Object.entries(value).map(([name, item]) => ({ name, key: plainKey(name), item }));
    const directory = fields.find(
      ({ key, item }) => DIRECTORY_KEY.test(key) && typeof item === "string" && item !== "",
    );
    const cwd =
      directory === undefined ? place.cwd : joined(place.cwd ?? this.#base, (directory.item as string).trim());
    const program = fields.find(
      ({ key, item }) => (COMMAND_KEY.test(key) || PROGRAM_KEY.test(key)) && typeof item === "string",
    );
    for (const { name, key, item } of fields) {
      // `{"files": {"/etc/x": "…"}}`
      if (/^(?:\/|~\/|\.{1,2}\/)/.test(name)) this.#file(name, cwd);
      if (program !== undefined && ARGUMENTS_KEY.test(key) && Array.isArray(item)) {
        const words = item.filter((word) => typeof word === "string").map(quoteWord);
        this.#add({ type: "shell", command: [program.item as string, ...words].join(" ") }, cwd);
      }
      if (directory !== undefined && NAME_KEY.test(key) && typeof item === "string" && !/[\n]/.test(item))
        this.#file(item, cwd, true);
      const own = directory?.key === key ? place.cwd : cwd;
      this.#stack.push({ value: item, place: { key, depth: place.depth + 1, json: place.json, cwd: own } });
    }
  }

  #text(text: string, { key, depth, json, cwd }: Place): void {
    const value = text.trim();
    if (value === "" || value.length > MAX_JSON_CHARS) return;
    if (/^[[{]/.test(value) && json < MAX_NESTED_JSON) {
      const inner = parsed(value);
      if (inner !== undefined)
        this.#stack.push({ value: inner, place: { key, depth: depth + 1, json: json + 1, cwd } });
    }
    if (value.length > 65_536) return;
    if (COMMAND_KEY.test(key)) return this.#add({ type: "shell", command: text }, cwd);
    if (CODE_KEY.test(key)) this.#code(value, cwd);
    if (value.length > 4096) return;
    if (/^file:/i.test(value)) return this.#file(value, cwd);
    if (URL_START.test(value) && !/\s/.test(value)) return this.#add({ type: "egress", target: value }, cwd);
    if (HOST_KEY.test(key)) {
      if (/^\/\/[\w.-]/.test(value)) return this.#add({ type: "egress", target: `https:${value}` }, cwd);
      if (/^[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:[/?#]\S*)?$/.test(value))
        return this.#add({ type: "egress", target: value }, cwd);
    }
    const isPath = PATH_KEY.test(key) || GLOB_KEY.test(key);
    // A lone absolute or home path is one under any key.
    const lone = /^(?:\/|~\/|\.{1,2}\/|[A-Za-z]:\\)[^\n]*$/.test(value) && !/\s{2}|[{}<>]/.test(value);
    if (!isPath && !lone) return;
    this.#file(text, cwd, GLOB_KEY.test(key));
    // Tools trim.
    if (value !== text) this.#file(value, cwd, GLOB_KEY.test(key));
    // A wildcard reaches what the shell guard says that it reaches.
    if (/[*?[]/.test(value) && /^[\w@%+=:,./~*?[\]!-]+$/.test(value))
      this.#add({ type: "shell", command: `cat ${value}` }, cwd, true);
  }

  /** Quoted paths and URLs of a program or query. */
  #code(source: string, cwd: string | undefined): void {
    for (const match of source.matchAll(/(["'`])((?:\/|~\/|[a-z][a-z0-9+.-]{1,20}:\/\/)[^"'`\n]{1,1024})\1/gi)) {
      const found = match[2] as string;
      if (/^file:/i.test(found) || !URL_START.test(found)) this.#file(found, cwd, true);
      else this.#add({ type: "egress", target: found }, cwd);
    }
  }
}

const GLOB_KEY = /(?:^|_)(?:globs?|patterns?|includes?)$/;

function joined(base: string | undefined, path: string): string | undefined {
  if (/^(?:\/|~|[A-Za-z]:)/.test(path)) return path;
  return base === undefined ? undefined : `${base}/${path}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
