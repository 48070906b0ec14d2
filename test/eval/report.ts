/** What an evaluation reports: tables of rates with their 95 % intervals (Wilson 1927, as in Brown, Cai and DasGupta 2001). */

export interface EvalTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface EvalOptions {
  /** Only what needs no network and seconds: the fixed subset that the regression bar in the tests stands on. */
  readonly quick: boolean;
}

export interface EvalSuite {
  /** One line for the usage text. */
  readonly about: string;
  run(options: EvalOptions): Promise<readonly EvalTable[]>;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

const Z = 1.959964;

/** 95 % interval of a share of `hits` in `total`; the whole range when nothing was looked at. */
export function wilson(hits: number, total: number): Interval {
  if (total === 0) return { low: 0, high: 1 };
  const share = hits / total;
  const spread = 1 + (Z * Z) / total;
  const centre = (share + (Z * Z) / (2 * total)) / spread;
  const half = (Z / spread) * Math.sqrt((share * (1 - share)) / total + (Z * Z) / (4 * total * total));
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}

/** Such as `61/100 61.0 % [51.2, 70.0]`. */
export function rate(hits: number, total: number): string {
  if (total === 0) return "0/0";
  const percent = (share: number): string => (share * 100).toFixed(1);
  const { low, high } = wilson(hits, total);
  return `${hits}/${total} ${percent(hits / total)} % [${percent(low)}, ${percent(high)}]`;
}

/** The table as GitHub-flavoured Markdown. */
export function markdown({ title, columns, rows }: EvalTable): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [`### ${title}`, "", line(columns), line(columns.map(() => "---")), ...rows.map(line), ""].join("\n");
}
