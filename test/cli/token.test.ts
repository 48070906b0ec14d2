/** Capability tokens on the command line: issued, narrowed and judged by the real program (spec/spine.md section 6). */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spine } from "../helpers/cli.ts";
import { namedKey } from "../helpers/crypto.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

type Line = Record<string, unknown>;
const jsonLines = (...values: readonly unknown[]): string => values.map((one) => `${JSON.stringify(one)}\n`).join("");
const EXPIRES = "2026-02-01T00:00:00Z";
const [agent, judge, other] = ["agent", "judge", "other"].map((name) => namedKey(`token ${name}`).issuer);

describe("capability tokens on the command line", function () {
  this.timeout(120_000);
  const folder = temporaryFolders();
  async function made(): Promise<{ dir: string; issuer: string }> {
    const dir = join(await folder(), "node");
    const { lines, err } = await spine(["init", "--json", "--dir", dir]);
    assert.ok(lines[0] !== undefined, err);
    return { dir, issuer: String(lines[0]["issuer"]) };
  }

  it("are issued, narrowed by their subject and judged, each line by itself", async () => {
    const [boss, team] = [await made(), await made()];
    const wish = { subject: team.issuer, scopes: ["policy:*"], audience: [judge, other], expires_at: EXPIRES };
    const issued = await spine(
      ["token", "issue", "--dir", boss.dir],
      jsonLines(
        wish,
        { ...wish, audience: undefined, token_id: "t2", not_before: "2026-01-10T00:00:00Z" },
        { subject: team.issuer, scopes: ["policy:*"] },
        { ...wish, subject: "nobody" },
        { ...wish, scopes: [] },
        { ...wish, not_before: EXPIRES },
        { ...wish, admin: true },
      ),
    );
    assert.deepEqual(
      issued.lines.map(({ line, ok, code }) => [line, ok, code]),
      [[1, true, undefined], [2, true, undefined], ...[3, 4, 5, 6, 7].map((line) => [line, false, "token_invalid"])],
    );
    assert.match(String(issued.lines[2]?.["message"]), /expires_at/);
    const [first, second] = issued.lines.map(({ token }) => token as Line) as [Line, Line];

    const less = { token: first, subject: agent, scopes: ["policy:publish"], audience: [judge], expires_at: null };
    const future = Math.floor(Date.now() / 1000) * 1000 + 3_600_000;
    const living = await spine(
      ["token", "issue", "--dir", boss.dir],
      jsonLines({ ...wish, expires_at: new Date(future).toISOString().replace(".000", "") }),
    );
    const token = living.lines[0]?.["token"] as Line;
    const narrowed = await spine(
      ["token", "attenuate", "--dir", team.dir],
      jsonLines(
        { ...less, token },
        { ...less, token, scopes: ["log:*"] },
        { ...less, token, audience: [agent] },
        { ...less, token: { ...token, scopes: ["*"] } },
        { ...less, token: { ...token, signature: undefined } },
      ),
    );
    assert.deepEqual(
      narrowed.lines.map(({ ok, code }) => code ?? ok),
      [true, "token_invalid", "token_invalid", "invalid_token_signature", "invalid_token_signature"],
    );
    const notMine = await spine(["token", "attenuate", "--dir", boss.dir], jsonLines({ ...less, token }));
    assert.match(String(notMine.lines[0]?.["message"]), /only the subject/);
    const leaf = narrowed.lines[0]?.["token"] as Line;

    const trust = join(boss.dir, "..", "trust-of-a-judge.yaml");
    await writeFile(trust, `tokenIssuers:\n  - key: ${boss.issuer}\n`, { mode: 0o600 });
    const judged = async (input: string, ...more: string[]) =>
      (await spine(["token", "verify", "--trust", trust, ...more], input)).lines;
    const at = ["--at", "2026-01-15T00:00:00Z"];
    const [good, timeless] = await judged(jsonLines(first, second), "--for", judge as string, ...at);
    assert.deepEqual(good, {
      ...{ line: 1, ok: true, token_id: first["token_id"], issuer: boss.issuer, subject: team.issuer },
      ...{ audience: [judge, other], not_before: null, expires_at: EXPIRES, scopes: ["policy:*"], narrowed: false },
      revocations: "not checked: no --facts",
    });
    assert.equal(timeless?.["ok"], true);
    const codesOf = async (input: string, ...more: string[]) => (await judged(input, ...more)).map(({ code }) => code);
    const forJudge = ["--for", judge as string, "--scope"];
    assert.deepEqual(await codesOf(jsonLines(leaf), ...forJudge, "policy:publish"), [undefined]);
    assert.deepEqual(await codesOf(jsonLines(leaf), ...forJudge, "log:x"), ["missing_required_scope"]);
    assert.deepEqual(await codesOf(jsonLines(second), "--at", EXPIRES), ["token_expired"]);
    assert.deepEqual(await codesOf(jsonLines(second), "--at", "2026-01-09T00:00:00Z"), ["token_not_yet_valid"]);
    assert.deepEqual(await codesOf(jsonLines(first, { ...second, scopes: ["*"] }, "no object"), ...at), [
      "token_audience_mismatch",
      "invalid_token_signature",
      "invalid_capability_token",
    ]);
    await writeFile(trust, `tokenIssuers:\n  - key: ${other}\n`, { mode: 0o600 });
    assert.deepEqual(await codesOf(jsonLines(second), ...at), ["untrusted_token_issuer"]);
  });

  it("fall with their revocation, as far as the facts that are shown tell of it, and only by whoever may", async () => {
    const [boss, stranger] = [await made(), await made()];
    const wish = { token_id: "t9", subject: agent, scopes: ["x"], expires_at: null };
    const { lines } = await spine(["token", "issue", "--dir", boss.dir], jsonLines(wish));
    const token = jsonLines(lines[0]?.["token"]);
    const trust = join(boss.dir, "..", "judge.yaml");
    await writeFile(trust, `tokenIssuers:\n  - key: ${boss.issuer}\n`, { mode: 0o600 });
    const facts = join(boss.dir, "..", "facts.jsonl");
    const verify = async () => (await spine(["token", "verify", "--trust", trust, "--facts", facts], token)).lines[0];
    for (const by of [stranger, boss]) {
      await spine(["trust", "add", "token-issuer", by.issuer, "--dir", by.dir]);
      const revoked = await spine(["revoke", "t9", "--scope", "token", "--reason", "leaked", "--dir", by.dir]);
      assert.equal(revoked.code, 0, revoked.err);
      await writeFile(facts, (await spine(["export", "--dir", by.dir])).out);
      const answer = await verify();
      assert.deepEqual(
        [answer?.["code"], answer?.["revocations"]],
        by === boss ? ["revoked_token_id", undefined] : [undefined, "checked"],
      );
    }
    const forged = (await spine(["export", "--dir", boss.dir])).out.replace("leaked", "forged");
    await writeFile(facts, forged);
    const bad = await spine(["token", "verify", "--trust", trust, "--facts", facts], token);
    assert.notEqual(bad.code, 0, "a file that was tampered with is no ground to judge by");
  });
});
