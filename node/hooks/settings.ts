/**
 * A harness's settings with our hooks in them, as text to text: what to add, whether it is all still there, how to take it
 * out again. Shapes as publicly documented. `install.ts` does the reading and writing.
 */
import { join } from "node:path";
import { SpineError } from "../../spine/index.ts";
import { requirementsFaults, withoutRequirements, withRequirements } from "./codex-requirements.ts";
import { type Fields, isFields } from "./flat-action.ts";
import type { Harness } from "./harness.ts";

/** What the harness grants a hook; the launcher gives up at 8 s, before it. */
const TIMEOUT_SECONDS = 20;

export interface HookProgram {
  /** Absolute paths. */
  readonly node: string;
  readonly launcher: string;
  /** The node's directory. */
  readonly dir: string;
}

interface Shape {
  /** Below the home directory. */
  readonly file: readonly string[];
  /** The administrator's settings, which sessions cannot leave out; absent: none. */
  readonly managed?: { readonly linux: string; readonly darwin: string };
  readonly events: readonly string[];
  /** Events hold entries directly (Cursor) or groups of hooks with a matcher. */
  readonly grouped: boolean;
  /** Fields of one hook besides its command. */
  readonly hook: Fields;
  /** The field that makes the harness block when a hook fails; absent: it has none. */
  readonly blockingSwitch?: string;
  /** Oldest version that knows the switch. */
  readonly since?: string;
  /** Name of the program, asked for its version. */
  readonly program: string;
  /** What it does not hold, for `guard doctor`. */
  readonly notCovered: readonly string[];
  /** The same of settings that are the user's own. */
  readonly notCoveredByUser: readonly string[];
}

const HOOK_NAME = "spine";
const EVERYWHERE = "what a program does after it was started: use a sandbox or the kernel for that";

export const SHAPES: Readonly<Record<Harness, Shape>> = {
  "claude-code": {
    file: [".claude", "settings.json"],
    managed: {
      linux: "/etc/claude-code/managed-settings.json",
      darwin: "/Library/Application Support/ClaudeCode/managed-settings.json",
    },
    events: ["PreToolUse", "PostToolUse", "UserPromptSubmit"],
    grouped: true,
    hook: { type: "command", timeout: TIMEOUT_SECONDS, onFailure: "block" },
    blockingSwitch: "onFailure",
    since: "2.1.295",
    program: "claude",
    notCovered: ["files named with @ in a prompt, which are read without a tool", EVERYWHERE],
    notCoveredByUser: [
      "sessions that leave the user's settings out (--bare, --safe-mode, --restricted, --setting-sources): see --managed",
      "settings of projects and administrators that switch hooks off (disableAllHooks, allowManagedHooksOnly)",
    ],
  },
  codex: {
    file: [".codex", "hooks.json"],
    managed: { linux: "/etc/codex/requirements.toml", darwin: "/etc/codex/requirements.toml" },
    events: ["PreToolUse", "PostToolUse", "UserPromptSubmit"],
    grouped: true,
    hook: { type: "command", timeout: TIMEOUT_SECONDS },
    program: "codex",
    notCovered: [
      "a hook that crashes or is late: Codex then runs the tool, and has no switch against it",
      "tools for which Codex runs no hooks (specialised paths; see its documentation)",
      EVERYWHERE,
    ],
    notCoveredByUser: ["hooks that changed since they were trusted with /hooks: Codex leaves them out silently"],
  },
  cursor: {
    file: [".cursor", "hooks.json"],
    events: ["preToolUse", "beforeShellExecution", "beforeMCPExecution", "beforeReadFile", "beforeTabFileRead"].concat([
      "beforeSubmitPrompt",
      "postToolUse",
      "afterMCPExecution",
    ]),
    grouped: false,
    hook: { timeout: TIMEOUT_SECONDS, failClosed: true },
    blockingSwitch: "failClosed",
    program: "cursor-agent",
    notCovered: ["events that a version of Cursor does not know: it ignores their hooks silently", EVERYWHERE],
    notCoveredByUser: [],
  },
  "gemini-cli": {
    file: [".gemini", "settings.json"],
    managed: {
      linux: "/etc/gemini-cli/settings.json",
      darwin: "/Library/Application Support/GeminiCli/settings.json",
    },
    events: ["BeforeTool", "AfterTool", "BeforeAgent"],
    grouped: true,
    hook: { type: "command", name: HOOK_NAME, timeout: TIMEOUT_SECONDS * 1000 },
    program: "gemini",
    notCovered: [
      "a hook that crashes or is late: Gemini CLI warns and runs the tool, and has no switch against it",
      EVERYWHERE,
    ],
    notCoveredByUser: ["settings of projects that switch hooks off (hooksConfig)"],
  },
};

