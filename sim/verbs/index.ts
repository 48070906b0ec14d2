/** The `sim` verbs by name: what the command line finds in the simulator's public face. */
import type { SimMachine, Verb } from "../../node/index.ts";
import { fuzz } from "./fuzz.ts";
import { importVerb } from "./import.ts";
import { list, schema, show } from "./list.ts";
import { run } from "./run.ts";

export const simVerbs: Readonly<Record<string, (machine: SimMachine) => Verb>> = {
  list,
  show,
  schema,
  run,
  fuzz,
  import: importVerb,
};
