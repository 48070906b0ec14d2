#!/usr/bin/env node
/** The program. An agent waits for `guard hook` at every step, so it is served before anything else is loaded. */
import { createRequire } from "node:module";

const words = process.argv.slice(2);
if (words[0] === "guard" && words[1] === "hook" && !words.includes("--help")) {
  createRequire(import.meta.url)("./hooks/launcher.cjs");
} else {
  await (await import("./command-line.ts")).runCommandLine(words);
}
