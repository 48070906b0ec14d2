/**
 * A real mesh as a scenario: from what `spine status --json` and `spine peers export` of several nodes say, their planes,
 * links, admissions and logs. What no file tells (delays, places, rates) is a default to be edited.
 */
import { cardIssuer, PEERBOOK_SCHEMA } from "../../node/index.ts";
import { type Issuer, SpineError } from "../../spine/index.ts";
import type { LinkShape, Network, NodeGroup, ScenarioFile } from "../scenario-file.ts";
import { readScenarioValue, scenarioValue } from "./scenario-text.ts";

/** One file: its name for messages, and its text. */
export interface MeshText {
  readonly path: string;
  readonly text: string;
}

interface Link {
  readonly plane: string;
  readonly address: string;
  readonly issuer: Issuer | null;
}
interface Member {
  readonly path: string;
  readonly issuer: Issuer;
  readonly name: string;
  readonly planes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly links: readonly Link[];
  readonly admits: readonly Issuer[];
  readonly keepsLog: boolean;
  readonly open: boolean;
  /** Envelopes a second since it started; null when it does not run. */
  readonly rate: number | null;
  /** Of its peerbook. */
  readonly peers: string[];
}

const RING_M = 1_000;
const MAX_FILES_TEXT = 16_777_216;
const LAN: LinkShape = { latencyMs: 1, jitterMs: 1, loss: 0, bitrate: 1e9 };
const INTERNET: LinkShape = { latencyMs: 40, jitterMs: 20, loss: 0.01, bitrate: 50e6 };
const DURATION_MS = 600_000;
const LEAST_EVERY_MS = 1_000;
const MOST_EVERY_MS = 300_000;

type Json = Readonly<Record<string, unknown>>;

function refuse(path: string, message: string): never {
  throw new SpineError("scenario_invalid", `${path}: ${message}`);
}
function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(record) : [];
}
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function parseJson({ path, text }: MeshText): Json {
  if (text.length > MAX_FILES_TEXT) refuse(path, "too long");
  try {
    return record(JSON.parse(text));
  } catch {
    return refuse(path, "not JSON; expected what `spine status --json` or `spine peers export` printed");
  }
}

function readMember(path: string, status: Json): Member {
  const issuer = textOf(status["issuer"]);
  if (!/^aegis:ed25519:[0-9a-f]{64}$/.test(issuer) || !Array.isArray(status["planes"]))
    refuse(
      path,
      "neither `spine status --json` nor `spine peers export` (fields issuer and planes, or schema and peers)",
    );
  const issuers = listOf(record(status["issuers"])["issuers"]);
  const [seq, uptime] = [Number(record(status["head"])["seq"] ?? 0), Number(status["uptime_seconds"] ?? 0)];
  return {
    path,
    issuer,
    name: textOf(status["name"]),
    planes: listOf(status["planes"]).map((plane) => ({
      name: textOf(plane["name"]),
      addresses: textsOf(plane["addresses"]),
    })),
    links: listOf(status["links"]).map((link) => ({
      plane: textOf(link["plane"]),
      address: textOf(link["address"]),
      issuer: typeof link["issuer"] === "string" ? link["issuer"] : null,
    })),
    admits: issuers.filter((one) => one["admitted"] === true).map((one) => textOf(one["issuer"])),
    keepsLog: issuers.some((one) => one["admission"] === "log"),
    open: textsOf(status["warnings"]).some((warning) => /lab mode/i.test(warning)),
    rate: status["running"] === true && uptime >= 60 && seq > 0 ? seq / uptime : null,
    peers: [],
  };
}

/** A peers file belongs to the status file before it. */
function readMembers(texts: readonly MeshText[]): Member[] {
  const members: Member[] = [];
  for (const one of texts) {
    const json = parseJson(one);
    if (json["schema"] === PEERBOOK_SCHEMA) {
      const owner = members.at(-1);
      if (owner === undefined) return refuse(one.path, "a peers file comes after the status file of its node");
      owner.peers.push(...textsOf(json["peers"]));
      continue;
    }
    const member = readMember(one.path, json);
    const twin = members.find(({ issuer }) => issuer === member.issuer);
    if (twin !== undefined) refuse(one.path, `the same node as ${twin.path}`);
    members.push(member);
  }
  if (members.length === 0) throw new SpineError("usage", "no status file given");
  return members;
}

