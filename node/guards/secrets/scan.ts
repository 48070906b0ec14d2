/**
 * The secret scanner: one pass for the literals of all formats and for password-like names, then a close look at each place.
 * Linear in the text. The secret-leak guard, redaction and the evaluation call it; findings never leave with the secret.
 */

import type { Severity } from "../verdict.ts";
import { AnchorIndex } from "./anchors.ts";
import { AssignmentFinder, KEYWORDS, type Keyword } from "./assignments.ts";
import { urlCredentialAt } from "./credentials-url.ts";
import type { SecretFormat } from "./format.ts";
import { CLOUD_FORMATS } from "./formats-cloud.ts";
import { CODE_FORMATS } from "./formats-code.ts";
import { KEY_FORMATS } from "./formats-key.ts";
import { SERVICE_FORMATS } from "./formats-service.ts";
import { manifestValues } from "./kube-secret.ts";
import { entropyBits, hasSequence, isFormatFiller } from "./likeness.ts";
import { otherReadings } from "./readings.ts";

export const SECRET_FORMATS: readonly SecretFormat[] = [
  ...CLOUD_FORMATS,
  ...CODE_FORMATS,
  ...SERVICE_FORMATS,
  ...KEY_FORMATS,
];

/** What is found by the name in front of a value, or by the place of a value, and has no format. */
const CONTEXTS: Readonly<Record<string, string>> = {
  generic_secret: "value of a password-like name",
  generic_api_key: "value of a key- or token-like name",
  database_url: "password in a database URL",
  url_password: "password in a URL",
  kubernetes_secret: "value in a Kubernetes Secret",
};

/** Names of everything the scanner knows, in order: the default of a policy's `formats`. */
export const SECRET_FORMAT_NAMES: readonly string[] = [
  ...SECRET_FORMATS.map((entry) => entry.name),
  ...Object.keys(CONTEXTS),
];

/** What is wrong with `name` as an entry of a policy's `formats`. */
export function secretFormatProblem(name: string): string | undefined {
  return SECRET_FORMAT_NAMES.includes(name) ? undefined : `unknown secret format ${JSON.stringify(name.slice(0, 64))}`;
}

export interface SecretFinding {
  readonly name: string;
  /** Provider or kind, in words. */
  readonly description: string;
  readonly severity: Severity;
  /** Its check digits are right. */
  readonly certain: boolean;
  /** Found by its own shape, or by the name or place it stands at. */
  readonly kind: "format" | "context";
  /** Where in the reading; the whole match. */
  readonly start: number;
  readonly end: number;
  /** 1 for the first line of the reading. */
  readonly line: number;
  /** The prefix everybody knows, then stars. */
  readonly redacted: string;
}

export interface ScanOptions {
  /** Only these; default all. */
  readonly formats?: ReadonlySet<string>;
  /** Look through encodings, split literals and invisible characters too. Default true. */
  readonly readings?: boolean;
  /** Which findings a mark on their line lowers to a warning. Default none. */
  readonly marks?: AllowMarks;
}

export type AllowMarks = "none" | "context" | "all";

/** Findings of one severity looked at in one reading. */
const MAX_FINDINGS = 64;
const MARK = /spine:allow-secret|gitleaks:allow|pragma:\s?allowlist secret/;

type Look = (scan: Scan, start: number) => void;

class Scan {
  readonly text: string;
  readonly found: Draft[] = [];
  readonly contexts: boolean;
  readonly assignments: AssignmentFinder;
  manifestEnd = 0;
  readonly #wanted: ReadonlySet<string> | undefined;
  readonly #counts = new Map<Severity, number>();

  constructor(text: string, wanted: ReadonlySet<string> | undefined, contexts: boolean) {
    this.text = text;
    this.assignments = new AssignmentFinder(text);
    this.#wanted = wanted;
    this.contexts = contexts;
  }

  wants(name: string): boolean {
    return this.#wanted === undefined || this.#wanted.has(name);
  }

  /** Many harmless findings in front must not hide one that counts: each severity has room of its own. */
  add(draft: Draft): void {
    const count = this.#counts.get(draft.severity) ?? 0;
    if (count >= MAX_FINDINGS) return;
    this.#counts.set(draft.severity, count + 1);
    this.found.push(draft);
  }

