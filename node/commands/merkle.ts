/** `spine merkle root|inclusion|consistency`: RFC 6962 arithmetic over the cases of a file, one answer per line. */
import { asSpineError, type MerkleAnswer, type MerkleVerb, merkleLine, parseJson } from "../../spine/index.ts";
import { treeHasher } from "../hash.ts";
import { openInput } from "../input.ts";
import { lineBytes, splitLines } from "../lines.ts";
import type { Verb } from "./verb.ts";

function merkleVerb(name: MerkleVerb, about: string, example: string): Verb {
  return {
    usage: `merkle ${name} [FILE|-]`,
    about,
    examples: [example],
    operands: { least: 0, most: 1 },
    async run({ operands, out, signal }) {
      let refused = 0;
      for await (const lines of splitLines(await openInput(operands[0], signal))) {
        let text = "";
        for (const line of lines) {
          let answer: MerkleAnswer;
          try {
            answer = merkleLine(treeHasher, name, parseJson(lineBytes(line)));
          } catch (caught) {
            const { code, message } = asSpineError(caught);
            answer = { ok: false, code, message };
          }
          if ("ok" in answer && !answer.ok) refused++;
          text += `${JSON.stringify({ line: line.number, ...answer })}\n`;
        }
        await out.write(text);
      }
      return refused === 0 ? 0 : 1;
    },
  };
}

export const merkleRoot: Verb = merkleVerb(
  "root",
  "Prints the root over the leaf contents (hex) of each line's `leaves`.",
  `echo '{"leaves":["00","01"]}' | spine merkle root`,
);
export const merkleInclusion: Verb = merkleVerb(
  "inclusion",
  "Checks the inclusion proof on each line: leaf (hex), index, size, path, root.",
  `echo '{"leaf":"00","index":0,"size":1,"path":[],"root":"0x96a2…"}' | spine merkle inclusion`,
);
export const merkleConsistency: Verb = merkleVerb(
  "consistency",
  "Checks the consistency proof on each line: first, second, first_root, second_root, proof.",
  `spine merkle consistency cases.jsonl`,
);
