/** The one place where the node reaches for the simulator: at run time, through its public face. */
import type { SimulatorFace } from "./face.ts";

const FACE = new URL("../../sim/index.js", import.meta.url);

export async function loadSimulator(): Promise<SimulatorFace> {
  return (await import(FACE.href)) as SimulatorFace;
}
