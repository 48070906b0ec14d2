/** Injected keyboard, mouse and touch input (spec/guards.md section 2.10). */
import type { Guard } from "./guard.ts";
import type { InputInjectionPolicy } from "./policy/effective.ts";
import { allow, deny } from "./verdict.ts";

const NAME = "input_injection_capability";

export function inputInjectionGuard(policy: InputInjectionPolicy): Guard {
  return {
    name: NAME,
    check: (action) => {
      if (action.type !== "custom" || action.kind !== "input.inject") return undefined;
      const payload = action.payload;
      const from = (typeof payload === "object" && payload !== null ? payload : {}) as Readonly<
        Record<string, unknown>
      >;
      const type = from["input_type"] ?? from["inputType"];
      if (typeof type !== "string") return deny(NAME, "error", "Input type is missing", "input_type_missing");
      if (!policy.allowed_input_types.includes(type)) {
        return deny(NAME, "error", `Input type ${type.slice(0, 64)} is not allowed`, "input_type_not_allowed");
      }
      const probe = from["postcondition_probe_hash"] ?? from["postconditionProbeHash"];
      if (policy.require_postcondition_probe && (typeof probe !== "string" || probe === "")) {
        return deny(NAME, "error", "Postcondition probe is missing", "probe_missing");
      }
      return allow(NAME, { input_type: type });
    },
  };
}
