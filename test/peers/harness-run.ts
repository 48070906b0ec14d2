/**
 * Runs one real agent harness against a model that says what the test wrote down, and prints what happened as one JSON
 * line. Started by `harness.ts` inside a network namespace with nothing but loopback, so that nothing leaves the machine.
 */
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { HarnessRun, HarnessTask } from "./harness.ts";
import { ModelServer } from "./model-server.ts";

interface Program {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const task = JSON.parse(process.argv[2] as string) as HarnessTask;
const TIMEOUT_MS = 90_000;

/** As each program documents headless use, with another address for its model. */
function programOf({ harness, programs, prompt, extra = [] }: HarnessTask, base: string): Program {
  switch (harness) {
    case "claude-code":
      return {
        words: [join(programs, "claude"), "-p", prompt, "--allowedTools", "Bash Read Write Edit WebFetch", ...extra],
        env: {
          ANTHROPIC_BASE_URL: base,
          ANTHROPIC_API_KEY: "sk-none",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        },
      };
    case "codex": {
      const provider = `model_providers.local={name="local",base_url="${base}/v1",wire_api="responses",env_key="LOCAL_KEY"}`;
      const settings = [provider, "model_provider=local", "model=gpt-5.5"].flatMap((one) => ["-c", one]);
      const words = [join(programs, "codex"), "exec", "--skip-git-repo-check", "-s", "danger-full-access"];
      return { words: [...words, ...settings, ...extra, prompt], env: { LOCAL_KEY: "none" } };
    }
    case "gemini-cli":
      return {
        words: [join(programs, "gemini"), "-p", prompt, "--yolo", "-m", "gemini-2.5-pro", ...extra],
        env: { GEMINI_API_KEY: "none", GOOGLE_GEMINI_BASE_URL: base, GEMINI_CLI_TRUST_WORKSPACE: "true" },
      };
  }
}

function relay({ port, socket }: NonNullable<HarnessTask["relay"]>): Promise<void> {
  const listener = createServer((inner) => {
    const outer = connect(socket);
    for (const side of [inner, outer]) side.on("error", () => [inner, outer].map((one) => one.destroy()));
    inner.pipe(outer).pipe(inner);
  });
  return new Promise((resolve) => listener.listen(port, "127.0.0.1", resolve));
}

if (task.relay !== undefined) await relay(task.relay);
const server = new ModelServer(task.calls);
const { words, env } = programOf(task, await server.start());
const [program = "", ...args] = words;
const child = spawn(program, args, {
  cwd: task.cwd,
  // A group of its own: some leave helpers behind that would keep the pipes open.
  detached: true,
  env: { PATH: `${task.programs}:${process.env["PATH"] ?? ""}`, HOME: task.home, ...env },
  stdio: ["ignore", "pipe", "pipe"],
});
const endGroup = (): void => {
  try {
    process.kill(-(child.pid as number), "SIGKILL");
  } catch {
    // It has ended by itself.
  }
};
const timer = setTimeout(endGroup, TIMEOUT_MS);
let said = "";
const hear = (part: Buffer): void => {
  said = (said + part.toString()).slice(-20_000);
};
child.stdout.on("data", hear);
child.stderr.on("data", hear);
const code = await new Promise<number | null>((resolve) => {
  child.once("error", () => resolve(null));
  child.once("exit", resolve);
});
clearTimeout(timer);
endGroup();
server.stop();
const run: HarnessRun = { code, said, ...server.log };
process.stdout.write(`${JSON.stringify(run)}\n`, () => process.exit(0));
