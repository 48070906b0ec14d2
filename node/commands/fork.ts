/** `spine fork list|show`: proofs that an issuer signed two histories. */
import { SpineError } from "../../spine/index.ts";
import { openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

export const forkList: Verb = {
  usage: "fork list",
  about: "Prints the fork proofs held: the issuer, the seq from which it is frozen, and the proof's hash.",
  examples: ["spine fork list"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json }) {
    await using node = await openSession(dir, env);
    for (const { issuer, seq, proof_hash } of await node.forks()) {
      await out.line(json ? { issuer, seq, proof_hash } : `${proof_hash}  seq ${seq}  ${issuer}`);
    }
    return 0;
  },
};

export const forkShow: Verb = {
  usage: "fork show HASH|ISSUER",
  about: "Prints one fork proof with both signed statements.",
  examples: [`spine fork show 0x${"0".repeat(64)}`],
  operands: { least: 1, most: 1 },
  async run({ operands, dir, env, out, json }) {
    await using node = await openSession(dir, env);
    const wanted = operands[0] as string;
    const found = (await node.forks()).find(({ issuer, proof_hash }) => wanted === issuer || wanted === proof_hash);
    if (!found) throw new SpineError("api_not_found", `no fork proof ${wanted.slice(0, 90)} is held`);
    await out.line(json ? found : JSON.stringify(found, null, 2));
    return 0;
  },
};
