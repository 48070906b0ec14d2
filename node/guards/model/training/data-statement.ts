/** The data statement that goes with the weights: where every text came from, under which licence, how many, what was refused. */
import type { Classifier } from "../classifier.ts";
import type { Corpus, SourceCount } from "./corpus.ts";
import type { FitOptions } from "./fit.ts";
import { TRAINING } from "./wanted.ts";

export interface StatementInput {
  readonly corpus: Corpus;
  readonly seed: number;
  readonly fit: FitOptions;
  readonly sha256: string;
  readonly classifier: Classifier;
}

export function dataStatement({ corpus, seed, fit, sha256, classifier: { thresholds } }: StatementInput): string {
  const { counts } = corpus;
  const packages = Object.values(TRAINING).map(
    ({ registry, name, version, licence, sha256: hash }) =>
      `| ${name} | ${version} | ${registry} | ${licence} | \`${hash}\` |`,
  );
  const rows = [...merged(counts)].map(
    (one) =>
      `| ${one.source} | ${one.licence} | ${one.kind} | ${one.development ? "development" : "training"} | ${one.texts} | ${one.refused} |`,
  );
  return `# Data statement of the text classifier

\`weights.bin\` (SHA-256 \`${sha256}\`) is made by \`npm run train\`; the same packages give the same bytes. Seed ${seed},
${fit.epochs} epochs, rate ${fit.rate}, decay ${fit.decay}, dropout ${fit.dropout}. Thresholds (sure, doubt) were set on the ordinary development texts:
${thresholds.user.sure} and ${thresholds.user.doubt} for what a person typed, ${thresholds.foreign.sure} and ${thresholds.foreign.doubt} for what came from tools, files, pages and mail.

No text is kept in the project but the self-written templates in \`training/templates/\` and the words of \`lexicon.ts\`; the
rest is read out of packages when training runs.

**Never trained on:** NotInject, CyberSecEval prompt injection, BIPIA and the PIGuard validation set, any part or copy.
\`training/refused.bin\` holds hashes of all their public texts (each run of eight words; short texts whole and with any
one word left out). Every text, also of the templates, is compared with them and refused on a match; the last column
counts how many. Nor is any package trained on whose texts the evaluation judges as ordinary (\`training/wanted.ts\`);
one, the SpamAssassin corpus, is split by mailbox.

The templates name techniques of the literature (overriding, persuading, pretending, payload splitting, token smuggling, many
shots, virtual machines, changed output formats, other languages, instructions hidden in documents) and were written without
reading a row of those sets. Settings were compared on sets that are neither trained on nor judged in the evaluation: the
Tensor Trust benchmarks (Toyer et al. 2023), and the test cases of Moltshield and Proventra, whose misses were read.

## Packages

| package | version | registry | licence | SHA-256 |
| --- | --- | --- | --- | --- |
${packages.join("\n")}

## Texts

| source | licence | label | used for | texts | refused |
| --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** Families of one template file are one row. */
function merged(counts: readonly SourceCount[]): Iterable<SourceCount> {
  const rows = new Map<string, SourceCount>();
  for (const count of counts) {
    const source = count.source.replace(/, [^,]*$/, "");
    const key = `${source} ${count.development} ${count.kind}`;
    const row = rows.get(key) ?? { ...count, source, texts: 0, refused: 0 };
    row.texts += count.texts;
    row.refused += count.refused;
    rows.set(key, row);
  }
  return rows.values();
}
