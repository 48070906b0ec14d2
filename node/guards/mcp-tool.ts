/** MCP tool calls (spec/guards.md section 2.7): size, block list, confirmation, allow list, default, in that order. */
import type { Guard } from "./guard.ts";
import type { McpToolPolicy } from "./policy/effective.ts";
import { toolNames } from "./tool-names.ts";
import { allow, deny, type GuardResult, warn } from "./verdict.ts";

const NAME = "mcp_tool";

export function mcpToolGuard(policy: McpToolPolicy): Guard {
  const folded = (list: readonly string[]): readonly string[] => list.map((name) => name.toLowerCase());
  const block = folded(policy.block);
  const confirm = folded(policy.require_confirmation);
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "mcp_tool") return undefined;
      const { name: tool } = action;
      const bytes = Buffer.byteLength(JSON.stringify(action.args));
      if (bytes > policy.max_args_size) {
        return refuse(tool, "args_too_large", `Arguments of ${bytes} bytes exceed ${policy.max_args_size}`);
      }
      // Prohibitions meet every name the tool may be meant by; permissions only the exact one.
      const wide = context.dialect === "spine";
      const names = wide ? toolNames(tool) : [tool];
      const among = (exact: readonly string[], lower: readonly string[]): boolean =>
        wide ? names.some((name) => lower.includes(name)) || exact.includes(tool) : exact.includes(tool);
      if (among(policy.block, block)) return refuse(tool, "blocked_by_policy", `Tool ${tool} is blocked by policy`);
      if (among(policy.require_confirmation, confirm)) return confirmation(tool, context.dialect === "main", wide);
      if (policy.allow.includes(tool)) return allow(NAME, { tool });
      if (policy.allow.length > 0) return refuse(tool, "not_allowlisted", `Tool ${tool} is not on the allow-list`);
      if (policy.default_action === "block") return refuse(tool, "blocked_by_default", `Tool ${tool} is not listed`);
      if (policy.warn_unlisted) return warn(NAME, `Tool ${tool} is not listed by the policy`, "not_listed", { tool });
      return allow(NAME, { tool });
    },
  };
}

function refuse(tool: string, reason: string, message: string): GuardResult {
  return deny(NAME, "error", message, reason, { tool, reason });
}

function confirmation(tool: string, mustBlock: boolean, ask: boolean): GuardResult {
  const message = `Tool ${tool} needs confirmation`;
  const details = { tool, requires_confirmation: true };
  if (mustBlock) return deny(NAME, "error", message, "approval_required", details);
  return { ...warn(NAME, message, "requires_confirmation", details), ...(ask && { ask: true }) };
}