  addContext(name: string, severity: Severity, start: number, end: number): void {
    this.add({ name, description: CONTEXTS[name] as string, severity, certain: false, kind: "context", start, end });
  }

  get full(): boolean {
    return (this.#counts.get("critical") ?? 0) >= MAX_FINDINGS;
  }
}

interface Draft {
  readonly name: string;
  readonly description: string;
  readonly severity: Severity;
  readonly certain: boolean;
  readonly kind: "format" | "context";
  readonly start: number;
  readonly end: number;
}

function lookForFormat(entry: SecretFormat): Look {
  return (scan, anchor) => {
    const { text } = scan;
    let start = anchor - entry.before;
    if (entry.reach > 0) {
      while (start > 0 && anchor - start < entry.reach && isTokenChar(text.charCodeAt(start - 1))) start--;
    }
    if (start < 0 || (entry.edge && !atEdge(text, start))) return;
    entry.shape.lastIndex = start;
    const match = entry.shape.exec(text);
    if (match === null || !scan.wants(entry.name)) return;
    const whole = match[0];
    const certain = entry.check?.(whole);
    const severity = certain === true ? entry.severity : judged(entry, match, certain);
    if (severity === undefined) return;
    scan.add({
      name: entry.name,
      description: entry.provider,
      severity,
      certain: certain === true,
      kind: "format",
      start,
      end: start + whole.length,
    });
  };
}

/** A letter, digit, `_` or `-` in front belongs to another word, unless it is the end of an escape. */
function atEdge(text: string, start: number): boolean {
  if (start === 0 || !isTokenChar(text.charCodeAt(start - 1))) return true;
  // `\n`, `%3D`, `\x3d`, `\u003d`; the colour code of a terminal ends in `m`.
  if (start > 1 && text.charCodeAt(start - 2) === BACKSLASH) return true;
  if (start > 2 && text.charCodeAt(start - 3) === PERCENT)
    return /^%[0-9a-fA-F]{2}$/.test(text.slice(start - 3, start));
  const byByte = start > 3 && text.charCodeAt(start - 4) === BACKSLASH;
  const byUnit = start > 5 && text.charCodeAt(start - 6) === BACKSLASH;
  if (byByte || byUnit) return /\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})$/.test(text.slice(Math.max(0, start - 6), start));
  return text.charCodeAt(start - 1) === 109 && /\x1b\[[0-9;]{0,8}m$/.test(text.slice(Math.max(0, start - 12), start));
}

const BACKSLASH = 92;
const PERCENT = 37;
/** Letters, digits, `_` and `-`. */
const TOKEN_CHARS = Uint8Array.from({ length: 128 }, (_, code) =>
  /[A-Za-z0-9_-]/.test(String.fromCharCode(code)) ? 1 : 0,
);

function isTokenChar(code: number): boolean {
  return code < 128 && TOKEN_CHARS[code] === 1;
}

/** Nothing for what says itself that it is none; a warning for what looks typed rather than drawn. */
function judged(entry: SecretFormat, match: RegExpExecArray, certain: boolean | undefined): Severity | undefined {
  const [whole, part] = match;
  if (part === undefined && entry.bare !== undefined) {
    const end = match.index + whole.length;
    return entry.bare(match.input.slice(Math.max(0, match.index - 1), match.index), match.input.slice(end, end + 64));
  }
  const secret = part ?? whole;
  if (isFormatFiller(secret)) return undefined;
  if (entropyBits(secret) < entry.minBits || (hasSequence(secret) && entropyBits(secret) > 4.6)) return "warning";
  return certain === false && entry.severity === "critical" ? "error" : entry.severity;
}

interface Scanner {
  readonly index: AnchorIndex;
  /** Per literal of the index. */
  readonly looks: readonly (readonly Look[])[];
}

let built: Scanner | undefined;

/** Made at first use: it takes some milliseconds. */
function scanner(): Scanner {
  built ??= buildScanner();
  return built;
}

function buildScanner(): Scanner {
  const looks = new Map<string, Look[]>();
  const on = (literal: string, look: Look): void => {
    const known = looks.get(literal);
    if (known === undefined) looks.set(literal, [look]);
    else known.push(look);
  };
  for (const entry of SECRET_FORMATS) for (const literal of entry.anchors) on(literal, lookForFormat(entry));
  for (const keyword of KEYWORDS) on(keyword.literal, lookForValue(keyword));
  on("://", lookForUrl);
  for (const literal of ["kind: secret", '"kind": "secret"', '"kind":"secret"']) on(literal, lookForManifest);
  return { index: new AnchorIndex([...looks.keys()]), looks: [...looks.values()] };
}

