/**
 * Runs one real agent harness against a model that says what the test wrote down, and prints what happened as one JSON
 * line. Started by `harness.ts` inside a network namespace with nothing but loopback, so that nothing leaves the machine.
 */
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { ModelServer } from "../../node/hooks/rehearsal/model.ts";
import { type HeadlessProgram, headlessProgram } from "../../node/hooks/rehearsal/program.ts";
import type { HarnessRun, HarnessTask } from "./harness.ts";

const task = JSON.parse(process.argv[2] as string) as HarnessTask;
const TIMEOUT_MS = 90_000;

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
const sandbox = task.harness === "codex" ? ["-s", "danger-full-access"] : [];
const more = [...sandbox, ...(task.extra ?? [])];
const { words, env } = headlessProgram(task.harness, await server.start(), task.prompt, more) as HeadlessProgram;
const [name = "", ...args] = words;
const program = join(task.programs, name);
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
