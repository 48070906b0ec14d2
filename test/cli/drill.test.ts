/** The compromise drill of the README, each line executed, with a thief who holds the old key and tries to go on. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nodeDir, readKeyFile } from "../../node/index.ts";
import { envelopeText } from "../../spine/index.ts";
import { CLI, spine } from "../helpers/cli.ts";
import { envelopeBy } from "../helpers/mesh-harness.ts";
import { nativePorts } from "../helpers/sim-ports.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const README = new URL("../../../README.md", import.meta.url);
const note = (text: string): string => `${JSON.stringify({ schema: "aegis.spine.fact.note.v1", text })}\n`;

/** The commands of the drill, as the handbook shows them. */
async function drill(): Promise<string[]> {
  const chapter = /### Compromise drill\n([\s\S]*?)\n### /.exec(await readFile(README, "utf8"))?.[1] ?? "";
  const block = /```console\n([\s\S]*?)```/.exec(chapter)?.[1] ?? "";
  return block.split("\n").flatMap((line) => (line.startsWith("$ ") ? [line.slice(2)] : []));
}

describe("compromise drill", function () {
  this.timeout(60_000);
  const folder = temporaryFolders();

  it("ends with a successor that every node follows, and a thief whom nobody believes", async () => {
    const root = await folder();
    const [alpha, beta] = [join(root, "alpha"), join(root, "beta")];
    const made = await spine(["init", "--dir", alpha, "--name", "alpha", "--json"]);
    const old = String(made.lines[0]?.["issuer"]);
    await writeFile(join(root, "recovery.txt"), `${String(made.lines[0]?.["recovery_key"])}\n`, { mode: 0o600 });
    await writeFile(join(root, "passphrase"), "a passphrase to practise with\n", { mode: 0o600 });
    // Seq 1 is the genesis; 2 to 4 are sound, 5 was the thief's doing.
    assert.equal(
      (await spine(["publish", "--dir", alpha], [2, 3, 4, 5].map((n) => note(`seq ${n}`)).join(""))).code,
      0,
    );
    assert.equal((await spine(["init", "--dir", beta, "--name", "beta"])).code, 0);
    assert.equal((await spine(["issuer", "allow", "--dir", beta, old])).code, 0);
    const stolen = nativePorts().keyFromSeed(await readKeyFile(nodeDir(alpha).issuerKey, "issuer"));
    const known = await spine(["export", "--dir", alpha]);
    assert.equal((await spine(["import", "--dir", beta], known.out)).code, 0);

    const commands = await drill();
    assert.ok(commands.length >= 8, "the drill is there");
    const outputs = new Map<string, string>();
    for (const command of commands) {
      const script = `set -euo pipefail\nspine() { "${process.execPath}" "${CLI}" "$@"; }\n${command}`;
      const run = spawnSync("bash", ["-c", script], { cwd: root, encoding: "utf8" });
      assert.equal(run.status, 0, `${command}\n${run.stderr}`);
      outputs.set(command.split(" ").slice(0, 3).join(" "), run.stdout + run.stderr);
    }
    assert.match(outputs.get("spine succeed --dir") ?? "", /recovery key/i);
    assert.match(outputs.get("spine store check") ?? "", /0 problems/);

    const status = await spine(["status", "--json", "--dir", alpha]);
    const successor = String(status.lines[0]?.["issuer"]);
    assert.notEqual(successor, old);
    const listed = (await spine(["issuer", "list", "--json", "--dir", beta])).lines;
    const one = (issuer: string) => listed.find((entry) => entry["issuer"] === issuer);
    assert.ok(one(successor), "beta took the successor in");
    assert.equal((await spine(["publish", "--dir", alpha], note("as the successor"))).code, 0);

    const held = (await spine(["export", "--dir", beta, "--issuer", old])).lines;
    const last = held.at(-1) as { seq: number; envelope_hash: string };
    const theft = envelopeBy(stolen, {
      seq: last.seq + 1,
      prev: last.envelope_hash,
      issuedAtMs: Date.now(),
      fact: { schema: "aegis.spine.fact.note.v1", text: "by the thief" },
    });
    const tried = await spine(["import", "--dir", beta, "--json"], `${envelopeText(theft)}\n`);
    assert.match(tried.out + tried.err, /issuer_revoked/);
    // What was said below stays: evidence is never voided.
    assert.ok(held.length >= 4);
  });
});