function lookForValue(keyword: Keyword): Look {
  const name = keyword.kind === "password" ? "generic_secret" : "generic_api_key";
  return (scan, at) => {
    if (!scan.contexts || !scan.wants(name)) return;
    const value = scan.assignments.at(at, keyword);
    if (value !== undefined) scan.addContext(name, value.strong ? "error" : "warning", value.start, value.end);
  };
}

function lookForUrl(scan: Scan, at: number): void {
  const value = urlCredentialAt(scan.text, at);
  if (value === undefined || !scan.wants(value.name)) return;
  scan.addContext(value.name, value.strong ? "error" : "warning", value.start, value.end);
}

function lookForManifest(scan: Scan, at: number): void {
  if (!scan.contexts || !scan.wants("kubernetes_secret") || at < scan.manifestEnd) return;
  const part = manifestValues(scan.text, at, scan.manifestEnd);
  scan.manifestEnd = part.end;
  for (const { start, end } of part.values) scan.addContext("kubernetes_secret", "error", start, end);
}

/** Builds what the first scan would have to: a daemon does so before it is asked. */
export function prepareScanner(): void {
  scanSecrets("api_key = none, https://example.org");
}

function drafts(text: string, wanted: ReadonlySet<string> | undefined, contexts: boolean): readonly Draft[] {
  const scan = new Scan(text, wanted, contexts);
  const { index, looks } = scanner();
  index.each(text, (literal, start) => {
    for (const look of looks[literal] as readonly Look[]) look(scan, start);
    return !scan.full;
  });
  // A value that has a format of its own is reported as that.
  const formats = scan.found.filter((draft) => draft.kind === "format");
  return scan.found.filter(
    (draft, at) =>
      draft.kind === "format" ||
      (!formats.some((other) => other.start < draft.end && draft.start < other.end) &&
        !scan.found.slice(0, at).some((other) => other.start === draft.start && other.kind === "context")),
  );
}

/** At most 64 findings of each severity and reading, in the order of the readings, then of the text. Never throws. */
export function scanSecrets(text: string, options: ScanOptions = {}): readonly SecretFinding[] {
  const { formats, readings = true, marks = "none" } = options;
  const found = new Map<string, SecretFinding>();
  const look = (reading: string, contexts: boolean): void => {
    for (const draft of drafts(reading, formats, contexts)) {
      const finding = finished(reading, draft, marks);
      const value = reading.slice(draft.start, draft.end);
      if (!found.has(`${draft.name} ${value}`)) found.set(`${draft.name} ${value}`, finding);
    }
  };
  look(text, true);
  if (readings) for (const reading of otherReadings(text)) look(reading.text, reading.contexts);
  return [...found.values()];
}

function finished(reading: string, draft: Draft, marks: AllowMarks): SecretFinding {
  const { start, end } = draft;
  const lineStart = reading.lastIndexOf("\n", start - 1) + 1;
  const lineEnd = reading.indexOf("\n", end);
  let line = 1;
  for (let at = reading.indexOf("\n"); at >= 0 && at < start; at = reading.indexOf("\n", at + 1)) line++;
  const marked =
    !draft.certain &&
    marks !== "none" &&
    (marks === "all" || draft.kind === "context") &&
    MARK.test(reading.slice(lineStart, lineEnd < 0 ? reading.length : lineEnd).slice(0, 4096));
  return {
    ...draft,
    severity: marked ? "warning" : draft.severity,
    line,
    redacted: redactedValue(reading.slice(start, end), draft.kind),
  };
}

/** The public prefix of a format, at most 8 characters, and nothing of a password. Stars do not tell the length. */
function redactedValue(value: string, kind: "format" | "context"): string {
  if (kind === "context") return "********";
  const prefix =
    /^(?:-----BEGIN [A-Z ]{0,24}PRIVATE KEY|[A-Za-z][A-Za-z0-9]{0,6}[_.-]|[A-Z]{4})/.exec(value)?.[0] ?? "";
  return `${prefix.slice(0, 40)}********`;
}
