/** Several real daemons on loopback: catch-up, live facts, relaying, cuts, one-shot sync, sneakernet, admission, forks. */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { initDir, nodeDir } from "../../node/index.ts";
import { type Outcome, spine, startSpine } from "../helpers/cli.ts";
import { type Daemon, daemonPool, eventually, note, notes } from "../helpers/daemon.ts";
import { assertCleanStore } from "../helpers/store-check.ts";
import { TcpCut } from "../helpers/tcp-cut.ts";

/** A daemon's chain begins with it. */
const GENESIS = 1;

/** The address of `daemon` by way of another port. */
function through(relay: TcpCut, daemon: Daemon): string {
  return `/ip4/127.0.0.1/tcp/${relay.port}/p2p/${daemon.peerId}`;
}

async function assertSameHistory(a: Daemon, b: Daemon, issuer: string): Promise<void> {
  assert.deepEqual([...(await a.held(issuer))], [...(await b.held(issuer))]);
}

describe("two daemons", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  let a: Daemon;
  let b: Daemon;

  it("catch up, then follow live", async () => {
    a = await pool.start("a");
    await a.publish(notes(700));
    b = await pool.start("b", { peers: [a.address] });
    await b.holds(a.issuer, GENESIS + 700);
    await a.publish(notes(5, "live"));
    await b.holds(a.issuer, GENESIS + 705);
    await assertSameHistory(a, b, a.issuer);
    const exported = await b.verb("export", "--issuer", a.issuer);
    const verified = await spine(["envelope", "verify"], exported.out);
    assert.equal(verified.code, 0, verified.err);
    assert.equal(verified.lines.length, GENESIS + 705);
  });

  it("keep strangers' envelopes out until the operator allows the issuer", async () => {
    await b.publish(notes(3));
    // A later fact of A arrives, so everything B had to say before has been heard, too.
    await a.publish([note("after")]);
    await b.holds(a.issuer, GENESIS + 706);
    await eventually(
      "A keeps a claim of B's head",
      async () => Number((await a.metrics()).get("spine_claims_held")) >= 1,
    );
    assert.equal((await a.held(b.issuer)).size, 0);
    assert.deepEqual(
      (await a.status()).issuers.issuers.filter(({ admission }) => admission !== "log").map(({ issuer }) => issuer),
      [a.issuer],
    );
    const allowed = await a.verb("issuer", "allow", b.issuer);
    assert.equal(allowed.code, 0, allowed.err);
    await a.holds(b.issuer, GENESIS + 3);
    await b.publish([note("live")]);
    await a.holds(b.issuer, GENESIS + 4);
  });

  it("resume after restarts of either side", async () => {
    assert.equal(await b.stop(), 0, b.stderr);
    await a.publish(notes(300));
    b = await pool.start("b", { peers: [a.address] });
    // What came since may be there by now.
    assert.ok((await b.count(a.issuer)) >= GENESIS + 706);
    await b.holds(a.issuer, GENESIS + 1006);
    const { port } = a;
    await a.kill();
    a = await pool.start("a", { port });
    assert.equal(await a.count(a.issuer), GENESIS + 1006);
    await a.publish(notes(10));
    await b.holds(a.issuer, GENESIS + 1016);
    await assertSameHistory(a, b, a.issuer);
  });

  it("leave clean stores behind, and end with 0", async () => {
    await pool.stopAll();
    const { code, out, lines } = await a.verb("store", "check", "--json");
    assert.equal(code, 0, out);
    const { envelopes, ...found } = lines.at(-1) ?? {};
    assert.deepEqual(found, { ok: true, problems: 0, repaired: 0 });
    assert.ok(Number(envelopes) >= 2 * GENESIS + 1020);
    await assertCleanStore(a.dir, 2 * GENESIS + 1020);
    await assertCleanStore(b.dir, 2 * GENESIS + 1020);
  });
});

