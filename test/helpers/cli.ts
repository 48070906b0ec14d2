/** Runs the real command line in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { resolve } from "node:path";

export const CLI = resolve(import.meta.dirname, "../../node/cli.js");

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Standard output, one parsed JSON value per line. */
  readonly lines: readonly Record<string, unknown>[];
}

function parsedLines(out: string): Record<string, unknown>[] {
  return out
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
}

export function startSpine(args: readonly string[], env: Record<string, string> = {}): ChildProcessWithoutNullStreams {
  const inherited = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent" };
  return spawn(process.execPath, [CLI, ...args], { env: { ...inherited, ...env } });
}

/** `input` becomes standard input, closed after it. */
export function spine(
  args: readonly string[],
  input: string | Uint8Array = "",
  env: Record<string, string> = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = startSpine(args, env);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => out.push(part));
    child.stderr.on("data", (part: Buffer) => err.push(part));
    // A verb that refuses its arguments closes its input unread.
    child.stdin.on("error", () => undefined);
    child.once("error", reject);
    child.once("close", (code) => {
      const text = Buffer.concat(out).toString();
      resolve({ code, out: text, err: Buffer.concat(err).toString(), lines: parsedLines(text) });
    });
    child.stdin.end(input);
  });
}
