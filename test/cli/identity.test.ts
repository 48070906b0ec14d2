/** A key's life as an operator lives it: genesis and recovery key at init, rotation, succession, revocation, on the command line. */
import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spine } from "../helpers/cli.ts";
import { namedKey } from "../helpers/crypto.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const target = namedKey("revoked by command").issuer;
const note = `${JSON.stringify({ schema: "aegis.spine.fact.note.v1", text: "hello" })}\n`;

interface Made {
  readonly dir: string;
  readonly issuer: string;
  readonly recovery: string;
  run(...args: string[]): ReturnType<typeof spine>;
}

describe("a node's identity on the command line", function () {
  this.timeout(120_000);
  const folder = temporaryFolders();
  async function made(): Promise<Made> {
    const dir = join(await folder(), "node");
    const { lines, code, err } = await spine(["init", "--json", "--dir", dir]);
    assert.equal(code, 0, err);
    const [first] = lines;
    return {
      ...{ dir, issuer: String(first?.["issuer"]), recovery: String(first?.["recovery_key"]) },
      run: (...args) => spine([...args, "--dir", dir]),
    };
  }
  const listed = async ({ run }: Made, issuer: string) =>
    (await run("issuer", "list", "--json")).lines.find((one) => one["issuer"] === issuer);

  it("begins with a genesis at seq 1 and a recovery key that can be tested and is kept nowhere", async () => {
    const node = await made();
    const { lines } = await node.run("export");
    assert.equal(lines.length, 1);
    assert.equal((lines[0]?.["fact"] as { schema: string } | undefined)?.schema, "aegis.spine.fact.genesis.v1");
    const admissions = (await node.run("issuer", "list", "--json")).lines.map((one) => one["admission"]);
    assert.deepEqual(admissions.sort(), ["log", "own"], "the key of its own log is named as such");
    assert.match((await node.run("status")).out, /aegis:ed25519:[0-9a-f]{64} {2}log /);
    const test = (key: string) => spine(["recovery", "test", "--dir", node.dir], `${key}\n`);
    assert.equal((await test(node.recovery)).code, 0);
    assert.equal((await test(node.recovery.replaceAll(" ", "").toUpperCase())).code, 0);
    const typo = node.recovery.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    assert.match((await test(typo)).err, /mistyped/);
    assert.match((await test((await made()).recovery)).err, /not the one of this node/);
  });

  it("rotates to the committed next key and goes on under it, more than once", async () => {
    const node = await made();
    await spine(["publish", "--dir", node.dir], note);
    let old = node.issuer;
    for (let round = 1; round <= 2; round++) {
      const { code, lines, err } = await node.run("rotate", "--json");
      assert.equal(code, 0, err);
      const issuer = String(lines[0]?.["issuer"]);
      const before = await listed(node, old);
      assert.equal(before?.["successor"], issuer);
      assert.equal((await listed(node, issuer))?.["admission"], "own");
      const published = await spine(["publish", "--dir", node.dir], note);
      assert.deepEqual([published.lines[0]?.["issuer"], published.lines[0]?.["seq"]], [issuer, 2]);
      old = issuer;
    }
    assert.ok((await readdir(node.dir)).includes("issuer.key.old-2"), "no key is deleted");
  });

  it("is continued with the recovery key after the last envelope the owner stands by", async () => {
    const node = await made();
    await spine(["publish", "--dir", node.dir], note.repeat(3));
    const file = join(node.dir, "..", "recovery.txt");
    await writeFile(file, node.recovery, { mode: 0o600 });
    const wrong = await spine(["succeed", "--dir", node.dir], `${(await made()).recovery}\n`);
    assert.equal(wrong.code, 1);
    assert.equal((await node.run("status", "--json")).lines[0]?.["issuer"], node.issuer, "nothing changed");
    const { code, lines, err } = await node.run("succeed", "--last", "2", "--recovery-file", file, "--json");
    assert.equal(code, 0, err);
    const before = await listed(node, node.issuer);
    assert.deepEqual([before?.["revoked_from"], before?.["successor"]], [3, lines[0]?.["issuer"]]);
    assert.equal((await spine(["recovery", "test", "--dir", node.dir], `${lines[0]?.["recovery_key"]}\n`)).code, 0);
    assert.equal((await spine(["publish", "--dir", node.dir], note)).lines[0]?.["seq"], 3);
  });

  it("revokes what it may, and otherwise publishes nothing and says who may", async () => {
    const node = await made();
    const boss = namedKey("another revoker").issuer;
    const revoke = (...more: string[]) => node.run("revoke", target, "--scope", "node", "--reason", "lost", ...more);
    assert.match((await revoke()).err, /not_authorised.*nobody but its owner/s);
    await node.run("trust", "add", "revoker", boss, "--scope", "node");
    const refused = await revoke();
    assert.deepEqual([refused.code, refused.err.includes(boss)], [1, true]);
    assert.equal((await node.run("export")).lines.length, 1);
    await node.run("trust", "add", "revoker", node.issuer, "--scope", "node");
    assert.equal((await revoke("--from", "7")).code, 0);
    const status = (await node.run("status", "--json")).lines[0]?.["authority"] as { revoked: number };
    assert.equal(status.revoked, 1);
    const own = await node.run("revoke", node.issuer, "--scope", "issuer", "--reason", "retired");
    assert.equal(own.code, 0, own.err);
    const silent = await spine(["publish", "--dir", node.dir], note);
    assert.notEqual(silent.code, 0);
  });
});
