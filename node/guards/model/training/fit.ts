/**
 * Fits the weights: logistic regression over hashed features, where a text counts by its most suspicious window (learning from
 * multiple instances), by AdaGrad with dropped-out features. Plain arithmetic in a fixed order: same corpus, same bytes.
 */
import { canonicaliseText } from "../../text/canonical.ts";
import { type Weights, WINDOWS, windowScore } from "../classifier.ts";
import { BUCKETS, PER_TOKEN, walkTokens } from "../features.ts";
import { Chance } from "./grammar.ts";

export interface Sample {
  /** Buckets, `PER_TOKEN` for each token. */
  readonly features: Uint32Array;
  readonly attack: boolean;
  readonly weight: number;
}

export interface FitOptions {
  readonly seed: number;
  readonly epochs: number;
  readonly rate: number;
  /** Share of weight taken from a feature at each of its uses. */
  readonly decay: number;
  /** Share of features left out at each step. */
  readonly dropout: number;
}

/** Longer texts are cut: an example is one piece. */
const MOST_TOKENS = 700;

export function featuresOf(text: string): Uint32Array {
  const { text: canonical } = canonicaliseText(text, 1 << 16, true);
  const all: number[] = [];
  walkTokens(canonical, (features) => {
    if (all.length < MOST_TOKENS * PER_TOKEN) for (const one of features) all.push(one);
  });
  return Uint32Array.from(all);
}

interface Span {
  readonly from: number;
  readonly to: number;
  readonly score: number;
}

export function fitWeights(
  samples: readonly Sample[],
  { seed, epochs, rate, decay, dropout }: FitOptions,
): { readonly weights: Float32Array; readonly bias: number } {
  const chance = new Chance(seed);
  const weights = new Float32Array(BUCKETS);
  const squares = new Float32Array(BUCKETS).fill(1e-4);
  let bias = -1;
  let biasSquares = 1;
  const order = samples.map((_, at) => at);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const step = rate * (1 - epoch / (epochs + 1));
    for (const at of chance.shuffle(order)) {
      const { features, attack, weight } = samples[at] as Sample;
      const tokens = features.length / PER_TOKEN;
      if (tokens === 0) continue;
      const { from, to } = epoch === 0 ? anySpan(tokens, chance) : worstSpan(features, weights);
      let sum = 0;
      const start = from * PER_TOKEN;
      const end = to * PER_TOKEN;
      const kept = (index: number): boolean =>
        ((Math.imul(index ^ (epoch << 8), 0x9e3779b1) ^ (at * 0x85ebca6b)) >>> 8) % 1000 >= dropout * 1000;
      for (let index = start; index < end; index++)
        if (kept(index)) sum += weights[features[index] as number] as number;
      const score = windowScore(sum / (1 - dropout), to - from) + bias;
      const error = (1 / (1 + Math.exp(-score)) - (attack ? 1 : 0)) * weight;
      if (Math.abs(error) < 1e-4) continue;
      const slope = windowScore(error, to - from);
      for (let index = start; index < end; index++) {
        if (!kept(index)) continue;
        const feature = features[index] as number;
        squares[feature] = (squares[feature] as number) + slope * slope;
        const old = weights[feature] as number;
        weights[feature] = old - (step * slope) / Math.sqrt(squares[feature] as number) - step * decay * old;
      }
      biasSquares += error * error;
      bias -= (step * 0.3 * error) / Math.sqrt(biasSquares);
    }
  }
  return { weights, bias };
}

function anySpan(tokens: number, chance: Chance): { readonly from: number; readonly to: number } {
  const size = Math.min(tokens, chance.pick(WINDOWS));
  const from = chance.below(tokens - size + 1);
  return { from, to: from + size };
}

/** The window that scores highest, among those that scoring will look at. */
function worstSpan(features: Uint32Array, weights: Float32Array): Span {
  const tokens = features.length / PER_TOKEN;
  const sums = new Float64Array(tokens + 1);
  for (let token = 0; token < tokens; token++) {
    let sum = 0;
    for (let at = token * PER_TOKEN; at < (token + 1) * PER_TOKEN; at++)
      sum += weights[features[at] as number] as number;
    sums[token + 1] = (sums[token] as number) + sum;
  }
  let best: Span = { from: 0, to: tokens, score: Number.NEGATIVE_INFINITY };
  const consider = (from: number, to: number): void => {
    const score = windowScore((sums[to] as number) - (sums[from] as number), to - from);
    if (score > best.score) best = { from, to, score };
  };
  for (const size of WINDOWS) {
    for (let to = size; to <= tokens; to += size >> 1) consider(to - size, to);
    if (tokens >= size) consider(tokens - size, tokens);
  }
  if (tokens < (WINDOWS.at(-1) as number)) consider(0, tokens);
  return best;
}

/** To eight bits; the few largest weights are cut so that the many keep their differences. */
export function quantise(fitted: { readonly weights: Float32Array; readonly bias: number }): Weights {
  const sizes = fitted.weights
    .filter((weight) => weight !== 0)
    .map(Math.abs)
    .sort();
  const limit = sizes[Math.floor(sizes.length * 0.9995)] ?? 1;
  const scale = limit / 127;
  const weights = Int8Array.from(fitted.weights, (weight) => Math.max(-127, Math.min(127, Math.round(weight / scale))));
  return { weights, scale, bias: fitted.bias };
}
