/** The built-in scenarios. */
import type { BuiltIn } from "./run.ts";
import { loraChain } from "./scenarios/air.ts";
import { partitionHeal } from "./scenarios/basic.ts";

export const BUILT_IN: readonly BuiltIn[] = [partitionHeal, loraChain];
