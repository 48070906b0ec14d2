/** `spine run`: the daemon in the foreground. */
import { basename, relative } from "node:path";
import { SpineError } from "../../spine/index.ts";
import { isSocketAlive } from "../api/listen.ts";
import { recoveryKeyText } from "../authority/recovery-key.ts";
import { loadConfig } from "../config-file.ts";
import { startDaemon } from "../daemon.ts";
import { daemonSocket } from "../daemon-info.ts";
import { fileExists, initDir } from "../init.ts";
import { createLog } from "../log.ts";
import { createNotifier } from "../notify.ts";
import { SET_OPTIONS, settingFlags } from "./settings.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** Stopping takes no longer; what still hangs then is cut off. */
const STOP_MS = 15_000;
const LINGER_MS = 2_000;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** How the user started this program, for hints they can paste. */
function programName(): string {
  const script = process.argv[1] ?? "spine";
  return basename(script) === "cli.js" ? `node ${relative(process.cwd(), script)}` : "spine";
}

async function ensureNode(context: VerbContext): Promise<void> {
  const { dir, note } = context;
  if (!context.flag("init") || (await fileExists(dir.issuerKey))) return;
  const made = await initDir(dir, { open: context.flag("open"), forceNew: false, recovery: true });
  note(`Made a new node in ${dir.path}: ${made.issuer}`);
  note(
    `Recovery key, shown once and kept nowhere; write it down:\n  ${recoveryKeyText(made.recoverySeed as Uint8Array)}`,
  );
}

export const run: Verb = {
  usage: "run [--init [--open]] [--config F] [--accept-fork-risk] [--set FIELD=VALUE]",
  about: "Runs the node until SIGINT or SIGTERM. Prints one line when it can be used; logs go to standard error.",
  examples: ["spine run", "spine run --init --set planes.libp2p.listen=/ip4/127.0.0.1/tcp/0"],
  options: {
    ...SET_OPTIONS,
    init: { type: "boolean", help: "Make the directory first where no node exists." },
    "accept-fork-risk": {
      type: "boolean",
      help: "Sign although the store may be older than what was signed; clears the alarm of a copied key.",
    },
    open: { type: "boolean", help: "With --init: lab mode, every issuer is admitted." },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, json, out, note, signal } = context;
    await ensureNode(context);
    const named = context.text("config");
    const config = await loadConfig({
      path: named ?? dir.config,
      required: named !== undefined,
      env,
      flags: settingFlags(context.texts("set")),
    });
    const socket = await daemonSocket(dir);
    if (await isSocketAlive(socket)) throw new SpineError("daemon_running", `a daemon answers on ${socket}`);
    const log = createLog(config.log);
    const daemon = await startDaemon({ dir, config, log, acceptForkRisk: context.flag("accept-fork-risk") });
    const notifier = createNotifier(env);
    const { issuer, api, planes, warnings } = daemon;
    try {
      if (json) await out.line({ ready: true, issuer, api: api[0], planes, warnings });
      else {
        const listening = planes.flatMap(({ addresses }) => addresses);
        await out.write(
          `Node ${issuer} is ready.\n  API  ${api.join("  ")}\n  at   ${listening.join("\n       ") || "-"}\n` +
            `In another terminal: ${programName()} status    Stop with Ctrl-C.\n`,
        );
        for (const warning of warnings) note(`Warning: ${warning}`);
      }
      notifier.ready();
      await Promise.race([aborted(signal), daemon.failed]);
      return 0;
    } finally {
      notifier.stopping();
      const cut = setTimeout(() => {
        note("Stopping took too long; ending now.");
        process.exit(1);
      }, STOP_MS);
      await daemon.stop();
      clearTimeout(cut);
      // A transport that leaves something open must not keep a stopped node from ending.
      setTimeout(() => process.exit(), LINGER_MS).unref();
    }
  },
};
