/**
 * Which harnesses' settings hold our hooks: `hooks.json` in the node's directory, written by `spine guard install` and
 * `doctor`, read by the daemon, which notices when a harness's settings no longer ask us (design/rules.md rule 13).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "../disk-watch.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import type { Tier } from "../guards/index.ts";
import { isFields } from "./flat-action.ts";
import { type Harness, isHarness } from "./harness.ts";
import { hookFaults } from "./settings.ts";

const POLL_MS = 2_000;

export interface Install {
  /** The harness's settings file, absolute. */
  readonly settings: string;
  readonly command: string;
  /** Installed without a blocking switch of the harness. */
  readonly advisory: boolean;
  /** The file as it was, or null when there was none. */
  readonly before: string | null;
  /** RFC 3339, when `guard doctor` last saw a denial; null: never. */
  readonly proven: string | null;
}

export type Installs = Readonly<Partial<Record<Harness, Install>>>;

export function installsPath(dir: string): string {
  return join(dir, "hooks.json");
}

export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (caught) {
    if (errorCodeOf(caught) === "ENOENT") return undefined;
    throw caught;
  }
}

/** A record that cannot be read claims nothing. */
export async function readInstalls(dir: string): Promise<Installs> {
  const text = await readText(installsPath(dir)).catch(() => undefined);
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (!isFields(value)) return {};
    return Object.fromEntries(
      Object.entries(value).filter(
        ([name, one]) =>
          isHarness(name) && isFields(one) && typeof one["settings"] === "string" && typeof one["command"] === "string",
      ),
    ) as Installs;
  } catch {
    return {};
  }
}

export async function writeInstalls(dir: string, installs: Installs): Promise<void> {
  const text = `${JSON.stringify(installs, null, 2)}\n`;
  await writeFileAtomic(installsPath(dir), text, { mode: 0o600, exclusive: false });
}

export interface HookWatchOptions {
  readonly dir: string;
  /** Said once, until the hooks are there again. */
  readonly onRemoved: (harness: Harness, faults: readonly string[]) => void;
}

/** Looks at the settings every few seconds; its answers are as old as that. */
export class HookWatch {
  readonly #options: HookWatchOptions;
  #installs: Installs = {};
  readonly #faults = new Map<Harness, readonly string[]>();

  constructor(options: HookWatchOptions) {
    this.#options = options;
  }

  /** `daemon_enforced` only where a denial was proven, the harness blocks by itself, and the settings are as proven. */
  tierOf(harness: Harness): Tier {
    const one = this.#installs[harness];
    const holds = one !== undefined && one.proven !== null && !one.advisory && !this.#faults.has(harness);
    return holds ? "daemon_enforced" : "best_effort";
  }

  warnings(): readonly string[] {
    return [...this.#faults].map(
      ([harness, faults]) =>
        `${harness} no longer asks the guards: ${faults[0]}; run \`spine guard install ${harness}\`.`,
    );
  }

  /** Looks until aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(POLL_MS, signal);
      if (!signal.aborted) await this.look();
    }
  }

  async look(): Promise<void> {
    const { dir, onRemoved } = this.#options;
    this.#installs = await readInstalls(dir);
    for (const name of this.#faults.keys()) if (this.#installs[name] === undefined) this.#faults.delete(name);
    for (const [name, { settings, command }] of Object.entries(this.#installs) as [Harness, Install][]) {
      const text = await readText(settings).catch(() => undefined);
      const faults = hookFaults(name, settings, text, command);
      if (faults.length === 0) this.#faults.delete(name);
      else if (!this.#faults.has(name)) {
        this.#faults.set(name, faults);
        onRemoved(name, faults);
      }
    }
  }
}
