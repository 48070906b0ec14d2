/** `spine ingest`: lines of evidence become facts and envelopes. Facts that are ready-made pass as they are. */
import { SpineError } from "../../spine/index.ts";
import { followInput } from "../follow.ts";
import { openInput } from "../input.ts";
import { splitLines } from "../lines.ts";
import { openSession } from "../session.ts";
import { publishLines } from "./publish.ts";
import type { Verb } from "./verb.ts";

const FORMATS = ["fact"];

export const ingest: Verb = {
  usage: "ingest --format fact [--follow] FILE|-",
  about:
    "Signs each line of evidence into this node's chain and prints its envelope once it is durable. Counts of mapped\n" +
    "and malformed lines go to standard error. --follow goes on as the file grows, until interrupted.",
  examples: [
    "spine ingest --format fact facts.jsonl",
    "spine ingest --format fact --follow /var/log/agent-facts.jsonl",
  ],
  options: {
    format: { type: "string", value: "FORMAT", help: `What the lines are: ${FORMATS.join(", ")}.` },
    follow: { type: "boolean", help: "Wait for more at the end of the file." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const { dir, env, out, note, signal } = context;
    const format = context.text("format") ?? "fact";
    if (!FORMATS.includes(format)) throw new SpineError("usage", `format "${format}"; known: ${FORMATS.join(", ")}`);
    const name = context.operands[0] as string;
    if (context.flag("follow") && name === "-") throw new SpineError("usage", "standard input needs no --follow");
    const input = context.flag("follow") ? followInput(name, signal) : await openInput(name, signal);
    await using node = await openSession(dir, env);
    let [mapped, malformed] = [0, 0];
    try {
      for await (const lines of splitLines(input)) {
        const answers = await publishLines(node, lines, signal);
        let text = "";
        answers.forEach((answer, i) => {
          if (answer.ok) mapped++;
          else malformed++;
          text += `${JSON.stringify({ line: lines[i]?.number, ...answer })}\n`;
        });
        await out.write(text);
      }
    } finally {
      note(`${mapped} mapped, 0 unknown, ${malformed} malformed`);
    }
    return malformed === 0 ? 0 : 1;
  },
};
