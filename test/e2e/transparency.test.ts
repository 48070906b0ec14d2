/**
 * Real daemons with a log, two witnesses and followers: quorum, proofs carried away, kill -9 in the middle of rounds, a
 * witness restored from a backup, and a log that shows two views, which the others prove.
 */
import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Daemon, daemonPool, eventually, notes, type Published } from "../helpers/daemon.ts";

interface LogStatus {
  readonly log_id: string;
  readonly origin: string;
  readonly vkey: string;
  readonly stopped: { readonly code: string } | null;
  readonly latest: { readonly checkpoint_seq: number; readonly tree_size: number; readonly witnesses: number } | null;
  readonly witness: {
    readonly id: string;
    readonly logs: readonly { log_id: string; size: number; restored: boolean }[];
  };
  readonly split_views: readonly string[];
}

async function json<T>(daemon: Daemon, path: string): Promise<T> {
  const { status, text } = await daemon.call("GET", path);
  assert.equal(status, 200, text);
  return JSON.parse(text) as T;
}
const logOf = (daemon: Daemon) => json<LogStatus>(daemon, "/v1/log");

/** Waits until the envelope is under a checkpoint that so many witnesses co-signed in both encodings. */
async function checkpointed(daemon: Daemon, published: Published | undefined, witnesses: number): Promise<LogStatus> {
  await eventually(`${daemon.name} can prove ${published?.hash}`, async () => {
    const { status, text } = await daemon.call("GET", `/v1/proofs/inclusion?envelope_hash=${published?.hash}`);
    if (status !== 200) return false;
    const proof = JSON.parse(text) as { readonly witnesses: readonly unknown[]; readonly note: string };
    const signatures = proof.note.split("\n").filter((line) => line.startsWith("— ")).length;
    return proof.witnesses.length >= witnesses && signatures > witnesses;
  });
  return logOf(daemon);
}

const QUIET = ["planes.libp2p.discover=false"];

