/**
 * `spine guard doctor HARNESS`: runs the very command that stands in the harness's settings, as the harness would, against
 * the running daemon: a denial must block, be in the chain, and hold when no daemon answers. Proven = recorded for receipts.
 */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { AuditEntry } from "../guards/index.ts";
import { codexHooks } from "./codex-trust.ts";
import type { Harness } from "./harness.ts";
import { type Install, readInstalls, readText, writeInstalls } from "./installs.ts";
import { rehearse } from "./rehearsal/rehearse.ts";
import { hookFaults, isManaged, SHAPES } from "./settings.ts";

export interface Finding {
  readonly ok: boolean;
  readonly what: string;
}

export interface DoctorOptions {
  readonly dir: string;
  /** GET from the daemon; rejects when none answers. */
  readonly ask: <T>(path: string) => Promise<T>;
  readonly now: () => number;
  /** The harness's own program is tried too. */
  readonly program: boolean;
  readonly signal: AbortSignal;
}

export interface Diagnosis {
  readonly harness: Harness;
  readonly findings: readonly Finding[];
  readonly proven: boolean;
  /** `daemon_enforced` when receipts may claim it from now on. */
  readonly tier: "daemon_enforced" | "best_effort";
  readonly notCovered: readonly string[];
}

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export async function diagnose(harness: Harness, options: DoctorOptions): Promise<Diagnosis> {
  const { dir, ask } = options;
  const findings: Finding[] = [];
  const say = (ok: boolean, what: string): boolean => {
    findings.push({ ok, what });
    return ok;
  };
  const one = (await readInstalls(dir))[harness];
  if (say(one !== undefined, "installed by `spine guard install`") && one !== undefined) {
    const faults = hookFaults(harness, one.settings, await readText(one.settings).catch(() => undefined), one.command);
    say(
      faults.length === 0,
      faults.length === 0 ? `${one.settings} asks Spine at every event` : `${one.settings}: ${faults.join("; ")}`,
    );
    const { mode, policy_state: state } = await ask<{ mode: string; policy_state: string }>("/v1/guard").catch(() => ({
      mode: "unreachable",
      policy_state: "unknown",
    }));
    say(mode === "enforce" && state !== "none", `the daemon's guards: ${mode}, policy ${state}`);
    if (harness === "codex") await trustedByCodex(one, options, say);
    await provenBy(harness, one, options, say);
    if (options.program) {
      const { held, what } = await rehearse(harness, join(dir, "issuer.key"), options.signal);
      say(held, what);
    }
  }
  const proven = findings.every(({ ok }) => ok);
  if (one !== undefined) {
    const installs = await readInstalls(dir);
    const kept: Install = { ...one, proven: proven ? new Date(options.now()).toISOString() : null };
    await writeInstalls(dir, { ...installs, [harness]: kept });
    if (one.advisory)
      findings.push({ ok: true, what: "advisory: the harness goes on when a hook fails, receipts stay best_effort" });
  }
  return {
    harness,
    findings,
    proven,
    tier: proven && one?.advisory === false ? "daemon_enforced" : "best_effort",
    notCovered: [
      ...SHAPES[harness].notCovered,
      ...(one !== undefined && isManaged(harness, one.settings) ? [] : SHAPES[harness].notCoveredByUser),
    ],
  };
}

type Say = (ok: boolean, what: string) => boolean;

/** It leaves out hooks that its user has not trusted, and says nothing. */
async function trustedByCodex({ command }: Install, { signal }: DoctorOptions, say: Say): Promise<void> {
  const hooks = await codexHooks(command, signal);
  if (hooks === undefined) {
    say(false, "codex is not in the path or does not answer: whether it runs these hooks is not known");
    return;
  }
  const missing = SHAPES.codex.events.length - hooks.filter(({ runs }) => runs).length;
  say(
    missing <= 0,
    missing <= 0
      ? "Codex runs these hooks"
      : `Codex leaves out ${missing} of these hooks: open \`codex\`, type /hooks, and trust them`,
  );
}

/** The command of the settings, through a shell as harnesses do. */
async function provenBy(
  harness: Harness,
  { command }: Install,
  { dir, ask, signal }: DoctorOptions,
  say: Say,
): Promise<void> {
  const session = `spine-doctor-${randomBytes(8).toString("hex")}`;
  const denied = await run(command, payload(harness, session, join(dir, "issuer.key"), dir), signal);
  say(
    denied.code === 2 && denied.err !== "",
    `reading the node's own key is blocked: ${denied.err.trim() || `exit ${denied.code}`}`,
  );
  const allowed = await run(command, payload(harness, session, "/tmp/spine-doctor.txt", "/tmp"), signal);
  say(allowed.code === 0, `an ordinary read passes${allowed.code === 0 ? "" : `: ${allowed.err.trim()}`}`);
  const unreachable = await run(
    `HOME=/nonexistent ${command.replace(/ --dir '.*' \|\|/s, " --socket /nonexistent/s ||")}`,
    "{}",
    signal,
  );
  say(unreachable.code === 2, "without a daemon everything is blocked");
  const missing = await run(command.replace(/'[^']*' '[^']*'/, "/nonexistent/node x"), "{}", signal);
  say(missing.code === 2, "without the hook's program everything is blocked");
  const { entries } = await ask<{ entries: readonly AuditEntry[] }>(`/v1/guard/audit?session=${session}`).catch(() => ({
    entries: [] as readonly AuditEntry[],
  }));
  const verdicts = entries.map(({ verdict }) => verdict);
  say(
    verdicts.includes("deny") && verdicts.length === 2,
    `both decisions are signed in the chain: ${verdicts.join(", ") || "none"}`,
  );
}

function payload(harness: Harness, session: string, path: string, cwd: string): string {
  const common = { session_id: session, conversation_id: session, cwd };
  if (harness === "cursor")
    return JSON.stringify({ ...common, hook_event_name: "beforeReadFile", file_path: path, content: "" });
  if (harness === "codex") {
    const input = { command: `cat '${path.replaceAll("'", "'\\''")}'` };
    return JSON.stringify({ ...common, hook_event_name: "PreToolUse", tool_name: "Bash", tool_input: input });
  }
  const gemini = harness === "gemini-cli";
  const event = gemini ? "BeforeTool" : "PreToolUse";
  const tool = gemini ? "read_file" : "Read";
  return JSON.stringify({ ...common, hook_event_name: event, tool_name: tool, tool_input: { file_path: path } });
}

function run(command: string, input: string, signal: AbortSignal): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn("/bin/sh", ["-c", command], { signal, timeout: 30_000 });
    const taken = { out: "", err: "" };
    child.stdout.on("data", (part: Buffer) => {
      taken.out = (taken.out + part.toString()).slice(0, 65_536);
    });
    child.stderr.on("data", (part: Buffer) => {
      taken.err = (taken.err + part.toString()).slice(0, 65_536);
    });
    child.stdin.on("error", () => undefined);
    child.once("error", (error) => resolve({ code: null, out: "", err: error.message }));
    child.once("close", (code) => resolve({ code, ...taken }));
    child.stdin.end(input);
  });
}
