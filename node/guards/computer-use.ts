/** Remote control of a desktop (spec/guards.md section 2.10): which `remote.*` and `input.*` kinds are listed at all. */
import type { Guard } from "./guard.ts";
import type { ComputerUsePolicy } from "./policy/effective.ts";
import { allow, deny, warn } from "./verdict.ts";

const NAME = "computer_use";

export function computerUseGuard(policy: ComputerUsePolicy): Guard {
  return {
    name: NAME,
    check: (action) => {
      if (action.type !== "custom" || !/^(?:remote|input)\./.test(action.kind)) return undefined;
      const details = { action: action.kind, mode: policy.mode };
      if (policy.mode === "observe") return warn(NAME, `Observed ${action.kind}`, "observed", details);
      if (policy.allowed_actions.includes(action.kind)) return allow(NAME, details);
      const message = `${action.kind} is not an allowed action`;
      if (policy.mode === "fail_closed") return deny(NAME, "error", message, "not_allowlisted", details);
      return warn(NAME, message, "not_allowlisted", details);
    },
  };
}
