/** `spine guard hook HARNESS`: its help. The work is done by `hooks/launcher.cts`, before the command line is loaded. */
import { SpineError } from "../../spine/index.ts";
import type { Verb } from "./verb.ts";

export const guardHook: Verb = {
  usage: "guard hook claude-code|codex|cursor|gemini-cli [--socket PATH] [--deadline-ms N]",
  about:
    "Reads a hook's payload from standard input and prints the harness's own answer. Exit code 2 and a reason on standard\nerror block: also when no daemon answers, or not in time.",
  examples: ["spine guard hook claude-code < payload.json"],
  options: {
    socket: { type: "string", value: "PATH", help: "The daemon's socket, or one of guard.agents." },
    "deadline-ms": { type: "string", value: "N", help: "Denied when not answered by then; 8000 if omitted." },
  },
  operands: { least: 1, most: 1 },
  async run() {
    throw new SpineError("usage", "guard hook comes first on the command line");
  },
};
