/** Attack texts of red-team collections: small sets by many hands, so that no one author's wordings are learned alone. */
import { parse } from "yaml";
import { jsonLines, keptWhenTrying, matching, type Source, text } from "./package-texts.ts";
import type { TRAINING } from "./wanted.ts";

type Package = keyof typeof TRAINING;

interface Rows {
  readonly [key: string]: unknown;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.trim().length >= 12;
}

/** Slots in braces or brackets become words; a text that is mostly slots is none. */
function filled(template: string, slots: Rows = {}): string {
  return template
    .replace(/\{+ ?([A-Za-z_]+) ?\}+/g, (_, name: string) =>
      isText(slots[name]) ? (slots[name] as string) : name.toLowerCase().replaceAll("_", " "),
    )
    .replace(/\[([A-Z_]{4,})\]/g, (_, name: string) => name.toLowerCase().replaceAll("_", " "))
    .replace(/\\([#[\]_*])/g, "$1");
}

function yamlRows(name: Package, path: string): readonly Rows[] {
  const value = parse(text(name, path)) as unknown;
  return Array.isArray(value) ? (value as Rows[]) : [value as Rows];
}

/** Strings that Python joins, after `key=` or `"key":`, or as the first argument of `call(`. */
function pythonTexts(name: Package, path: string, before: RegExp): readonly string[] {
  const whole = text(name, path);
  return [...whole.matchAll(new RegExp(`${before.source}\\(?((?:\\s*f?"(?:[^"\\\\]|\\\\.)*")+)`, "g"))].map(
    ([, parts]) =>
      [...(parts as string).matchAll(/"((?:[^"\\]|\\.)*)"/g)]
        .map(([, part]) => part as string)
        .join("")
        .replaceAll("\\n", "\n")
        .replaceAll('\\"', '"'),
  );
}

/** Lists of the word lists that hold whole attacks; the others hold tokens and separators. */
const WORD_LISTS = /^promptwl\/wordlists\/(?:agents|extraction\/system|injection|jailbreak|multilingual)\b.*\.txt$/;
/** Kinds of DeepTeam that aim at a model's instructions or tools; the others ask for harmful content or test other things. */
const DEEPTEAM =
  /^deepteam\/(?:attacks\/single_turn\/(?:authority|context_p|goal_r|gray|input_b|permission|prompt_|synthetic|system_o|emotional)|vulnerabilities\/(?:agent_identity|debug|goal_theft|indirect|prompt_leakage|rbac|recursive|system_recon|cross_context))[a-z_]*\/template\.py$/;

function rogue(): readonly string[] {
  return matching("rogue", /^rogue\/packs\/[a-z]+\.json$/).flatMap((path) =>
    (JSON.parse(text("rogue", path)) as Rows[])
      .filter(({ vector }) => /^(?:user_turn|rag_document|tool_output|system_prompt)$/.test(vector as string))
      .map((row) => filled(row["payload_template"] as string, row["payload_slots"] as Rows)),
  );
}

function argus(): readonly string[] {
  const probes =
    /^orchestrator\/redteam\/probes\/(?:garak\/garak_(?:latentinjection|goodside|sysprompt|promptinject|web)[a-z_]*|owasp_0[167]_[a-z_]+|syscard_[a-z_]+|agents_md[a-z_]*|shadow[a-z_]*|custom\/.*)\.yaml$/;
  return matching("argus", probes).flatMap((path) =>
    yamlRows("argus", path).flatMap(({ prompts }) => (Array.isArray(prompts) ? prompts.filter(isText) : [])),
  );
}

export const ATTACK_COLLECTIONS: readonly Source[] = [
  keptWhenTrying("Oubliette: scenarios", "Apache-2.0", () =>
    yamlRows("oubliette", "oubliette_dungeon/scenarios/default.yaml")
      .filter(({ category }) => category !== "compliance_testing" && category !== "resource_abuse")
      .flatMap(({ prompt }) => (isText(prompt) ? [filled(prompt)] : [])),
  ),
  keptWhenTrying("FAS Judgement: patterns", "MIT", () =>
    (
      JSON.parse(
        text("judgement", "fas_judgement/modules/ai_security/patterns/data/single-shot/patterns.json"),
      ) as Rows[]
    )
      .filter(({ source }) => !/tensor ?trust/i.test(String(source)))
      .flatMap((row) => (isText(row["text"]) ? [row["text"]] : [])),
  ),
  keptWhenTrying("Hermes: attack templates", "MIT", () =>
    pythonTexts("hermes", "jailbreak_bench/attacks.py", /template=/).map((one) => filled(one)),
  ),
  keptWhenTrying("Nullsec: payloads", "MIT", () =>
    pythonTexts("nullsec", "nullsec_promptinject/payloads.py", /Payload\(/).map((one) => filled(one)),
  ),
  keptWhenTrying("promptwl: word lists", "MIT", () =>
    matching("promptwl", WORD_LISTS).flatMap((path) =>
      text("promptwl", path)
        .split(/\r?\n/)
        .filter((line) => !line.startsWith("#") && isText(line))
        .map((line) => filled(line)),
    ),
  ),
  keptWhenTrying("Rogue: packs", "MIT", rogue),
  keptWhenTrying("Argus: probes", "Apache-2.0", argus),
  keptWhenTrying("bastionprobe: payloads", "MIT", () =>
    jsonLines("bastionprobe", /payloads\.jsonl$/).map((row) => filled(row["text"] ?? "")),
  ),
  keptWhenTrying("DeepTeam: examples", "Apache-2.0", () =>
    matching("deepteam", DEEPTEAM).flatMap((path) => pythonTexts("deepteam", path, /"input": ?/).filter(isText)),
  ),
];
