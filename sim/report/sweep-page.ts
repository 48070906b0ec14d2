/** The report of a sweep as one HTML file: how what was measured changes with what was set, and every run as a row. */
import { bytesText, countText, timeText } from "./format.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { barPlot, escapeHtml } from "./plot.ts";
import type { Row } from "./rows.ts";

export interface SweepReport {
  readonly name: string;
  readonly summary: string;
  readonly command: string;
  /** Names of what was set. */
  readonly settings: readonly string[];
  readonly rows: readonly Row[];
  /** Middles over the seeds of each combination. */
  readonly medians: readonly Row[];
}

const MAX_ROWS = 5_000;
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

const METRICS: readonly (readonly [string, string, string, (value: number) => string])[] = [
  ["converged_ms", "Converged", "when everybody held everything", timeText],
  ["median_ms", "Delivery, median", "from durable to held by all that should", timeText],
  ["p95_ms", "Delivery, 95 %", "of the envelopes that reached all", timeText],
  ["bytes", "Traffic", "bytes sent", bytesText],
  ["airtime_ms", "Airtime", "of all senders", timeText],
  ["queue_peak_bytes", "Longest queue", "at one node", bytesText],
];

function cellText(name: string, value: Row[string]): string {
  if (value === null) return "-";
  if (typeof value !== "number" || name === "seed") return String(value);
  if (name.endsWith("_ms")) return timeText(value);
  return name.includes("bytes") ? bytesText(value) : countText(value);
}

function tableOf(rows: readonly Row[]): string {
  const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "scenario");
  const cells = (values: readonly string[], tag: string): string =>
    `<tr>${values.map((value) => `<${tag}>${escapeHtml(value)}</${tag}>`).join("")}</tr>`;
  const body = rows.slice(0, MAX_ROWS).map((row) =>
    cells(
      names.map((name) => cellText(name, row[name] ?? null)),
      "td",
    ),
  );
  const more = rows.length > MAX_ROWS ? `<p class="more">and ${rows.length - MAX_ROWS} more</p>` : "";
  return `<table><thead>${cells(
    names.map((one) => one.replace(/_(ms|bytes)$/, "").replaceAll("_", " ")),
    "th",
  )}</thead><tbody>${body.join("")}</tbody></table>${more}`;
}

export function sweepPage({ name, summary, command, settings, rows, medians }: SweepReport): string {
  // The last part of a field's path, where that is enough to tell them apart.
  const lasts = settings.map((field) => field.split(".").at(-1) as string);
  const shown = new Set(lasts).size === lasts.length ? lasts : settings;
  const label = (row: Row): string => settings.map((field, i) => `${shown[i]}=${row[field]}`).join(", ") || name;
  const plots = METRICS.flatMap(([key, title, about, format]) => {
    const bars = medians.flatMap((row) => {
      const value = row[key];
      return typeof value === "number" ? [{ name: label(row), value, text: format(value) }] : [];
    });
    return bars.some(({ value }) => value > 0) ? [barPlot(title, `${about}; middle of the seeds`, bars)] : [];
  });
  const failed = rows.filter((row) => row["ok"] !== true).length;
  const state = failed === 0 ? "all ok" : `${countText(failed)} of ${countText(rows.length)} not ok`;
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8">` +
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
    `<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">` +
    `<title>${escapeHtml(`${name}, ${rows.length} runs`)}</title><style>${PAGE_STYLE}</style></head><body><main>` +
    `<header><h1>${escapeHtml(name)} <span class="badge${failed === 0 ? "" : " bad"}">${state}</span></h1>` +
    `<p>${escapeHtml(summary)}</p><p><code>${escapeHtml(command)}</code></p></header>` +
    `<h2>${countText(medians.length)} combinations, ${countText(rows.length)} runs</h2><div class="two">${plots.join("")}</div>` +
    `<h2>Combinations</h2><div class="card scroll">${tableOf(medians)}</div>` +
    `<h2>Runs</h2><div class="card scroll">${tableOf(rows)}</div></main></body></html>\n`
  );
}
