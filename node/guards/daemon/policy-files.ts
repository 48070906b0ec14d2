/**
 * Where the operator's policy comes from: a built-in ruleset or a file with all it extends, looked at again whenever one
 * of them changed. Used by the guard host.
 */
import { statSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { type LoadResult, loadPolicy, loadRuleset, readPolicyFile } from "../policy/load.ts";
import { isRuleset } from "../policy/rulesets.ts";

/** How often files are looked at: replaced, rewritten and networked ones are all noticed this way. */
export const POLL_MS = 500;

export class PolicyFiles {
  readonly #name: string;
  readonly #file: string | undefined;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  /** What the last load read, and how each looked just before it was read. */
  #seen: ReadonlyMap<string, string>;

  /** `name`: a built-in ruleset or a path, relative to `folder`. `environment` fills in `${NAME}`. */
  constructor(name: string, folder: string, environment: Readonly<Record<string, string | undefined>>) {
    this.#name = name;
    this.#environment = environment;
    const isBuiltIn = isRuleset(name.replace(/^clawdstrike:/, ""));
    this.#file = isBuiltIn ? undefined : isAbsolute(name) ? name : resolve(folder, name);
    this.#seen = new Map(this.#file === undefined ? [] : [[this.#file, ""]]);
  }

  /** Absolute paths of what the policy was read from. */
  get files(): readonly string[] {
    return [...this.#seen.keys()];
  }

  /** Reads everything afresh; throws when the file cannot be read. */
  load(): LoadResult {
    const environment = this.#environment;
    if (this.#file === undefined) return loadRuleset(this.#name, { environment });
    const seen = new Map<string, string>();
    const readFile = (path: string): string => {
      seen.set(resolve(path), look(path));
      return readPolicyFile(path);
    };
    try {
      return loadPolicy(readFile(this.#file), { environment, readFile, file: this.#file });
    } finally {
      this.#seen = seen;
    }
  }

  /** Whether anything was changed, made or removed since it was last read. */
  changed(): boolean {
    return [...this.#seen].some(([file, before]) => look(file) !== before);
  }
}

function look(file: string): string {
  try {
    const { mtimeNs, ctimeNs, size, ino } = statSync(file, { bigint: true });
    return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
  } catch (caught) {
    return String((caught as { code?: unknown }).code);
  }
}

/** The node's own files as globs that no agent may touch, for the engine. */
export function selfPathGlobs(folders: readonly string[], files: readonly string[]): readonly string[] {
  const literal = (path: string): string => path.replaceAll(/[*?[]/g, "[$&]");
  return [
    ...folders.flatMap((folder) => [literal(folder), `${literal(folder)}/**`]),
    ...files.map((file) => literal(file)),
  ];
}
