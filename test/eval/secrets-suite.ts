/**
 * Detection of leaked secrets: recall on a corpus made up from a seed, per format and per context, and false positives on
 * files without secrets. `npm run eval -- secrets` prints it; README holds it, a test holds the bar.
 */
import type { Action } from "../../node/guards/action.ts";
import { GuardEngine } from "../../node/guards/engine.ts";
import { loadRuleset } from "../../node/guards/policy/load.ts";
import { scanSecrets } from "../../node/guards/secrets/scan.ts";
import { type Verdict, verdictOf } from "../../node/guards/verdict.ts";
import { heldOutFiles, installedFiles, type OrdinaryFile, ownFiles } from "./ordinary-files.ts";
import { type EvalSuite, type EvalTable, rate } from "./report.ts";
import { SECRET_CONTEXTS } from "./secret-contexts.ts";
import { Draw, SECRET_KINDS } from "./secret-corpus.ts";

const SEED = "spine secrets 1";
const CALLER = { cwd: "/w/repo" };

export interface SecretCase {
  readonly kind: string;
  readonly context: string;
  readonly action: Action;
}

/** Every kind in every context, `rounds` times with other characters. */
export function secretCases(rounds: number, seed = SEED): readonly SecretCase[] {
  return SECRET_KINDS.flatMap(({ kind, variable, make }) =>
    SECRET_CONTEXTS.flatMap(({ name, action }) =>
      Array.from({ length: rounds }, (_, round) => {
        const secret = make(new Draw(`${seed}/${kind}/${name}/${round}`));
        return { kind, context: name, action: action(secret, variable) };
      }),
    ),
  );
}

/** What the secret-leak guard of the default ruleset answers; other guards may refuse the same action. */
export function secretVerdict(action: Action): Verdict {
  const results = defaultEngine()
    .decide(action, CALLER)
    .results.filter((result) => result.guard === "secret_leak");
  const verdicts = results.map(verdictOf);
  return verdicts.includes("deny") ? "deny" : verdicts.includes("warn") ? "warn" : "allow";
}

let engine: GuardEngine | undefined;

function defaultEngine(): GuardEngine {
  if (engine === undefined) {
    const { policy } = loadRuleset("default");
    if (policy === undefined) throw new Error("the default ruleset does not load");
    engine = new GuardEngine(policy, { home: "/home/u", readLink: () => undefined });
  }
  return engine;
}

interface Tally {
  total: number;
  denied: number;
  warned: number;
}

function tallied<T>(rows: readonly T[], group: (row: T) => string, judge: (row: T) => Verdict): Map<string, Tally> {
  const found = new Map<string, Tally>();
  for (const row of rows) {
    const verdict = judge(row);
    for (const name of [group(row), "all"]) {
      const tally = found.get(name) ?? { total: 0, denied: 0, warned: 0 };
      tally.total++;
      if (verdict === "deny") tally.denied++;
      if (verdict === "warn") tally.warned++;
      found.set(name, tally);
    }
  }
  const all = found.get("all") as Tally;
  found.delete("all");
  return found.set("all", all);
}

function recall(
  title: string,
  first: string,
  cases: readonly SecretCase[],
  group: (row: SecretCase) => string,
): EvalTable {
  const rows = [...tallied(cases, group, (row) => secretVerdict(row.action))].map(
    ([name, { total, denied, warned }]) => [name, rate(denied, total), rate(denied + warned, total)],
  );
  return { title, columns: [first, "denied", "or warned"], rows };
}

/** Denied when any finding reaches the default threshold; test folders are not skipped here. */
export function fileVerdict(text: string): Verdict {
  const severities = scanSecrets(text, { marks: "context" }).map((finding) => finding.severity);
  if (severities.some((severity) => severity === "error" || severity === "critical")) return "deny";
  return severities.length > 0 ? "warn" : "allow";
}

function falsePositives(title: string, files: readonly OrdinaryFile[]): EvalTable {
  const lines = new Map<string, number>();
  for (const { group, text } of files)
    for (const name of [group, "all"]) lines.set(name, (lines.get(name) ?? 0) + text.split("\n").length);
  const tallies = tallied(
    files,
    (row) => row.group,
    (row) => fileVerdict(row.text),
  );
  const rows = [...tallies].map(([name, { total, denied, warned }]) => {
    const thousand = (lines.get(name) ?? 1) / 1000;
    return [
      name,
      rate(denied, total),
      rate(denied + warned, total),
      (denied / thousand).toFixed(3),
      thousand.toFixed(1),
    ];
  });
  return {
    title,
    columns: ["files of", "denied", "or warned", "denied files per 1,000 lines", "thousand lines"],
    rows,
  };
}

export const secretsSuite: EvalSuite = {
  about: "leaked secrets: made-up credentials in contexts, and files without any",
  run: ({ quick }) => {
    const cases = secretCases(quick ? 1 : 5);
    return Promise.resolve([
      recall("Secrets by context", "context", cases, (row) => row.context),
      recall("Secrets by kind", "kind", cases, (row) => row.kind),
      falsePositives("Files without secrets", [...ownFiles(), ...installedFiles()]),
      ...(quick ? [] : [falsePositives("Held-out packages", heldOutFiles())]),
    ]);
  },
};
