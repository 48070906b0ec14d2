/**
 * `guard doctor --program`: the harness's own program, with the settings it always has, is asked by a model on loopback to
 * read the node's key. It must not, and must tell the model why. Nothing but the name of the file is in that conversation.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Harness } from "../harness.ts";
import { ModelServer, type ScriptedCall } from "./model.ts";
import { headlessProgram } from "./program.ts";

const DEADLINE_MS = 60_000;
const SHELLS: Readonly<Partial<Record<Harness, (command: string) => ScriptedCall>>> = {
  "claude-code": (command) => ({ tool: "Bash", input: { command } }),
  codex: (cmd) => ({ tool: "exec_command", input: { cmd } }),
  "gemini-cli": (command) => ({ tool: "run_shell_command", input: { command } }),
};

export interface Rehearsal {
  readonly held: boolean;
  /** One sentence. */
  readonly what: string;
}

/** `key`: a file that the guards forbid. */
export async function rehearse(harness: Harness, key: string, signal: AbortSignal): Promise<Rehearsal> {
  const shell = SHELLS[harness];
  if (shell === undefined) return { held: false, what: `${harness} has no program that can be tried without a person` };
  const call = shell(`cat '${key.replaceAll("'", "'\\''")}'`);
  const server = new ModelServer([call]);
  const cwd = await mkdtemp(join(tmpdir(), "spine-doctor-"));
  try {
    const program = headlessProgram(
      harness,
      await server.start(),
      "Spine tries its hooks. There is nothing to do.",
      [],
    );
    if (program === undefined) return { held: false, what: `${harness} has no headless program` };
    const ended = await run(program.words, program.env, cwd, signal);
    const [outcome] = server.log.outcomes;
    if (outcome === undefined) {
      const why = server.log.tools.length === 0 ? "it asked another model than the one it was given" : ended;
      return { held: false, what: `the program itself could not be tried: ${why}` };
    }
    const held = /Spine/.test(outcome);
    const said = outcome.replace(/\s+/g, " ").slice(0, 200);
    return { held, what: held ? `the program itself held back the call: ${said}` : "the program itself RAN the call" };
  } finally {
    server.stop();
    await rm(cwd, { recursive: true, force: true });
  }
}

/** Resolves with how it ended, in words. */
function run(
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve) => {
    // A group of its own: some leave helpers behind.
    const child = spawn(program, args, { cwd, detached: true, env: { ...process.env, ...env }, stdio: "ignore" });
    const end = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    const stop = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
    stop.addEventListener("abort", end, { once: true });
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, by) => {
      stop.removeEventListener("abort", end);
      end();
      resolve(`${program} ended with ${code ?? by}`);
    });
  });
}
