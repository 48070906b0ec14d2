/** A program that shares no code with this project and a real daemon understand each other by the published format alone. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type Daemon, daemonPool, eventually, note, notes } from "../helpers/daemon.ts";
import { assertCleanStore } from "../helpers/store-check.ts";
import { Stranger } from "../helpers/stranger.ts";

describe("an independent peer", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  let daemon: Daemon;
  let stranger: Stranger;
  let issuer = "";
  let hashes: string[] = [];
  after(() => stranger?.stop());

  it("imports nothing of this project", async () => {
    for (const file of ["wire", "link", "stranger", "hostile"]) {
      const text = await readFile(new URL(`../../../test/peers/spine/${file}.mjs`, import.meta.url), "utf8");
      const imports = [...text.matchAll(/(?:from|import\() ?"([^"]+)"/g)].map(([, name]) => name as string);
      assert.ok(imports.length > 0);
      for (const name of imports) {
        assert.match(
          name,
          /^(node:(crypto|readline|fs\/promises)|(@libp2p\/|libp2p$|@multiformats\/).*|\.\/(wire|link)\.mjs)$/,
        );
      }
    }
  });

  it("says hello, and checks the daemon's proof", async () => {
    [daemon, stranger] = await Promise.all([pool.start("a"), Stranger.run("spine/stranger.mjs")]);
    // Its genesis comes first.
    await daemon.publish(notes(599));
    issuer = stranger.of("ready")[0]?.["issuer"] as string;
    stranger.command("dial", { address: daemon.address });
    const hello = await stranger.until("hello");
    assert.deepEqual([hello["issuer"], hello["signed"], hello["versions"]], [daemon.issuer, true, [1, 1]]);
    await eventually("the daemon names the stranger by its issuer", async () =>
      (await daemon.status()).links.some((link) => link.issuer === issuer),
    );
  });

  it("hears what the daemon holds, fetches it, and verifies every envelope itself", async () => {
    const last = (await daemon.held(daemon.issuer)).get(600);
    const heard = await stranger.until("inventory", ({ head }) => (head as { seq?: number } | null)?.seq === 600);
    assert.deepEqual(
      [heard["issuer"], heard["ranges"], heard["head"]],
      [daemon.issuer, [[1, 600]], { seq: 600, hash: last, signed: true }],
    );
    stranger.command("fetch", { issuer: daemon.issuer, from: 1, to: 600 });
    const fetched = await stranger.until("fetched");
    assert.deepEqual(
      [fetched["count"], fetched["last"], fetched["next"], fetched["reason"], fetched["faults"]],
      [600, last, 601, 0, []],
    );
  });

  it("is told plainly when something is not held", async () => {
    stranger.command("fetch", { issuer, from: 1, to: 9 });
    const answer = await stranger.until("fetched", ({ reason }) => reason === 2);
    assert.equal(answer["next"], 1);
  });

  it("hears new heads and facts on the topic, in canonical form", async () => {
    await daemon.publish([note("fresh")]);
    const head = await stranger.until("gossip", ({ seq, schema }) => seq === 601 && /head/.test(schema as string));
    assert.equal(head["ok"], true);
    const fact = await stranger.until("gossip", ({ seq, schema }) => seq === 601 && /envelope/.test(schema as string));
    assert.equal(fact["ok"], true);
  });

  it("is a stranger until it is allowed; then its head is believed and its range fetched", async () => {
    stranger.command("extend", { count: 700 });
    hashes = (await stranger.until("extended"))["hashes"] as string[];
    stranger.command("announce");
    await eventually("a claim is kept", async () => (await daemon.metrics()).get("spine_claims_held") === 1);
    assert.deepEqual(stranger.of("served"), []);
    await daemon.allow(issuer);
    stranger.command("announce");
    await daemon.holds(issuer, 700);
    assert.deepEqual([...(await daemon.held(issuer)).values()], hashes);
    const { issuers } = (await daemon.status()).issuers;
    assert.deepEqual(issuers.find((one) => one.issuer === issuer)?.head, { seq: 700, envelope_hash: hashes[699] });
  });

  it("publishes by gossip in the canonical and in the parent's form, and by push", async () => {
    stranger.command("extend", { count: 4, text: "žluťoučký 🐎" });
    hashes = (await stranger.until("extended", ({ seq }) => seq === 704))["hashes"] as string[];
    stranger.command("gossip", { seq: 701, form: "canonical" });
    await daemon.holds(issuer, 701);
    stranger.command("gossip", { seq: 702, form: "parent" });
    await daemon.holds(issuer, 702);
    stranger.command("push", { seqs: [703] });
    await daemon.holds(issuer, 703);
    assert.deepEqual([...(await daemon.held(issuer)).values()], hashes.slice(0, 703));
  });

  it("is refused any other spelling on the topic", async () => {
    stranger.command("gossip", { seq: 704, form: "spaced" });
    const refused = 'spine_inputs_refused_total{code="json_not_canonical"}';
    await eventually("the spelling is refused", async () => (await daemon.metrics()).get(refused) === 1);
    assert.equal(await daemon.count(issuer), 703);
    stranger.command("gossip-head");
    await daemon.holds(issuer, 704);
  });

  it("leaves a store in which everything verifies", async () => {
    assert.deepEqual(stranger.of("failed"), []);
    assert.deepEqual(stranger.of("bye"), []);
    await pool.stopAll();
    await assertCleanStore(daemon.dir, 601 + 704);
  });
});
