/** What the air of a configured radio costs: its modulation's time on air, and its band's or the operator's duty cycle. */
import { reticulum } from "../../planes/index.ts";
import { dutyCycleAt } from "../../spine/index.ts";
import type { ReticulumConfig } from "./config.ts";

/** Undefined for wires that are no radio of ours: their bitrate alone counts. A wire is named after its interface. */
export function airOf(config: ReticulumConfig, wire: string): reticulum.Air | undefined {
  const one = config.interfaces.find(({ name }) => wire === name || wire.startsWith(`${name}/`));
  if (one?.type !== "rnode") return undefined;
  const { frequencyHz, airtimeLongPercent } = one;
  const duty = Math.min(dutyCycleAt(frequencyHz), (airtimeLongPercent ?? 100) / 100);
  return { airtimeMs: (bytes) => reticulum.packetAirtimeMs(one, bytes), duty: duty > 0 ? duty : 1 };
}
