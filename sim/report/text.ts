/** A run as text for a terminal: what came of it, traffic against the bound, and what a broken invariant needs. */
import type { NodeResult, RunResult, TierResult, Violation } from "../result.ts";
import { bytesText, columns, countText, indent, timesText, timeText } from "./format.ts";
import { readableTrace } from "./trace-text.ts";

/** Nodes shown, those that sent most first. */
const MAX_NODES = 10;
const MAX_EXPECTATIONS = 40;

/** What travels in each tier (spine/fact.ts, spine/schedule.ts), and what radios' stacks send by themselves. */
export const TIER_NAMES: readonly string[] = [
  "radio's own",
  "revocations",
  "identity, checkpoints",
  "incidents, control",
  "policy",
  "runs",
  "other facts",
  "heartbeats, catch-up",
];

export function tierName(tier: number): string {
  const name = TIER_NAMES[tier] ?? "";
  return tier === 0 ? name : `${tier} ${name}`.trimEnd();
}

export interface RunContext {
  /** Wall time of the run. */
  readonly wallMs: number;
  /** The command that does the same again, without `--until`. */
  readonly command: string;
  /** The step before which it was ended, and the last events up to there. */
  readonly cut?: { readonly step: number; readonly last: readonly string[] };
}

export function speedText(steps: number, wallMs: number): string {
  return `${countText((steps * 1_000) / Math.max(1, wallMs))} steps/s`;
}

function expectations({ expectations }: RunResult): string {
  const rows = expectations.slice(0, MAX_EXPECTATIONS).map(({ ok, what, at_ms, detail }) => {
    const when = at_ms === null ? "never" : `at ${timeText(at_ms)}`;
    return `${ok ? "ok  " : "FAIL"}  ${what} (${when})${detail === "" || ok ? "" : `: ${detail}`}\n`;
  });
  const more = expectations.length - MAX_EXPECTATIONS;
  return rows.join("") + (more > 0 ? `and ${more} more\n` : "");
}

function tiers({ tiers, networks }: RunResult): string {
  const hasRadio = networks.some(({ type }) => type === "radio");
  const rows = tiers
    .filter(({ frames }) => frames > 0)
    .map((one: TierResult) => [
      tierName(one.tier),
      countText(one.frames),
      bytesText(one.bytes),
      timesText(one.bytes, one.bound_bytes),
      ...(hasRadio ? [timeText(one.airtime_ms), timesText(one.airtime_ms, one.bound_airtime_ms)] : []),
    ]);
  const head = ["tier", "frames", "bytes", "× least", ...(hasRadio ? ["airtime", "× least"] : [])];
  return columns([head, ...rows]);
}

function networks({ networks }: RunResult): string {
  const rows = networks.map((one) => [
    one.name,
    one.type,
    countText(one.members),
    countText(one.frames),
    bytesText(one.bytes),
    timesText(one.bytes, one.bound_bytes),
    one.type === "radio" ? timeText(one.airtime_ms) : "-",
    one.type === "radio" ? timesText(one.airtime_ms, one.bound_airtime_ms) : "-",
  ]);
  const head = ["network", "kind", "members", "frames", "bytes", "× least", "airtime", "× least"];
  return columns([head, ...rows], [0, 1]);
}

function nodes({ nodes }: RunResult): string {
  const used = ({ radio, sent_bytes }: NodeResult): number => (radio === null ? sent_bytes / 1e9 : radio.airtime_ms);
  const most = [...nodes].sort((a, b) => used(b) - used(a)).slice(0, MAX_NODES);
  const rows = most.map((node) => [
    node.name,
    node.running ? "up" : "down",
    countText(node.envelopes),
    bytesText(node.sent_bytes),
    timesText(node.sent_bytes, node.bound_sent_bytes),
    bytesText(node.received_bytes),
    timesText(node.received_bytes, node.bound_received_bytes),
    bytesText(node.queue_peak_bytes),
    node.radio === null ? "-" : timeText(node.radio.airtime_ms),
    node.radio === null ? "-" : timesText(node.radio.airtime_ms, node.radio.bound_airtime_ms),
    node.radio === null ? "-" : `${timeText(node.radio.hour_peak_ms)} of ${timeText(node.radio.hour_allowed_ms)}`,
  ]);
  const head = [
    ...["node", "", "envelopes", "sent", "× own", "received", "× least", "queue peak"],
    ...["airtime", "× own", "fullest hour"],
  ];
  const more = nodes.length - most.length;
  return columns([head, ...rows], [0, 1]) + (more > 0 ? `and ${countText(more)} nodes that sent less\n` : "");
}

export function violationText(violation: Violation, seed: number, command: string): string {
  const { invariant, detail, step, at_ms, nodes, events } = violation;
  const rows = events.map(({ at_ms: at, node, what }) => [`${(at / 1_000).toFixed(3)} s`, node ?? "-", what]);
  return (
    `VIOLATION of "${invariant}": seed ${seed}, step ${step}, ${timeText(at_ms)}\n` +
    `  ${detail}\n` +
    (rows.length === 0 ? "" : `  last events of ${nodes.join(", ")}:\n${indent(columns(rows, [1, 2]), "    ")}`) +
    `  replay to just before it:\n    ${command} --until ${step}\n`
  );
}

export function runText(result: RunResult, context: RunContext): string {
  const { scenario, seed, ok, delivery, violation, virtual_ms, steps, converged_ms } = result;
  const delivered = delivery.complete + delivery.incomplete;
  const lost = delivery.lost > 0 ? `; ${countText(delivery.lost)} were lost with their disks` : "";
  const facts: string[][] = [
    [
      "run",
      `${timeText(virtual_ms)} of virtual time, ${countText(steps)} steps in ${timeText(context.wallMs)}, ` +
        speedText(steps, context.wallMs),
    ],
    ["traffic", `${countText(result.frames)} frames, ${bytesText(result.bytes)}`],
    ["converged", converged_ms === null ? "not at the end" : `at ${timeText(converged_ms)}`],
    ["delivery", `${countText(delivery.complete)} of ${countText(delivered)} envelopes reached all they should${lost}`],
  ];
  if (delivery.complete > 0) {
    const { median_ms, p95_ms, max_ms } = delivery;
    facts.push(["", `median ${timeText(median_ms)}, 95 % ${timeText(p95_ms)}, slowest ${timeText(max_ms)}`]);
  }
  const { cut } = context;
  const verdict =
    violation !== null ? "BROKEN" : cut !== undefined ? `ended before step ${cut.step}` : ok ? "ok" : "FAILED";
  const names = result.nodes.map(({ name }) => name);
  const rows = (cut?.last ?? []).map((line) => readableTrace(line, names));
  const lastEvents = `last events\n${indent(columns(rows, [1]))}`;
  return [
    `${scenario}, seed ${seed}: ${verdict}\n`,
    indent(columns(facts, [0, 1])),
    ...(violation === null ? [] : [violationText(violation, seed, context.command)]),
    cut === undefined ? expectations(result) : lastEvents,
    networks(result),
    tiers(result),
    nodes(result),
    `trace_hash ${result.trace_hash}\n`,
  ]
    .filter((part) => part !== "")
    .join("\n");
}
