/** `spine rns status|interfaces|announce`: the node on Reticulum networks. Through the daemon when one runs. */
import { setTimeout as sleep } from "node:timers/promises";
import { SpineError, utf8 } from "../../spine/index.ts";
import { fileExists } from "../init.ts";
import { MAX_APP_DATA_BYTES, type RnsAnnounced, type RnsInterface, type RnsStatus } from "../reticulum/service.ts";
import { connectRns, openRns, type RnsPlace, type RnsSession, rnsConfig } from "../reticulum/session.ts";
import type { Verb, VerbContext } from "./verb.ts";

const QUEUE_LINES = 10;

export const RNS_OPTIONS = {
  config: { type: "string", value: "F", help: "Configuration to use when no daemon runs; config.yaml if omitted." },
} as const;

export function placeOf({ dir, env, text }: VerbContext): RnsPlace {
  return { dir, env, configPath: text("config") };
}

/** Of the daemon; without one, what is configured. */
async function currentStatus(context: VerbContext): Promise<RnsStatus> {
  const { dir } = context;
  await using remote = await connectRns(dir);
  if (remote !== undefined) return remote.status();
  const { configuredStatus } = await import("../reticulum/status.ts");
  const { openIdentity } = await import("../reticulum/files.ts");
  const identity = (await fileExists(dir.reticulumKey)) ? (await openIdentity(dir)).hex : null;
  return configuredStatus(await rnsConfig(placeOf(context)), identity);
}

/** 1234567 → "1.23 MB". */
function scaled(value: number, unit: string): string {
  const prefixes = ["", "k", "M", "G", "T"];
  let at = 0;
  let left = value;
  for (; left >= 1000 && at < prefixes.length - 1; at++) left /= 1000;
  return `${at === 0 ? String(left) : left.toPrecision(3)} ${prefixes[at]}${unit}`;
}

function interfaceLines(one: RnsInterface): string[] {
  const error = one.last_error === null ? "" : `  ${one.last_error.code}: ${one.last_error.message}`;
  return [
    `${one.name} (${one.type})  ${one.online ? "up" : "down"}${error}`,
    `  rate ${scaled(one.bitrate, "bit/s")}   peers ${one.peers}   reopened ${one.reconnects}`,
    `  sent ${scaled(one.sent_bytes, "B")} in ${one.sent_packets}   received ${scaled(one.received_bytes, "B")} in ${one.received_packets}   dropped ${one.dropped_frames}`,
  ];
}

function transportLines(transport: RnsStatus["transport"]): string[] {
  if (transport === null) return [];
  const { links, reverse, announces, queued_announces, held_announces, searches, tunnels } = transport;
  return [
    `transport ${links} links, ${reverse} proofs awaited, ${announces} announces, ${queued_announces} queued, ${held_announces} held, ${searches} searches, ${tunnels} tunnels`,
  ];
}

function mailLines(lxmf: RnsStatus["lxmf"]): string[] {
  if (lxmf === null) return [];
  const counted = (counters: Readonly<Record<string, number>>): string =>
    Object.entries(counters)
      .map(([name, count]) => `  ${name} ${count}`)
      .join("");
  const lines = [`lxmf      ${lxmf.address}  queue ${lxmf.queue.length}${counted(lxmf.counters)}`];
  for (const { id, to, method, state, attempts } of lxmf.queue.slice(0, QUEUE_LINES)) {
    lines.push(`          ${id.slice(0, 16)}… to ${to}  ${method} ${state}, attempt ${attempts + 1}`);
  }
  if (lxmf.queue.length > QUEUE_LINES) lines.push(`          and ${lxmf.queue.length - QUEUE_LINES} more`);
  const { propagation } = lxmf;
  if (propagation === null) return lines;
  const { messages, bytes, peers } = propagation;
  lines.push(
    `kept      ${messages} messages, ${scaled(bytes, "B")}, ${peers.length} peers${counted(propagation.counters)}`,
  );
  return lines;
}