describe("a relay between two daemons that never meet", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  let [a, b, c]: Daemon[] = [];
  let relay: TcpCut;
  after(() => relay?.stop());

  async function neighbours(daemon: Daemon): Promise<string[]> {
    return (await daemon.peers()).filter(({ connected }) => connected).map(({ id }) => id);
  }

  it("passes on what is allowed at each hop", async () => {
    b = await pool.start("b");
    relay = await TcpCut.start(b.port);
    [a, c] = await Promise.all([
      pool.start("a", { port: null, peers: [b.address] }),
      pool.start("c", { port: null, peers: [through(relay, b)] }),
    ]);
    await a.publish(notes(400));
    await b.allow(a.issuer, c.issuer);
    await c.allow(a.issuer);
    await a.allow(c.issuer);
    await c.holds(a.issuer, GENESIS + 400);
    await c.publish(notes(20));
    await a.holds(c.issuer, GENESIS + 20);
    await a.publish([note("live")]);
    await c.holds(a.issuer, GENESIS + 401);
    await assertSameHistory(a, c, a.issuer);
    assert.deepEqual(await neighbours(c), [b.peerId]);
    assert.deepEqual(await neighbours(a), [b.peerId]);
  });

  it("heals after a cut in which both sides went on", async () => {
    assert.ok(a && b && c);
    relay.cut();
    await c.connected(0);
    await a.publish(notes(50, "cut"));
    await c.publish(notes(30, "cut"));
    await b.holds(a.issuer, GENESIS + 451);
    assert.equal(await c.count(a.issuer), GENESIS + 401);
    relay.heal();
    await c.holds(a.issuer, GENESIS + 451, 30_000);
    await a.holds(c.issuer, GENESIS + 50);
    await assertSameHistory(a, c, a.issuer);
    await assertSameHistory(a, c, c.issuer);
    assert.deepEqual(await neighbours(c), [b.peerId]);
    await pool.stopAll();
  });
});

