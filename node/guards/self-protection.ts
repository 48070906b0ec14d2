/**
 * The guards' own files (design/rules.md rule 13): keys, policy, store, socket and the harnesses' hook settings are out of
 * reach under every policy, with no exception and no switch.
 */
import { pathMatcher } from "./forbidden-path.ts";
import type { Guard } from "./guard.ts";
import { allow, deny } from "./verdict.ts";

const NAME = "self_protection";

/** Settings files in which harnesses keep the hooks that ask us. */
export const HOOK_SETTINGS: readonly string[] = [
  "**/.claude/settings.json",
  "**/.claude/settings.local.json",
  "**/.claude/hooks/**",
  "/etc/claude-code/**",
  "**/Library/Application Support/ClaudeCode/**",
  "**/.codex/config.toml",
  "**/.codex/hooks.json",
  "**/.codex/hooks/**",
  "/etc/codex/**",
  "**/.cursor/hooks.json",
  "**/.cursor/hooks/**",
  "/etc/cursor/hooks.json",
  "**/.gemini/settings.json",
];

/** `paths` are globs of the node's own directory, policy files, key files and socket. */
export function selfProtectionGuard(paths: readonly string[]): Guard {
  const matcher = pathMatcher([
    ...HOOK_SETTINGS,
    "**/.spine/**",
    "/etc/spine/**",
    "/var/lib/spine/**",
    "/run/spine/**",
    ...paths,
  ]);
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "file_access" && action.type !== "file_write" && action.type !== "patch") return undefined;
      const hit = matcher(context.forms(action.path).all);
      if (hit === undefined) return allow(NAME);
      return deny(NAME, "critical", `Path belongs to the guards themselves: ${action.path}`, "self_protection", {
        path: action.path,
        pattern: hit,
      });
    },
  };
}
