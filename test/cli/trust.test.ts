/** `spine trust …` on a directory, as an operator runs it. */
import assert from "node:assert/strict";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spine } from "../helpers/cli.ts";
import { namedKey } from "../helpers/crypto.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const [a, b] = ["cli a", "cli b"].map((name) => namedKey(name).issuer) as [string, string];

describe("spine trust", () => {
  const folder = temporaryFolders();
  const node = async () => {
    const dir = join(await folder(), "node");
    assert.equal((await spine(["init", "--dir", dir])).code, 0);
    return { dir, trust: (...words: string[]) => spine(["trust", ...words, "--dir", dir]) };
  };

  it("adds, shows and removes", async () => {
    const { dir, trust } = await node();
    assert.equal((await trust("add", "curator", a, "--level", "full", "--name", "team")).code, 0);
    assert.equal((await trust("add", "revoker", b, "--scope", "node,key", "--scope", "token")).code, 0);
    const { lines } = await trust("show", "--json");
    assert.deepEqual(lines[0]?.["curators"], [{ key: a, name: "team", level: "full", feeds: [] }]);
    assert.deepEqual(lines[0]?.["revokers"], [{ key: b, scope: ["node", "key", "token"], quorum: 1 }]);
    assert.deepEqual(lines[0]?.["pending"], []);
    assert.match((await trust("show")).out, new RegExp(`revokers +${b} +scope=node,key,token +quorum=1`));
    assert.equal((await trust("remove", "curator", a)).code, 0);
    assert.ok(!(await readFile(join(dir, "trust.yaml"), "utf8")).includes(a));
    assert.equal((await trust("remove", "curator", a)).code, 2, "it is gone already");
  });

  it("holds back what a hand-written file loosens until it is confirmed", async () => {
    const { dir, trust } = await node();
    const file = join(dir, "trust.yaml");
    await writeFile(file, `logs:\n  - key: ${a}\n`, { mode: 0o600 });
    const shown = await trust("show");
    assert.ok(!shown.out.includes(a));
    assert.match(shown.err, /waits for "spine trust confirm": logs: adds/);
    assert.match((await trust("confirm")).out, /confirmed: logs: adds/);
    assert.match((await trust("show")).out, new RegExp(a));
    await chmod(file, 0o644);
    const open = await trust("show");
    assert.deepEqual([open.code, open.out.includes(a)], [1, true]);
    assert.match(open.err, /open to others/);
  });

  it("imports curators from TOML, for confirmation", async () => {
    const { dir, trust } = await node();
    const file = join(dir, "curators.toml");
    await writeFile(file, `[[curator]]\npublic_key = "${a.slice(14)}"\ntrust_level = "full"\n`);
    const imported = await trust("import", file);
    assert.deepEqual([imported.code, imported.out], [0, `imported ${a}  full\n`]);
    assert.match(imported.err, /curators: adds/);
    assert.deepEqual((await trust("show", "--json")).lines[0]?.["curators"], []);
    assert.equal((await trust("confirm")).code, 0);
    assert.match((await trust("show")).out, new RegExp(`curators +${a} +level=full`));
    assert.equal((await trust("import", join(dir, "issuer.key"))).code, 1);
  });

  it("refuses what makes no sense, and changes nothing", async () => {
    const { dir, trust } = await node();
    for (const [words, code] of [
      [["add", "king", a], 2],
      [["add", "curator", "somebody"], 1],
      [["add", "curator", a, "--level", "royal"], 1],
      [["add", "curator", a, "--quorum", "2"], 2],
      [["add", "log", a, "--scope", "node"], 2],
      [["add", "revoker", a], 1],
      [["add", "revoker", a, "--scope", "everything"], 2],
      [["add", "revoker", a, "--scope", "node", "--quorum", "2"], 1],
      [["add", "revoker", a, "--scope", "node", "--quorum", "x"], 2],
      [["remove", "log", a], 2],
      [["confirm"], 1],
    ] as const)
      assert.equal((await trust(...words)).code, code, words.join(" "));
    await assert.rejects(readFile(join(dir, "trust.yaml")));
    assert.equal((await spine(["trust", "show", "--dir", join(dir, "none")])).code, 1);
  });
});
