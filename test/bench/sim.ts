/**
 * What simulations cost: how time and memory grow with the nodes, and the long scenarios. Nothing like it exists to
 * compare with; each run is a process of its own.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench, BenchResult } from "./run.ts";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("./sim-run.js", import.meta.url));
/** Short-lived objects are most of what a run makes. */
const FLAGS = ["--max-semi-space-size=128", "--max-old-space-size=5500"];

interface Cost {
  readonly ok: boolean;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly steps: number;
  readonly envelopes: number;
  readonly virtualSeconds: number;
  readonly peakMiB: number;
}

async function cost(name: string, nodes: string): Promise<Cost> {
  const { stdout } = await run(process.execPath, [...FLAGS, PROGRAM, name, nodes], { maxBuffer: 1_048_576 });
  return JSON.parse(stdout) as Cost;
}

function figures(label: string, one: Cost): Record<string, number | string | boolean> {
  return {
    [`${label}_ok`]: one.ok,
    [`${label}_seconds`]: Number(one.seconds.toFixed(1)),
    [`${label}_cpu_seconds`]: Number(one.cpuSeconds.toFixed(1)),
    [`${label}_steps_per_second`]: Math.round(one.steps / one.seconds),
    [`${label}_envelopes_stored`]: one.envelopes,
    [`${label}_peak_mib`]: one.peakMiB,
  };
}

/** 100 issuers with an envelope and a head each to 100, 1,000 and 10,000 nodes. */
export const benchSimGrowth: Bench = async (): Promise<BenchResult> => {
  const sizes = [200, 1_000, 10_000];
  const costs: Cost[] = [];
  for (const size of sizes) costs.push(await cost("heads-10k", `${size}`));
  const perPair = costs.map(({ seconds, envelopes }) => (seconds * 1e6) / envelopes);
  return {
    bench: "sim",
    figures: {
      ...Object.assign({}, ...sizes.map((size, i) => figures(`nodes_${size}`, costs[i] as Cost))),
      us_per_envelope_and_node: perPair.map((us) => us.toFixed(0)).join(", "),
    },
  };
};

/** The long scenarios: 200 nodes on mixed planes, a city of radios for a day, ten radios with a full stack for a day. */
export const benchSimScenarios: Bench = async (): Promise<BenchResult> => {
  const all: Record<string, number | string | boolean> = {};
  for (const name of ["mixed-planes", "lora-city", "twenty-four-hours"]) {
    const one = await cost(name, "");
    Object.assign(all, figures(name.replaceAll("-", "_"), one));
    all[`${name.replaceAll("-", "_")}_virtual_hours`] = Number((one.virtualSeconds / 3600).toFixed(1));
  }
  return { bench: "sim-scenarios", figures: all };
};