describe("transparency between daemons", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  let log: Daemon;
  let bob: Daemon;
  let cleo: Daemon;
  let logId = "";

  afterEach(function () {
    if (this.currentTest?.state === "failed") process.stderr.write(`${log.stderr}\n${bob.stderr}\n${cleo.stderr}\n`);
  });

  const startLog = () => pool.start("log", { open: true, peers: [bob.address, cleo.address], set: QUIET });
  const startBob = (port?: number) => pool.start("bob", { open: true, set: QUIET, ...(port ? { port } : {}) });
  const startCleo = (port?: number) => pool.start("cleo", { open: true, set: QUIET, ...(port ? { port } : {}) });

  /** Bob came back: he dials the log, whose redial may wait long for its turn. */
  const linked = async () => {
    await bob.addPeer(log.address);
    await eventually(
      "the log has both links",
      async () => (await log.status()).links.filter(({ issuer }) => issuer !== null).length === 2,
      60_000,
    );
  };

  before(async function () {
    this.timeout(120_000);
    [bob, cleo] = [await startBob(), await startCleo()];
    log = await startLog();
    logId = (await logOf(log)).log_id;
    const ids = await Promise.all([bob, cleo].map(async (one) => (await logOf(one)).witness.id));
    // Running daemons notice the change of their trust file by themselves.
    const added = await Promise.all([
      ...[bob, cleo].map((daemon) => daemon.verb("trust", "add", "log", logId)),
      log.verb("trust", "add", "witness", ids[0] as string).then(async (first) => {
        const second = await log.verb("trust", "add", "witness", ids[1] as string);
        return { code: Math.max(first.code ?? 9, second.code ?? 9) };
      }),
    ]);
    assert.deepEqual(
      added.map(({ code }) => code),
      [0, 0, 0],
    );
    await log.connected(2);
    for (const daemon of [bob, cleo]) {
      await eventually(`${daemon.name} signs for the log`, async () =>
        (await logOf(daemon)).witness.logs.some(({ log_id }) => log_id === logId),
      );
    }
  });
  after(() => pool.stopAll());

  it("gets every checkpoint co-signed by both witnesses, in both encodings", async () => {
    const published = await log.publish(notes(300));
    const status = await checkpointed(log, published.at(-1), 2);
    const note = (await log.call("GET", "/tlog/checkpoint")).text;
    assert.equal(note.split("\n").filter((line) => line.startsWith("— ")).length, 3);
    for (const daemon of [bob, cleo]) {
      const { witness } = await logOf(daemon);
      assert.deepEqual(
        witness.logs.map(({ log_id, restored }) => [log_id, restored]),
        [[logId, false]],
      );
      await daemon.holds(logId, status.latest?.checkpoint_seq as number);
    }
  });

  it("makes proofs that verify offline, against whom one believes and nobody else", async () => {
    const [published] = await log.publish(notes(1, "to prove"));
    await checkpointed(log, published, 2);
    const proof = join(log.dir, "proof.json");
    const proved = await log.verb("prove", published?.hash as string, "-o", proof);
    assert.equal(proved.code, 0, proved.err);
    const ids = await Promise.all([bob, cleo].map(async (one) => (await logOf(one)).witness.id));
    const bundle = { allowed_log_ids: [logId], allowed_witness_node_ids: ids, witness_quorum: 2 };
    const trust = join(log.dir, "bundle.json");
    const check = async (change: object, ...args: string[]) => {
      await writeFile(trust, JSON.stringify({ ...bundle, ...change }));
      return bob.verb("verify", proof, "--trust", trust, "--strict", "--json", ...args);
    };
    const good = await check({});
    assert.equal(good.code, 0, good.err);
    assert.deepEqual(good.lines[0]?.["proven"], [
      "envelope_signed",
      "included",
      "checkpoint_signed",
      "log_allowed",
      "witness_quorum",
      "witnesses_allowed",
    ]);
    assert.deepEqual((good.lines[0] as { witnesses: string[] }).witnesses.toSorted(), ids.toSorted());
    const stranger = "aegis:ed25519:3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    const refused = async (change: object): Promise<unknown> => {
      const { code, err } = await check(change);
      assert.equal(code, 1);
      return (JSON.parse(err) as { error: { code: string } }).error.code;
    };
    assert.equal(await refused({ allowed_log_ids: [stranger] }), "log_not_allowed");
    assert.equal(await refused({ allowed_witness_node_ids: [stranger, ids[0]] }), "quorum_missing");
    assert.equal(await refused({ allowed_envelope_issuers: [stranger] }), "issuer_not_admitted");
    assert.equal(
      await refused({ require_attested_issuers: true, allowed_receipt_signer_node_ids: [stranger] }),
      "issuer_not_admitted",
    );
    assert.equal(await refused({ allowed_log_ids: [] }), "config_invalid");

    const policy = join(log.dir, "policy");
    const { vkey } = await logOf(log);
    const witnessKeys = await Promise.all(
      [bob, cleo].map(async (one) => (await json<{ witness: { vkey: string } }>(one, "/v1/log")).witness.vkey),
    );
    const lines = [
      `log ${vkey}`,
      ...witnessKeys.map((key, i) => `witness w${i} ${key}`),
      "group both all w0 w1",
      "quorum both",
      "",
    ];
    await writeFile(policy, lines.join("\n"));
    const text = join(log.dir, "proof.tlog-proof");
    assert.equal((await log.verb("prove", published?.hash as string, "--tlog", "-o", text)).code, 0);
    const tlog = await cleo.verb("verify", text, "--trust", policy, "--hash", published?.hash as string, "--json");
    assert.equal(tlog.code, 0, tlog.err);
    assert.deepEqual(tlog.lines[0]?.["witnesses"], ["w0", "w1"]);
  });

  it("finds facts by what they say, by whoever has a say in it", async () => {
    const hash = `0x${"AB".repeat(32)}`;
    const receipt = { schema: "clawdstrike.run_receipt.v1", run_id: "run-1" };
    const policy = { schema: "clawdstrike.spine.fact.policy.v1", policy_hash: hash, version: "v1.2" };
    const revocation = {
      schema: "clawdstrike.marketplace.revocation.v1",
      bundle_hash: hash,
      reason: "r",
      fact_id: "f",
    };
    const published = await log.publish([receipt, policy]);
    const get = async (daemon: Daemon, path: string) => {
      const { status, text } = await daemon.call("GET", path);
      return status === 200 ? (JSON.parse(text) as { envelope_hash: string }).envelope_hash : status;
    };
    assert.equal(await get(log, "/v1/run-receipts/by-run-id/run-1"), published[0]?.hash);
    for (const spelling of [hash, hash.toLowerCase(), hash.slice(2)]) {
      assert.equal(await get(log, `/v1/policies/by-hash/${spelling}`), published[1]?.hash);
    }
    assert.equal(await get(log, "/v1/policies/by-version/v1.2"), published[1]?.hash);
    assert.equal(await get(log, "/v1/policies/by-version/v9"), 404);
    assert.equal(await get(log, "/v1/marketplace/revocation/zz"), 400);
    await bob.holds(log.issuer, await log.count(log.issuer));
    assert.equal(await get(bob, "/v1/run-receipts/by-run-id/run-1"), published[0]?.hash);
    assert.equal(await get(bob, `/v1/policies/by-hash/${hash}`), 404, "bob trusts no curator");
    const outcome = await log.call("POST", "/v1/publish", JSON.stringify(revocation));
    assert.equal(outcome.status, 201, outcome.text);
    assert.equal(await get(bob, `/v1/marketplace/revocation/${hash}`), 404, "nobody plants a revocation");
  });

  it("carries proofs and checkpoints by hand, and takes no spoilt one", async () => {
    const file = join(log.dir, "proofs.jsonl");
    assert.equal((await log.verb("export", "--proofs", "--issuer", log.issuer, file)).code, 0);
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    assert.ok(lines.slice(0, 20).every((line) => line.includes("clawdstrike-portable-proof-v1")));
    const bad = (lines[0] as string).replace(/"log_index":\d+/, '"log_index":7');
    await writeFile(file, `${lines.slice(0, 20).join("\n")}\n${bad}\n`);
    const dave = await pool.start("dave", { open: true, port: null, set: QUIET });
    await dave.allow(log.issuer, logId);
    const { code, lines: said } = await dave.verb("import", "--json", file);
    assert.equal(code, 1);
    assert.equal(said[0]?.["code"], "proof_mismatch");
    assert.equal(await dave.count(log.issuer), 20);
    assert.ok((await dave.count(logId)) >= 1);
  });

  it("forks nothing and reuses no seq when killed at any moment of a round", async function () {
    this.timeout(180_000);
    // Every single write is hit in checkpoint-kills.test.ts.
    const rounds = process.env["SPINE_LONG"] === "1" ? 30 : 2;
    for (let round = 0; round < rounds; round++) {
      await log.publish(notes(20, `round ${round}`));
      await new Promise((resolve) => setTimeout(resolve, 350 + ((round * 137) % 400)));
      await log.kill();
      log = await startLog();
    }
    await log.connected(2);
    const [last] = await log.publish(notes(1, "after the kills"));
    const status = await checkpointed(log, last, 2);
    assert.equal(status.stopped, null);
    for (const daemon of [bob, cleo]) {
      await daemon.holds(logId, status.latest?.checkpoint_seq as number);
      assert.deepEqual(await daemon.forks(), []);
      assert.deepEqual((await logOf(daemon)).split_views, []);
    }
    const listed = await log.verb("checkpoint", "list", "--json");
    const seqs = listed.lines.map((one) => one["checkpoint_seq"]);
    assert.deepEqual(
      seqs,
      seqs.map((_, i) => i + 1),
    );
    const file = join(log.dir, "checkpoints.jsonl");
    await writeFile(file, listed.out);
    const verified = await log.verb("checkpoint", "verify", file);
    assert.equal(verified.code, 0, verified.out);
  });

  it("keeps a restored witness from signing until its last co-signature is shown to it", async function () {
    this.timeout(180_000);
    const backup = join(pool.dir("bob"), "store-backup");
    await bob.stop();
    await cp(join(bob.dir, "store"), backup, { recursive: true });
    bob = await startBob(bob.port);
    await linked();
    const [early] = await log.publish(notes(1, "before the restore"));
    const before = await checkpointed(log, early, 2);
    await bob.stop();
    await rm(join(bob.dir, "store"), { recursive: true });
    await cp(backup, join(bob.dir, "store"), { recursive: true });
    bob = await startBob(bob.port);
    assert.ok((await logOf(bob)).witness.logs[0]?.restored, "the row is locked");
    await linked();
    const [late] = await log.publish(notes(1, "after the restore"));
    const after = await checkpointed(log, late, 2);
    assert.ok((after.latest?.checkpoint_seq as number) > (before.latest?.checkpoint_seq as number));
    assert.equal((await logOf(bob)).witness.logs[0]?.restored, false);
  });

  it("lets an operator confirm a witness whose marks are lost, and nobody else", async function () {
    this.timeout(180_000);
    await bob.stop();
    await rm(join(bob.dir, "witness-marks"));
    bob = await startBob(bob.port);
    await linked();
    const [published] = await log.publish(notes(1, "while it waits"));
    await checkpointed(log, published, 1);
    assert.equal((await logOf(bob)).witness.logs[0]?.restored, true, "what it is shown may not be its last");
    assert.match((await bob.verb("witness", "show")).out, /locked after a restore/);
    const unasked = await bob.verb("witness", "confirm", logId);
    assert.equal(unasked.code, 2, unasked.err);
    const stranger = `aegis:ed25519:${"00".repeat(32)}`;
    assert.match((await bob.verb("witness", "confirm", stranger, "--yes")).err, /log_not_allowed/);
    const confirmed = await bob.verb("witness", "confirm", logId, "--yes", "--json");
    assert.equal(confirmed.code, 0, confirmed.err);
    assert.equal(confirmed.lines[0]?.["restored"], false);
    assert.match((await bob.verb("witness", "confirm", logId)).out, /nothing to confirm/);
    const [later] = await log.publish(notes(1, "after the word"));
    await checkpointed(log, later, 2);
  });

  it("leaves stores that pass their check, with every root signed", async () => {
    await log.stop();
    const { code, out } = await log.verb("store", "check");
    assert.equal(code, 0, out);
    const { size } = await import("node:fs").then((fs) => fs.statSync(join(log.dir, "log-high-water")));
    assert.ok(size > 0);
    log = await startLog();
  });

  it("proves that a log showed two views, to everyone who follows it", async () => {
    await log.stop();
    await cp(log.dir, pool.dir("twin"), { recursive: true });
    const one = await pool.start("log", { open: true, peers: [bob.address], set: QUIET });
    await one.connected(1);
    const [seen] = await one.publish(notes(1, "what bob sees"));
    const shown = (await checkpointed(one, seen, 1)).latest?.checkpoint_seq as number;
    await bob.holds(logId, shown);
    await one.stop();
    const two = await pool.start("twin", { open: true, peers: [cleo.address], set: QUIET });
    await two.connected(1);
    const [other] = await two.publish(notes(1, "what cleo sees"));
    assert.equal((await checkpointed(two, other, 1)).latest?.checkpoint_seq, shown);
    await cleo.holds(logId, shown);
    await two.stop();
    assert.deepEqual((await logOf(bob)).split_views, []);
    await bob.addPeer(cleo.address);
    for (const daemon of [bob, cleo]) {
      await eventually(`${daemon.name} holds the proof`, async () => (await logOf(daemon)).split_views.includes(logId));
    }
    assert.match((await bob.status()).warnings.join(), /two views/);
    assert.ok((await readFile(join(bob.dir, "witness-marks"), "utf8")).includes(logId));
  });
});
