/**
 * The report of one run as one HTML file: plots against the bounds, and a map that replays the run. It loads nothing and
 * sends nothing, which its content security policy enforces.
 */
import type { NodeResult, Replay, RunEvent, RunResult } from "../result.ts";
import type { ScenarioFile } from "../scenario-file.ts";
import { bytesText, countText, timesText, timeText } from "./format.ts";
import { PAGE_SCRIPT } from "./page-script.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { type Bar, barPlot, escapeHtml, type LinePlot, linePlot, PLOT } from "./plot.ts";
import { tierName } from "./text.ts";

export interface ReportInput {
  readonly file: ScenarioFile;
  readonly result: RunResult;
  /** Does the same run again. */
  readonly command: string;
  readonly wallMs: number;
}

/** Rows of the longest tables. */
const MAX_ROWS = 2_000;
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'";

function tile(value: string, name: string): string {
  return `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`;
}

const sumOf = <T>(list: readonly T[], value: (one: T) => number): number =>
  list.reduce((total, one) => total + value(one), 0);

function tiles({ result, wallMs }: ReportInput): string {
  const { delivery, networks, converged_ms } = result;
  const bound = sumOf(networks, (one) => one.bound_bytes);
  const airtime = sumOf(networks, (one) => one.airtime_ms);
  const airBound = sumOf(networks, (one) => one.bound_airtime_ms);
  const against = (used: number, least: number): string => (least > 0 ? `, ${timesText(used, least)} the least` : "");
  return [
    tile(timeText(result.virtual_ms), `virtual time, computed in ${timeText(wallMs)}`),
    tile(converged_ms === null ? "never" : timeText(converged_ms), "everybody held everything at"),
    tile(
      delivery.complete > 0 ? `${timeText(delivery.median_ms)}` : "-",
      `median delivery; 95 % ${timeText(delivery.p95_ms)}`,
    ),
    tile(
      `${countText(delivery.complete)} of ${countText(delivery.complete + delivery.incomplete)}`,
      `envelopes reached all they should${delivery.lost > 0 ? `; ${countText(delivery.lost)} lost with their disks` : ""}`,
    ),
    tile(bytesText(result.bytes), `sent in ${countText(result.frames)} frames${against(result.bytes, bound)}`),
    ...(airtime > 0 ? [tile(timeText(airtime), `on the air${against(airtime, airBound)}`)] : []),
    tile(countText(result.nodes.length), `nodes, ${countText(result.envelopes)} envelopes on their disks`),
  ].join("");
}

