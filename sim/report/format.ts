/** Numbers for people: sizes, times, counts, and columns of text. Used by the table and the HTML report. */

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  if (bytes < 1e6) return `${short(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${short(bytes / 1e6)} MB` : `${short(bytes / 1e9)} GB`;
}

/** Of milliseconds, in the unit that fits. */
export function timeText(ms: number): string {
  if (ms < 1_000) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 120_000) return `${short(ms / 1_000)} s`;
  return ms < 7_200_000 ? `${short(ms / 60_000)} min` : `${short(ms / 3_600_000)} h`;
}

export function countText(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `part` in multiples of `bound`; "-" without a bound. */
export function timesText(part: number, bound: number): string {
  return bound > 0 ? `${short(part / bound)}×` : "-";
}

/** Columns two spaces apart; the first to the left, the others to the right unless `left` names them. */
export function columns(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string {
  const wide = Math.max(0, ...rows.map(({ length }) => length));
  const widths = Array.from({ length: wide }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (left.includes(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

export function indent(text: string, by = "  "): string {
  return text.replace(/^(?=.)/gm, by);
}
