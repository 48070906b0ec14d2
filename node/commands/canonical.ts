/** `spine canonical`: the canonical text and hash of each JSON text (spec/spine.md section 2). */
import { canonicalText, parseJson, utf8 } from "../../spine/index.ts";
import { sha256Hex } from "../hash.ts";
import { caseBytes, eachLine, HEX_OPTION, runCases } from "./cases.ts";
import type { Verb } from "./verb.ts";

export const canonical: Verb = {
  usage: "canonical [--hex] [FILE|-]",
  about: "Prints the canonical form and SHA-256 of the JSON text on each line, or why it has none.",
  examples: [`echo '{"b":1,"a":[1.0]}' | spine canonical`],
  options: { hex: HEX_OPTION },
  operands: { least: 0, most: 1 },
  run: (context) =>
    runCases(
      context,
      eachLine((line) => {
        const text = canonicalText(parseJson(caseBytes(line, context.flag("hex"))));
        return { ok: true, canonical: text, sha256: `0x${sha256Hex(utf8(text))}` };
      }),
    ),
};
