/**
 * Detection of injected instructions and jailbreaks: recall per attack set, technique, language and wrapping, and false
 * positives on ordinary texts and on NotInject, for both provenances. `npm run eval -- text` prints it; README holds it.
 */
import type { Verdict } from "../../node/guards/verdict.ts";
import { heldOutTexts, installedTexts } from "./benign-texts.ts";
import { type EvalOptions, type EvalSuite, type EvalTable, rate } from "./report.ts";
import { attackSet, type Provenance, type Tally, tally, verdict } from "./text-sets.ts";
import { KINDS, TRANSLATED } from "./translated.ts";
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
      table(
        "The same seven attacks in many languages",
        "language",
        both(translated(), (row) => row.language, true),
      ),
      table(
        "The same seven attacks in many languages, by kind",
        "kind",
        both(translated(), (row) => row.kind, false),
      ),
      wrapped("Attacks in many languages that are denied when plain, wrapped", translated()),
      ...(options.quick ? [] : [wrapped("CyberSecEval rows that are denied when plain, wrapped", attacks)]),
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

interface Translated {
  readonly language: string;
  readonly kind: string;
  readonly text: string;
}

function translated(): readonly Translated[] {
  return Object.entries(TRANSLATED).flatMap(([language, texts]) =>
    texts.map((text, at) => ({ language, kind: KINDS[at] as string, text })),
  );
}

/** Only texts that are denied when plain can say what a wrapping costs. */
function wrapped(title: string, attacks: readonly { readonly text: string }[]): EvalTable {
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
  return table(title, "wrapping", rows);
}

function ordinary({ quick }: EvalOptions): EvalTable {
  const texts = [...installedTexts(), ...(quick ? [] : heldOutTexts())];
  return table(
    "Ordinary texts (false positives)",
    "kind",
    both(texts, (row) => row.group, true),
  );
}
