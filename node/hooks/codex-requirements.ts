/**
 * Our hooks in Codex's requirements.toml, which an administrator sets for a machine: Codex runs them without asking anybody
 * to trust them, and with its feature `hooks` fixed no session switches them off. A block of our own between two marks.
 */
import { SpineError } from "../../spine/index.ts";

const BEGIN = "# Spine's hooks: changed by `spine guard install|uninstall codex --managed` only.";
const END = "# End of Spine's hooks.";

function block(events: readonly string[], command: string, timeoutSeconds: number): string {
  // In TOML as in JSON, this text has one meaning.
  const hooks = events.map(
    (event) =>
      `[[hooks.${event}]]\n[[hooks.${event}.hooks]]\ntype = "command"\n` +
      `command = ${JSON.stringify(command)}\ntimeout = ${timeoutSeconds}\n`,
  );
  return [BEGIN, "[features]\nhooks = true\n", ...hooks, END, ""].join("\n");
}

/** What others wrote. */
function others(text: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) return text;
  return text.slice(0, from) + text.slice(to + END.length).replace(/^\n/, "");
}

/** Throws `hook_settings` where the file has tables of the same names: TOML knows each only once. */
export function withRequirements(
  text: string | undefined,
  events: readonly string[],
  command: string,
  timeoutSeconds: number,
): string {
  const kept = others(text ?? "");
  if (/^\s*(?:\[+\s*)?["']?(?:features|hooks)["']?\s*[\].=]/m.test(kept))
    throw new SpineError("hook_settings", "requirements.toml has [features] or [hooks] already: add Spine's by hand");
  const gap = kept === "" || kept.endsWith("\n") ? "" : "\n";
  return `${kept}${gap}${block(events, command, timeoutSeconds)}`;
}

export function withoutRequirements(text: string): string {
  return others(text);
}

export function requirementsFaults(
  text: string | undefined,
  events: readonly string[],
  command: string,
  timeoutSeconds: number,
): readonly string[] {
  const whole = text?.includes(block(events, command, timeoutSeconds)) === true;
  return whole ? [] : ["requirements.toml does not ask Spine"];
}