/** Names for groups: the node's own where it can be one, no two alike. */
function groupNames(members: readonly Member[]): Map<Issuer, string> {
  const names = new Map<Issuer, string>();
  const taken = new Set<string>();
  for (const { issuer, name } of members) {
    const base =
      name
        .replace(/[^A-Za-z0-9_]+/g, "_")
        .replace(/^[^A-Za-z]+/, "")
        .slice(0, 40) || "node";
    let unique = base;
    for (let i = 2; taken.has(unique.toLowerCase()); i++) unique = `${base}_${i}`;
    taken.add(unique.toLowerCase());
    names.set(issuer, unique);
  }
  return names;
}

function isPrivate(address: string): boolean {
  return /^\/ip4\/(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.)|^\/ip6\/(::1\/|f[cd]|fe80)/i.test(
    address,
  );
}

function planeKind(plane: string): "libp2p" | "wireguard" | "nats" | "radio" {
  if (plane.startsWith("nats")) return "nats";
  if (plane.startsWith("reticulum")) return "radio";
  return plane.startsWith("wireguard") ? "wireguard" : "libp2p";
}

/** Who an address leads to: by the libp2p peer id, the card's issuer, the destination, or the very text. */
function issuerAt(address: string, members: readonly Member[]): Issuer | undefined {
  const card = cardIssuer(address);
  if (card !== undefined) return card;
  const peerId = /\/p2p\/([^/]+)$/.exec(address)?.[1];
  return members.find(({ planes }) =>
    planes.some(({ addresses }) =>
      addresses.some((one) => one === address || (peerId !== undefined && one.endsWith(`/p2p/${peerId}`))),
    ),
  )?.issuer;
}

interface Edges {
  readonly plane: ReturnType<typeof planeKind>;
  readonly isLan: boolean;
  readonly pairs: Map<string, readonly [Issuer, Issuer]>;
}

/** Links that are up, and those a peerbook asks for, of every plane; each pair once. */
function edgesOf(members: readonly Member[]): Edges[] {
  const all = new Map<string, Edges>();
  const add = (plane: Edges["plane"], address: string, a: Issuer, b: Issuer | null | undefined): void => {
    if (b === null || b === undefined || a === b) return;
    const isLan = plane === "libp2p" && isPrivate(address);
    const pair: readonly [Issuer, Issuer] = a < b ? [a, b] : [b, a];
    const key = pair.join();
    // Each end has its own view of one link: the first that is seen stands.
    for (const other of all.values()) if (other.plane === plane && other.pairs.has(key)) return;
    const edges = all.get(`${plane} ${isLan}`) ?? { plane, isLan, pairs: new Map() };
    edges.pairs.set(key, pair);
    all.set(`${plane} ${isLan}`, edges);
  };
  for (const { issuer, links } of members)
    for (const link of links) add(planeKind(link.plane), link.address, issuer, link.issuer);
  for (const { issuer, peers } of members)
    for (const address of peers) {
      const plane = /^(spine-peer:|aegis:)/.test(address)
        ? "wireguard"
        : address.startsWith("rns:")
          ? "radio"
          : "libp2p";
      add(plane, address, issuer, issuerAt(address, members));
    }
  return [...all.values()];
}

function networksOf(
  members: readonly Member[],
  edges: readonly Edges[],
  names: ReadonlyMap<Issuer, string>,
): Network[] {
  const nameOf = (issuer: Issuer): string => names.get(issuer) as string;
  const networks: Network[] = [];
  for (const { plane, isLan, pairs } of edges) {
    const links = [...pairs.values()].map(([a, b]) => [nameOf(a), nameOf(b)] as const);
    const ends = [...new Set(links.flat())];
    if (plane === "libp2p" || plane === "wireguard")
      networks.push({
        type: "stream",
        name: plane === "wireguard" ? "enclave" : isLan ? "lan" : "internet",
        plane,
        members: ends,
        topology: { type: "links", links },
        shape: isLan ? LAN : INTERNET,
        duplicates: 0,
      });
    else if (plane === "radio")
      networks.push({
        type: "radio",
        name: "radio",
        members: ends,
        transport: "*",
        mailAt: null,
        peers: { type: "links", links },
        frequencyHz: 869_525_000,
        bandwidthHz: 125_000,
        spreadingFactor: 8,
        codingRate: 5,
        txPowerDbm: 14,
        duty: 0.1,
        pathLoss: { type: "links", links, lossDb: 120 },
        loss: 0,
      });
  }
  const onNats = members.filter(({ planes }) => planes.some(({ name }) => planeKind(name) === "nats"));
  if (onNats.length > 1) {
    const ends = onNats.map(({ issuer }) => nameOf(issuer));
    networks.push({ type: "broker", name: "nats", members: ends, shape: LAN, streams: true });
  }
  return networks;
}

