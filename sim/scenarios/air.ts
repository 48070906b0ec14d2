/** Meshes on LoRa: the daemon's Reticulum plane over the one radio model. */
import type { BuiltIn } from "../run.ts";
import { converged, group, HOUR, load, MINUTE, radio, scenario } from "./parts.ts";

export const loraChain: BuiltIn = {
  name: "lora-chain",
  summary: "Radios in a row, each in range of its neighbours only: a fact from one end reaches the other hop by hop.",
  file({ nodes = 5 }) {
    return scenario({
      name: this.name,
      summary: this.summary,
      durationMs: 4 * HOUR,
      nodes: [
        group("relay", nodes, { place: { type: "line", from: { x: 0, y: 0 }, to: { x: 4_000 * (nodes - 1), y: 0 } } }),
      ],
      networks: [radio("lora", { pathLoss: { type: "line", lossDb: 120 } })],
      load: [load(`relay-1`, { fromMs: 20 * MINUTE, fact: "incident" })],
      expect: [converged(21 * MINUTE, 3 * HOUR)],
    });
  },
};
