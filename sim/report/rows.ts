/** Many runs as rows: the table of a sweep, its CSV and its JSON lines. */
import type { RunResult } from "../result.ts";
import { bytesText, columns, timeText } from "./format.ts";

export type Row = Readonly<Record<string, string | number | boolean | null>>;
export type Settings = Readonly<Record<string, string>>;

/** The scalars of a run after what was set for it. The same run gives the same row but for `wall_ms`. */
export function rowOf(settings: Settings, result: RunResult, wallMs: number): Row {
  const { delivery, networks, nodes, tiers } = result;
  const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
  return {
    scenario: result.scenario,
    ...settings,
    seed: result.seed,
    ok: result.ok,
    violation: result.violation?.invariant ?? null,
    failures: result.failures.length,
    node_count: nodes.length,
    virtual_ms: result.virtual_ms,
    converged_ms: result.converged_ms,
    delivered: delivery.complete,
    undelivered: delivery.incomplete,
    lost: delivery.lost,
    median_ms: delivery.median_ms,
    p95_ms: delivery.p95_ms,
    max_ms: delivery.max_ms,
    frames: result.frames,
    bytes: result.bytes,
    bound_bytes: sum(networks.map(({ bound_bytes }) => bound_bytes)),
    airtime_ms: sum(networks.map(({ airtime_ms }) => airtime_ms)),
    bound_airtime_ms: sum(networks.map(({ bound_airtime_ms }) => bound_airtime_ms)),
    ...Object.fromEntries(
      tiers.flatMap(({ tier, bytes, airtime_ms }) => [
        [`tier_${tier}_bytes`, bytes],
        [`tier_${tier}_airtime_ms`, airtime_ms],
      ]),
    ),
    queue_peak_bytes: nodes.reduce((most, { queue_peak_bytes }) => Math.max(most, queue_peak_bytes), 0),
    frames_dropped: sum(nodes.map(({ frames_dropped }) => frames_dropped)),
    steps: result.steps,
    wall_ms: Math.round(wallMs),
    trace_hash: result.trace_hash,
  };
}

/** RFC 4180: quoted where needed. A text that a spreadsheet would take for a formula is kept from that. */
function cell(value: string | number | boolean | null): string {
  const text = value === null ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csvOf(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names.map(cell), ...rows.map((row) => names.map((name) => cell(row[name] ?? null)))];
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
}

/** `settings` names the columns that were set. */
export function sweepTable(settings: readonly string[], rows: readonly Row[]): string {
  const time = (value: unknown): string => (typeof value === "number" ? timeText(value) : "never");
  const lines = rows.map((row) => [
    ...settings.map((name) => String(row[name])),
    String(row["seed"]),
    row["ok"] === true ? "ok" : String(row["violation"] ?? "failed"),
    time(row["converged_ms"]),
    time(row["median_ms"]),
    time(row["p95_ms"]),
    bytesText(Number(row["bytes"])),
    time(row["airtime_ms"]),
    time(row["wall_ms"]),
  ]);
  const head = [...settings, "seed", "result", "converged", "median", "95 %", "bytes", "airtime", "took"];
  return columns([head, ...lines], []);
}

/** Middle of the sorted values; the mean of two for an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length === 0 ? 0 : ((sorted[Math.floor(half)] as number) + (sorted[Math.ceil(half) - 1] as number)) / 2;
}
