/** The flags that override configuration, shared by `run` and `config show`. */
import { SpineError } from "../../spine/index.ts";
import type { VerbOption } from "./verb.ts";

export const SET_OPTIONS: Readonly<Record<string, VerbOption>> = {
  config: { type: "string", value: "F", help: "Configuration file; config.yaml in the directory if omitted." },
  set: {
    type: "string",
    value: "FIELD=VALUE",
    multiple: true,
    help: "Override one field, such as log.level=debug; lists are comma-separated. May be repeated.",
  },
};

/** `["log.level=debug"]` → `{ "log.level": "debug" }`. Throws `usage`. */
export function settingFlags(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new SpineError("usage", `--set ${text}: expected FIELD=VALUE`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
