/** `npm run eval [-- SUITE ...] [--quick] [--json]`: measures the detectors and prints tables with 95 % intervals. */
import { parseArgs } from "node:util";
import { type EvalSuite, markdown } from "./report.ts";

/** A suite is loaded only when asked for. */
const SUITES: Readonly<Record<string, () => Promise<EvalSuite>>> = {
  text: async () => (await import("./text-suite.ts")).textSuite,
  secrets: async () => (await import("./secrets-suite.ts")).secretsSuite,
};

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !Object.hasOwn(SUITES, name));
if (values.help || unknown.length > 0) {
  const lines = await Promise.all(
    Object.entries(SUITES).map(async ([name, load]) => `  ${name.padEnd(10)} ${(await load()).about}`),
  );
  const usage = "Usage: npm run eval [-- SUITE ...] [--quick] [--json]\n\n";
  (values.help ? process.stdout : process.stderr).write(`${usage}${lines.join("\n")}\n`);
  if (!values.help) process.exitCode = 2;
} else {
  for (const name of positionals.length > 0 ? positionals : Object.keys(SUITES)) {
    const suite = await (SUITES[name] as () => Promise<EvalSuite>)();
    const tables = await suite.run({ quick: values.quick === true });
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ suite: name, tables })}\n`
        : `## ${name}\n\n${tables.map(markdown).join("\n")}\n`,
    );
  }
}
