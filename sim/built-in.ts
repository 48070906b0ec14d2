/** The built-in scenarios. */
import type { BuiltIn } from "./run.ts";
import { fiveBps, fiveBpsValidation, loraChain, loraCity, mailForAbsent, twentyFourHours } from "./scenarios/air.ts";
import { heads10k, lateJoiner, mixedPlanes, partitionHeal, swarm1k } from "./scenarios/basic.ts";
import {
  catchUpAfterReconnect,
  disaster,
  gatewayBridge,
  loraNatsGateway,
  revocationClusterToField,
} from "./scenarios/gateways.ts";
import { checkpointStorm, floodingNeighbour, sybilFlood } from "./scenarios/load.ts";
import {
  clonedImage,
  forkAttack,
  mutualRevocation,
  restoredBackup,
  revocationRace,
  splitView,
} from "./scenarios/trust.ts";

export const BUILT_IN: readonly BuiltIn[] = [
  partitionHeal,
  lateJoiner,
  loraChain,
  loraCity,
  gatewayBridge,
  revocationRace,
  mutualRevocation,
  forkAttack,
  splitView,
  restoredBackup,
  clonedImage,
  sybilFlood,
  floodingNeighbour,
  checkpointStorm,
  disaster,
  swarm1k,
  heads10k,
  mixedPlanes,
  fiveBps,
  twentyFourHours,
  revocationClusterToField,
  catchUpAfterReconnect,
  loraNatsGateway,
  fiveBpsValidation,
  mailForAbsent,
];
