/** Plots of the HTML report as SVG text: a line over time with its bound, and bars against a bound. No script needed. */
import { timeText } from "./format.ts";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** For text and attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] as string);
}

export const PLOT = { width: 560, height: 190, left: 62, right: 14, top: 12, bottom: 26 } as const;
const INNER_WIDTH = PLOT.width - PLOT.left - PLOT.right;
const INNER_HEIGHT = PLOT.height - PLOT.top - PLOT.bottom;
/** Bars shown. */
const MAX_BARS = 24;

const TIME_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((s) => s * 1_000),
  ...[1, 2, 5, 10, 15, 30].map((min) => min * 60_000),
  ...[1, 2, 3, 6, 12, 24, 48, 120, 240].map((h) => h * 3_600_000),
];

/** A round number at or above `most`, and how it is divided: by a step of the list, or a decimal one. */
export function niceScale(
  most: number,
  steps: readonly number[] = [],
): { readonly top: number; readonly step: number } {
  if (!(most > 0)) return { top: 1, step: 0.5 };
  const power = 10 ** Math.floor(Math.log10(most));
  const step =
    steps.find((one) => one * 4 >= most) ??
    [0.2, 0.25, 0.5, 1, 2].map((part) => part * power).find((one) => one * 4 >= most) ??
    2.5 * power;
  return { top: Math.ceil(most / step - 1e-9) * step, step };
}

/** Without zeros behind the point. */
function trimmed(text: string): string {
  return text.replace(/(\.\d*?)0+ /, "$1 ").replace(/\. /, " ");
}

function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export interface LinePlot {
  readonly title: string;
  readonly about: string;
  readonly atMs: readonly number[];
  readonly values: readonly number[];
  readonly endMs: number;
  readonly format: (value: number) => string;
  /** A fixed top of the scale. */
  readonly most?: number;
  /** A level to compare with, and what it is. */
  readonly bound?: { readonly value: number; readonly name: string };
}

/** An empty plot says so. The moving line is set by the page's script, by `data-end`. */
export function linePlot(plot: LinePlot): string {
  const { title, about, atMs, values, endMs, format, bound } = plot;
  const highest = values.reduce((most, one) => Math.max(most, one), bound?.value ?? 0);
  const { top, step } =
    plot.most === undefined
      ? niceScale(highest, format === timeText ? TIME_STEPS : [])
      : { top: plot.most, step: plot.most / 4 };
  const x = (ms: number): number => PLOT.left + (INNER_WIDTH * ms) / Math.max(1, endMs);
  const y = (value: number): number => PLOT.top + INNER_HEIGHT * (1 - Math.min(1, value / top));
  const parts: string[] = [];
  for (let i = 0; i <= Math.round(top / step); i++) {
    const at = px(y(i * step));
    parts.push(`<line class="grid" x1="${PLOT.left}" x2="${PLOT.width - PLOT.right}" y1="${at}" y2="${at}"/>`);
    parts.push(
      `<text class="tick" x="${PLOT.left - 8}" y="${at}" dy="0.32em" text-anchor="end">${escapeHtml(trimmed(format(i * step)))}</text>`,
    );
  }
  const between = TIME_STEPS.find((one) => endMs / one <= 6) ?? 240 * 3_600_000;
  for (let ms = 0; ms <= endMs; ms += between) {
    const anchor = ms === 0 ? "start" : ms > 0.97 * endMs ? "end" : "middle";
    parts.push(
      `<text class="tick" x="${px(x(ms))}" y="${PLOT.height - 8}" text-anchor="${anchor}">${trimmed(timeText(ms))}</text>`,
    );
  }
  const points = atMs.map((ms, i) => `${px(x(ms))},${px(y(values[i] ?? 0))}`);
  if (points.length > 0) {
    const floor = px(y(0));
    const [first, last] = [points[0]?.split(",")[0], points.at(-1)?.split(",")[0]];
    parts.push(`<path class="area" d="M${first},${floor}L${points.join("L")}L${last},${floor}Z"/>`);
    parts.push(`<polyline class="line" points="${points.join(" ")}"/>`);
  } else
    parts.push(
      `<text class="tick" x="${PLOT.width / 2}" y="${PLOT.height / 2}" text-anchor="middle">nothing recorded</text>`,
    );
  if (bound !== undefined && bound.value > 0) {
    const at = px(y(bound.value));
    parts.push(`<line class="bound" x1="${PLOT.left}" x2="${PLOT.width - PLOT.right}" y1="${at}" y2="${at}"/>`);
    parts.push(
      `<text class="bound-name" x="${PLOT.width - PLOT.right - 4}" y="${at}" dy="-5" text-anchor="end">${escapeHtml(bound.name)}</text>`,
    );
  }
  parts.push(
    `<line class="cursor" x1="${PLOT.left}" x2="${PLOT.left}" y1="${PLOT.top}" y2="${PLOT.height - PLOT.bottom}" visibility="hidden"/>`,
  );
  const last = values.at(-1);
  return (
    `<figure class="plot"><figcaption><b>${escapeHtml(title)}</b> <span>${escapeHtml(about)}</span>` +
    `<output>${last === undefined ? "" : escapeHtml(format(last))}</output></figcaption>` +
    `<svg viewBox="0 0 ${PLOT.width} ${PLOT.height}" role="img" aria-label="${escapeHtml(`${title}: ${about}`)}">${parts.join("")}</svg></figure>`
  );
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly text: string;
  /** A mark on the bar: what would do, or what is allowed. */
  readonly bound?: number;
}

/** Horizontal bars on one scale; a mark where the bound is. More than fit are counted. */
export function barPlot(title: string, about: string, bars: readonly Bar[]): string {
  const shown = bars.slice(0, MAX_BARS);
  const top = shown.reduce((most, { value, bound }) => Math.max(most, value, bound ?? 0), 0) || 1;
  const rows = shown.map(({ name, value, text, bound }) => {
    const mark = bound === undefined ? "" : `<i style="left:${px((100 * bound) / top)}%"></i>`;
    return (
      `<div class="bar"><span title="${escapeHtml(name)}">${escapeHtml(name)}</span>` +
      `<div><b style="width:${px((100 * value) / top)}%"></b>${mark}</div><em>${escapeHtml(text)}</em></div>`
    );
  });
  const more = bars.length > shown.length ? `<p class="more">and ${bars.length - shown.length} more with less</p>` : "";
  return `<figure class="bars"><figcaption><b>${escapeHtml(title)}</b> <span>${escapeHtml(about)}</span></figcaption>${rows.join("")}${more}</figure>`;
}
