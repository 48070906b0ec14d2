/** `spine head list|verify`: signed head announcements. */

import { type Claim, type Head, headClaim, openHead, SpineError } from "../../spine/index.ts";
import { openSession } from "../session.ts";
import { WorkerVerifier } from "../verifier.ts";
import { type CaseAnswer, caseBytes, HEX_OPTION, refuseCase, runCases } from "./cases.ts";
import type { Verb } from "./verb.ts";

export const headList: Verb = {
  usage: "head list",
  about: "Prints the signed head announcements held, one JSON line each.",
  examples: ["spine head list"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out }) {
    await using node = await openSession(dir, env);
    for await (const text of node.heads()) await out.line(text);
    return 0;
  },
};

export const headVerify: Verb = {
  usage: "head verify [--hex] [FILE|-]",
  about: "Checks the fields and the signature of the head announcement on each line. Needs no node.",
  examples: ["spine head list | spine head verify"],
  options: { hex: HEX_OPTION },
  operands: { least: 0, most: 1 },
  async run(context) {
    await using verifier = new WorkerVerifier();
    return await runCases(context, async (lines) => {
      const opened = lines.map((line): Head | CaseAnswer => {
        try {
          return openHead(caseBytes(line, context.flag("hex")));
        } catch (caught) {
          return refuseCase(caught);
        }
      });
      const claims: Claim[] = [];
      for (const one of opened) if (!("ok" in one)) claims.push(headClaim(one));
      const verdicts = await verifier.verify(claims);
      let next = 0;
      return opened.map((one) => {
        if ("ok" in one) return one;
        if (verdicts[next++] === true) return { ok: true, issuer: one.issuer, seq: one.seq, head_hash: one.hash };
        return refuseCase(new SpineError("head_invalid", "the issuer's key did not sign these bytes"));
      });
    });
  },
};
