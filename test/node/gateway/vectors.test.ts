/** The golden vectors of disclosure and audit, with upstream's faults mended: each mended case is listed here. */
import assert from "node:assert/strict";
import { AUDIT_GENESIS, sealRecord, upstreamDisclosure, verifyAudit, verifyLines } from "../../../node/index.ts";
import { expandFact, judgeDisclosure } from "../../../spine/index.ts";
import { describeShared, sharedJson } from "../../helpers/shared.ts";

type Side = "nats_to_reticulum" | "reticulum_to_nats";
interface Check extends Readonly<Record<Side, boolean>> {
  readonly fact_schema: string;
}

/** Where upstream lets through, or keeps back, what its own rules do not mean. */
function isMended(
  policy: Readonly<Record<string, { allowed?: string[] } | undefined>>,
  side: Side,
  schema: string,
): string | null {
  if ((policy[side]?.allowed ?? []).length === 0) return "an empty list lets everything through upstream, nothing here";
  const allowed = policy[side]?.allowed ?? [];
  if (schema === "clawdstrike.marketplace.revocation.v1" && allowed.includes("clawdstrike.spine.fact.revocation.v1")) {
    return "a marketplace revocation is a revocation";
  }
  if (schema === "aegis.spine.fact.log_checkpoint.v1" && allowed.includes("clawdstrike.spine.fact.log_checkpoint.v1")) {
    return "both prefixes mean the same kind";
  }
  return null;
}

describeShared("vectors of reticulum_disclosure", ["vectors/spine/reticulum_disclosure.json"], () => {
  interface Case {
    readonly policy_name: string;
    readonly policy: Readonly<Record<string, { allowed?: string[] } | undefined>>;
    readonly checks: readonly Check[];
  }
  const { cases } = sharedJson<{ cases: readonly Case[] }>("vectors/spine/reticulum_disclosure.json");
  for (const { policy_name: name, policy, checks } of cases) {
    it(`judges as ${name} says, but for what is mended`, () => {
      const rules = Object.keys(policy).length === 0 ? { allow: [], deny: [] } : upstreamDisclosure(policy);
      for (const check of checks) {
        for (const side of ["nats_to_reticulum", "reticulum_to_nats"] as const) {
          const [from = "", to = ""] = side.split("_to_");
          const fact = { schema: check.fact_schema };
          const verdict = judgeDisclosure(rules, from, to, expandFact("aegis:ed25519:00", check.fact_schema, fact));
          const mended = isMended(policy, side, check.fact_schema);
          const expected = mended === null ? check[side] : !mended.startsWith("an empty");
          assert.equal(verdict === "allowed", expected, `${side} ${check.fact_schema} ${mended ?? ""}`);
        }
      }
    });
  }
});

describeShared("vectors of reticulum_audit", ["vectors/spine/reticulum_audit.json"], () => {
  interface Case {
    readonly name: string;
    readonly lines: readonly string[];
    readonly valid: boolean;
    readonly count_or_first_bad_line: number;
  }
  const { verify } = sharedJson<{ verify: readonly Case[] }>("vectors/spine/reticulum_audit.json");
  for (const one of verify) {
    it(`${one.name}: as upstream answers`, () => {
      assert.deepEqual(verifyLines(one.lines), { ok: one.valid, at: one.count_or_first_bad_line });
    });
  }
  for (const name of ["truncated_tail_not_detected", "rewritten_consistently"]) {
    it(`${name}: mended by anchors`, async () => {
      const { lines } = verify.find((one) => one.name === name) as Case;
      const intact = verify.find((one) => one.name === "intact") as Case;
      const hashOf = (line: string): string => (JSON.parse(line) as { hash: string }).hash;
      async function* numbered(texts: readonly string[]): AsyncGenerator<string> {
        let prev = AUDIT_GENESIS;
        for (const [i, text] of texts.entries()) {
          const { hash: _hash, prev_hash: _prev, ...fields } = JSON.parse(text) as Record<string, string>;
          const sealed = sealRecord({ ...fields, n: i + 1 }, prev);
          prev = sealed.hash;
          yield sealed.line;
        }
      }
      const whole: string[] = [];
      for await (const line of numbered(intact.lines)) whole.push(line);
      const anchors = [{ records: whole.length, headHash: hashOf(whole.at(-1) as string) }];
      const good = await verifyAudit(numbered(intact.lines), anchors, true);
      assert.ok(good.ok, good.problem ?? "");
      const bad = await verifyAudit(numbered(lines), anchors, true);
      assert.equal(bad.ok, false);
    });
  }
});
