/** Egress (spec/guards.md section 2.4): block list, then allow list, then the default action, on the canonical host. */
import type { Guard, GuardContext } from "./guard.ts";
import { addressClass, canonicalHost, type Host, splitTarget } from "./host.ts";
import { compileDomainGlob } from "./policy/domain-glob.ts";
import type { EgressPolicy } from "./policy/effective.ts";
import { allow, deny, type GuardResult, warn } from "./verdict.ts";

const NAME = "egress_allowlist";

export function egressAllowlistGuard(policy: EgressPolicy): Guard {
  const blocked = policy.block.map((pattern) => compileDomainGlob(pattern));
  const allowed = policy.allow.map((pattern) => compileDomainGlob(pattern));
  // A block entry written as a number, with a root dot or in another script still means its host.
  const canonicalBlocked = new Set(
    policy.block.flatMap((pattern) => {
      const host = compileDomainGlob(pattern).literal ? canonicalHost(pattern) : "";
      return typeof host === "string" ? [] : [host.host];
    }),
  );
  // Whoever blocks one name of this host means all of them, and the wildcard address that leads to it.
  const loopbackBlocked = [...canonicalBlocked].some((host) => addressClass(host) === "loopback");
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "egress") return undefined;
      const host = hostOf(action.target, action.port, context);
      if (typeof host === "string") {
        return deny(NAME, "error", `Egress target names no host: ${host}`, host, { is_default: false });
      }
      const details = { host: host.host, port: host.port };
      const hit = blocked.find((glob) => glob.matches(host.host));
      if (hit !== undefined || canonicalBlocked.has(host.host)) {
        return refuse(host, "blocked_by_policy", {
          ...details,
          matched_pattern: hit?.pattern ?? host.host,
          is_default: false,
        });
      }
      if (loopbackBlocked && (host.class === "loopback" || host.class === "unspecified")) {
        return refuse(host, "blocked_by_policy", { ...details, is_default: false });
      }
      const entry = allowed.find((glob) => glob.matches(host.host));
      if (host.class === "metadata" || host.class === "local") {
        // Credential services of clouds: a wildcard never means them.
        if (!allowed.some((glob) => glob.literal && glob.matches(host.host))) {
          return refuse(host, "metadata_address", { ...details, is_default: false });
        }
      }
      if (entry !== undefined) return allow(NAME, { ...details, matched_pattern: entry.pattern, is_default: false });
      return byDefault(policy, host, details);
    },
  };
}

function hostOf(target: string, port: number | undefined, context: GuardContext): Host | string {
  if (context.dialect === "spine") return canonicalHost(target, port);
  const split = port === undefined ? splitTarget(target) : { host: target, port };
  return split === undefined ? "invalid_port" : { ...split, class: "name" };
}

function byDefault(policy: EgressPolicy, host: Host, details: Readonly<Record<string, unknown>>): GuardResult {
  const extra = { ...details, is_default: true };
  if (policy.default_action === "allow") return allow(NAME, extra);
  if (policy.default_action === "log") return warn(NAME, `Egress to ${host.host} is not listed`, "not_listed", extra);
  return refuse(host, "not_allowlisted", extra);
}

function refuse(host: Host, reason: string, details: Readonly<Record<string, unknown>>): GuardResult {
  return deny(NAME, "error", `Egress to ${host.host} blocked by policy`, reason, details);
}
