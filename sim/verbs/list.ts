/** `spine sim list|show|schema`: the built-in scenarios, one of them as a file to start from, and what a file may hold. */
import type { SimMachine, Verb } from "../../node/index.ts";
import { BUILT_IN } from "../built-in.ts";
import { columns } from "../report/format.ts";
import { scenarioJsonSchema, scenarioText } from "../text/scenario-text.ts";
import { buildScenario, findScenario, SCENARIO_OPTIONS } from "./options.ts";

export const list = (): Verb => ({
  usage: "sim list",
  about: "The built-in scenarios.",
  examples: ["spine sim list", "spine sim list --json"],
  operands: { least: 0, most: 0 },
  async run({ json, out }) {
    if (json)
      for (const builtIn of BUILT_IN) {
        const { nodes, networks, durationMs } = builtIn.file({});
        const count = nodes.reduce((sum, group) => sum + group.count, 0);
        const kinds = [...new Set(networks.map((one) => (one.type === "stream" ? one.plane : one.type)))];
        await out.line({
          name: builtIn.name,
          summary: builtIn.summary,
          nodes: count,
          networks: kinds,
          duration_ms: durationMs,
        });
      }
    else
      await out.write(
        columns(
          BUILT_IN.map(({ name, summary }) => [name, summary]),
          [0, 1],
        ),
      );
    return 0;
  },
});

export const show = (machine: SimMachine): Verb => ({
  usage: "sim show SCENARIO|FILE [--nodes N] [--short] [--set FIELD=VALUE]…",
  about: "Prints a scenario as a file to start from, or a file as it is understood, without what is at its default.",
  examples: ["spine sim show partition-heal > mine.yaml", "spine sim run mine.yaml --seed 1"],
  options: SCENARIO_OPTIONS,
  operands: { least: 1, most: 1 },
  async run(context) {
    const file = buildScenario(await findScenario(context, machine), context);
    if (context.json) await context.out.line(file);
    else await context.out.write(scenarioText(file));
    return 0;
  },
});

export const schema = (): Verb => ({
  usage: "sim schema",
  about: "The JSON Schema of scenario files, with the meaning and the default of every field. Editors can check by it.",
  examples: ["spine sim schema > scenario.schema.json"],
  operands: { least: 0, most: 0 },
  async run({ json, out }) {
    await out.line(json ? scenarioJsonSchema() : JSON.stringify(scenarioJsonSchema(), null, 2));
    return 0;
  },
});
