/** Forbidden paths (spec/guards.md section 2.2): file reads, writes and patches whose path matches in any of its forms. */
import type { Guard } from "./guard.ts";
import type { ForbiddenPathPolicy } from "./policy/effective.ts";
import { compilePathGlob, type PathGlob } from "./policy/path-glob.ts";
import { allow, deny } from "./verdict.ts";

const NAME = "forbidden_path";

export function forbiddenPathGuard(policy: ForbiddenPathPolicy): Guard {
  const matcher = pathMatcher(policy.patterns);
  const exceptions = policy.exceptions.map(compilePathGlob);
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "file_access" && action.type !== "file_write" && action.type !== "patch") return undefined;
      const forms = context.forms(action.path);
      if (forms.problem !== undefined) {
        return deny(NAME, "critical", `Path refused: ${forms.problem}`, forms.problem, { path: action.path });
      }
      // An exception must name the file that would be opened, not a link to it.
      if (exceptions.some((glob) => glob.matches(forms.resolved))) return allow(NAME);
      const hit = matcher(forms.all);
      if (hit === undefined) return allow(NAME);
      return deny(NAME, "critical", `Access to forbidden path: ${action.path}`, "matches_forbidden_pattern", {
        path: action.path,
        reason: "matches_forbidden_pattern",
        pattern: hit,
        ...(forms.resolved !== action.path && { resolved: forms.resolved }),
      });
    },
  };
}

/** The first of `patterns` that matches any form; also compares in lower case, for volumes that ignore case. */
export function pathMatcher(patterns: readonly string[]): (forms: readonly string[]) => string | undefined {
  const compiled = patterns.flatMap((pattern): readonly { pattern: string; glob: PathGlob }[] => {
    const lower = pattern.toLowerCase();
    const exact = { pattern, glob: compilePathGlob(pattern) };
    return lower === pattern ? [exact] : [exact, { pattern, glob: compilePathGlob(lower) }];
  });
  return (forms) => {
    // Most patterns are ruled out by one search through all forms at once.
    const joined = forms.join("\0");
    const hit = compiled.find(({ glob }) => joined.includes(glob.needle) && forms.some((form) => glob.matches(form)));
    return hit?.pattern;
  };
}
