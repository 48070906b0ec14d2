/**
 * The learned classifier as the text guards use it: several readings of a text in, one suspicion out. The guards' other
 * layers stay as they are; `guard.detection` in the configuration switches this one off or shifts its thresholds.
 */
import { type Provenance, shippedClassifier, textScore } from "./classifier.ts";

export interface Suspicion {
  /** Log odds of the most suspicious window, as trained; larger is worse. */
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
/** Too little to have a doubt about; a sure sign still counts. */
const SHORT_CHARS = 24;
/** Points for each unit of score above `sure`. */
const STEEPNESS = 10;

export interface LearnedLayer {
  /** `moved` is added to the thresholds for these texts. */
  judge(from: Provenance, texts: readonly string[], moved?: number): Suspicion;
}

/** `shift` is added to both thresholds: above 0 fewer texts are stopped, below 0 more. Weights are read at the first use. */
export function learnedLayer(shift = 0): LearnedLayer {
  return {
    judge: (from, texts, moved = 0) => {
      const { classifier, version } = shippedClassifier();
      const score = Math.max(...texts.map((text) => textScore(classifier, text)));
      const sure = classifier.thresholds[from].sure + shift + moved;
      const doubt = classifier.thresholds[from].doubt + shift + moved;
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
