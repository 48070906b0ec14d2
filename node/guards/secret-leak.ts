/**
 * Secrets on their way out (spec/guards.md section 2.5): writes, added lines of patches, tool arguments, command lines,
 * egress targets and bodies go through the scanner of `secrets/` and the policy's own expressions. Evidence is masked.
 */
import type { Action } from "./action.ts";
import { parseDiff } from "./diff.ts";
import { pathMatcher } from "./forbidden-path.ts";
import type { Guard, GuardContext } from "./guard.ts";
import type { SecretPattern } from "./policy/defaults.ts";
import type { SecretLeakPolicy } from "./policy/effective.ts";
import { compilePathGlob } from "./policy/path-glob.ts";
import { luhn } from "./secrets/checks.ts";
import { otherReadings } from "./secrets/readings.ts";
import { type AllowMarks, scanSecrets } from "./secrets/scan.ts";
import { compileRegex, foldCase, type LinearRegex } from "./text/regex.ts";
import { allow, deny, type GuardResult, type Severity, severityRank } from "./verdict.ts";

const NAME = "secret_leak";
/** Matches shown; the worst come first. */
const MAX_SHOWN = 32;
/** Matches looked at per pattern and text. */
const MAX_MATCHES = 32;

interface Compiled extends SecretPattern {
  readonly regex: LinearRegex;
}

interface Match {
  readonly pattern: string;
  readonly severity: Severity;
  readonly description?: string;
  readonly redacted: string;
  /** Of the text, first is 1; absent for what an expression of the policy found. */
  readonly line?: number;
}

export function secretLeakGuard(policy: SecretLeakPolicy): Guard {
  const patterns: readonly Compiled[] = policy.patterns.map((entry) => ({
    ...entry,
    regex: compileRegex(entry.pattern),
  }));
  const skipRaw = policy.skip_paths.map(compilePathGlob);
  const skip = pathMatcher(policy.skip_paths);
  const formats = new Set(policy.formats);
  return {
    name: NAME,
    check: (action, context) => {
      const wide = context.dialect === "spine";
      const texts = wide ? outgoing(action) : upstreamTexts(action);
      if (texts === undefined) return undefined;
      if (action.type === "file_write" || action.type === "patch") {
        // Upstream matches the path as written, so `tests/../src` is skipped; the file that is opened counts.
        const skipped = wide
          ? skip([context.forms(action.path).resolved]) !== undefined
          : skipRaw.some((glob) => glob.matches(action.path));
        if (skipped) return allow(NAME);
      }
      const file = action.type === "file_write" || action.type === "patch";
      const found = [
        // A mark is a note to the readers of a file; nothing else has any.
        ...(wide ? byFormat(texts, formats, file ? policy.allow_marks : "none") : []),
        ...byPattern(texts, patterns, wide),
      ];
      return found.length === 0 ? allow(NAME) : answer(action, found, policy, context);
    },
  };
}

function upstreamTexts(action: Action): readonly string[] | undefined {
  if (action.type === "patch") return [action.diff];
  if (action.type !== "file_write") return undefined;
  try {
    return [new TextDecoder("utf-8", { fatal: true }).decode(action.content ?? new Uint8Array())];
  } catch {
    return [];
  }
}

/** Every text this action would put somewhere. Added lines only: taking a secret out of a file must be possible. */
function outgoing(action: Action): readonly string[] | undefined {
  switch (action.type) {
    case "file_write":
      return [decodeBytes(action.content ?? new Uint8Array())];
    case "patch":
      return [parseDiff(action.diff).added.join("\n")];
    case "mcp_tool":
      return [strings(action.args).join("\n")];
    case "shell":
      return [action.command];
    case "egress":
      return action.body === undefined ? [action.target] : [action.target, decodeBytes(action.body)];
    case "custom":
      // Clipboard and file transfer of a remote desktop carry text away.
      return action.kind.startsWith("remote.") ? [strings(action.payload).join("\n")] : undefined;
    default:
      return undefined;
  }
}

