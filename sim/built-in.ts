/** The built-in scenarios. */
import type { BuiltIn } from "./run.ts";
import { partitionHeal } from "./scenarios/basic.ts";

export const BUILT_IN: readonly BuiltIn[] = [partitionHeal];
