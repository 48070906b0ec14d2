/** `spine mcp`: the guarding MCP proxy, on standard input and output or over HTTP. The work is in `hooks/mcp/`. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { SpineError } from "../../spine/index.ts";
import { daemonSocket } from "../daemon-info.ts";
import { loadPolicy, readPolicyFile } from "../guards/policy/load.ts";
import { errorsIn } from "../guards/policy/problem.ts";
import { isRuleset, rulesetYaml } from "../guards/policy/rulesets.ts";
import { BothJudges, DaemonJudge, type McpJudge, PolicyJudge } from "../hooks/mcp/judge.ts";
import { ToolPins } from "../hooks/mcp/pins.ts";
import { McpSession } from "../hooks/mcp/session.ts";
import { runStdio } from "../hooks/mcp/stdio.ts";
import type { Verb, VerbContext } from "./verb.ts";

async function judgeOf(context: VerbContext): Promise<McpJudge> {
  const { text, dir, env, note } = context;
  const socket = text("socket") ?? (await daemonSocket(dir));
  const session = `mcp-${randomUUID()}`;
  const daemon = new DaemonJudge(socket, session, text("agent"));
  const source = text("policy");
  if (source === undefined) return daemon;
  const policy = policyOf(source, env);
  const running = await daemon.judge({ action_type: "mcp_tool", target: "ping", args: {} });
  if (running.envelopeHash !== null) return new BothJudges([policy, daemon]);
  note("no daemon answers: the policy alone decides, and no receipts are made");
  return policy;
}

function policyOf(source: string, env: NodeJS.ProcessEnv): PolicyJudge {
  const file = isRuleset(source) ? undefined : source;
  const yaml = file === undefined ? rulesetYaml(source as never, "spine") : readPolicyFile(file);
  const loaded = loadPolicy(yaml, { environment: env, readFile: readPolicyFile, ...(file !== undefined && { file }) });
  if (loaded.policy !== undefined) return new PolicyJudge(loaded.policy);
  const first = errorsIn(loaded.problems)[0];
  throw new SpineError("config_invalid", `policy ${source}: ${first?.path ?? ""} ${first?.message ?? ""}`);
}

export const mcp: Verb = {
  usage: "mcp [--policy F] -- COMMAND ...",
  about:
    "Stands between an MCP client and a server: every message is taken apart, judged and written anew, both ways. The\ndaemon's guards decide; with --policy that policy must allow too, and decides alone where no daemon runs.\nAn agent that has a shell can start the server without the proxy.",
  examples: ["spine mcp -- npx mcp-server-filesystem /srv/docs"],
  options: {
    policy: { type: "string", value: "F", help: "Policy file or ruleset that must allow too." },
    socket: { type: "string", value: "PATH", help: "The daemon's socket, or one of guard.agents." },
    agent: { type: "string", value: "NAME", help: "Named in receipts; a socket of guard.agents knows better." },
    "accept-changes": { type: "boolean", help: "Accept tools that describe themselves otherwise than before." },
  },
  operands: { least: 1, most: 1_000 },
  async run(context) {
    const { operands: command, dir, note, signal, flag } = context;
    const say = (text: string): void => note(`spine mcp: ${text}`);
    const session = new McpSession({
      judge: await judgeOf(context),
      pins: await ToolPins.open(join(dir.path, "mcp-pins"), command.join("\0")),
      acceptChanges: flag("accept-changes"),
      note: say,
      now: () => performance.now(),
    });
    const { stdin: input, stdout: output } = process;
    const code = await runStdio({ session, command, input, output, note: say, signal });
    input.destroy();
    return code === 0 ? 0 : 1;
  },
};
