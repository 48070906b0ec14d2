/** Path allow-list (spec/guards.md section 2.3): file actions outside the listed globs are denied. Off when not in the policy. */
import type { Guard } from "./guard.ts";
import type { PathAllowlistPolicy } from "./policy/effective.ts";
import { compilePathGlob } from "./policy/path-glob.ts";
import { allow, deny } from "./verdict.ts";

const NAME = "path_allowlist";

export function pathAllowlistGuard(policy: PathAllowlistPolicy): Guard {
  const reads = policy.file_access_allow.map(compilePathGlob);
  const writes = policy.file_write_allow.map(compilePathGlob);
  const patches = policy.patch_allow.length > 0 ? policy.patch_allow.map(compilePathGlob) : writes;
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "file_access" && action.type !== "file_write" && action.type !== "patch") return undefined;
      const globs = action.type === "file_access" ? reads : action.type === "file_write" ? writes : patches;
      const forms = context.forms(action.path);
      if (forms.problem === undefined && globs.some((glob) => glob.matches(forms.resolved))) return allow(NAME);
      return deny(NAME, "error", `Path is not on the allow-list: ${action.path}`, "path_not_allowlisted", {
        path: action.path,
        reason: "path_not_allowlisted",
        ...(forms.resolved !== action.path && { resolved: forms.resolved }),
      });
    },
  };
}