/** UTF-8 with replacement for odd bytes; UTF-16 when every other byte is zero. */
function decodeBytes(bytes: Uint8Array): string {
  const head = bytes.subarray(0, 256);
  const zeros = (parity: number): number => head.filter((byte, at) => at % 2 === parity && byte === 0).length;
  if (head.length >= 16 && zeros(1) * 3 > head.length) return new TextDecoder("utf-16le").decode(bytes);
  if (head.length >= 16 && zeros(0) * 3 > head.length) return new TextDecoder("utf-16be").decode(bytes);
  return new TextDecoder("utf-8").decode(bytes);
}

/** All texts in a JSON value, keys included; depth is bounded by the parser that made it. */
export function strings(value: unknown): readonly string[] {
  const out: string[] = [];
  const stack: unknown[] = [value];
  while (stack.length > 0) {
    const next = stack.pop();
    if (typeof next === "string") out.push(next);
    else if (typeof next === "object" && next !== null) {
      for (const [key, item] of Object.entries(next)) {
        if (!Array.isArray(next)) out.push(typeof item === "string" ? `${key}: ${item}` : key);
        if (typeof item !== "string" || Array.isArray(next)) stack.push(item);
      }
    }
  }
  return out;
}

function byFormat(texts: readonly string[], formats: ReadonlySet<string>, marks: AllowMarks): readonly Match[] {
  return texts.flatMap((text) =>
    scanSecrets(text, { formats, marks }).map(
      ({ name, severity, description, redacted, line }): Match => ({
        pattern: name,
        severity,
        description,
        redacted,
        line,
      }),
    ),
  );
}

function byPattern(texts: readonly string[], patterns: readonly Compiled[], wide: boolean): readonly Match[] {
  if (patterns.length === 0) return [];
  const found = new Map<string, Match>();
  for (const original of texts) {
    for (const text of wide ? [original, ...otherReadings(original).map((reading) => reading.text)] : [original]) {
      const folded = foldCase(text);
      for (const pattern of patterns) {
        for (const span of pattern.regex.find(text, MAX_MATCHES, folded)) {
          const value = text.slice(span.start, span.end);
          if (pattern.luhn_check && !luhn(value)) continue;
          if (wide && !pattern.luhn_check && isPlaceholder(value)) continue;
          const match = matchOf(pattern, value);
          found.set(`${match.pattern} ${match.redacted}`, match);
        }
      }
    }
  }
  return [...found.values()];
}

/** Documented examples and fillers: one character over and over, or a name that says so. */
function isPlaceholder(value: string): boolean {
  return /(.)\1{9,}/.test(value.replace(/^-----/, "")) || /EXAMPLE(?:KEY)?$/.test(value);
}

function matchOf(pattern: Compiled, value: string): Match {
  const { first, last } = pattern.masking ?? { first: 4, last: 4 };
  const chars = [...value.slice(0, 512)];
  const masked =
    chars.length <= first + last
      ? "*".repeat(chars.length)
      : chars.slice(0, first).join("") +
        "*".repeat(chars.length - first - last) +
        chars.slice(chars.length - last).join("");
  return {
    pattern: pattern.name,
    severity: pattern.severity,
    ...(pattern.description !== undefined && { description: pattern.description }),
    redacted: masked,
  };
}

function answer(
  action: Action,
  matches: readonly Match[],
  policy: SecretLeakPolicy,
  context: GuardContext,
): GuardResult {
  const worst = matches.reduce<Severity>(
    (most, match) => (severityRank(match.severity) > severityRank(most) ? match.severity : most),
    "info",
  );
  const path = action.type === "file_write" || action.type === "patch" ? action.path : undefined;
  const details = {
    ...(path !== undefined && { path }),
    matches:
      context.dialect === "spine"
        ? [...matches].sort((a, b) => severityRank(b.severity) - severityRank(a.severity)).slice(0, MAX_SHOWN)
        : policy.redact
          ? matches
          : matches.map(({ redacted: _, ...rest }) => rest),
  };
  const names = [...new Set(matches.map((match) => match.pattern))].join(", ");
  if (severityRank(worst) >= severityRank(policy.severity_threshold)) {
    return deny(NAME, worst, `Potential secrets: ${names}`, "secret_found", details);
  }
  return {
    guard: NAME,
    allowed: true,
    severity: "warning",
    message: `Potential secrets: ${names}`,
    reason: "secret_suspected",
    details,
  };
}
