/** `spine guard install|uninstall|doctor`: our hooks in a harness's settings. */
import { homedir } from "node:os";
import { createInterface } from "node:readline/promises";
import { SpineError } from "../../spine/index.ts";
import { Client } from "../client.ts";
import { daemonSocket } from "../daemon-info.ts";
import { diagnose, HARNESSES, type Harness, isHarness } from "../hooks/index.ts";
import {
  assertBlocking,
  type Change,
  changeText,
  install,
  planInstall,
  planUninstall,
  uninstall,
} from "../hooks/install.ts";
import { readInstalls } from "../hooks/installs.ts";
import type { Verb, VerbContext } from "./verb.ts";

const NAMES = HARNESSES.join("|");
const YES = { yes: { type: "boolean", help: "Do not ask." } } as const;

function harnessOf({ operands }: VerbContext): Harness {
  const [name = ""] = operands;
  if (!isHarness(name)) throw new SpineError("usage", `unknown harness "${name}"; known: ${HARNESSES.join(", ")}`);
  return name;
}

function homeOf({ env }: VerbContext): string {
  return env["HOME"] || homedir();
}

/** Shows the change; true when it may be made. */
async function agreed(context: VerbContext, change: Change): Promise<boolean> {
  const { note, flag, signal } = context;
  note(changeText(change));
  if (flag("yes")) return true;
  if (process.stdin.isTTY !== true) throw new SpineError("usage", "nobody can be asked here: say --yes");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question("Make this change? [y/N] ", { signal })).trim());
  } finally {
    lines.close();
  }
}

export const guardInstall: Verb = {
  usage: `guard install ${NAMES} [--managed] [--advisory] [--yes]`,
  about:
    "Puts Spine's hooks and the harness's own blocking switch into its settings, after showing the change. A harness\nwithout such a switch is refused unless --advisory: it goes on when a hook fails. Settings of a user can be left out by\nwhoever starts the harness; those of the administrator (--managed, as root) hold for everybody on this machine.",
  examples: ["spine guard install claude-code", "sudo spine guard install claude-code --managed --dir /var/lib/spine"],
  options: {
    managed: { type: "boolean", help: "Into the administrator's settings (not cursor)." },
    advisory: { type: "boolean", help: "Accept a harness that does not block by itself." },
    ...YES,
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const harness = harnessOf(context);
    const { dir, out, json, flag } = context;
    const plan = await planInstall(harness, dir.path, homeOf(context), flag("managed"));
    assertBlocking(plan, flag("advisory"));
    if (!(await agreed(context, plan))) return 1;
    await install(harness, dir.path, plan);
    const advisory = plan.advisory !== undefined;
    if (json) await out.line({ harness, settings: plan.path, advisory, version: plan.version ?? null });
    else
      await out.line(`${plan.path} asks Spine${advisory ? " (advisory)" : ""}; now run: spine guard doctor ${harness}`);
    return 0;
  },
};

export const guardUninstall: Verb = {
  usage: `guard uninstall ${NAMES} [--yes]`,
  about:
    "Puts the harness's settings back as they were, or takes only Spine's hooks out when others changed them since.",
  examples: ["spine guard uninstall claude-code"],
  options: YES,
  operands: { least: 1, most: 1 },
  async run(context) {
    const harness = harnessOf(context);
    const change = await planUninstall(harness, context.dir.path, homeOf(context));
    if (!(await agreed(context, change))) return 1;
    await uninstall(harness, context.dir.path, change);
    await context.out.line(context.json ? { harness, settings: change.path } : `${change.path} no longer asks Spine`);
    return 0;
  },
};

export const guardDoctor: Verb = {
  usage: `guard doctor [${NAMES}] [--program]`,
  about:
    "Runs the hook that stands in the harness's settings against the running daemon: a denial must block and be recorded,\nalso without daemon or program. Says what is not covered. Only after it receipts claim daemon_enforced.\nWith --program the harness's own program is started too, with a model on loopback that asks it to read the node's key.",
  examples: ["spine guard doctor claude-code", "spine guard doctor codex --program"],
  options: { program: { type: "boolean", help: "Try the program itself (not cursor). Takes a few seconds." } },
  operands: { least: 0, most: 1 },
  /** 0 when all that was looked at holds. */
  async run(context) {
    const { dir, out, json, signal, operands, flag } = context;
    const installed = Object.keys(await readInstalls(dir.path)) as Harness[];
    const wanted = operands.length === 0 ? installed : [harnessOf(context)];
    if (wanted.length === 0) throw new SpineError("usage", "no harness has hooks yet: spine guard install HARNESS");
    const client = new Client(await daemonSocket(dir));
    let healthy = true;
    try {
      const ask = async <T>(path: string): Promise<T> =>
        JSON.parse(await client.text({ method: "GET", path, signal })) as T;
      for (const harness of wanted) {
        const found = await diagnose(harness, { dir: dir.path, ask, now: Date.now, program: flag("program"), signal });
        healthy &&= found.proven;
        if (json) await out.line(found);
        else {
          const lines = found.findings.map(({ ok, what }) => `  ${ok ? "ok  " : "FAIL"} ${what}`);
          const open = found.notCovered.map((one) => `       ${one}`);
          await out.write(`${[`${harness}: ${found.tier}`, ...lines, "  not covered:", ...open].join("\n")}\n`);
        }
      }
    } finally {
      client.close();
    }
    return healthy ? 0 : 1;
  },
};
