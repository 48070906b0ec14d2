/** Runs the system's own network tools for the privileged helper: fixed search path, fixed arguments, secrets on stdin. */
import { spawn } from "node:child_process";
import { SpineError } from "../../spine/index.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const COMMAND_MS = 10_000;
const MAX_OUTPUT_BYTES = 4 * 1_024 * 1_024;

export const TOOL_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH,
  LC_ALL: "C",
  WG_PROCESS_FOREGROUND: "1",
  LOG_LEVEL: "error",
};

/** Standard output. Rejects with `enclave_device` and the tool's own complaint. */
export function runTool(name: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      env: TOOL_ENVIRONMENT,
      stdio: "pipe",
      timeout: COMMAND_MS,
      killSignal: "SIGKILL",
    });
    const out: Buffer[] = [];
    let [bytes, complaint] = [0, ""];
    child.stdout.on("data", (part: Buffer) => {
      bytes += part.length;
      if (bytes > MAX_OUTPUT_BYTES) child.kill("SIGKILL");
      else out.push(part);
    });
    child.stderr.on("data", (part: Buffer) => {
      complaint = (complaint + part.toString()).slice(-500);
    });
    child.stdin.on("error", () => undefined);
    child.once("error", (cause) => {
      reject(new SpineError("enclave_device", `cannot run ${name}: ${cause.message}`, { cause }));
    });
    child.once("close", (code) => {
      if (code === 0) return resolve(Buffer.concat(out).toString("utf8"));
      reject(
        new SpineError(
          "enclave_device",
          `${name} ${args.slice(0, 2).join(" ")}: ${complaint.trim() || `ended with ${code}`}`,
        ),
      );
    });
    child.stdin.end(input);
  });
}
