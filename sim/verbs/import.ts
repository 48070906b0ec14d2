/** `spine sim import`: a scenario of a real mesh, from files its nodes wrote. */
import type { SimMachine, Verb } from "../../node/index.ts";
import { importMesh } from "../text/mesh-import.ts";
import { scenarioText } from "../text/scenario-text.ts";

const MAX_FILES = 1_000;

export const importVerb = (machine: SimMachine): Verb => ({
  usage: "sim import FILE… [--name NAME] [--out FILE]",
  about:
    "Makes a scenario of a real mesh: give what `spine status --json` printed on each node, each followed by what\n" +
    "`spine peers export` wrote there, if you have it. What no file tells is a default, said on standard error.",
  examples: [
    "spine status --json > alpha.json; spine peers export alpha-peers.json",
    "spine sim import alpha.json alpha-peers.json beta.json --out mesh.yaml",
    "spine sim run mesh.yaml --html mesh.html",
  ],
  options: {
    name: { type: "string", value: "NAME", help: "The scenario's name; imported if omitted." },
    out: { type: "string", value: "FILE", help: "Where it goes; standard output if omitted." },
  },
  operands: { least: 1, most: MAX_FILES },
  async run(context) {
    const texts: { path: string; text: string }[] = [];
    for (const path of context.operands) texts.push({ path, text: await machine.readText(path) });
    const { file, remarks } = importMesh(texts, context.text("name") ?? "imported");
    for (const remark of remarks) context.note(remark);
    const [text, out] = [scenarioText(file), context.text("out")];
    if (out !== undefined) await machine.writeText(out, text);
    if (context.json) await context.out.line(file);
    else if (out === undefined) await context.out.write(text);
    return 0;
  },
});
