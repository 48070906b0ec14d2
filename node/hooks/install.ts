/** Puts our hooks into a harness's settings and takes them out again. `spine guard install|uninstall` call it. */
import { execFile } from "node:child_process";
import { mkdir, realpath, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { SpineError } from "../../spine/index.ts";
import { writeFileAtomic } from "../files.ts";
import type { Harness } from "./harness.ts";
import { readInstalls, readText, writeInstalls } from "./installs.ts";
import { hookCommand, isManaged, SHAPES, settingsPath, withHooks, withoutHooks } from "./settings.ts";

export interface Change {
  readonly path: string;
  /** Undefined: no file. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface InstallPlan extends Change {
  readonly after: string;
  readonly command: string;
  /** Why the harness does not block by itself; undefined when it does. */
  readonly advisory: string | undefined;
  /** Version of the harness's program here, when it can be found. */
  readonly version: string | undefined;
}

const LAUNCHER = fileURLToPath(new URL("./launcher.cjs", import.meta.url));

/** `managed`: into the administrator's settings of this machine. Throws `hook_settings`. */
export async function planInstall(harness: Harness, dir: string, home: string, managed: boolean): Promise<InstallPlan> {
  const path = await real(settingsPath(harness, home, managed));
  const known = (await readInstalls(dir))[harness]?.settings ?? path;
  if (known !== path)
    throw new SpineError(
      "hook_settings",
      `${known} asks Spine already: run \`spine guard uninstall ${harness}\` first`,
    );
  const before = await readText(path);
  const command = hookCommand(harness, { node: process.execPath, launcher: LAUNCHER, dir });
  const version = await versionOf(SHAPES[harness].program);
  return {
    path,
    before,
    after: withHooks(harness, path, before, command),
    command,
    advisory: weakness(harness, version),
    version,
  };
}

/** Resolved = settings and record are on disk. */
export async function install(harness: Harness, dir: string, plan: InstallPlan): Promise<void> {
  const installs = await readInstalls(dir);
  // What was there before us is kept over a second install.
  const before = installs[harness]?.before ?? plan.before ?? null;
  // What the administrator settles, everybody's harness must be able to read.
  const managed = isManaged(harness, plan.path);
  await mkdir(dirname(plan.path), { recursive: true, mode: managed ? 0o755 : 0o700 });
  await writeFileAtomic(plan.path, plan.after, { mode: managed ? 0o644 : 0o600, exclusive: false });
  const { path: settings, command } = plan;
  const one = { settings, command, advisory: plan.advisory !== undefined, before, proven: null };
  await writeInstalls(dir, { ...installs, [harness]: one });
}

/** The old file when nothing else was changed since, else the present one without our hooks. */
export async function planUninstall(harness: Harness, dir: string, home: string): Promise<Change> {
  const known = (await readInstalls(dir))[harness];
  const path = known?.settings ?? (await real(settingsPath(harness, home, false)));
  const before = await readText(path);
  if (before === undefined) return { path, before, after: undefined };
  const old = known?.before ?? undefined;
  if (known !== undefined && before === withHooks(harness, path, old, known.command))
    return { path, before, after: old };
  return { path, before, after: withoutHooks(harness, path, before) };
}

/** The record goes first: what the operator takes away is no incident. */
export async function uninstall(harness: Harness, dir: string, { path, before, after }: Change): Promise<void> {
  const { [harness]: _, ...others } = await readInstalls(dir);
  await writeInstalls(dir, others);
  const mode = isManaged(harness, path) ? 0o644 : 0o600;
  if (after !== undefined) await writeFileAtomic(path, after, { mode, exclusive: false });
  else if (before !== undefined) await rm(path);
}

/** A link is kept, what it leads to is changed. */
async function real(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

function weakness(harness: Harness, version: string | undefined): string | undefined {
  const { blockingSwitch, since } = SHAPES[harness];
  if (blockingSwitch === undefined) return `${harness} has no switch that blocks when a hook fails`;
  if (since !== undefined && version !== undefined && isOlder(version, since))
    return `${harness} ${version} does not know ${blockingSwitch} (since ${since})`;
  return undefined;
}

function isOlder(version: string, since: string): boolean {
  const parts = (text: string): number[] => text.split(".").map(Number);
  const [a, b] = [parts(version), parts(since)];
  const at = b.findIndex((part, i) => part !== a[i]);
  return at >= 0 && (a[at] ?? 0) < (b[at] as number);
}

/** Asks the program in the path; undefined when there is none or it does not say. */
export function versionOf(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ["--version"], { timeout: 10_000, maxBuffer: 65_536 }, (_, out) =>
      resolve(/\d+\.\d+\.\d+/.exec(String(out))?.[0]),
    );
  });
}

/** Lines that go and come, for people. */
export function changeText({ path, before = "", after = "" }: Change): string {
  const [old, now] = [before, after].map((text) => (text === "" ? [] : text.trimEnd().split("\n"))) as [
    string[],
    string[],
  ];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const gone = old.slice(start, old.length - end).map((line) => `- ${line}`);
  const come = now.slice(start, now.length - end).map((line) => `+ ${line}`);
  return [`${path}, from line ${start + 1}:`, ...gone, ...come, ""].join("\n");
}

/** Throws `hook_advisory` unless the operator accepts a harness that does not block by itself. */
export function assertBlocking(plan: InstallPlan, accepted: boolean): void {
  if (plan.advisory !== undefined && !accepted) throw new SpineError("hook_advisory", plan.advisory);
}