/** Throws `hook_settings` for a harness without an administrator's settings that can be edited here. */
export function settingsPath(harness: Harness, home: string, managed: boolean): string {
  const { file, managed: places } = SHAPES[harness];
  if (!managed) return join(home, ...file);
  if (places === undefined) throw new SpineError("hook_settings", `${harness}: no administrator's settings`);
  return process.platform === "darwin" ? places.darwin : places.linux;
}

export function isManaged(harness: Harness, path: string): boolean {
  const { managed } = SHAPES[harness];
  return managed !== undefined && (path === managed.linux || path === managed.darwin);
}

/**
 * Run by the harness through a shell, whose `|| exit 2` makes a denial even of a program that is missing or was killed.
 * Without NODE_EXTRA_CA_CERTS Node starts 60 ms sooner.
 */
export function hookCommand(harness: Harness, { node, launcher, dir }: HookProgram): string {
  return `SPINE_HOOK=${harness} NODE_EXTRA_CA_CERTS= ${quote(node)} ${quote(launcher)} ${harness} --dir ${quote(dir)} || exit 2`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function parse(text: string | undefined): Record<string, unknown> {
  if (text === undefined || text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpineError("hook_settings", "the settings are no plain JSON: comments cannot be kept", { cause });
  }
  if (!isFields(value) || (value["hooks"] !== undefined && !isFields(value["hooks"])))
    throw new SpineError("hook_settings", "the settings have another shape than documented");
  return { ...value };
}

function entryOf(harness: Harness, command: string): Fields {
  const { grouped, hook } = SHAPES[harness];
  const one = { ...hook, command };
  return grouped ? { hooks: [one] } : one;
}

/** Ours by the mark in its command, of whatever version of us. */
function isOurs(harness: Harness, entry: unknown): boolean {
  if (!isFields(entry)) return false;
  const hooks = Array.isArray(entry["hooks"]) ? entry["hooks"] : [entry];
  return hooks.some((hook) => isFields(hook) && String(hook["command"]).startsWith(`SPINE_HOOK=${harness} `));
}

function entries(settings: Fields, event: string): readonly unknown[] {
  const hooks = settings["hooks"];
  const list = isFields(hooks) ? hooks[event] : undefined;
  if (list !== undefined && !Array.isArray(list))
    throw new SpineError("hook_settings", `hooks.${event} has another shape than documented`);
  return list ?? [];
}

function isToml(path: string): boolean {
  return path.endsWith(".toml");
}

function print(settings: Fields): string {
  return `${JSON.stringify(settings, null, 2)}\n`;
}

/**
 * With our hooks, each once, before those of others; `path` tells the format. Throws `hook_settings` when it cannot be
 * edited.
 */
export function withHooks(harness: Harness, path: string, text: string | undefined, command: string): string {
  if (isToml(path)) return withRequirements(text, SHAPES[harness].events, command, TIMEOUT_SECONDS);
  const settings = parse(text);
  const hooks: Record<string, unknown> = { ...(settings["hooks"] as Fields | undefined) };
  for (const event of SHAPES[harness].events) {
    const others = entries(settings, event).filter((entry) => !isOurs(harness, entry));
    hooks[event] = [entryOf(harness, command), ...others];
  }
  return print({ ...(harness === "cursor" && { version: 1 }), ...settings, hooks });
}

/** Without our hooks; others stay. */
export function withoutHooks(harness: Harness, path: string, text: string): string {
  if (isToml(path)) return withoutRequirements(text);
  const settings = parse(text);
  const hooks: Record<string, unknown> = { ...(settings["hooks"] as Fields | undefined) };
  for (const event of Object.keys(hooks)) {
    const others = entries(settings, event).filter((entry) => !isOurs(harness, entry));
    if (others.length === 0) delete hooks[event];
    else hooks[event] = others;
  }
  return print({ ...settings, hooks });
}

/** What is missing of our hooks, a sentence each; empty: all there, blocking switch included. */
export function hookFaults(
  harness: Harness,
  path: string,
  text: string | undefined,
  command: string,
): readonly string[] {
  if (isToml(path)) return requirementsFaults(text, SHAPES[harness].events, command, TIMEOUT_SECONDS);
  let settings: Fields;
  try {
    settings = parse(text);
    const wanted = JSON.stringify(entryOf(harness, command));
    const faults = SHAPES[harness].events
      .filter((event) => !entries(settings, event).some((entry) => JSON.stringify(entry) === wanted))
      .map((event) => `hooks.${event} does not ask Spine`);
    if (settings["disableAllHooks"] === true) faults.push("disableAllHooks is set");
    const general = settings["hooksConfig"];
    if (harness === "gemini-cli" && isFields(general)) {
      const { enabled, disabled } = general;
      const named = Array.isArray(disabled) && disabled.some((name) => name === HOOK_NAME || name === command);
      if (enabled === false || named) faults.push("hooksConfig switches the hooks off");
    }
    return faults;
  } catch (caught) {
    return [caught instanceof Error ? caught.message : String(caught)];
  }
}
