/**
 * The learned classifier as the text guards use it: several readings of a text in, one suspicion out. The guards' other
 * layers stay as they are; `guard.detection` in the configuration switches this one off or shifts its thresholds.
 */
import { type Provenance, shippedClassifier, textScores, type Watched, type Weights } from "./classifier.ts";

export interface Suspicion {
  /** Log odds of the most suspicious window, as trained, raised where it speaks of a watched word; larger is worse. */
  readonly score: number;
  /** `sure` is a reason to deny, `doubt` one to warn. */
  readonly level: "none" | "doubt" | "sure";
  /** 0 to 100 with `doubt` at 30 and `sure` at 70, the scale of the jailbreak guard's risk score. */
  readonly points: number;
  /** Start of the SHA-256 of the weights. */
  readonly weights: string;
}

const DOUBT_POINTS = 30;
const SURE_POINTS = 70;
/** Too little to be sure about: two or three words are left to the rules. */
const FEW_CHARS = 20;
/** Too little to have a doubt about; a sure sign still counts. */
const SHORT_CHARS = 24;
/** Points for each unit of score above `sure`. */
const STEEPNESS = 10;

/** How much less evidence is needed where a text speaks of a watched word. */
const WATCHED_SHIFT = -2;

/** Stripping and decoding makes odd texts of ordinary ones. */
const READING_MARGIN = 0.5;

export interface LearnedLayer {
  /** `texts`: the text and its other readings. `watch`: words of what the reader's instructions protect. */
  judge(from: Provenance, texts: readonly string[], watch?: Watched): Suspicion;
}

/** The highest score of a text's readings, the first of which is the text itself: what was decoded must be plainer. */
export function readingsScore(weights: Weights, texts: readonly string[], watch?: Watched): number {
  const scores = texts.map((text, at) => {
    const { best, watched } = textScores(weights, text, watch);
    return Math.max(best, watched - WATCHED_SHIFT) - (at === 0 ? 0 : READING_MARGIN);
  });
  return Math.max(...scores);
}

/** `shift` is added to both thresholds: above 0 fewer texts are stopped, below 0 more. Weights are read at the first use. */
export function learnedLayer(shift = 0): LearnedLayer {
  return {
    judge: (from, texts, watch) => {
      const { classifier, version } = shippedClassifier();
      const score = readingsScore(classifier, texts, watch);
      const sure = classifier.thresholds[from].sure + shift;
      const doubt = classifier.thresholds[from].doubt + shift;
      if (texts.every((text) => text.length < FEW_CHARS)) return { score, level: "none", points: 0, weights: version };
      if (score >= sure) {
        const points = Math.min(99, SURE_POINTS + Math.floor((score - sure) * STEEPNESS));
        return { score, level: "sure", points, weights: version };
      }
      if (score < doubt || texts.every((text) => text.length < SHORT_CHARS))
        return { score, level: "none", points: 0, weights: version };
      const points = DOUBT_POINTS + Math.floor(((score - doubt) / (sure - doubt)) * (SURE_POINTS - DOUBT_POINTS));
      return { score, level: "doubt", points: Math.min(SURE_POINTS - 1, points), weights: version };
    },
  };
}

/** What goes into a decision's details. */
export function suspicionDetails({ score, level, weights }: Suspicion): Readonly<Record<string, unknown>> {
  return { level, score: Number.isFinite(score) ? Math.round(score * 100) / 100 : null, weights };
}
