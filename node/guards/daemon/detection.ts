/** The text layers of the guards as the section `guard.detection` says: classifier on, off or shifted, and a judge. */
import { randomBytes } from "node:crypto";
import { SpineError } from "../../../spine/index.ts";
import type { Config } from "../../config.ts";
import type { EngineOptions } from "../engine.ts";
import type { AsyncGuard } from "../guard.ts";
import { learnedLayer } from "../model/learned-layer.ts";
import { textJudge } from "../text-judge.ts";

export type DetectionOptions = Pick<EngineOptions, "learned" | "asyncGuards" | "asyncBudgetMs">;

/** The judge's own time-out ends first, so that its failure means what the configuration says. */
const JUDGE_MARGIN_MS = 500;

/** The text layers as configured. Throws `config_invalid` when the judge's token is not in the environment. */
export function detectionOptions(
  { learned, shift, judge }: Config["guard"]["detection"],
  env: Readonly<Record<string, string | undefined>>,
  others: readonly AsyncGuard[] = [],
): DetectionOptions {
  const layer = learned ? learnedLayer(shift) : false;
  if (judge === undefined) return { learned: layer, asyncGuards: others };
  const { token: variable, ...rest } = judge;
  const token = variable === undefined ? undefined : env[variable];
  if (variable !== undefined && token === undefined)
    throw new SpineError("config_invalid", `guard.detection.judge.token: the environment has no ${variable}`);
  const asked = textJudge({
    ...rest,
    ...(token !== undefined && { token }),
    mark: () => randomBytes(12).toString("hex"),
  });
  return { learned: layer, asyncGuards: [...others, asked], asyncBudgetMs: judge.timeoutMs + JUDGE_MARGIN_MS };
}
