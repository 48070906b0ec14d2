/** Reads `config.yaml` and resolves the effective configuration. Called by `spine run` and `spine config`. */
import { readFile, stat } from "node:fs/promises";
import { parseDocument } from "yaml";
import { SpineError } from "../spine/index.ts";
import { type Config, resolveConfig } from "./config.ts";
import { errorCodeOf } from "./files.ts";

const MAX_FILE_BYTES = 1_048_576;

/** Throws `config_invalid` on bad YAML, with line and column. */
export function parseConfigText(text: string, path: string): unknown {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true, merge: false });
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const lines = problems.map((one) => {
      const at = one.linePos?.[0];
      return `${path}${at ? `:${at.line}:${at.col}` : ""}: ${one.message.split("\n")[0]}`;
    });
    throw new SpineError("config_invalid", lines.join("\n"));
  }
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new SpineError("config_invalid", `${path}: aliases are not supported`, { cause });
  }
}

export interface LoadOptions {
  readonly path: string;
  /** The user named this file: its absence is an error. */
  readonly required: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly flags: Readonly<Record<string, string>>;
}

export async function loadConfig(options: LoadOptions): Promise<Config> {
  return resolveConfig({ file: await readConfigFile(options), env: options.env, flags: options.flags });
}

async function readConfigFile({ path, required }: LoadOptions): Promise<unknown> {
  try {
    if ((await stat(path)).size > MAX_FILE_BYTES) throw new SpineError("config_invalid", `${path}: larger than 1 MiB`);
    return parseConfigText(await readFile(path, "utf8"), path);
  } catch (cause) {
    if (cause instanceof SpineError) throw cause;
    if (errorCodeOf(cause) === "ENOENT" && !required) return undefined;
    throw new SpineError("config_invalid", `${path}: cannot be read`, { cause });
  }
}
