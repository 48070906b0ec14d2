/** Takes out of a scenario what its names no longer allow: after a group or a network went, what spoke of it goes too. */
import type { Network, PathLoss, ScenarioFile, Select, TimelineEvent, Topology } from "../scenario-file.ts";
import { SELECTION } from "../text/schema.ts";

class Known {
  readonly #groups = new Map<string, number>();
  readonly #networks: ReadonlySet<string>;
  constructor(file: ScenarioFile) {
    for (const { name, count } of file.nodes) this.#groups.set(name, count);
    for (const event of file.timeline) if (event.type === "clone") this.#groups.set(event.name, 1);
    this.#networks = new Set(file.networks.map(({ name }) => name));
  }
  /** What is left of one selection; null if nothing is. A range loses its end. */
  one(selection: string): string | null {
    const [, group, from, to] = SELECTION.exec(selection) ?? [];
    if (group === undefined) return selection;
    const count = this.#groups.get(group);
    if (count === undefined || Number(from ?? 1) > count) return null;
    if (count === 1) return group;
    return to === undefined || Number(to) <= count ? selection : `${group}-${from}..${count}`;
  }
  select(select: Select): Select {
    if (typeof select === "string") return this.one(select) ?? [];
    return select.flatMap((one) => this.one(one) ?? []);
  }
  has(name: string | null): boolean {
    return name === null || this.#networks.has(name);
  }
}

function isNobody(select: Select): boolean {
  return typeof select !== "string" && select.length === 0;
}

const LISTS = ["nodes", "by", "peers", "issuers", "members"] as const;
const SINGLES = ["of", "target", "from", "to", "issuer", "log"] as const;

/** The same thing about who is left; undefined if nobody is, or a node it is about has gone. */
function pruned<T extends object>(thing: T, known: Known): T | undefined {
  const out = { ...thing } as Record<string, unknown>;
  for (const name of LISTS) {
    const select = out[name] as Select | undefined;
    if (select === undefined) continue;
    out[name] = known.select(select);
    if (isNobody(out[name] as Select) && !isNobody(select)) return undefined;
  }
  for (const name of SINGLES) {
    const value = out[name];
    if (typeof value !== "string") continue;
    const left = known.one(value);
    if (left === null) return undefined;
    out[name] = left;
  }
  return known.has((out["network"] ?? null) as string | null) ? (out as T) : undefined;
}

function prunedEvent(event: TimelineEvent, known: Known): TimelineEvent | undefined {
  const left = pruned(event, known);
  if (left?.type === "partition") {
    const sets = left.sets.map((set) => known.select(set)).filter((set) => !isNobody(set));
    return sets.length === 0 ? undefined : { ...left, sets };
  }
  if (left?.type !== "attack") return left;
  const { attack } = left;
  if (attack.type === "fork") {
    const branches = attack.branches
      .map(({ to, length }) => ({ to: known.select(to), length }))
      .filter(({ to }) => !isNobody(to));
    return branches.length < 2 ? undefined : { ...left, attack: { ...attack, branches } };
  }
  if (attack.type === "split-view")
    return { ...left, attack: { ...attack, left: known.select(attack.left), right: known.select(attack.right) } };
  return left;
}

function prunedNetwork(network: Network, known: Known): Network {
  const linked = <T extends Topology | PathLoss | null>(links: T): T => {
    if (links?.type !== "links") return links;
    const pairs = links.links.map((pair) => pair.map((end) => known.one(end)));
    return { ...links, links: pairs.filter((pair) => !pair.includes(null)) };
  };
  const members = known.select(network.members);
  if (network.type === "stream") return { ...network, members, topology: linked(network.topology) };
  if (network.type === "broker") return { ...network, members };
  const { pathLoss, peers, transport } = network;
  const mailAt = network.mailAt === null ? null : known.one(network.mailAt);
  return {
    ...{ ...network, members, mailAt },
    ...{ transport: known.select(transport), pathLoss: linked(pathLoss), peers: linked(peers) },
  };
}

export function pruneNames(file: ScenarioFile): ScenarioFile {
  const known = new Known(file);
  return {
    ...file,
    nodes: file.nodes.map((group) => ({
      ...group,
      admits: known.select(group.admits),
      revokers: known.select(group.revokers),
      follows: known.select(group.follows),
    })),
    networks: file.networks.map((network) => prunedNetwork(network, known)),
    load: file.load.flatMap((load) => pruned(load, known) ?? []),
    timeline: file.timeline.flatMap((event) => prunedEvent(event, known) ?? []),
    expect: file.expect.flatMap((expected) => pruned(expected, known) ?? []),
  };
}
