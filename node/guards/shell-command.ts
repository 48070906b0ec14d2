/**
 * Shell commands (spec/guards.md section 2.10 and 8 C): forbidden patterns, then everything the parsed line would do is
 * put before the other guards. In the upstream rule book: patterns and path-like words only.
 */
import type { Action } from "./action.ts";
import { pathMatcher } from "./forbidden-path.ts";
import type { Guard, GuardContext } from "./guard.ts";
import { normalisePath } from "./path-forms.ts";
import type { ForbiddenPathPolicy, ShellCommandPolicy } from "./policy/effective.ts";
import { compilePathGlob } from "./policy/path-glob.ts";
import { analyseShell, type ShellEffect } from "./shell/analyse.ts";
import { upstreamCandidates } from "./shell/upstream-words.ts";
import { mayMatch } from "./shell/wildcard.ts";
import { compileRegex } from "./text/regex.ts";
import { allow, decisive, deny, type GuardResult, verdictOf, warn } from "./verdict.ts";

const NAME = "shell_command";

export function shellCommandGuard(policy: ShellCommandPolicy, paths: ForbiddenPathPolicy): Guard {
  const patterns = policy.forbidden_patterns.map((source) => compileRegex(source));
  const forbidden = pathMatcher(paths.patterns);
  const exceptions = paths.exceptions.map(compilePathGlob);
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "shell") return undefined;
      const hit = patterns.find((regex) => regex.test(action.command));
      if (hit !== undefined) {
        return deny(NAME, "critical", "Command matches a forbidden pattern", "forbidden_pattern", {
          pattern: hit.source,
        });
      }
      if (context.dialect === "spine") return careful(action.command, policy, paths, context);
      if (!policy.enforce_forbidden_paths) return allow(NAME);
      for (const word of upstreamCandidates(action.command)) {
        const path = normalisePath(word);
        if (!exceptions.some((glob) => glob.matches(path)) && forbidden([path]) !== undefined) {
          return deny(NAME, "critical", "Command touches a forbidden path", "forbidden_path", { path: word });
        }
      }
      return allow(NAME);
    },
  };
}

function careful(
  command: string,
  policy: ShellCommandPolicy,
  paths: ForbiddenPathPolicy,
  context: GuardContext,
): GuardResult {
  const analysis = analyseShell(command, { cwd: context.cwd, home: context.home });
  const details = { programs: [...new Set(analysis.programs)].slice(0, 16), effects: analysis.effects.length };
  const results: GuardResult[] = [allow(NAME, details)];
  for (const finding of analysis.findings) {
    results.push(
      finding.level === "deny"
        ? deny(NAME, "critical", finding.message, finding.reason, details)
        : { ...warn(NAME, finding.message, finding.reason, details), ask: true },
    );
  }
  for (const effect of analysis.effects) {
    const spoken = judgeEffect(effect, policy, paths, context);
    if (spoken !== undefined) results.push(spoken);
  }
  return decisive(results) as GuardResult;
}

/** The decisive word of the other guards on one effect, under this guard's name; undefined when they allow. */
function judgeEffect(
  effect: ShellEffect,
  policy: ShellCommandPolicy,
  paths: ForbiddenPathPolicy,
  context: GuardContext,
): GuardResult | undefined {
  const { action } = effect;
  const isFile = action.type === "file_access" || action.type === "file_write";
  if (isFile && !policy.enforce_forbidden_paths) return undefined;
  const results = context
    .judge(action, effect.cwd)
    // A bare word is a file only perhaps: that it is not listed says nothing, and a word too odd for a path is none.
    .filter(
      (result) =>
        !(effect.doubtful && (result.guard === "path_allowlist" || result.reason !== "matches_forbidden_pattern")),
    );
  const worst = decisive(results);
  if (worst !== undefined && verdictOf(worst) !== "allow") {
    return { ...worst, guard: NAME, details: { ...worst.details, via: worst.guard, effect: action.type } };
  }
  if (isFile && effect.glob) return judgeWildcard(action, effect, paths, context);
  return undefined;
}

/** A wildcard may reach a forbidden file that the word itself does not name. */
function judgeWildcard(
  action: Action & { readonly path: string },
  effect: ShellEffect,
  paths: ForbiddenPathPolicy,
  context: GuardContext,
): GuardResult | undefined {
  const path = context.forms(action.path, effect.cwd).resolved;
  const last = path.split("/").at(-1) as string;
  const ends = (pattern: string): boolean => !/[*?[]/.test(last) && pattern.endsWith(`/${last}`);
  const reaches = (pattern: string): boolean => mayMatch(path, pattern);
  // The cheap test first: a search over both texts is not.
  const hit = paths.patterns.find((pattern) => ends(pattern) && reaches(pattern)) ?? paths.patterns.find(reaches);
  if (hit === undefined) return undefined;
  const details = { path: action.path, pattern: hit, via: "forbidden_path" };
  const wild = path.split("/").filter((segment) => /[*?[]/.test(segment));
  // A wildcard that spells out a dot or most of a name aims at it; a bare `*` happens to reach it; `*.ts` does neither.
  // And so does a `?` in a name that is else written out, or the written-out name of a forbidden file below a wildcard.
  const aims = (segment: string): boolean =>
    segment.startsWith(".") ||
    /[A-Za-z_]{3,}[*?[]/.test(segment) ||
    (!segment.includes("*") && segment.replace(/\[[^\]]*\]|\?/g, "").length >= 3);
  if (ends(hit) || wild.some(aims)) {
    const message = "A wildcard of the command reaches a forbidden path";
    return deny(NAME, "critical", message, "wildcard_reaches_forbidden_path", details);
  }
  if (effect.search === true || !wild.every((segment) => /^[*?]+$/.test(segment))) return undefined;
  return warn(
    NAME,
    "A wildcard of the command may reach a forbidden path",
    "wildcard_may_reach_forbidden_path",
    details,
  );
}
