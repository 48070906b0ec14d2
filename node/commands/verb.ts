/** What a verb of the command line is. Each file in this folder exports one or more; `command-line.ts` finds and runs them. */
import type { NodeDir } from "../dir.ts";
import type { Output } from "../output.ts";

export interface VerbOption {
  readonly type: "boolean" | "string";
  /** Name of the value in help, such as "FILE". */
  readonly value?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  readonly help: string;
  /** One letter for it. */
  readonly short?: string;
}

export interface VerbContext {
  readonly operands: readonly string[];
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string | undefined;
  readonly texts: (name: string) => readonly string[];
  /** `--json` was given. */
  readonly json: boolean;
  readonly dir: NodeDir;
  readonly env: NodeJS.ProcessEnv;
  /** Data. */
  readonly out: Output;
  /** For people: progress and remarks, one line each, on standard error. */
  readonly note: (text: string) => void;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Verb {
  /** Without the program's name, such as "canonical [--hex] [FILE|-]". */
  readonly usage: string;
  /** What it does, a few lines. */
  readonly about: string;
  readonly examples: readonly string[];
  readonly options?: Readonly<Record<string, VerbOption>>;
  readonly operands: { readonly least: number; readonly most: number };
  /** The exit code: 0 done, 1 failed. Coded errors may be thrown; `usage` exits with 2. */
  run(context: VerbContext): Promise<number>;
}
