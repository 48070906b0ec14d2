/**
 * The learned layer: a logistic model over hashed features, judged over sliding windows so that
 * one sentence in a long document counts as much as alone. Weights are int8 in `weights.bin`, made by `training/train.ts`.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { BUCKETS, PER_TOKEN, walkTokens } from "./features.ts";

/** `user`: what a person typed. `foreign`: what came from a tool, a file, a page or a mail. */
export const PROVENANCES = ["user", "foreign"] as const;
export type Provenance = (typeof PROVENANCES)[number];

/** Tokens a window spans; each slides by half its size. */
export const WINDOWS = [16, 32, 64] as const;
const LONGEST = 64;
const RING = 128;
/** Short texts have few features and would score extremely. */
const SMOOTHING = 8;

export interface Weights {
  readonly weights: Int8Array;
  /** What one unit of a weight is worth. */
  readonly scale: number;
  readonly bias: number;
}

export interface Classifier extends Weights {
  /** Scores from which the layer is sure, and from which it has a doubt. */
  readonly thresholds: Readonly<Record<Provenance, { readonly sure: number; readonly doubt: number }>>;
}

const MAGIC = "SPTC";
const VERSION = 1;
/** Magic, version, then six doubles: scale, bias, and both thresholds of each provenance. */
const HEADER_BYTES = 8 + 6 * 8;

/** Throws a plain Error when the bytes are not weights of this version's features. */
export function readClassifier(bytes: Buffer): Classifier {
  if (
    bytes.toString("latin1", 0, 4) !== MAGIC ||
    bytes.readUInt32LE(4) !== VERSION ||
    bytes.length !== HEADER_BYTES + BUCKETS
  )
    throw new Error("not the weights of this version");
  const field = (at: number): number => bytes.readDoubleLE(8 + at * 8);
  return {
    weights: new Int8Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES, BUCKETS),
    scale: field(0),
    bias: field(1),
    thresholds: { user: { sure: field(2), doubt: field(3) }, foreign: { sure: field(4), doubt: field(5) } },
  };
}

export function writeClassifier({ weights, scale, bias, thresholds }: Classifier): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, "latin1");
  header.writeUInt32LE(VERSION, 4);
  const fields = [scale, bias, ...PROVENANCES.flatMap((from) => [thresholds[from].sure, thresholds[from].doubt])];
  for (const [at, value] of fields.entries()) header.writeDoubleLE(value, 8 + at * 8);
  return Buffer.concat([header, Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength)]);
}

/** The sum of a window's features counts by the root of its length, as in training. */
export function windowScore(sum: number, tokens: number): number {
  return sum / Math.sqrt(tokens + SMOOTHING);
}

/** Words of special interest: by stem as in `features.ts`, or by meaning as numbered in `lexicon.ts`. */
export interface Watched {
  readonly stems: ReadonlySet<number>;
  readonly meanings: ReadonlySet<number>;
}

export interface Scores {
  /** The highest score of any window. -Infinity for a text without tokens. */
  readonly best: number;
  /** The highest of the windows that hold a watched word; -Infinity when there is none. */
  readonly watched: number;
}

/** Scores of a text in canonical form. */
export function textScores({ weights, scale, bias }: Weights, text: string, watch?: Watched): Scores {
  const ring = new Float64Array(RING);
  let sum = 0;
  let count = 0;
  let best = Number.NEGATIVE_INFINITY;
  let watched = Number.NEGATIVE_INFINITY;
  let lastSeen = Number.NEGATIVE_INFINITY;
  const consider = (size: number): void => {
    const from = ring[(count - size) & (RING - 1)] as number;
    const score = windowScore(sum - from, size);
    if (score > best) best = score;
    if (score > watched && lastSeen > count - size) watched = score;
  };
  walkTokens(text, (features, stem, meaning) => {
    let score = 0;
    for (let at = 0; at < PER_TOKEN; at++) score += weights[features[at] as number] as number;
    sum += score;
    count++;
    ring[count & (RING - 1)] = sum;
    if (watch !== undefined && (watch.meanings.has(meaning) || watch.stems.has(stem))) lastSeen = count;
    for (const size of WINDOWS) {
      if (count % (size >> 1) !== 0) break;
      if (count >= size) consider(size);
    }
  });
  if (count > 0) {
    for (const size of WINDOWS) if (count >= size) consider(size);
    if (count < LONGEST) consider(count);
  }
  return { best: best * scale + bias, watched: watched * scale + bias };
}

/** The highest score of any window of a text in canonical form. -Infinity for a text without tokens. */
export function textScore(weights: Weights, text: string): number {
  return textScores(weights, text).best;
}

let shipped: { readonly classifier: Classifier; readonly version: string } | undefined;

/** The weights that come with this build, read once. `version` is the start of their SHA-256, for evidence. */
export function shippedClassifier(): { readonly classifier: Classifier; readonly version: string } {
  if (shipped === undefined) {
    const bytes = readFileSync(resolve(import.meta.dirname, "../../../../node/guards/model/weights.bin"));
    const version = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
    shipped = { classifier: readClassifier(bytes), version };
  }
  return shipped;
}
