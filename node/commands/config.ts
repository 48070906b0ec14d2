/** `spine config show|schema`: the effective configuration and what it may hold. */
import { configJsonSchema, redactConfig } from "../config.ts";
import { loadConfig } from "../config-file.ts";
import { SET_OPTIONS, settingFlags } from "./settings.ts";
import type { Verb } from "./verb.ts";

export const configShow: Verb = {
  usage: "config show [--config F] [--set FIELD=VALUE]",
  about: "Prints the effective configuration: flags over SPINE_… variables over the file over defaults. No secrets.",
  examples: ["spine config show", "SPINE_LOG_LEVEL=debug spine config show --json"],
  options: SET_OPTIONS,
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, out, json } = context;
    const named = context.text("config");
    const config = await loadConfig({
      path: named ?? dir.config,
      required: named !== undefined,
      env,
      flags: settingFlags(context.texts("set")),
    });
    const shown = redactConfig(config);
    if (json) await out.line(shown);
    else await out.write((await import("yaml")).stringify(shown));
    return 0;
  },
};

export const configSchemaVerb: Verb = {
  usage: "config schema",
  about: "Prints the JSON Schema of config.yaml, for editors and checks.",
  examples: ["spine config schema > config.schema.json"],
  operands: { least: 0, most: 0 },
  async run({ out, json }) {
    await out.line(JSON.stringify(configJsonSchema(), null, json ? 0 : 2));
    return 0;
  },
};
