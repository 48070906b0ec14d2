/** How the composition root joins the guards to configuration and metrics. */
import { isAbsolute, join } from "node:path";
import { SpineError } from "../../../spine/index.ts";
import type { AgentSocket } from "../../api/server.ts";
import type { Config } from "../../config.ts";
import type { NodeDir } from "../../dir.ts";
import type { Metrics } from "../../metrics.ts";
import type { GuardHost } from "./guard-host.ts";

/** The sockets of `guard.agents`, absolute. Throws `config_invalid` when a name or socket is used twice. */
export function agentSockets(dir: NodeDir, { guard }: Config): AgentSocket[] {
  const sockets = guard.agents.map(({ name, socket, uid }) => ({
    name,
    socket: isAbsolute(socket) ? socket : join(dir.path, socket),
    ...(uid !== undefined && { uid }),
  }));
  for (const field of ["name", "socket"] as const)
    if (new Set(sockets.map((one) => one[field])).size < sockets.length)
      throw new SpineError("config_invalid", `guard.agents: two entries have the same ${field}`);
  return sockets;
}

export function observeGuard(metrics: Metrics, host: GuardHost): void {
  const counter = (name: string, help: string, read: () => number): void =>
    metrics.observe("counter", `guard_${name}_total`, help, read);
  counter("allowed", "Decisions that allowed.", () => host.service.counters.allowed);
  counter("warned", "Decisions that allowed with a warning.", () => host.service.counters.warned);
  counter("denied", "Decisions that denied.", () => host.service.counters.denied);
  counter("unrecorded", "Denied because the answer could not be recorded.", () => host.service.counters.unrecorded);
  counter("overloaded", "Denied because too much was asked at once.", () => host.service.counters.overloaded);
  counter("unusable", "Requests that could not be judged.", () => host.status().unusable);
  metrics.observe("gauge", "guard_enforcing", "1 when denials are enforced.", () =>
    host.service.mode === "enforce" ? 1 : 0,
  );
  metrics.observe("gauge", "guard_policy_active", "1 when the newest policy is in force.", () =>
    host.status().policy_state === "active" ? 1 : 0,
  );
}
