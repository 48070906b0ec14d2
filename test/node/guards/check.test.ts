/** The verbs `guard check` and `policy validate|show` as the command line runs them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guardCheck } from "../../../node/commands/guard.ts";
import { policyShow, policyValidate } from "../../../node/commands/policy.ts";
import { type GuardCheckAnswer, runGuardCheck } from "../../../node/guards/check.ts";
import { sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared, sharedFile } from "../../helpers/shared.ts";

async function answers(lines: readonly string[]): Promise<readonly GuardCheckAnswer[]> {
  const out: GuardCheckAnswer[] = [];
  for await (const answer of runGuardCheck(lines, { now: () => 0, home: "/home/u" })) out.push(answer);
  return out;
}

function context(operand: string | undefined, options: Readonly<Record<string, string | true>> = {}) {
  const written: string[] = [];
  const notes: string[] = [];
  return {
    written,
    notes,
    operands: operand === undefined ? [] : [operand],
    text: (name: string): string | undefined => (typeof options[name] === "string" ? options[name] : undefined),
    flag: (name: string): boolean => options[name] === true,
    json: options["json"] === true,
    env: {},
    out: { write: (text: string): unknown => written.push(text) },
    note: (text: string): void => void notes.push(text),
    signal: new AbortController().signal,
  };
}

describe("guard check", () => {
  it("answers every line in order, whatever a line holds", async () => {
    const got = await answers([
      '{"action":{"action_type":"file_access","target":"/etc/shadow"}}',
      "",
      "garbage",
      "[]",
      '{"policy":{"yaml":"guards: 1"},"action":{"action_type":"file_access","target":"/x"}}',
      '{"policy":{"ruleset":"nosuch"},"action":{"action_type":"file_access","target":"/x"}}',
      '{"profile":"nosuch","action":{"action_type":"file_access","target":"/x"}}',
      '{"action":{"action_type":"shell","target":{"$concat":["cat ",{"$repeat":["/",3]},"etc/shadow"]}}}',
      '{"id":"a","action":{"action_type":"file_access","target":"/w/x"}}',
      '{"profile":"sdr-execution","action":{"action_type":"shell","target":"rm -rf /"}}',
    ]);
    assert.deepEqual(
      got.map(({ line, verdict, error }) => [line, verdict, error]),
      [
        [1, "deny", undefined],
        [3, "deny", "api_input"],
        [4, "deny", "api_input"],
        [5, "deny", "config_invalid"],
        [6, "deny", "config_invalid"],
        [7, "deny", "api_input"],
        [8, "deny", undefined],
        [9, "allow", undefined],
        [10, "allow", undefined],
      ],
    );
    assert.equal(got[7]?.id, "a");
    assert.match(got[7]?.policy_hash ?? "", /^[0-9a-f]{64}$/);
  });

  it("follows this host's links", async () => {
    const dir = mkdtempSync(join(tmpdir(), "spine-links-"));
    try {
      symlinkSync("/etc/shadow", join(dir, "notes.txt"));
      const line = JSON.stringify({ action: { action_type: "file_access", target: "notes.txt", cwd: dir } });
      assert.equal((await answers([line]))[0]?.verdict, "deny");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("reads a file and tells by its exit code whether every line was judged", async () => {
    const dir = mkdtempSync(join(tmpdir(), "spine-check-"));
    try {
      const file = join(dir, "cases.jsonl");
      writeFileSync(
        file,
        '{"action":{"action_type":"egress","target":"a\u2028b"}}\n{"action":{"action_type":"file_access","target":"/w/\u00e9"}}',
      );
      const good = context(file);
      assert.equal(await guardCheck.run(good), 0);
      assert.deepEqual(
        good.written.map((line) => (JSON.parse(line) as GuardCheckAnswer).verdict),
        ["deny", "allow"],
      );
      writeFileSync(file, "x\n");
      assert.equal(await guardCheck.run(context(file)), 1);
      await assert.rejects(guardCheck.run(context(file, { profile: "x" })), /profile/);
      await assert.rejects(guardCheck.run(context(file, { policy: join(dir, "none.yaml") })), /cannot be read/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describeShared("guard check over the vectors", ["vectors/guards/posture.jsonl"], () => {
  for (const file of ["parity.jsonl", "computer-use.jsonl", "hardening.jsonl", "posture.jsonl"]) {
    it(file, async () => {
      interface Case {
        readonly expect?: { readonly verdict?: string; readonly verdict_in?: readonly string[] };
        readonly steps?: readonly { readonly expect: { readonly verdict?: string; readonly state_after: string } }[];
      }
      const path = `vectors/guards/${file}`;
      const cases = sharedLines<Case>(path);
      const run = context(sharedFile(path));
      assert.equal(await guardCheck.run(run), 0);
      assert.equal(run.written.length, cases.length);
      for (const [at, line] of run.written.entries()) {
        const answer = JSON.parse(line) as GuardCheckAnswer;
        const { expect, steps } = cases[at] as Case;
        const wanted = expect?.verdict_in ?? (expect?.verdict === undefined ? undefined : [expect.verdict]);
        if (wanted !== undefined) assert.ok(wanted.includes(answer.verdict), line);
        for (const [i, step] of (steps ?? []).entries()) {
          assert.equal(answer.steps?.[i]?.state, step.expect.state_after);
          if (step.expect.verdict !== undefined) assert.equal(answer.steps?.[i]?.verdict, step.expect.verdict);
        }
      }
    });
  }
});

describe("policy verbs", () => {
  it("validate a ruleset", async () => {
    const run = context("strict");
    assert.equal(await policyValidate.run(run), 0);
    assert.match(run.written.join(""), /^valid [0-9a-f]{64}\n$/);
  });

  it("list every problem of a bad file", async () => {
    const dir = mkdtempSync(join(tmpdir(), "spine-policy-"));
    try {
      const file = join(dir, "p.yaml");
      writeFileSync(file, 'version: "1.2.0"\nguards: {mcp_tool: {blok: []}, egress_allowlist: {default_action: no}}\n');
      const run = context(file, { json: true });
      assert.equal(await policyValidate.run(run), 1);
      const report = JSON.parse(run.written.join("")) as { problems: { path: string }[] };
      assert.deepEqual(
        report.problems.map((problem) => problem.path),
        ["guards.mcp_tool.blok", "guards.egress_allowlist.default_action"],
      );
      assert.equal(await policyShow.run(context(file)), 1);
      assert.equal(await policyValidate.run(context(join(dir, "none"))), 1);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("show the effective policy, or what was written", async () => {
    const full = context("permissive");
    assert.equal(await policyShow.run(full), 0);
    assert.match(full.written.join(""), /max_scan_bytes: 200000/);
    const merged = context("permissive", { merged: true });
    assert.equal(await policyShow.run(merged), 0);
    assert.doesNotMatch(merged.written.join(""), /max_scan_bytes/);
  });
});