describe("spine sync, export and import", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  const TOTAL = GENESIS + 3_000;
  let a: Daemon;
  let relay: TcpCut;
  after(() => relay?.stop());

  async function init(name: string): Promise<string> {
    return (await initDir(nodeDir(pool.dir(name)), { open: false, forceNew: false })).issuer;
  }
  function sync(name: string, ...args: string[]): Promise<Outcome> {
    return spine(["sync", through(relay, a), "--json", "--dir", pool.dir(name), ...args], "", allowing());
  }
  function allowing(): Record<string, string> {
    return { SPINE_ISSUERS_ALLOW: a.issuer };
  }

  before(async () => {
    a = await pool.start("a", { open: true });
    for (let left = TOTAL - GENESIS; left > 0; left -= 1000) await a.publish(notes(1000));
    relay = await TcpCut.start(a.port);
  });

  it("says what would come, then fetches it all, once", async () => {
    await init("whole");
    const dry = await sync("whole", "--dry-run");
    assert.equal(dry.lines.at(-1)?.["received"], 0, dry.err);
    assert.equal(dry.code, 1);
    const first = await sync("whole");
    assert.equal(first.code, 0, first.err);
    const { received, sent, bytes, seconds, per_second, complete } = first.lines.at(-1) ?? {};
    assert.deepEqual([received, sent, complete], [TOTAL, 0, true]);
    assert.ok(Number(bytes) > 300 * TOTAL && Number(seconds) > 0 && Number(per_second) > 0);
    const again = await sync("whole");
    assert.equal(again.code, 0, again.err);
    assert.equal(again.lines.at(-1)?.["received"], 0);
  });

  it("ends with 1 when the connection is lost half way, and goes on from there", async () => {
    await init("partial");
    relay.limit(700_000, "cut");
    const cut = await sync("partial");
    assert.equal(cut.code, 1, cut.out);
    const part = cut.lines.at(-1) ?? {};
    assert.equal(part["complete"], false);
    assert.equal(part["reason"], "the connection was lost");
    assert.ok(Number(part["received"]) < TOTAL);
    assert.match(cut.err, /Not complete: /);
    relay.heal();
    const rest = await sync("partial");
    assert.equal(rest.code, 0, rest.err);
    assert.equal(Number(part["received"]) + Number(rest.lines.at(-1)?.["received"]), TOTAL);
  });

  it("resumes after being killed half way", async () => {
    await init("killed");
    relay.limit(1_000_000, "stall");
    const child = startSpine(["sync", through(relay, a), "--json", "--dir", pool.dir("killed")], allowing());
    const progress = await new Promise<string>((resolve) =>
      createInterface({ input: child.stdout }).once("line", resolve),
    );
    assert.match(progress, /"progress"/);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    relay.heal();
    const rest = await sync("killed");
    assert.equal(rest.code, 0, rest.err);
    const received = Number(rest.lines.at(-1)?.["received"]);
    assert.ok(received > 0 && received < TOTAL, `${received}`);
    await assertCleanStore(pool.dir("killed"), TOTAL);
  });

  it("a node in lab mode takes in whoever comes, and says that it does", async () => {
    assert.match(a.warnings.join(), /Lab mode/);
    const issuer = await init("guest");
    const published = await spine(["publish", "--dir", pool.dir("guest")], `${JSON.stringify(note("hello"))}\n`);
    assert.equal(published.code, 0, published.err);
    const synced = await sync("guest");
    assert.equal(synced.code, 0, synced.err);
    assert.equal(synced.lines.at(-1)?.["sent"], 1);
    await a.holds(issuer, 1);
    const { issuers } = (await a.status()).issuers;
    assert.equal(issuers.find((one) => one.issuer === issuer)?.admission, "proved");
  });

  it("carries envelopes by file, and reports each refusal", async () => {
    const file = join(pool.dir("whole"), "all.jsonl");
    const exported = await spine(["export", file, "--issuer", a.issuer, "--dir", pool.dir("whole")]);
    assert.equal(exported.code, 0, exported.err);
    await init("carried");
    const dir = pool.dir("carried");
    const closed = await spine(["import", file, "--json", "--dir", dir]);
    assert.equal(closed.code, 1);
    assert.deepEqual(closed.lines.at(-1), { stored: 0, known: 0, refused: TOTAL });
    assert.equal(closed.lines[0]?.["code"], "issuer_not_admitted");
    const texts = (await readFile(file, "utf8")).trimEnd().split("\n");
    const forged = (texts[10] as string).replace('"note 9"', '"note 8"');
    const unsigned = (texts[11] as string).replace(/.(?="}$)/, (digit) => (digit === "0" ? "1" : "0"));
    assert.notEqual(forged, texts[10]);
    texts.splice(10, 2, forged, unsigned);
    await writeFile(join(dir, "in.jsonl"), `{\n${texts.join("\n")}\n`);
    const imported = await spine(["import", join(dir, "in.jsonl"), "--json", "--dir", dir], "", allowing());
    assert.equal(imported.code, 1);
    assert.deepEqual(
      imported.lines.slice(0, -1).map((one) => [one["line"], one["code"]]),
      [
        [1, "json_syntax"],
        [12, "hash_mismatch"],
        [13, "signature_invalid"],
      ],
    );
    assert.deepEqual(imported.lines.at(-1), { stored: TOTAL - 2, known: 0, refused: 3 });
    const whole = await spine(["import", file, "--json", "--dir", dir]);
    assert.equal(whole.code, 0);
    assert.deepEqual(whole.lines.at(-1), { stored: 2, known: TOTAL - 2, refused: 0 });
    await assertCleanStore(dir, TOTAL);
  });
});

describe("a cloned node", function () {
  this.timeout(60_000);
  const pool = daemonPool();

  it("is caught by a third: proof, freeze, and an end to publishing", async () => {
    const facts = (name: string, count: number): string =>
      notes(count, name)
        .map((fact) => `${JSON.stringify(fact)}\n`)
        .join("");
    const original = pool.dir("original");
    const { issuer } = await initDir(nodeDir(original), { open: false, forceNew: false });
    assert.equal((await spine(["publish", "--dir", original], facts("common", 20))).code, 0);
    await cp(original, pool.dir("clone"), { recursive: true });
    assert.equal((await spine(["publish", "--dir", original], facts("one way", 30))).code, 0);
    assert.equal((await spine(["publish", "--dir", pool.dir("clone")], facts("the other", 40))).code, 0);

    const first = await pool.start("original");
    const witness = await pool.start("witness");
    await witness.allow(issuer);
    await witness.addPeer(first.address);
    await witness.holds(issuer, 50);
    assert.equal(await first.stop(), 0);
    const clone = await pool.start("clone");
    assert.equal(clone.issuer, issuer);
    await witness.addPeer(clone.address);
    const fork = await eventually("the witness proves the fork at its first seq", async () =>
      (await witness.forks()).find((one) => one.issuer === issuer && one.seq === 21),
    );

    const listed = await witness.verb("fork", "list", "--json");
    assert.deepEqual(listed.lines, [{ issuer, seq: 21, proof_hash: fork.proof_hash }]);
    const shown = await witness.verb("fork", "show", fork.proof_hash, "--json");
    const statements = shown.lines[0]?.["statements"] as string[];
    const verified = await spine(["envelope", "verify"], statements.join("\n"));
    assert.equal(verified.code, 0, verified.out);
    assert.notEqual(verified.lines[0]?.["envelope_hash"], verified.lines[1]?.["envelope_hash"]);
    const issuers = await witness.verb("issuer", "list", "--json");
    const frozen = issuers.lines.find((one) => one["issuer"] === issuer);
    assert.equal(frozen?.["frozen_at"], 21);
    assert.deepEqual(frozen?.["ranges"], [[1, 50]]);

    await eventually("the clone learns of it and stops publishing", async () => {
      const { text } = await clone.call("POST", "/v1/publish", JSON.stringify(note("more")));
      return text.includes("own_key_conflict");
    });
    assert.equal(await clone.count(issuer), 60);
    await pool.stopAll();
    await assertCleanStore(witness.dir);
    await assertCleanStore(clone.dir);
  });
});
