/**
 * What making a failure small must leave alone: a mesh that was never healed, or whose links were taken away, cannot keep
 * what is expected of it, and that would be no failure of its.
 */
import type { ScenarioFile, TimelineEvent } from "../scenario-file.ts";

const REPAIRS: ReadonlySet<TimelineEvent["type"]> = new Set(["heal", "network-up", "restart"]);

function texts(list: readonly object[]): Set<string> {
  return new Set(list.map((one) => JSON.stringify(one)));
}
function includes(all: ReadonlySet<string>, some: ReadonlySet<string>): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}
function repairs({ timeline }: ScenarioFile): Set<string> {
  return texts(timeline.filter(({ type }) => REPAIRS.has(type)));
}
/** Crashes that nothing but a repair ends. */
function finalCrashes({ timeline }: ScenarioFile): Set<string> {
  return texts(timeline.filter((event) => event.type === "crash" && event.restartsAfterMs === null));
}

/** Whether `smaller` may be blamed for an expectation that `file` did not meet. */
export function keepsPromise(file: ScenarioFile, smaller: ScenarioFile): boolean {
  const linked = ({ networks, durationMs }: ScenarioFile): string =>
    JSON.stringify([durationMs, networks.map(({ members: _, ...network }) => network)]);
  const groups = ({ nodes }: ScenarioFile): Set<string> => texts(nodes.map(({ count: _, ...group }) => group));
  return (
    linked(file) === linked(smaller) &&
    includes(texts(file.expect), texts(smaller.expect)) &&
    includes(groups(file), groups(smaller)) &&
    includes(repairs(smaller), repairs(file)) &&
    // A crash may go as a whole; one that is left restarts as before.
    includes(finalCrashes(file), finalCrashes(smaller))
  );
}
