/**
 * Detection of injected instructions and jailbreaks: recall per attack set, technique, language and wrapping, and false
 * positives on ordinary texts and on NotInject, for both provenances. `npm run eval -- text` prints it; README holds it.
 */
import type { Verdict } from "../../node/guards/verdict.ts";
import { heldOutTexts, installedTexts } from "./benign-texts.ts";
import { type EvalOptions, type EvalSuite, type EvalTable, rate } from "./report.ts";
import { attackSet, type Provenance, type SetRow, type Tally, tally, verdict } from "./text-sets.ts";
import { WRAPPINGS } from "./wrappings.ts";

const COLUMNS = ["as user input: denied", "or warned", "as untrusted text: denied", "or warned"];

export const textSuite: EvalSuite = {
  about: "injected instructions and jailbreaks: CyberSecEval, BIPIA, NotInject, PIGuard, ordinary texts, wrappings",
  run: async (options) => {
    const attacks = attackSet("cyberseceval-injection");
    return [
      table("Attacks and trigger words", "set", [
        ...both(attacks, (row) => row.set, false),
        ...both(attackSet("bipia-attacks"), (row) => row.set, false),
        ...both(attackSet("piguard-valid"), (row) => `piguard ${row.label}`, false),
        ...both(attackSet("notinject"), (row) => row.set, true),
      ]),
      table(
        "CyberSecEval with the instructions of each row passed along",
        "set",
        both(
          attacks,
          (row) => row.set,
          false,
          (row, from) => verdict(row.text, from, row.system_prompt),
        ),
      ),
      table(
        "NotInject by category",
        "category",
        both(attackSet("notinject"), (row) => row.category ?? "?", false),
      ),
      table(
        "CyberSecEval by technique",
        "technique",
        both(attacks, (row) => `${row.set.slice(13)}: ${row.variant}`, false),
      ),
      ...(options.quick ? [] : [wrapped(attacks)]),
      ordinary(options),
    ];
  },
};

function table(title: string, first: string, rows: readonly (readonly string[])[]): EvalTable {
  return { title, columns: [first, ...COLUMNS], rows };
}

type Judge<T> = (row: T, from: Provenance) => Verdict;

function both<T extends { readonly text: string }>(
  rows: readonly T[],
  group: (row: T) => string,
  total: boolean,
  judge: Judge<T> = (row, from) => verdict(row.text, from),
): readonly (readonly string[])[] {
  const [user, other] = (["user_input", "untrusted_text"] as const).map((from) =>
    tally(rows, group, (row) => judge(row, from)),
  );
  const names = [...(user?.keys() ?? [])].filter((name) => total || name !== "all");
  const cells = (found: Tally | undefined): string[] =>
    found === undefined ? [] : [rate(found.denied, found.total), rate(found.denied + found.warned, found.total)];
  return names.map((name) => [name, ...cells(user?.get(name)), ...cells(other?.get(name))]);
}

/** Only texts that are denied when plain can say what a wrapping costs. */
function wrapped(attacks: readonly SetRow[]): EvalTable {
  const rows = Object.entries(WRAPPINGS).map(([name, wrap]) => {
    const cells = (["user_input", "untrusted_text"] as const).flatMap((from) => {
      const plain = attacks.filter((row) => row.text.length <= 2000 && verdict(row.text, from) === "deny");
      const found = tally(
        plain,
        () => name,
        (row) => verdict(wrap(row.text), from),
      ).get(name);
      return found === undefined
        ? ["0/0", "0/0"]
        : [rate(found.denied, found.total), rate(found.denied + found.warned, found.total)];
    });
    return [name, ...cells];
  });
  return table("CyberSecEval rows that are denied when plain, wrapped", "wrapping", rows);
}

function ordinary({ quick }: EvalOptions): EvalTable {
  const texts = [...installedTexts(), ...(quick ? [] : heldOutTexts())];
  return table(
    "Ordinary texts (false positives)",
    "kind",
    both(texts, (row) => row.group, true),
  );
}
