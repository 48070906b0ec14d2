/** A finding about a policy document: the field it concerns and what is wrong. Used by every stage of loading. */

/** `warning` findings do not stop loading; they say that something is ineffective or loosens a base. */
export type ProblemLevel = "error" | "warning";

export type ProblemCode =
  | "yaml"
  | "type"
  | "unknown_field"
  | "missing_field"
  | "validation"
  | "invalid_version"
  | "unsupported_version"
  | "unknown_base"
  | "cycle"
  | "loosens"
  | "ineffective";

export interface Problem {
  readonly level: ProblemLevel;
  readonly code: ProblemCode;
  /** Such as `guards.forbidden_path.patterns[0]`; "" is the document. */
  readonly path: string;
  readonly message: string;
}

export function problem(code: ProblemCode, path: string, message: string, level: ProblemLevel = "error"): Problem {
  return { level, code, path, message };
}

export function errorsIn(problems: readonly Problem[]): readonly Problem[] {
  return problems.filter((found) => found.level === "error");
}