export interface MeshImport {
  readonly file: ScenarioFile;
  /** What an operator should know or decide, one sentence each. */
  readonly remarks: readonly string[];
}

/** Throws `scenario_invalid` for a file that is neither, `usage` without a status file. */
export function importMesh(texts: readonly MeshText[], name: string): MeshImport {
  const members = readMembers(texts);
  const remarks: string[] = [];
  const known = new Set(members.map(({ issuer }) => issuer));
  const strangers = [...new Set(edgesOf(members).flatMap(({ pairs }) => [...pairs.values()].flat()))].filter(
    (issuer) => !known.has(issuer),
  );
  const silent = strangers.map(
    (issuer): Member => ({
      path: "",
      issuer,
      name: `peer_${issuer.slice(-64, -56)}`,
      planes: [],
      links: [],
      admits: [],
      keepsLog: false,
      open: false,
      rate: null,
      peers: [],
    }),
  );
  if (silent.length > 0)
    remarks.push(
      `${silent.length} nodes are known from links alone; give their status files for their own links and admissions.`,
    );
  const everybody = [...members, ...silent];
  const names = groupNames(everybody);
  const nodes = everybody.map((member, i): NodeGroup => {
    const angle = (2 * Math.PI * i) / everybody.length;
    const admits = member.admits.flatMap((issuer) => (issuer === member.issuer ? [] : (names.get(issuer) ?? [])));
    const admitsAll = !known.has(member.issuer) || admits.length === everybody.length - 1;
    return {
      name: names.get(member.issuer) as string,
      count: 1,
      joinsAtMs: 0,
      diskMs: 2,
      open: member.open,
      admits: admitsAll ? "*" : admits,
      revokers: [],
      follows: [],
      keepsLog: member.keepsLog,
      discloses: new Set(member.planes.map((plane) => planeKind(plane.name))).size > 1,
      clockSkewMs: 0,
      place: {
        type: "point",
        at: { x: Math.round(RING_M * Math.sin(angle)), y: Math.round(RING_M * Math.cos(angle)) },
      },
    };
  });
  const networks = networksOf(everybody, edgesOf(members), names);
  const joined = new Set(networks.flatMap(({ members: ends }) => ends));
  const apart = nodes.filter((group) => !joined.has(group.name)).map((group) => group.name);
  if (apart.length > 0) remarks.push(`No link is known of ${apart.join(", ")}: add it to a network.`);
  if (members.some(({ rate }) => rate === null))
    remarks.push("Some nodes do not run or started lately: one fact a minute is assumed of them.");
  remarks.push("Delays, losses, bitrates and places are not in these files: they are defaults, edit them.");
  const load = everybody.map(({ issuer, rate }) => ({
    by: names.get(issuer) as string,
    fact: "heartbeat" as const,
    fromMs: 0,
    untilMs: DURATION_MS / 2,
    everyMs:
      rate === null
        ? 60_000
        : Math.round(Math.min(MOST_EVERY_MS, Math.max(LEAST_EVERY_MS, 1_000 / rate)) / 1_000) * 1_000,
    spread: true,
    batch: 1,
    times: 0,
    padBytes: 0,
  }));
  const summary = `A real mesh of ${everybody.length} nodes, from their own status.`;
  const file: ScenarioFile = {
    name,
    summary,
    durationMs: DURATION_MS,
    stopEarly: false,
    nodes,
    networks,
    load,
    timeline: [],
    expect: [],
  };
  return { remarks, file: readScenarioValue(scenarioValue(file), name).file };
}
