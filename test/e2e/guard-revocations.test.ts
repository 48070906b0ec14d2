/**
 * What a revoker publishes elsewhere ends rights here within a second of its arrival: a capability token, a curator with all
 * its policies, this node itself. Receipts name the policy and say how old the knowledge of revocations was.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { spine } from "../helpers/cli.ts";
import { namedKey } from "../helpers/crypto.ts";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";

const AGENT = namedKey("an agent with a token").issuer;
const READ = { action_type: "file_access", target: "/w/notes.txt" };

interface Check {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly policy_hash: string | null;
  readonly envelope_hash: string | null;
  readonly recorded: boolean;
}

interface ReceiptFact {
  readonly decision: { readonly verdict: string; readonly reason: string | null };
  readonly policy_hash: string;
  readonly revocations_age_ms: number | null;
}

describe("guards obey revocations from the mesh", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  let revoker: Daemon;
  let curator: Daemon;
  let node: Daemon;

  async function check(body: object): Promise<Check> {
    const { status, text } = await node.call("POST", "/v1/check", JSON.stringify(body));
    assert.equal(status, 200, text);
    return JSON.parse(text) as Check;
  }

  async function receipt({ envelope_hash: hash }: Check): Promise<ReceiptFact> {
    const { status, text } = await node.call("GET", `/v1/envelopes/${hash}`);
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { fact: ReceiptFact }).fact;
  }

  /** What `read` says within a second after the envelope is stored here. */
  async function within1s<T>(hash: string, read: () => Promise<T | undefined | false>): Promise<T> {
    await eventually(
      "the envelope arrives",
      async () => (await node.call("GET", `/v1/envelopes/${hash}`)).status === 200,
      30_000,
    );
    return eventually("it acts", read, 1_000);
  }

  async function revoke(scope: string, value: string): Promise<string> {
    const { code, err, lines } = await revoker.verb("revoke", value, "--scope", scope, "--reason", "lost", "--json");
    assert.equal(code, 0, err);
    return String(lines[0]?.["envelope_hash"]);
  }

  async function trust(daemon: Daemon, ...args: string[]): Promise<void> {
    const { code, err } = await daemon.verb("trust", "add", ...args);
    assert.equal(code, 0, err);
  }

  before(async () => {
    revoker = await pool.start("revoker");
    curator = await pool.start("curator", { port: null, peers: [revoker.address] });
    node = await pool.start("node", { port: null, peers: [revoker.address] });
    const { port } = revoker;
    await Promise.all([node, curator, revoker].map((daemon) => daemon.stop()));
    await trust(node, "revoker", revoker.issuer, "--scope", "key", "--scope", "token", "--scope", "node");
    await trust(node, "token-issuer", revoker.issuer);
    await trust(node, "curator", curator.issuer, "--level", "full");
    await trust(revoker, "revoker", revoker.issuer, "--scope", "key", "--scope", "token", "--scope", "node");
    await trust(revoker, "token-issuer", revoker.issuer);
    revoker = await pool.start("revoker", { port });
    await revoker.allow(node.issuer, curator.issuer);
    curator = await pool.start("curator", { port: null, peers: [revoker.address] });
    node = await pool.start("node", { port: null, peers: [revoker.address] });
    await node.connected(1);
    await curator.connected(1);
  });
  after(() => pool.stopAll());

  it("refuses an agent whose capability token is revoked, and says so in its receipt", async () => {
    const wish = { token_id: "tok-e2e", subject: AGENT, scopes: ["guard:check"], expires_at: null };
    const issued = await spine(["token", "issue", "--dir", revoker.dir], `${JSON.stringify(wish)}\n`);
    const token = issued.lines[0]?.["token"];
    const asked = { ...READ, agent_id: AGENT, capability_token: token };
    // The revoker states its set of revocations; from then on receipts say how old that word is.
    const granted = await eventually(
      "a receipt knows how old its knowledge is",
      async () => {
        const answer = await check(asked);
        assert.equal(answer.allowed, true, JSON.stringify(answer));
        return typeof (await receipt(answer)).revocations_age_ms === "number" && answer;
      },
      60_000,
    );
    const hash = await revoke("token", "tok-e2e");
    const denied = await within1s(hash, async () => {
      const answer = await check(asked);
      return !answer.allowed && answer;
    });
    assert.match(String(denied.reason), /revoked/);
    // Without the token the agent is what it was before.
    assert.equal((await check({ ...READ, agent_id: AGENT })).allowed, true);
    const [before, after] = [await receipt(granted), await receipt(denied)];
    assert.deepEqual([before.decision.verdict, after.decision.verdict], ["allow", "deny"]);
    assert.equal(after.policy_hash, `0x${denied.policy_hash}`);
    assert.ok((before.revocations_age_ms as number) < 120_000);
    // Nobody has stated the set with the new revocation yet: its age is unknown, and that is said too.
    assert.equal(after.revocations_age_ms, null);
  });

  it("drops what a curator demanded when the curator's key is revoked", async () => {
    const own = await check(READ);
    const file = join(pool.dir("curator"), "bundle.yaml");
    await writeFile(
      file,
      'version: "1.5.0"\nextends: default\nguards: {forbidden_path: {additional_patterns: ["/w/**"]}}\n',
    );
    const published = await curator.verb("policy", "publish", "--json", file);
    assert.equal(published.code, 0, published.err);
    const demanded = await within1s(String(published.lines[0]?.["envelope_hash"]), async () => {
      const answer = await check(READ);
      return !answer.allowed && answer;
    });
    assert.notEqual(demanded.policy_hash, own.policy_hash);
    const hash = await revoke("key", curator.issuer);
    const after = await within1s(hash, async () => {
      const answer = await check(READ);
      return answer.reason !== demanded.reason && answer;
    });
    // A curator's demand does not loosen by its fall: nothing passes until the operator has spoken.
    assert.equal(after.allowed, false, JSON.stringify(after));
    assert.equal((await receipt(after)).decision.reason, after.reason);
    const { code, err } = await node.verb("trust", "remove", "curator", curator.issuer);
    assert.equal(code, 0, err);
    await node.verb("trust", "confirm", "--yes");
    const again = await eventually("the operator's own policy alone", async () => {
      const answer = await check(READ);
      return answer.allowed && answer;
    });
    assert.equal((await receipt(again)).policy_hash, `0x${own.policy_hash}`);
  });

  it("denies everything when this node itself is revoked", async () => {
    assert.equal((await check(READ)).allowed, true);
    const hash = await revoke("node", node.issuer);
    const denied = await within1s(hash, async () => {
      const answer = await check(READ);
      return !answer.allowed && answer;
    });
    assert.equal(denied.reason, "node_revoked");
    const { text } = await node.call("GET", "/v1/guard");
    assert.match(text, /This node's key was revoked/);
  });
});