function violationCard({ result, command }: ReportInput): string {
  const { violation } = result;
  if (violation === null) return "";
  const { invariant, detail, step, at_ms, events } = violation;
  return (
    `<section class="card violation"><h2>Broken: ${escapeHtml(invariant)}</h2>` +
    `<p>${escapeHtml(detail)} (step ${countText(step)}, ${timeText(at_ms)})</p>` +
    `<p>Replay to just before it: <code>${escapeHtml(`${command} --until ${step}`)}</code></p>` +
    `${table(
      ["At", "Node", "Last events of the nodes involved"],
      events.map(({ at_ms: at, node, what }) => [timeText(at), node ?? "-", what]),
      [1, 2],
    )}</section>`
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[], text: readonly number[] = []): string {
  const shown = rows.slice(0, MAX_ROWS);
  const cells = (row: readonly string[], tag: "td" | "th"): string =>
    `<tr>${row
      .map((value, i) => {
        const marked = value === "met" ? ' class="ok"' : value === "NOT MET" ? ' class="no"' : "";
        return `<${tag}${text.includes(i) ? ' class="text"' : marked}>${escapeHtml(value)}</${tag}>`;
      })
      .join("")}</tr>`;
  const more = rows.length > shown.length ? `<p class="more">and ${rows.length - shown.length} more</p>` : "";
  const body = shown.map((row) => cells(row, "td")).join("");
  return `<table><thead>${cells(head, "th")}</thead><tbody>${body}</tbody></table>${more}`;
}

function linePlots({ result }: ReportInput): LinePlot[] {
  const { series, networks } = result;
  const common = { atMs: series.at_ms, endMs: result.virtual_ms };
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  const least = (value: number): Pick<LinePlot, "bound"> =>
    value > 0 ? { bound: { value, name: "least that would do" } } : {};
  const plots: LinePlot[] = [
    {
      ...common,
      title: "Reach",
      about: "share of what should be held that is held",
      values: series.reach,
      format: percent,
      most: 1,
    },
    { ...common, title: "Queues", about: "bytes waiting on all links", values: series.queued_bytes, format: bytesText },
    {
      ...common,
      title: "Traffic",
      about: "bytes sent up to then",
      values: series.sent_bytes,
      format: bytesText,
      ...least(sumOf(networks, (one) => one.bound_bytes)),
    },
  ];
  if (series.airtime_ms.some((ms) => ms > 0))
    plots.push({
      ...common,
      title: "Airtime",
      about: "of all senders up to then",
      values: series.airtime_ms,
      format: timeText,
      ...least(sumOf(networks, (one) => one.bound_airtime_ms)),
    });
  plots.push({ ...common, title: "Links", about: "connected", values: series.links_up, format: countText });
  return plots;
}

function barPlots({ result }: ReportInput): string {
  const { nodes, tiers, networks } = result;
  const used = tiers.filter(({ frames }) => frames > 0);
  const tierBars = used.map(
    ({ tier, bytes, frames, bound_bytes }): Bar => ({
      name: tierName(tier),
      value: bytes,
      text: `${bytesText(bytes)} in ${countText(frames)}`,
      bound: bound_bytes,
    }),
  );
  const airBars = used
    .filter(({ airtime_ms, bound_airtime_ms }) => airtime_ms + bound_airtime_ms > 0)
    .map(
      ({ tier, airtime_ms, bound_airtime_ms }): Bar => ({
        name: tierName(tier),
        value: airtime_ms,
        text: timeText(airtime_ms),
        bound: bound_airtime_ms,
      }),
    );
  const networkBars = networks.map(
    ({ name, bytes, bound_bytes }): Bar => ({
      name,
      value: bytes,
      text: `${bytesText(bytes)}, ${timesText(bytes, bound_bytes)}`,
      bound: bound_bytes,
    }),
  );
  const senders = [...nodes].sort((a, b) => b.sent_bytes - a.sent_bytes);
  const nodeBars = senders.map(
    ({ name, sent_bytes }): Bar => ({ name, value: sent_bytes, text: bytesText(sent_bytes) }),
  );
  const queues = [...nodes].sort((a, b) => b.queue_peak_bytes - a.queue_peak_bytes);
  const queueBars = queues
    .filter(({ queue_peak_bytes }) => queue_peak_bytes > 0)
    .map(({ name, queue_peak_bytes }): Bar => ({ name, value: queue_peak_bytes, text: bytesText(queue_peak_bytes) }));
  const plots = [
    barPlot("Bytes by urgency", "handed to the networks, tier 1 first; mark: the least for its facts", tierBars),
    barPlot("Bytes by network", "mark: the least that would do", networkBars),
  ];
  const radio = nodes.filter((node): node is NodeResult & { radio: object } => node.radio !== null);
  if (airBars.length > 0)
    plots.push(barPlot("Airtime by urgency", "of all radios; mark: the least for its facts", airBars));
  if (radio.length > 0) {
    const air = [...radio].sort((a, b) => b.radio.hour_peak_ms - a.radio.hour_peak_ms);
    plots.push(
      barPlot(
        "Fullest hour on the air",
        "mark: allowed by the duty cycle",
        air.map(
          ({ name, radio: { hour_peak_ms, hour_allowed_ms } }): Bar => ({
            name,
            value: hour_peak_ms,
            text: `${timeText(hour_peak_ms)} of ${timeText(hour_allowed_ms)}`,
            bound: hour_allowed_ms,
          }),
        ),
      ),
    );
  }
  plots.push(barPlot("Bytes by node", "sent", nodeBars));
  if (queueBars.length > 0) plots.push(barPlot("Longest queues", "most that ever waited at a node", queueBars));
  return plots.join("");
}

function replaySection({ result }: ReportInput): string {
  const { replay, events } = result;
  if (replay === null || replay.frames.length === 0) return "";
  const speeds = [0.25, 0.5, 1, 2, 4].map((n) => `<option value="${n}"${n === 1 ? " selected" : ""}>${n}×</option>`);
  return (
    `<h2>The run on a map</h2><div class="replay"><div class="card"><div class="stage"><canvas id="map" role="img" ` +
    `aria-label="Nodes and links at the chosen moment"></canvas><div class="tip" id="tip"></div></div>` +
    `<div class="controls"><button id="play" type="button">Play</button><select id="speed" aria-label="Speed">${speeds.join("")}</select>` +
    `<input id="at" type="range" min="0" max="${result.virtual_ms}" step="any" aria-label="Moment"><output id="clock"></output></div>` +
    `<div class="legend"><span><i class="ramp"></i>envelopes held, few to most</span>` +
    `<span><i style="background:var(--card);border:2px solid var(--down)"></i>down</span>` +
    `<span><i class="bar-key" style="background:var(--link)"></i>link</span>` +
    `<span><i class="bar-key" style="background:var(--hot)"></i>sending</span></div></div>${eventLog(events)}</div>`
  );
}

function eventLog(events: readonly RunEvent[]): string {
  const items = events
    .slice(0, MAX_ROWS)
    .map(
      ({ at_ms, node, what }) =>
        `<li data-at="${Math.round(at_ms)}"><time>${timeText(at_ms)}</time><span>${node === null ? "" : `<b>${escapeHtml(node)}</b> `}${escapeHtml(what)}</span></li>`,
    );
  const none = items.length === 0 ? "<li><time></time><span>nothing but ordinary traffic</span></li>" : "";
  return `<div class="card log"><h3>What happened</h3><ol>${items.join("")}${none}</ol></div>`;
}

function tables({ result }: ReportInput): string {
  const { expectations, nodes, networks } = result;
  const parts: string[] = [];
  if (expectations.length > 0)
    parts.push(
      `<h2>What had to be so</h2><div class="card scroll">${table(
        ["", "Expectation", "When", "Remark"],
        expectations.map(({ ok, what, at_ms, detail }) => [
          ok ? "met" : "NOT MET",
          what,
          at_ms === null ? "never" : timeText(at_ms),
          detail,
        ]),
        [1, 3],
      )}</div>`,
    );
  parts.push(
    `<h2>Networks</h2><div class="card scroll">${table(
      ["Network", "Kind", "Members", "Frames", "Bytes", "Least bytes", "Airtime", "Least airtime"],
      networks.map((one) => [
        one.name,
        one.type,
        countText(one.members),
        countText(one.frames),
        bytesText(one.bytes),
        bytesText(one.bound_bytes),
        one.type === "radio" ? timeText(one.airtime_ms) : "-",
        one.type === "radio" ? timeText(one.bound_airtime_ms) : "-",
      ]),
    )}</div>`,
  );
  parts.push(
    `<h2>Nodes</h2><div class="card scroll">${table(
      [
        "Node",
        "Networks",
        "Envelopes",
        "Issuers",
        "Sent",
        "Its own once",
        "Received",
        "Least",
        "Queue peak",
        "Dropped",
        "Airtime",
        "Its own once",
        "Packets on air",
      ],
      nodes.map((node) => [
        `${node.name}${node.running ? "" : " (down)"}`,
        node.networks.join(", "),
        countText(node.envelopes),
        countText(node.issuers),
        bytesText(node.sent_bytes),
        bytesText(node.bound_sent_bytes),
        bytesText(node.received_bytes),
        bytesText(node.bound_received_bytes),
        bytesText(node.queue_peak_bytes),
        countText(node.frames_dropped),
        node.radio === null ? "-" : timeText(node.radio.airtime_ms),
        node.radio === null ? "-" : timeText(node.radio.bound_airtime_ms),
        node.radio === null ? "-" : countText(node.radio.sent_packets),
      ]),
      [1],
    )}</div>`,
    airTable(result),
  );
  return parts.join("");
}

/** Airtime of each radio by urgency. */
function airTable({ nodes, tiers }: RunResult): string {
  const used = tiers.filter(({ airtime_ms }) => airtime_ms > 0).map(({ tier }) => tier);
  const rows = nodes
    .filter(({ radio }) => radio !== null)
    .map(({ name, tiers: uses }) => [name, ...used.map((tier) => timeText(uses[tier]?.airtime_ms ?? 0))]);
  if (rows.length === 0) return "";
  const head = ["Node", ...used.map(tierName)];
  return `<h2>Airtime by node and urgency</h2><div class="card scroll">${table(head, rows)}</div>`;
}

/** Nodes that stand on one spot are shown around it. */
function offsets({ frames }: Replay): { readonly x: number[]; readonly y: number[]; readonly isToScale: boolean } {
  const { x = [], y = [] } = frames[0] ?? {};
  const widths = [x, y].map(
    (list) => list.reduce((a, b) => Math.max(a, b), -1e9) - list.reduce((a, b) => Math.min(a, b), 1e9),
  );
  const spots = new Map<string, number[]>();
  x.forEach((east, i) => {
    const key = `${Math.round(east)} ${Math.round(y[i] ?? 0)}`;
    spots.set(key, [...(spots.get(key) ?? []), i]);
  });
  const out = { x: x.map(() => 0), y: x.map(() => 0), isToScale: spots.size > 1 };
  const radius = spots.size > 1 ? Math.max(...widths, 1) / 8 / Math.sqrt(spots.size) : 1;
  for (const spot of spots.values())
    for (const [turn, node] of spot.entries()) {
      if (spot.length === 1) continue;
      const angle = (2 * Math.PI * turn) / spot.length;
      out.x[node] = radius * Math.sin(angle);
      out.y[node] = radius * Math.cos(angle);
    }
  return out;
}

/** What stayed the same since the frame before is left out: the script carries it on. */
function packFrames(replay: Replay): object[] {
  const moved = offsets(replay);
  let before: Record<string, string> = {};
  const rounded = (list: readonly number[], by: readonly number[]): number[] =>
    list.map((one, i) => Math.round((one + (by[i] ?? 0)) * 100) / 100);
  return replay.frames.map((frame) => {
    const fields: Record<string, readonly number[]> = {
      x: rounded(frame.x, moved.x),
      y: rounded(frame.y, moved.y),
      stored: frame.stored,
      running: frame.running,
      links: frame.links.flat(),
      sends: frame.sends.flat(),
    };
    const texts = Object.fromEntries(Object.entries(fields).map(([name, list]) => [name, list.join()]));
    const changed = Object.entries(fields).filter(([name]) => texts[name] !== before[name]);
    before = texts;
    return Object.fromEntries(changed);
  });
}

function scriptData({ result }: ReportInput, plots: readonly LinePlot[]): string {
  const { replay, series, virtual_ms } = result;
  const data = {
    end_ms: virtual_ms,
    at_ms: series.at_ms,
    layout: PLOT,
    plots: plots.map(({ values, format }) => ({ texts: values.map(format) })),
    nodes: replay?.nodes ?? [],
    to_scale: replay !== null && offsets(replay).isToScale,
    frame_at_ms: replay?.frames.map(({ at_ms }) => at_ms) ?? [],
    frames: replay === null ? [] : packFrames(replay),
  };
  // Nothing in the data can end the script element.
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}

export function reportPage(input: ReportInput): string {
  const { file, result, command } = input;
  const state = result.ok ? "ok" : result.violation === null ? "expectations not met" : "invariant broken";
  const plots = linePlots(input);
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8">` +
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
    `<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">` +
    `<title>${escapeHtml(`${result.scenario}, seed ${result.seed}`)}</title><style>${PAGE_STYLE}</style></head><body><main>` +
    `<header><h1>${escapeHtml(result.scenario)} <span class="badge${result.ok ? "" : " bad"}">${state}</span></h1>` +
    `<p>${escapeHtml(file.summary)}</p><p><code>${escapeHtml(command)}</code></p></header>` +
    `<div class="tiles">${tiles(input)}</div>${violationCard(input)}${replaySection(input)}` +
    `<h2>Over time</h2><div class="two">${plots.map(linePlot).join("")}</div>` +
    `<h2>Who sent what</h2><div class="two">${barPlots(input)}</div>${tables(input)}` +
    `<footer>Same scenario and seed, same trace: ${escapeHtml(result.trace_hash)}</footer></main>` +
    `<script type="application/json" id="run">${scriptData(input, plots)}</script><script>${PAGE_SCRIPT}</script></body></html>\n`
  );
}
