/**
 * The classifier's corpus: texts of packages (`sources.ts`) and of the self-written templates, each labelled, weighted by
 * family and split into training and development. Texts that an evaluation set holds are refused and counted.
 */
import { Chance, type Produced } from "./grammar.ts";
import { Refused } from "./refused.ts";
import { SOURCES } from "./sources.ts";
import { produceFamilies, readTemplates } from "./templates.ts";

export interface Example {
  readonly text: string;
  readonly attack: boolean;
  readonly source: string;
  readonly development: boolean;
}

export interface SourceCount {
  readonly source: string;
  readonly licence: string;
  readonly kind: "attack" | "ordinary";
  readonly development: boolean;
  texts: number;
  refused: number;
}

export interface Corpus {
  readonly examples: readonly Example[];
  readonly counts: readonly SourceCount[];
}

export const OWN = "self-written templates";

/** Texts of one template, at most. */
const PER_TEMPLATE = { direct: 60, indirect: 90, ordinary: 60, constrained: 150, attacks: 24, plain: 24 };
/** One of so many templates is kept out when settings are tried. */
const KEPT_TEMPLATES = 5;

class Collector {
  readonly examples: Example[] = [];
  readonly counts = new Map<string, SourceCount>();
  readonly #refused = Refused.load();
  readonly #seen = new Set<string>();

  add(source: string, licence: string, example: Omit<Example, "source">): void {
    const key = `${source} ${example.development}`;
    const kind = example.attack ? "attack" : "ordinary";
    const count = this.counts.get(key) ?? {
      source,
      licence,
      kind,
      development: example.development,
      texts: 0,
      refused: 0,
    };
    this.counts.set(key, count);
    if (this.#refused.has(example.text)) {
      count.refused++;
      return;
    }
    const seen = `${example.attack} ${example.text}`;
    if (this.#seen.has(seen)) return;
    this.#seen.add(seen);
    count.texts++;
    this.examples.push({ ...example, source });
  }
}

/**
 * With `development`, every fifth template and the attacks of some packages are kept out of training, so that settings are
 * tried on wordings that were not learned. Without, only ordinary texts are kept out, for the thresholds.
 */
export function buildCorpus(seed: number, development: boolean): Corpus {
  const chance = new Chance(seed);
  const into = new Collector();
  for (const { name, licence, attack, use, texts } of SOURCES) {
    const kept = use === "development" || (use === "kept-when-trying" && development);
    for (const text of texts()) into.add(name, licence, { text, attack, development: kept });
  }
  const talk = into.examples.filter(
    (one) => !one.attack && !one.development && /requests|questions/.test(one.source) && one.text.length < 500,
  );
  const hosts = into.examples.filter((one) => !one.attack && !one.development && one.text.length > 200);
  const put = (
    file: string,
    most: number,
    attack: boolean,
    each: (one: Produced, family: string) => readonly Own[],
    shared: readonly string[] = [],
  ): void => {
    for (const [family, produced] of produceFamilies(readTemplates(file, shared), most, chance)) {
      for (const one of produced) {
        const kept = development && one.template % KEPT_TEMPLATES === 2;
        for (const { name = "", text } of each(one, family))
          into.add(`${OWN}: ${file}${name}, ${family}`, "of this project", {
            text,
            attack,
            development: kept,
          });
      }
    }
  };
  const plainly = ({ text }: Produced): readonly Own[] => [{ text }];
  const chatty = ({ text }: Produced): readonly Own[] => [
    { text },
    { name: " in a text", text: surround(text, talk, chance) },
  ];
  put("direct", PER_TEMPLATE.direct, true, chatty);
  put("conversations", PER_TEMPLATE.direct, true, chatty, ["direct"]);
  put("messages", PER_TEMPLATE.direct, true, chatty, ["direct"]);
  put("injected", PER_TEMPLATE.indirect, true, plainly, ["indirect"]);
  put("indirect", PER_TEMPLATE.indirect, true, ({ text }) => [
    { text },
    { name: " in a text", text: embed(text, chance.pick(hosts).text, chance) },
  ]);
  put("languages-attacks", PER_TEMPLATE.attacks, true, plainly);
  put("languages-more", PER_TEMPLATE.attacks, true, plainly);
  put("ordinary", PER_TEMPLATE.ordinary, false, plainly);
  put("constrained", PER_TEMPLATE.constrained, false, plainly);
  put("languages-ordinary", PER_TEMPLATE.plain, false, plainly);
  return { examples: into.examples, counts: [...into.counts.values()] };
}

interface Own {
  readonly name?: string;
  readonly text: string;
}

/** The attack among ordinary requests, as one message. */
function surround(attack: string, talk: readonly Example[], chance: Chance): string {
  const some = (most: number): string =>
    Array.from({ length: chance.below(most + 1) }, () => chance.pick(talk).text).join(" ");
  return `${some(2)} ${attack}${/[.?!]$/.test(attack) ? "" : chance.pick([".", "?", "!", ""])} ${some(1)}`.trim();
}

/** The attack inside a piece of ordinary text, as a sentence, a comment, a quotation or a hidden element. */
function embed(attack: string, host: string, chance: Chance): string {
  const words = host.split(/\s+/);
  const at = chance.below(Math.max(1, words.length - 60));
  const before = words.slice(at, at + 10 + chance.below(25)).join(" ");
  const after = words.slice(at + 35, at + 45 + chance.below(25)).join(" ");
  const wrapped = chance.pick([
    (text: string) => text,
    (text: string) => text,
    (text: string) => `\n\n${text}\n\n`,
    (text: string) => `<!-- ${text} -->`,
    (text: string) => `</p><p style="font-size:0">${text}</p><p>`,
    (text: string) => `"${text}"`,
    (text: string) => `\n> ${text}\n`,
    (text: string) => `[${text}]`,
    (text: string) => `\n---\n${text}\n---\n`,
    (text: string) => `**${text}**`,
    (text: string) => `", "note": "${text}", "`,
  ])(attack);
  return `${before} ${wrapped} ${after}`;
}
