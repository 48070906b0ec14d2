/**
 * What a scenario says about itself must fit together: selections name nodes that exist, events networks that exist,
 * moments lie within the run. Called once the shape is right; every problem has its path.
 */
import type { Network, ScenarioFile, Select } from "../scenario-file.ts";
import { MAX_NODES, SELECTION } from "./schema.ts";
import { durationText, join, type Problem } from "./shape.ts";

type Add = (path: string, message: string) => void;

class Names {
  readonly #groups = new Map<string, number>();
  /** From when on a clone can be spoken of. */
  readonly #clonedAtMs = new Map<string, number>();
  readonly #networks: ReadonlyMap<string, Network>;
  readonly #add: Add;
  constructor(file: ScenarioFile, add: Add) {
    this.#add = add;
    for (const { name, count } of file.nodes) this.#groups.set(name, count);
    for (const event of file.timeline) {
      if (event.type !== "clone") continue;
      this.#groups.set(event.name, 1);
      this.#clonedAtMs.set(event.name, event.atMs);
    }
    this.#networks = new Map(file.networks.map((network) => [network.name, network]));
  }

  /** `atMs` is when it is looked at; a clone is no node before it is made. */
  select(path: string, select: Select, single = false, atMs = 0): void {
    const list = typeof select === "string" ? [select] : select;
    list.forEach((one, i) => {
      const at = typeof select === "string" ? path : `${path}[${i}]`;
      const match = SELECTION.exec(one);
      if (match === null || one === "*") {
        if (single) this.#add(at, `expected one node, not ${one}`);
        return;
      }
      const [, group = "", from, to] = match;
      const count = this.#groups.get(group);
      if (count === undefined) {
        this.#add(at, `no group ${group}; there are ${[...this.#groups.keys()].join(", ")}`);
        return;
      }
      if (atMs < (this.#clonedAtMs.get(group) ?? 0)) {
        this.#add(at, `${group} is cloned later`);
        return;
      }
      if (count === 1 && from !== undefined && group !== one) {
        this.#add(at, `${group} is one node: it is called ${group}`);
        return;
      }
      const [first, last] = [Number(from ?? 1), Number(to ?? from ?? count)];
      if (first < 1 || last > count || first > last) this.#add(at, `${group} has nodes 1 to ${count}`);
      else if (single && first !== last) this.#add(at, `${one} is more than one node`);
    });
  }
  /** The single nodes of a selection whose names are right. */
  nodes(select: Select): string[] {
    const all = (group: string, from: number, to: number): string[] =>
      this.#groups.get(group) === 1
        ? [group]
        : Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => `${group}-${from + i}`);
    return (typeof select === "string" ? [select] : select).flatMap((one) => {
      if (one === "*") return [...this.#groups].flatMap(([group, count]) => all(group, 1, count));
      const [, group = "", from, to] = SELECTION.exec(one) ?? [];
      return all(group, Number(from ?? 1), Number(to ?? from ?? this.#groups.get(group) ?? 0));
    });
  }
  network(path: string, name: string | null): Network | undefined {
    const found = name === null ? undefined : this.#networks.get(name);
    if (name !== null && found === undefined)
      this.#add(path, `no network ${name}; there are ${[...this.#networks.keys()].join(", ") || "none"}`);
    return found;
  }
}

function unique(names: readonly string[], path: string, add: Add): void {
  names.forEach((name, i) => {
    if (names.indexOf(name) !== i) add(`${path}[${i}].name`, `${name} is there already`);
  });
}

export function checkNames(file: ScenarioFile): readonly Problem[] {
  const problems: Problem[] = [];
  const add: Add = (path, message) => problems.push({ path, message });
  const names = new Names(file, add);
  unique(
    file.nodes.map(({ name }) => name),
    "nodes",
    add,
  );
  unique(
    file.networks.map(({ name }) => name),
    "networks",
    add,
  );
  const total = file.nodes.reduce((sum, { count }) => sum + count, 0);
  if (total > MAX_NODES) add("nodes", `${total} nodes; ${MAX_NODES} at most`);
  file.nodes.forEach((group, i) => {
    names.select(`nodes[${i}].admits`, group.admits);
    names.select(`nodes[${i}].revokers`, group.revokers);
    names.select(`nodes[${i}].follows`, group.follows);
    if (group.joinsAtMs > file.durationMs) add(`nodes[${i}].joinsAt`, "after the end of the run");
  });
  file.networks.forEach((network, i) => {
    const at = `networks[${i}]`;
    names.select(`${at}.members`, network.members);
    for (const [path, links] of linksOf(network))
      for (const [j, pair] of links.entries())
        for (const k of [0, 1] as const) names.select(`${at}.${path}[${j}][${k}]`, pair[k], true);
    if (network.type === "radio") names.select(`${at}.transport`, network.transport);
    if (network.type === "radio" && network.mailAt !== null) {
      names.select(`${at}.mailAt`, network.mailAt, true);
      if (!names.nodes(network.members).includes(network.mailAt)) add(`${at}.mailAt`, "not a member of the network");
    }
  });
  file.load.forEach((load, i) => {
    names.select(`load[${i}].by`, load.by);
    if (load.untilMs < load.fromMs) add(`load[${i}].until`, `before from, ${durationText(load.fromMs)}`);
  });
  for (const [i, event] of file.timeline.entries()) checkEvent(event, `timeline[${i}]`, file, names, add);
  checkBackups(file, names, add);
  for (const [i, expected] of file.expect.entries()) checkExpectation(expected, `expect[${i}]`, file, names, add);
  return problems;
}

type Links = readonly (readonly [string, string])[];

/** Lists of pairs in a network, by their path. */
function linksOf(network: Network): readonly (readonly [string, Links])[] {
  const found: [string, Links][] = [];
  const topology = network.type === "stream" ? network.topology : network.type === "radio" ? network.peers : null;
  if (topology?.type === "links")
    found.push([network.type === "stream" ? "topology.links" : "peers.links", topology.links]);
  if (network.type === "radio" && network.pathLoss.type === "links")
    found.push(["pathLoss.links", network.pathLoss.links]);
  return found;
}

type Event = ScenarioFile["timeline"][number];

function checkEvent(event: Event, path: string, file: ScenarioFile, names: Names, add: Add): void {
  const at = (field: string): string => join(path, field);
  if (event.atMs > file.durationMs) add(at("at"), `after the end of the run, ${durationText(file.durationMs)}`);
  switch (event.type) {
    case "partition":
      for (const [i, set] of event.sets.entries()) names.select(`${path}.sets[${i}]`, set, false, event.atMs);
      names.network(at("network"), event.network);
      return;
    case "heal":
      names.network(at("network"), event.network);
      return;
    case "network-down":
    case "network-up":
      names.network(at("network"), event.network);
      names.select(at("nodes"), event.nodes, false, event.atMs);
      return;
    case "clone":
      names.select(at("of"), event.of, true, event.atMs);
      names.select(at("peers"), event.peers, false, event.atMs);
      if (file.nodes.some(({ name }) => name === event.name)) add(at("name"), `${event.name} is there already`);
      if (names.network(at("network"), event.network)?.type === "broker") add(at("network"), "a broker has no links");
      return;
    case "publish":
      names.select(at("by"), event.by, false, event.atMs);
      return;
    case "revoke":
      names.select(at("by"), event.by, true, event.atMs);
      names.select(at("target"), event.target, true, event.atMs);
      return;
    case "courier":
      names.select(at("from"), event.from, true, event.atMs);
      names.select(at("to"), event.to, true, event.atMs);
      return;
    case "attack":
      names.select(at("by"), event.by, true, event.atMs);
      if (event.attack.type === "fork")
        for (const [i, { to }] of event.attack.branches.entries())
          names.select(`${path}.attack.branches[${i}].to`, to, false, event.atMs);
      if (event.attack.type === "split-view")
        for (const side of ["left", "right"] as const)
          names.select(`${path}.attack.${side}`, event.attack[side], false, event.atMs);
      return;
    default:
      names.select(at("nodes"), event.nodes, false, event.atMs);
  }
}

/** What is restored was backed up before. */
function checkBackups({ timeline }: ScenarioFile, names: Names, add: Add): void {
  const since = new Map<string, number>();
  for (const event of timeline)
    if (event.type === "backup")
      for (const node of names.nodes(event.nodes)) since.set(node, Math.min(event.atMs, since.get(node) ?? event.atMs));
  for (const [i, event] of timeline.entries()) {
    if (event.type !== "restore") continue;
    const without = names
      .nodes(event.nodes)
      .find((node) => !((since.get(node) ?? Number.POSITIVE_INFINITY) < event.atMs));
    if (without !== undefined) add(`timeline[${i}].nodes`, `${without} has no backup by then`);
  }
}

type Expected = ScenarioFile["expect"][number];

function checkExpectation(expected: Expected, path: string, file: ScenarioFile, names: Names, add: Add): void {
  if (expected.afterMs + expected.withinMs > file.durationMs)
    add(join(path, "within"), `ends after the run, ${durationText(file.durationMs)}`);
  if ("nodes" in expected) names.select(join(path, "nodes"), expected.nodes, false, expected.afterMs);
  if ("issuers" in expected) names.select(join(path, "issuers"), expected.issuers, false, expected.afterMs);
  for (const field of ["target", "issuer", "log"] as const) {
    const named = (expected as Partial<Record<typeof field, string>>)[field];
    if (named !== undefined) names.select(join(path, field), named, true, expected.afterMs);
  }
  if (expected.type === "airtime-within" && names.network(join(path, "network"), expected.network)?.type !== "radio")
    add(join(path, "network"), "only a radio network has airtime");
}