function readable(status: RnsStatus): string {
  const drops = Object.entries(status.counters).filter(([name, count]) => name.startsWith("drop_") && count > 0);
  const lines = [
    `identity  ${status.identity ?? "(made at the first start)"}`,
    `plane     ${status.running ? `running for ${status.uptime_seconds} s` : "not running"}`,
    ...status.destinations.map(({ name, hash }) => `reached   ${hash}  ${name}`),
    ...status.interfaces.flatMap((one) =>
      interfaceLines(one).map((text, i) => `${(i ? "" : "interface").padEnd(10)}${text}`),
    ),
    `known     ${status.known_destinations} destinations, ${status.paths} paths, ${status.links} links`,
    ...transportLines(status.transport),
    ...mailLines(status.lxmf),
  ];
  if (drops.length > 0) lines.push(`dropped   ${drops.map(([name, count]) => `${name.slice(5)} ${count}`).join("  ")}`);
  return `${lines.join("\n")}\n`;
}

export const rnsStatus: Verb = {
  usage: "rns status",
  about: "Prints the node's Reticulum identity, destinations, interfaces with their traffic, paths and drops.",
  examples: ["spine rns status", "spine rns status --json"],
  options: RNS_OPTIONS,
  operands: { least: 0, most: 0 },
  async run(context) {
    const status = await currentStatus(context);
    if (context.json) await context.out.line(status);
    else await context.out.write(readable(status));
    return 0;
  },
};

export const rnsInterfaces: Verb = {
  usage: "rns interfaces",
  about: "Prints each Reticulum interface with its traffic and telemetry. Exit code 1 when one is down.",
  examples: ["spine rns interfaces --json"],
  options: RNS_OPTIONS,
  operands: { least: 0, most: 0 },
  async run(context) {
    const { interfaces } = await currentStatus(context);
    for (const one of interfaces) {
      const details = Object.entries(one.details).filter(([, value]) => value !== undefined && value !== null);
      const more = details.map(
        ([name, value]) => `  ${name} ${typeof value === "object" ? JSON.stringify(value) : value}`,
      );
      await context.out.line(context.json ? one : [...interfaceLines(one), ...more].join("\n"));
    }
    return interfaces.every(({ online }) => online) ? 0 : 1;
  },
};

const UP_MS = 15_000;
const POLL_MS = 50;

/** A station just opened has no interface up at once. */
async function announceWhenUp(
  node: RnsSession,
  appData: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<RnsAnnounced> {
  const deadline = performance.now() + UP_MS;
  for (;;) {
    try {
      return await node.announce({ appData });
    } catch (caught) {
      const waits = caught instanceof SpineError && caught.code === "plane_not_started" && performance.now() < deadline;
      if (!waits) throw caught;
      await sleep(POLL_MS, undefined, { signal });
    }
  }
}

export const rnsAnnounce: Verb = {
  usage: "rns announce [--app-data TEXT]",
  about:
    "Announces the node's destinations on every Reticulum interface that is up.\n" +
    "Without a daemon the configured interfaces are opened for it; the destinations are reachable only while a daemon runs.",
  examples: ["spine rns announce", "spine rns announce --app-data 'gateway north'"],
  options: { ...RNS_OPTIONS, "app-data": { type: "string", value: "TEXT", help: "What the announce carries." } },
  operands: { least: 0, most: 0 },
  async run(context) {
    const text = context.text("app-data");
    const appData = text === undefined ? undefined : utf8(text);
    if ((appData?.length ?? 0) > MAX_APP_DATA_BYTES) {
      throw new SpineError("payload_size", `--app-data of ${appData?.length} bytes, limit ${MAX_APP_DATA_BYTES}`);
    }
    await using node = await openRns(placeOf(context), context.note);
    const { announced, interfaces } = await announceWhenUp(node, appData, context.signal);
    if (context.json) await context.out.line({ announced, interfaces });
    else
      for (const { name, hash } of announced)
        await context.out.line(`announced ${hash}  ${name}  on ${interfaces.join(", ")}`);
    return 0;
  },
};
