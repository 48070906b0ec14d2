/** The verbs `guard check` and `policy validate|show` as the command line runs them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GuardCheckAnswer, runGuardCheck } from "../../../node/guards/check.ts";
import { spine } from "../../helpers/cli.ts";
import { sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared, sharedFile } from "../../helpers/shared.ts";

async function answers(lines: readonly string[]): Promise<readonly GuardCheckAnswer[]> {
  const out: GuardCheckAnswer[] = [];
  for await (const answer of runGuardCheck(lines, { now: () => 0, home: "/home/u" })) out.push(answer);
  return out;
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
      const good = await spine(["guard", "check", file]);
      assert.equal(good.code, 0, good.err);
      assert.deepEqual(
        good.lines.map((line) => line["verdict"]),
        ["deny", "allow"],
      );
      assert.equal((await spine(["guard", "check"], "x\n")).code, 1);
      assert.equal((await spine(["guard", "check", "--profile", "x"])).code, 2);
      assert.match((await spine(["guard", "check", "--policy", join(dir, "none.yaml")])).err, /cannot be read/);
      writeFileSync(file, 'version: "1.2.0"\nguards: {mcp_tool: {block: [mine]}}\n');
      const own = await spine(
        ["guard", "check", "--policy", file],
        '{"action":{"action_type":"mcp_tool","target":"mine"}}\n',
      );
      assert.equal(own.lines[0]?.["reason"], "blocked_by_policy");
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
      const run = await spine(["guard", "check", sharedFile(path)]);
      assert.equal(run.code, 0, run.err);
      assert.equal(run.lines.length, cases.length);
      for (const [at, line] of run.lines.entries()) {
        const answer = line as unknown as GuardCheckAnswer;
        const { expect, steps } = cases[at] as Case;
        const wanted = expect?.verdict_in ?? (expect?.verdict === undefined ? undefined : [expect.verdict]);
        if (wanted !== undefined) assert.ok(wanted.includes(answer.verdict), JSON.stringify(line));
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
    const run = await spine(["policy", "validate", "strict"]);
    assert.equal(run.code, 0);
    assert.match(run.out, /^valid [0-9a-f]{64}\n$/);
  });

  it("list every problem of a bad file", async () => {
    const dir = mkdtempSync(join(tmpdir(), "spine-policy-"));
    try {
      const file = join(dir, "p.yaml");
      writeFileSync(file, 'version: "1.2.0"\nguards: {mcp_tool: {blok: []}, egress_allowlist: {default_action: no}}\n');
      const run = await spine(["policy", "validate", "--json", file]);
      assert.equal(run.code, 1);
      const problems = run.lines[0]?.["problems"] as readonly { readonly path: string }[];
      assert.deepEqual(
        problems.map((problem) => problem.path),
        ["guards.mcp_tool.blok", "guards.egress_allowlist.default_action"],
      );
      assert.equal((await spine(["policy", "show", file])).code, 1);
      assert.equal((await spine(["policy", "validate", join(dir, "none")])).code, 1);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("show the effective policy, or what was written, also from standard input", async () => {
    assert.match((await spine(["policy", "show", "permissive"])).out, /max_scan_bytes: 200000/);
    assert.doesNotMatch((await spine(["policy", "show", "--merged", "permissive"])).out, /max_scan_bytes/);
    const piped = await spine(["policy", "show", "--json", "-"], 'version: "1.2.0"\nname: piped\n');
    assert.equal((piped.lines[0]?.["effective"] as { name: string } | undefined)?.name, "piped");
  });
});
