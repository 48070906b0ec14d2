/** `spine publish`: signs and stores facts, through the daemon when one runs. */
import { parseJson } from "../../spine/index.ts";
import type { Fact, PublishResult } from "../handle.ts";
import { type Line, lineBytes, slices } from "../lines.ts";
import { openSession } from "../session.ts";
import { type CaseAnswer, refuseCase, runCases } from "./cases.ts";
import type { Verb } from "./verb.ts";

/** Facts given to the node at once: one synced commit or a few. */
const BATCH_LINES = 256;

export const publish: Verb = {
  usage: "publish [FILE|-]",
  about: "Signs the JSON fact on each line into this node's chain and prints its envelope once it is durable.",
  examples: [`echo '{"schema":"aegis.spine.fact.note.v1","text":"hello"}' | spine publish`],
  operands: { least: 0, most: 1 },
  async run(context) {
    const { dir, env, signal } = context;
    await using node = await openSession(dir, env);
    const publishBatch = async (lines: readonly Line[]): Promise<readonly CaseAnswer[]> => {
      const facts: Fact[] = [];
      const read = lines.map((line): CaseAnswer | undefined => {
        try {
          facts.push(parseJson(lineBytes(line)));
          return undefined;
        } catch (caught) {
          return refuseCase(caught);
        }
      });
      const results: readonly PublishResult[] = facts.length > 0 ? await node.publish(facts, { signal }) : [];
      let next = 0;
      return read.map((refusal) => refusal ?? { ...(results[next++] as PublishResult) });
    };
    return await runCases(context, async (lines) => {
      const answers: CaseAnswer[] = [];
      for (const batch of slices(lines, BATCH_LINES)) answers.push(...(await publishBatch(batch)));
      return answers;
    });
  },
};
