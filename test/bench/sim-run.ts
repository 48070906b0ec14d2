/** One simulated run in a process of its own: prints what it cost as a line of JSON. Started by `sim.ts`. */
import { BUILT_IN, runScenario } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const [name = "", nodes = "", seed = "1"] = process.argv.slice(2);
const builtIn = BUILT_IN.find((one) => one.name === name);
if (builtIn === undefined) throw new Error(`no built-in scenario "${name}"`);
const file = builtIn.file(nodes === "" ? {} : { nodes: Number(nodes) });
let peakBytes = 0;
const startedAt = performance.now();
const cpu = process.cpuUsage();
const result = await runScenario(file, {
  seed: Number(seed),
  ports: nativePorts(),
  onProgress: () => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  },
});
const { user, system } = process.cpuUsage(cpu);
process.stdout.write(
  `${JSON.stringify({
    ok: result.ok,
    seconds: (performance.now() - startedAt) / 1000,
    cpuSeconds: (user + system) / 1e6,
    steps: result.steps,
    envelopes: result.envelopes,
    virtualSeconds: result.virtual_ms / 1000,
    peakMiB: Math.round(peakBytes / 1_048_576),
  })}\n`,
);
