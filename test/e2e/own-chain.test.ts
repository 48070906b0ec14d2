/**
 * Restored backups and cloned images with real daemons: online, offline and racing, and kill -9 around the high-water
 * file. No fork may ever come of a restore that is done as the handbook says.
 */
import assert from "node:assert/strict";
import { cp, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { nodeDir, readHighWater } from "../../node/index.ts";
import { spine } from "../helpers/cli.ts";
import { type Daemon, type DaemonPool, daemonPool, eventually, note, notes } from "../helpers/daemon.ts";
import { assertCleanStore } from "../helpers/store-check.ts";
import { together } from "../helpers/together.ts";

async function refusal(daemon: Daemon): Promise<string> {
  const { status, text } = await daemon.call("POST", "/v1/publish", JSON.stringify(note("refused?")));
  assert.ok(status >= 400, `${status} ${text}`);
  return (JSON.parse(text) as { error: { code: string } }).error.code;
}

/** Nobody dials but those that a test tells to. */
const QUIET = ["planes.libp2p.discover=false"];

/** A node whose two peers hold all it signed, and a backup from before its last words. */
async function lostNode(pool: DaemonPool, name: string, helpers: readonly Daemon[]) {
  const peers = helpers.map(({ address }) => address);
  const node = await pool.start(name, { peers, set: QUIET });
  for (const helper of helpers) await helper.allow(node.issuer);
  await node.connected(2);
  await node.publish(notes(20, "kept"));
  const file = `${node.dir}.backup`;
  const { code, err } = await node.verb("backup", file);
  assert.equal(code, 0, err);
  const top = (await node.publish(notes(20, "after the backup"))).at(-1)?.seq as number;
  for (const helper of helpers) await helper.holds(node.issuer, top);
  await node.kill();
  const again = `${name}-again`;
  const restored = await spine(["restore", file, "--dir", pool.dir(again)]);
  assert.equal(restored.code, 0, restored.err);
  return { peers, issuer: node.issuer, again, top };
}

async function agreed(issuer: string, count: number, daemons: readonly Daemon[]): Promise<void> {
  for (const daemon of daemons) {
    await daemon.holds(issuer, count, 30_000);
    assert.deepEqual(await daemon.forks(), [], daemon.name);
  }
}

describe("own chain with real daemons", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  let helpers: readonly [Daemon, Daemon];
  before(async () => {
    helpers = [await pool.start("p", { set: QUIET }), await pool.start("q", { set: QUIET })];
    const made = await spine(["init", "--dir", pool.dir("key")]);
    assert.equal(made.code, 0, made.err);
  });
  // A node that is uncertain of itself asks for five seconds: most of these wait, so they wait together.
  const it = together(3);

  it("a restored node goes on above what two peers hold and fetches the rest back", async () => {
    const { peers, issuer, again, top } = await lostNode(pool, "online", helpers);
    const node = await pool.start(again, { peers, set: QUIET });
    assert.deepEqual([node.issuer, node.warnings], [issuer, []]);
    const [next] = await node.publish([note("back again")]);
    assert.equal(next?.seq, top + 1);
    await agreed(issuer, top + 1, [node, ...helpers]);
    await node.stop();
    await assertCleanStore(pool.dir(again));
  });

  it("a restored node without peers signs nothing, and goes on by itself once two show its chain", async () => {
    const { peers, issuer, again, top } = await lostNode(pool, "offline", helpers);
    const node = await pool.start(again, { set: QUIET });
    assert.match(node.warnings.join(), /Nothing is signed: .*0 of 2 peers/);
    assert.equal(await refusal(node), "fork_risk");
    await node.addPeer(peers[0] as string);
    await node.connected(1);
    assert.equal(await refusal(node), "fork_risk");
    await node.addPeer(peers[1] as string);
    const [next] = await eventually("publishing goes on", () => node.publish([note("late")]).catch(() => undefined));
    assert.equal(next?.seq, top + 1);
    await agreed(issuer, top + 1, [node, ...helpers]);
    await node.stop();
    // Once certain it stays so, without peers.
    const later = await pool.start(again, { set: QUIET });
    assert.deepEqual(later.warnings, []);
    assert.equal((await later.publish([note("alone")]))[0]?.seq, top + 2);
    await later.stop();
  });

  it("with one peer only the operator's word helps, and then that peer's head still counts", async () => {
    const { peers, issuer, again, top } = await lostNode(pool, "one", helpers);
    const careful = await pool.start(again, { peers: peers.slice(0, 1), set: QUIET });
    assert.match(careful.warnings.join(), /1 of 2 peers/);
    assert.equal(await refusal(careful), "fork_risk");
    await careful.stop();
    const node = await pool.start(again, { peers: peers.slice(0, 1), set: QUIET, args: ["--accept-fork-risk"] });
    assert.equal((await node.publish([note("accepted")]))[0]?.seq, top + 1);
    await agreed(issuer, top + 1, [node, helpers[0]]);
    await node.stop();
  });

  it("refuses beside a missing or damaged mark, but not for a node made before marks were kept", async () => {
    const node = await pool.start("marks", { set: QUIET });
    const top = (await node.publish(notes(3))).at(-1)?.seq as number;
    await node.stop();
    const { highWater } = nodeDir(node.dir);
    assert.equal((await readHighWater(highWater, "issuer", node.issuer)).mark?.seq, top);
    assert.equal((await stat(highWater)).mode & 0o777, 0o600);
    await rm(highWater);
    const uncertain = await pool.start("marks", { set: QUIET });
    assert.equal(await refusal(uncertain), "fork_risk");
    await uncertain.stop();
    const accepted = await pool.start("marks", { set: QUIET, args: ["--accept-fork-risk"] });
    assert.equal((await accepted.publish([note("accepted")]))[0]?.seq, top + 1);
    await accepted.stop();
    const old = await pool.start("old", { set: QUIET });
    await old.stop();
    await rm(join(old.dir, "store"), { recursive: true });
    await rm(nodeDir(old.dir).highWater);
    await cp(join(import.meta.dirname, "../../../test/fixtures/store-v1/store"), join(old.dir, "store"), {
      recursive: true,
    });
    const upgraded = await pool.start("old", { set: QUIET });
    assert.deepEqual(upgraded.warnings, []);
    assert.equal((await upgraded.publish([note("first mark")])).length, 1);
    await upgraded.stop();
  });

  it("kill -9 around the mark never makes a node uncertain of itself", async () => {
    let seq = 0;
    for (let round = 0; round < 4; round++) {
      const node = await pool.start("killed", { set: QUIET });
      assert.deepEqual(node.warnings, []);
      const until = performance.now() + 60 + round * 250;
      while (performance.now() < until) seq = (await node.publish(notes(5))).at(-1)?.seq as number;
      await node.kill();
      const { mark } = await readHighWater(nodeDir(node.dir).highWater, "issuer", node.issuer);
      assert.ok((mark?.seq ?? 0) <= seq);
    }
    const node = await pool.start("killed", { set: QUIET });
    assert.equal((await node.publish([note("whole")]))[0]?.seq, seq + 1);
    await eventually("the mark follows within a second", async () => {
      const { mark } = await readHighWater(nodeDir(node.dir).highWater, "issuer", node.issuer);
      return mark?.seq === seq + 1;
    });
    await node.stop();
  });

  it("a clone that hears of the other stops signing, says so, and still does after a restart", async () => {
    const [witness] = helpers;
    const peers = [witness.address];
    const first = await pool.start("clone-a", { peers, set: QUIET });
    await witness.allow(first.issuer);
    const top = (await first.publish(notes(5))).at(-1)?.seq as number;
    await witness.holds(first.issuer, top);
    await first.stop();
    await cp(first.dir, pool.dir("clone-b"), { recursive: true });
    // Another transport key, as cloned images that were told apart by their operators have.
    await rm(join(pool.dir("clone-b"), "libp2p.key"));
    await rm(join(pool.dir("clone-b"), "peer-store"), { recursive: true, force: true });
    await cp(join(pool.dir("key"), "libp2p.key"), join(pool.dir("clone-b"), "libp2p.key"));
    const a = await pool.start("clone-a", { peers, set: QUIET });
    assert.equal((await a.publish([note("mine")]))[0]?.seq, top + 1);
    await witness.holds(a.issuer, top + 1);
    const b = await pool.start("clone-b", { peers, set: QUIET });
    await eventually("the clone notices", async () => (await b.status()).warnings.some((one) => /key/.test(one)));
    assert.equal(await refusal(b), "own_key_conflict");
    await b.stop();
    assert.ok((await readdir(b.dir)).includes("own-key-alarm"));
    const silent = await pool.start("clone-b", { peers: [], set: QUIET });
    assert.match(silent.warnings.join(), /Another node signs with this node's key/);
    assert.equal(await refusal(silent), "own_key_conflict");
    await silent.stop();
    assert.equal((await a.publish([note("the other is gone")]))[0]?.seq, top + 2);
    assert.deepEqual(await witness.forks(), []);
    // The operator ended the other copy and goes on with this one.
    await a.stop();
    const cleared = await pool.start("clone-b", { peers, set: QUIET, args: ["--accept-fork-risk"] });
    // Its incident about the other copy comes first, or comes next.
    const seq = (await cleared.publish([note("the only one")]))[0]?.seq as number;
    assert.ok(seq === top + 3 || seq === top + 4, `seq ${seq}`);
    await agreed(cleared.issuer, top + 4, [cleared, witness]);
    await cleared.stop();
  });

  it("clones that race are found out: a proven fork, and both stop", async () => {
    const first = await pool.start("race-a", { set: QUIET });
    const top = (await first.publish(notes(5))).at(-1)?.seq as number;
    await first.stop();
    await cp(first.dir, pool.dir("race-b"), { recursive: true });
    await rm(join(pool.dir("race-b"), "libp2p.key"));
    await cp(join(pool.dir("key"), "libp2p.key"), join(pool.dir("race-b"), "libp2p.key"));
    const a = await pool.start("race-a", { set: QUIET });
    const b = await pool.start("race-b", { set: QUIET });
    await Promise.all([a.publish([note("a")]), b.publish([note("b")])]);
    const judge = await pool.start("race-j", { set: QUIET });
    await judge.allow(first.issuer);
    for (const one of [a, b]) await judge.addPeer(one.address);
    const [fork] = await eventually("the fork is proven", async () => {
      const forks = await judge.forks();
      return forks.length > 0 ? forks : undefined;
    });
    assert.deepEqual([fork?.issuer, fork?.seq], [first.issuer, top + 1]);
    for (const one of [a, b]) {
      await eventually(`${one.name} stops`, async () => (await one.status()).warnings.length > 0);
      assert.equal(await refusal(one), "own_key_conflict");
    }
    await Promise.all([a.stop(), b.stop(), judge.stop()]);
    assert.match(await readFile(join(a.dir, "own-key-alarm"), "utf8"), /seq \d+/);
  });
});
