/** `spine sim …`: the verbs are the simulator's own (`sim/verbs/`); here they get the machine they run on. */
import { SpineError } from "../../spine/index.ts";
import { loadSimulator } from "../simulation/load.ts";
import { WorkerMachine } from "../simulation/machine.ts";
import type { Verb } from "./verb.ts";

export async function simVerb(name: string): Promise<Verb> {
  const make = (await loadSimulator()).simVerbs[name];
  if (make === undefined) throw new SpineError("internal", `the simulator has no verb ${name}`);
  return make(new WorkerMachine(process.stderr));
}
