/** `spine mcp`: the guarding MCP proxy, on standard input and output or over HTTP. The work is in `hooks/mcp/`. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { SpineError } from "../../spine/index.ts";
import { daemonSocket } from "../daemon-info.ts";
import { loadPolicy, readPolicyFile } from "../guards/policy/load.ts";
import { errorsIn } from "../guards/policy/problem.ts";
import { isRuleset, rulesetYaml } from "../guards/policy/rulesets.ts";
import { HttpProxy, type HttpProxyOptions } from "../hooks/mcp/http.ts";
import { BothJudges, DaemonJudge, type McpJudge, PolicyJudge } from "../hooks/mcp/judge.ts";
import { ToolPins } from "../hooks/mcp/pins.ts";
import { McpSession } from "../hooks/mcp/session.ts";
import { runStdio } from "../hooks/mcp/stdio.ts";
import { fileExists } from "../init.ts";
import { createTokenFile, readTokenFile } from "../keyfile.ts";
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
  usage: "mcp [--policy F] -- COMMAND ... | mcp [--policy F] --listen ADDR --upstream URL [--no-token]",
  about:
    "Stands between an MCP client and a server: every message is taken apart, judged and written anew, both ways. The\ndaemon's guards decide; with --policy that policy must allow too, and decides alone where no daemon runs.\nOver HTTP a client must say the token in mcp-token of the node's directory, as `Authorization: Bearer` or, where that is\nfor the server, as `X-Spine-Token`. An agent that has a shell can start the server without the proxy.",
  examples: [
    "spine mcp -- npx mcp-server-filesystem /srv/docs",
    "spine mcp --listen 127.0.0.1:4900 --upstream https://mcp.example/mcp",
  ],
  options: {
    listen: { type: "string", value: "ADDR", help: "Loopback HOST:PORT for streamable HTTP." },
    upstream: { type: "string", value: "URL", help: "The server behind --listen." },
    policy: { type: "string", value: "F", help: "Policy file or ruleset that must allow too." },
    socket: { type: "string", value: "PATH", help: "The daemon's socket, or one of guard.agents." },
    agent: { type: "string", value: "NAME", help: "Named in receipts; a socket of guard.agents knows better." },
    "no-token": { type: "boolean", help: "Any program on this machine may use --listen." },
    "accept-changes": { type: "boolean", help: "Accept tools that describe themselves otherwise than before." },
  },
  operands: { least: 0, most: 1_000 },
  async run(context) {
    const { operands: command, note, signal, text } = context;
    const say = (line: string): void => note(`spine mcp: ${line}`);
    const [listen, upstream] = [text("listen"), text("upstream")];
    if ((listen === undefined) !== (upstream === undefined) || (listen === undefined) !== command.length > 0)
      throw new SpineError("usage", "give either -- COMMAND, or --listen ADDR and --upstream URL");
    const newSession = await sessions(context, upstream ?? command.join("\0"), say);
    if (listen !== undefined && upstream !== undefined) {
      const token = context.flag("no-token") ? undefined : await tokenOf(join(context.dir.path, "mcp-token"));
      return serveHttp(listen, { upstream: urlOf(upstream), token, newSession, note: say }, signal);
    }
    const { stdin: input, stdout: output } = process;
    const code = await runStdio({ session: newSession(), command, input, output, note: say, signal });
    input.destroy();
    return code === 0 ? 0 : 1;
  },
};

async function sessions(context: VerbContext, server: string, note: (text: string) => void): Promise<() => McpSession> {
  const judge = await judgeOf(context);
  const pins = await ToolPins.open(join(context.dir.path, "mcp-pins"), server);
  const acceptChanges = context.flag("accept-changes");
  return () => new McpSession({ judge, pins, acceptChanges, note, now: () => performance.now() });
}

/** Made once, mode 0600. Throws `key_*`. */
async function tokenOf(path: string): Promise<string> {
  if (!(await fileExists(path))) await createTokenFile(path);
  return readTokenFile(path);
}

function urlOf(upstream: string): URL {
  if (!URL.canParse(upstream) || !/^https?:/.test(upstream))
    throw new SpineError("usage", "--upstream: an http or https URL");
  return new URL(upstream);
}

async function serveHttp(listen: string, options: HttpProxyOptions, signal: AbortSignal): Promise<number> {
  const [, host, port] = /^(127\.0\.0\.1|\[::1\]|localhost):(\d{1,5})$/.exec(listen) ?? [];
  if (host === undefined || Number(port) > 65_535)
    throw new SpineError("usage", "--listen: a loopback address such as 127.0.0.1:4900");
  const { note } = options;
  const proxy = new HttpProxy(options);
  const bound = await proxy.start(host.replace(/^\[|\]$/g, ""), Number(port));
  note(`listening on http://${host}:${bound}`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await proxy.stop();
  return 0;
}
