/**
 * What another node publishes changes verdicts here: an agent's key, a token or a bundle revoked, a policy tightened. Two
 * real daemons over libp2p; the envelopes of both sides are then checked by a verb that knows no node.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GuardStatus } from "../../node/index.ts";
import { spine } from "../helpers/cli.ts";
import { namedKey } from "../helpers/crypto.ts";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";

const AGENT = namedKey("an agent").issuer;
const READ = { action_type: "file_access", target: "/w/notes.txt" };

interface Check {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly policy_hash: string | null;
  readonly envelope_hash: string;
}

async function check(daemon: Daemon, body: object): Promise<Check> {
  const { status, text } = await daemon.call("POST", "/v1/check", JSON.stringify(body));
  assert.equal(status, 200, text);
  return JSON.parse(text) as Check;
}

async function guard(daemon: Daemon): Promise<GuardStatus> {
  return JSON.parse((await daemon.call("GET", "/v1/guard")).text) as GuardStatus;
}

interface LogStatus {
  readonly log_id: string;
  readonly witness: { readonly id: string };
}

async function logStatus(daemon: Daemon): Promise<LogStatus> {
  return JSON.parse((await daemon.call("GET", "/v1/log")).text) as LogStatus;
}

function revocation(targets: readonly object[]): object {
  return { schema: "aegis.spine.fact.revocation.v1", fact_id: "rev_1", targets, issued_at: "2026-01-01T00:00:00Z" };
}

describe("guards obey the mesh", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  let curator: Daemon;
  let node: Daemon;
  let nodeLog: string;
  let witness: string;

  /** The verdict as soon as the envelope that should change it is stored here; later than a second is a failure. */
  async function within1s(what: string, hash: string, read: () => Promise<boolean>): Promise<void> {
    await eventually(
      `${what} arrives`,
      async () => (await node.call("GET", `/v1/envelopes/${hash}`)).status === 200,
      30_000,
    );
    await eventually(`${what} acts`, read, 1_000);
  }

  before(async () => {
    curator = await pool.start("curator");
    node = await pool.start("node", { port: null });
    const { port } = curator;
    [nodeLog, witness] = [(await logStatus(node)).log_id, (await logStatus(curator)).witness.id];
    await Promise.all([node.stop(), curator.stop()]);
    const trust = async (daemon: Daemon, ...args: string[]): Promise<void> => {
      const { code, err } = await daemon.verb("trust", "add", ...args);
      assert.equal(code, 0, err);
    };
    await trust(node, "curator", curator.issuer, "--level", "full");
    await trust(node, "revoker", curator.issuer, "--scope", "key", "--scope", "token", "--scope", "bundle");
    await trust(node, "witness", witness);
    await trust(curator, "log", nodeLog);
    curator = await pool.start("curator", { port });
    await curator.allow(node.issuer);
    node = await pool.start("node", { port: null, peers: [curator.address] });
    await node.connected(1);
  });
  after(() => pool.stopAll());

  it("denies an agent whose key is revoked elsewhere, and both receipts and the revocation verify offline", async () => {
    const asked = { ...READ, agent_id: AGENT };
    const granted = await check(node, asked);
    assert.equal(granted.allowed, true);
    const [published] = await curator.publish([revocation([{ type: "key", value: AGENT }])]);
    await within1s("the revocation", published?.hash as string, async () => !(await check(node, asked)).allowed);
    const denied = await check(node, asked);
    assert.equal(denied.reason, "agent_revoked");
    assert.equal((await check(node, { ...READ, agent_id: namedKey("another").issuer })).allowed, true);

    const envelopes: string[] = [];
    for (const hash of [granted.envelope_hash, denied.envelope_hash, published?.hash])
      envelopes.push((await node.call("GET", `/v1/envelopes/${hash}`)).text.trim());
    const verified = await spine(["envelope", "verify", "-"], `${envelopes.join("\n")}\n`);
    assert.equal(verified.code, 0, verified.out + verified.err);
    const verdicts = envelopes.slice(0, 2).map((text) => {
      const { fact } = JSON.parse(text) as { fact: { decision: { verdict: string }; agent: { id: string } } };
      return [fact.decision.verdict, fact.agent.id];
    });
    assert.deepEqual(verdicts, [
      ["allow", AGENT],
      ["deny", AGENT],
    ]);
    // The same with proofs of inclusion under a checkpoint that the other node co-signed, checked where no node is.
    const trust = join(node.dir, "bundle.json");
    await writeFile(
      trust,
      JSON.stringify({ allowed_log_ids: [nodeLog], allowed_witness_node_ids: [witness], witness_quorum: 1 }),
    );
    for (const hash of [granted.envelope_hash, denied.envelope_hash]) {
      const proof = join(node.dir, `${hash}.json`);
      await eventually(
        "the receipt can be proven",
        async () => (await node.verb("prove", hash, "-o", proof)).code === 0,
        30_000,
      );
      const proven = await spine(["verify", proof, "--trust", trust, "--strict", "--json", "--dir", "/nonexistent"]);
      assert.equal(proven.code, 0, proven.err);
      assert.match(proven.out, /"witness_quorum"/);
      assert.ok((await readFile(proof, "utf8")).includes(hash));
    }
    const forged = envelopes.map((text) => text.replace('"verdict":"deny"', '"verdict":"allow"'));
    assert.notEqual((await spine(["envelope", "verify", "-"], `${forged.join("\n")}\n`)).code, 0);
  });

  it("tightens by a delta, keeps it over a restart, and reports one that does not come out", async () => {
    const asked = { action_type: "egress", target: "https://api.github.com/" };
    const before = await check(node, asked);
    assert.equal(before.allowed, true);
    const block = "add:guards.egress_allowlist.block=api.github.com";
    const { code, err, lines } = await curator.verb("policy", "tighten", "--json", "--version", "5", "default", block);
    assert.equal(code, 0, err);
    await within1s("the delta", lines[0]?.["envelope_hash"] as string, async () => !(await check(node, asked)).allowed);
    const after = await check(node, asked);
    assert.equal(after.policy_hash, lines[0]?.["policy_hash"]);
    await node.stop();
    node = await pool.start("node", { port: null, peers: [curator.address] });
    await node.connected(1);
    assert.equal((await check(node, asked)).policy_hash, after.policy_hash);

    const lie = {
      schema: "aegis.spine.fact.policy_delta.v1",
      name: "lie",
      version: 6,
      previous_policy_hash: `0x${before.policy_hash}`,
      resulting_policy_hash: `0x${"1".repeat(64)}`,
      valid_until: "2099-01-01T00:00:00Z",
      operations: [{ op: "add", path: "guards.egress_allowlist.block", value: "x.example" }],
    };
    await curator.publish([lie]);
    await eventually("the incident is published", async () => {
      const { text } = await node.call("GET", `/v1/issuers/${node.issuer}/envelopes?limit=10000`);
      return text.includes("policy_result_mismatch");
    });
    assert.equal((await check(node, asked)).policy_hash, after.policy_hash);
    const replayed = await curator.verb("policy", "tighten", "--version", "5", "default", block);
    assert.equal(replayed.code, 0);
    await eventually("the old version is refused", async () => node.stderr.includes("stale_version"));
  });

  it("demands a curator's bundle, stages a looser one, and falls back when one is revoked", async () => {
    const publish = async (name: string, forbidden: readonly string[]): Promise<Record<string, unknown>> => {
      const file = join(pool.dir("curator"), `${name}.yaml`);
      const patterns = JSON.stringify(forbidden);
      await writeFile(
        file,
        `version: "1.5.0"\nextends: default\nguards: {forbidden_path: {additional_patterns: ${patterns}}}\n`,
      );
      const { code, err, lines } = await curator.verb("policy", "publish", "--json", file);
      assert.equal(code, 0, err);
      return lines[0] as Record<string, unknown>;
    };
    const other = { action_type: "file_access", target: "/v/x" };
    const first = await publish("first", ["/w/**"]);
    await within1s("the bundle", first["envelope_hash"] as string, async () => !(await check(node, READ)).allowed);
    const second = await publish("second", ["/w/**", "/v/**"]);
    await within1s("the second", second["envelope_hash"] as string, async () => !(await check(node, other)).allowed);
    const looser = await publish("looser", ["/v/**"]);
    const staged = await eventually("the looser bundle waits", async () => (await guard(node)).staged[0]);
    assert.deepEqual([staged.policy_hash, staged.from], [looser["policy_hash"], curator.issuer]);
    assert.equal((await check(node, READ)).allowed, false);

    const secondFact = JSON.parse((await node.call("GET", `/v1/envelopes/${second["envelope_hash"]}`)).text) as {
      fact: { bundle_hash: string };
    };
    const [revoked] = await curator.publish([
      revocation([{ type: "bundle_hash", value: secondFact.fact.bundle_hash }]),
    ]);
    await within1s("the revocation", revoked?.hash as string, async () => (await check(node, other)).allowed);
    assert.equal((await check(node, READ)).allowed, false);
    const approved = await node.verb("guard", "approve", staged.policy_hash);
    assert.equal(approved.code, 0, approved.err);
    assert.deepEqual([(await check(node, READ)).allowed, (await check(node, other)).allowed], [true, false]);
  });
});
