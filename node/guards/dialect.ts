/**
 * Which rule book the guards follow. `spine` is ours: canonicalised forms, derived effects, unknown actions denied. The
 * other two reproduce the upstream branch `feat/sdr-execution` and upstream `main`, for compatibility and comparison.
 */
export const DIALECTS = ["spine", "sdr-execution", "main"] as const;
export type Dialect = (typeof DIALECTS)[number];

export function isDialect(value: unknown): value is Dialect {
  return DIALECTS.some((dialect) => dialect === value);
}

/** Newest policy schema version of each rule book. */
export const SCHEMA_VERSIONS: Readonly<Record<Dialect, readonly string[]>> = {
  "sdr-execution": ["1.1.0", "1.2.0"],
  main: ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"],
  spine: ["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"],
};
