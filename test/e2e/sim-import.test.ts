/** What two running daemons say of themselves becomes a scenario, and that runs. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { spine } from "../helpers/cli.ts";
import { daemonPool } from "../helpers/daemon.ts";

describe("the scenario of two running nodes", function () {
  this.timeout(60_000);
  const pool = daemonPool();

  it("has both, and the link between them", async () => {
    const alpha = await pool.start("alpha", { set: ["name=alpha"] });
    const beta = await pool.start("beta", { set: ["name=beta"], peers: [alpha.address] });
    await alpha.allow(beta.issuer);
    await beta.connected(1);
    await alpha.connected(1);
    const texts: string[] = [];
    for (const daemon of [alpha, beta]) {
      texts.push(`${daemon.dir}.json`, `${daemon.dir}-peers.json`);
      await writeFile(`${daemon.dir}.json`, (await daemon.verb("status", "--json")).out);
      assert.equal((await daemon.verb("peers", "export", `${daemon.dir}-peers.json`)).code, 0);
    }
    await pool.stopAll();
    const out = pool.dir("mesh.yaml");
    const made = await spine(["sim", "import", ...texts, "--name", "two", "--out", out]);
    assert.equal(made.code, 0, made.err);
    assert.match(made.err, /Delays, losses, bitrates and places are not in these files/);
    const shown = await spine(["sim", "show", out, "--json"]);
    const { nodes, networks } = shown.lines[0] as { nodes: { name: string; keepsLog: boolean }[]; networks: object[] };
    assert.deepEqual(
      nodes.map(({ name, keepsLog }) => [name, keepsLog]),
      [
        ["alpha", true],
        ["beta", true],
      ],
    );
    assert.equal(networks.length, 1);
    const { type, links } = (networks[0] as { topology: { type: string; links: string[][] } }).topology;
    assert.deepEqual([type, links.map((pair) => pair.toSorted())], ["links", [["alpha", "beta"]]]);
    const ran = await spine(["sim", "run", out, "--set", "duration=2 min", "--json"]);
    assert.equal(ran.code, 0, ran.err);
    assert.ok(Number(ran.lines[0]?.["frames"]) > 0);
  });
});
