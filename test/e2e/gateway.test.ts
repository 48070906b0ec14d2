/**
 * From a libp2p mesh over a gateway, a real NATS cluster and another gateway to an endpoint that has Reticulum alone, and
 * back: what may cross does, with proofs that hold at the far end, and nothing else does, whatever is killed meanwhile.
 */
import assert from "node:assert/strict";
import { appendFile, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Daemon, daemonPool, eventually, note } from "../helpers/daemon.ts";
import { describeNats, type NatsKind, type NatsServer, startCluster } from "../peers/nats.ts";
import { freePort } from "../planes/reticulum/interop.ts";

const LONG = process.env["SPINE_LONG"] === "1";
const STRANGER = `aegis:ed25519:3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29`;

function fact(kind: string, text: string): object {
  return { schema: `aegis.spine.fact.${kind}.v1`, fact_id: `f_${text}`, text };
}
const incidents = (count: number, name: string): object[] =>
  Array.from({ length: count }, (_, i) => fact("incident", `${name} ${i}`));

/** Which seqs `held` lacks or has too many of, or with another hash; "" when both are the same. */
function difference(wanted: ReadonlyMap<number, string>, held: ReadonlyMap<number, string>): string {
  const lacks = [...wanted.keys()].filter((seq) => !held.has(seq));
  const extra = [...held.keys()].filter((seq) => !wanted.has(seq));
  const other = [...wanted].filter(([seq, hash]) => held.has(seq) && held.get(seq) !== hash).map(([seq]) => seq);
  return [["lacks", lacks] as const, ["too many", extra] as const, ["other hashes", other] as const]
    .filter(([, seqs]) => seqs.length > 0)
    .map(([what, seqs]) => `${what}: ${seqs.join(" ")}`)
    .join("; ");
}

/** Where a node stands with an issuer's envelopes, for the message of a failure. */
async function account(node: Daemon, issuer: string, wanted: ReadonlyMap<number, string>): Promise<string> {
  const { links, nats, gateway, planes } = await node.status();
  const metrics = [...(await node.metrics())].filter(
    ([name, value]) => value > 0 && /"(nats|reticulum|rns)/.test(name),
  );
  return [
    `${node.name}: ${difference(wanted, await node.held(issuer)) || "holds the same"}`,
    JSON.stringify({ links, nats, gateway, planes }),
    metrics.map(([name, value]) => `${name.replace(/^.*counter=/, "")} ${value}`).join(" "),
    node.stderr.slice(-2_000),
  ].join("\n  ");
}

/** The older servers take their turn in the long form. */
const KINDS: readonly NatsKind[] = LONG ? ["debian", "newest"] : ["newest"];

for (const kind of KINDS) {
  describeNats(kind, "gateways between libp2p, a NATS cluster and Reticulum", function () {
    this.timeout(LONG ? 900_000 : 240_000);
    const pool = daemonPool();
    let cluster: NatsServer[];
    let port: number;
    let admin: NatsConnection | undefined;
    /** On libp2p alone, on Reticulum alone, and the gateways that lead from one to the other. */
    let a: Daemon;
    let b: Daemon;
    let one: Daemon;
    let two: Daemon;

    const gatewaySet = (): string[] => [
      "planes.nats.enabled=true",
      `planes.nats.servers=${cluster.map(({ url }) => url).join(",")}`,
      "planes.nats.streams.replicas=3",
      "planes.nats.streams.envelopeBytes=33554432",
      // Servers forget soon what they had: that nothing is doubled must not depend on them.
      "planes.nats.streams.duplicateWindowSeconds=1",
      "gateway.anchorSeconds=1",
    ];
    const radioSet = (type: string): string[] => [
      "planes.libp2p.enabled=false",
      "planes.reticulum.enabled=true",
      "planes.reticulum.mesh.discover=false",
      `planes.reticulum.interfaces=${JSON.stringify([{ type, name: "air", host: "127.0.0.1", port }])}`,
    ];
    const startOne = () => pool.start("one", { open: true, peers: [a.address], set: gatewaySet() });
    const startTwo = () =>
      pool.start("two", { open: true, port: null, set: [...radioSet("tcp-server"), ...gatewaySet()] });
    const logOf = async (node: Daemon): Promise<{ log_id: string; leaves: number; witness: { id: string } }> =>
      JSON.parse((await node.call("GET", "/v1/log")).text);

    before(async () => {
      port = await freePort();
      cluster = await startCluster(kind);
      a = await pool.start("a", { open: true });
      [one, two] = [await startOne(), await startTwo()];
      b = await pool.start("b", { open: true, port: null, set: radioSet("tcp-client") });
      const address = (await two.status()).planes.find(({ name }) => name === "reticulum")?.addresses[0];
      await b.addPeer(address ?? "");
    });
    after(async () => {
      await admin?.close();
      await pool.stopAll();
      for (const server of cluster) await server.stop();
    });

    /** The server that leads the stream of envelopes. */
    async function streamLeader(): Promise<NatsServer> {
      const nats = await connect({ servers: cluster.map(({ url }) => url), maxReconnectAttempts: 0 });
      try {
        const jsm = await eventually("a cluster that answers", () => jetstreamManager(nats), 60_000);
        const name = await eventually(
          "a leader of the stream",
          async () => (await jsm.streams.info("AEGISNET_ENVELOPES")).cluster?.leader,
          60_000,
        );
        return cluster[Number(name.slice(1))] as NatsServer;
      } finally {
        await nats.close();
      }
    }

    /** Polls like `eventually`; a failure says where every node stands with what `from` signed. */
    async function crosses(what: string, from: Daemon, done: () => Promise<boolean>): Promise<void> {
      await eventually(what, done, 150_000).catch(async (error: Error) => {
        const own = await from.held(from.issuer);
        const places = await Promise.all([a, one, two, b].map((node) => account(node, from.issuer, own)));
        throw new Error([error.message, ...places].join("\n"));
      });
    }
    async function holdsKinds(node: Daemon, from: Daemon, count: number): Promise<void> {
      await crosses(`${node.name} holds ${count} of ${from.name}`, from, async () => {
        return (await node.count(from.issuer)) >= count;
      });
    }

    it("carry incidents there and back, and nothing that is not allowed", async () => {
      await a.publish([note("secret of a"), fact("run", "a1"), note("more"), fact("incident", "a2")]);
      // A chain begins with its genesis, which crosses.
      await holdsKinds(b, a, 2);
      await b.publish([note("secret of b"), fact("incident", "b1")]);
      await holdsKinds(a, b, 2);
      await a.publish([fact("incident", "a3")]);
      await holdsKinds(b, a, 3);
      assert.deepEqual([...(await b.held(a.issuer)).keys()], [1, 5, 6]);
      assert.deepEqual([...(await a.held(b.issuer)).keys()], [1, 3]);
      // Nor to the other gateway, by whatever way.
      assert.deepEqual([...(await two.held(a.issuer)).keys()], [1, 5, 6]);
    });

    it("carry a revocation to where it acts and an incident back, each provable at the far end", async () => {
      const trust = async (node: Daemon, ...args: string[]): Promise<void> => {
        const { code, err } = await node.verb("trust", "add", ...args);
        assert.equal(code, 0, err);
      };
      const [logA, logB] = [await logOf(a), await logOf(b)];
      for (const node of [a, one, two, b]) await trust(node, "revoker", a.issuer, "--scope", "node,key");
      await trust(one, "log", logA.log_id);
      await trust(a, "witness", (await logOf(one)).witness.id);
      await trust(two, "log", logB.log_id);
      await trust(b, "witness", (await logOf(two)).witness.id);
      await trust(b, "log", logA.log_id);
      await trust(a, "log", logB.log_id);
      const revoked = await eventually("a may revoke", async () => {
        const { code, lines } = await a.verb("revoke", STRANGER, "--scope", "node", "--reason", "stolen", "--json");
        return code === 0 && (lines[0] as { envelope_hash: string });
      });
      await eventually("it acts at b", async () => (await b.status()).authority.revoked === 1);
      const [incident] = await b.publish([fact("incident", "of b, to prove")]);
      /** Proven at `node` in the log of the other end, and believed by whom the witness is known to. */
      const provable = async (node: Daemon, hash: string, logId: string, witness: string): Promise<void> => {
        const file = join(node.dir, "proof.json");
        await eventually(
          `${node.name} can prove ${hash} in ${logId}`,
          async () => (await node.verb("prove", hash, "--log", logId, "-o", file)).code === 0,
          60_000,
        );
        const bundle = { allowed_log_ids: [logId], allowed_witness_node_ids: [witness], witness_quorum: 1 };
        await writeFile(join(node.dir, "bundle.json"), JSON.stringify(bundle));
        const check = () => node.verb("verify", file, "--trust", join(node.dir, "bundle.json"), "--strict", "--json");
        const { code, lines, err } = await check();
        assert.equal(code, 0, err);
        assert.equal(lines[0]?.["envelope_hash"], hash);
        assert.deepEqual(lines[0]?.["witnesses"], [witness]);
      };
      await provable(b, revoked.envelope_hash, logA.log_id, one.issuer);
      await provable(a, incident?.hash as string, logB.log_id, two.issuer);
      const metrics = await b.metrics();
      assert.ok(
        (metrics.get('spine_plane_events_total{plane="log",counter="proofs_kept"}') ?? 0) >= 1,
        "it came by itself or was asked for",
      );
      const { code } = await b.verb("prove", `0x${"ab".repeat(32)}`, "--log", logA.log_id);
      assert.notEqual(code, 0, "of what is not held nothing is proven");
    });

    it("lose nothing and double nothing while leaders, servers and gateways are killed and cut off", async () => {
      for (let round = 0; round < (LONG ? 10 : 1); round++) {
        const say = async (what: string): Promise<void> => {
          await a.publish(incidents(15, `${round} ${what} a`));
          await b.publish(incidents(5, `${round} ${what} b`));
        };
        const leader = await streamLeader();
        const cut = cluster.find((server) => server !== leader) as NatsServer;
        await leader.halt();
        await say("without the leader");
        await one.kill();
        await say("without one");
        one = await startOne();
        await leader.run();
        cut.freeze();
        await say("with a server cut off");
        await two.kill();
        await say("without two");
        two = await startTwo();
        cut.thaw();
        await say("after it all");
      }
      /** Of each end's facts all that may cross, hash for hash; a node adds some of its own accord, which cross too. */
      const same = async (from: Daemon, to: Daemon, kept: readonly number[]): Promise<void> => {
        const may = async (): Promise<Map<number, string>> => {
          const own = await from.held(from.issuer);
          for (const seq of kept) own.delete(seq);
          return own;
        };
        const differs = async () => difference(await may(), await to.held(from.issuer));
        const what = `${to.name} holds what ${from.name} may tell`;
        await crosses(what, from, async () => (await differs()) === "");
      };
      await same(a, b, [2, 3, 4]);
      await same(b, a, [2]);
      for (const node of [a, b, one, two]) {
        assert.deepEqual(await node.forks(), []);
        // Checkpoints come meanwhile; a leaf too many would stay.
        await eventually(`${node.name}: as many leaves as envelopes`, async () => {
          const { issuers } = (await node.status()).issuers;
          const stored = issuers.reduce(
            (sum, { issuer: _, ranges }) => sum + ranges.reduce((n, [x, y]) => n + y - x + 1, 0),
            0,
          );
          const { leaves } = await logOf(node);
          return leaves >= stored && leaves <= stored + 3;
        });
      }
    });

    it("double nothing when two of them join one pair of planes", async () => {
      const nats = await connect({ servers: cluster.map(({ url }) => url) });
      admin = nats;
      // Servers that were killed a moment ago may not have found each other yet.
      const jsm = await eventually("a cluster that answers", () => jetstreamManager(nats), 60_000);
      /** How often each of a's envelopes stands on the stream. */
      const published = async (): Promise<Map<string, number>> => {
        const { state } = await jsm.streams.info("AEGISNET_ENVELOPES");
        const times = new Map<string, number>();
        for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
          const message = await jsm.streams.getMessage("AEGISNET_ENVELOPES", { seq });
          const { issuer, envelope_hash: hash } = message?.json<{ issuer: string; envelope_hash: string }>() ?? {};
          if (issuer === a.issuer && hash !== undefined) times.set(hash, (times.get(hash) ?? 0) + 1);
        }
        return times;
      };
      const before = await eventually("a stream that can be read", published, 60_000);
      const twin = await pool.start("twin", { open: true, peers: [a.address], set: gatewaySet() });
      await holdsKinds(twin, a, await a.count(a.issuer));
      await a.publish(incidents(20, "for two gateways"));
      const own = await a.held(a.issuer);
      await holdsKinds(b, a, own.size - 3);
      const counter = async (name: string): Promise<number> =>
        (await twin.metrics()).get(`spine_plane_events_total{plane="nats/streams",counter="${name}"}`) ?? 0;
      await eventually("the twin has looked at everything", async () => {
        return (await counter("feed_cursor")) >= (await twin.status()).log_size - 2;
      });
      assert.ok((await counter("feed_suppressed")) >= before.size, "what stood there is not published again");
      const after = await eventually("a stream that can be read", published, 60_000);
      assert.equal(after.size, own.size - 3);
      for (const [hash, times] of after) assert.equal(times, before.get(hash) ?? 1, hash);
    });

    it("keep an audit log that holds, with anchors in the own chain, and find every change of it", async () => {
      await eventually("an anchor", async () => {
        const status = JSON.parse((await one.verb("gateway", "status", "--json")).out) as {
          audit: { anchored: number };
        };
        return status.audit.anchored > 20;
      });
      const fine = await one.verb("gateway", "audit", "verify", "--json");
      assert.equal(fine.code, 0, fine.out + fine.err);
      const report = JSON.parse(fine.out) as { ok: boolean; records: number; anchors: number };
      assert.ok(report.ok && report.records > 100 && report.anchors >= 1);
      await one.stop();
      const folder = join(one.dir, "gateway-audit");
      const [name] = (await readdir(folder)).sort();
      const path = join(folder, name as string);
      const text = await readFile(path, "utf8");
      assert.ok(text.includes('"reason":"not_allowed"') && text.includes('"kind":"forward"'));
      assert.ok(!text.includes("secret"), "records name, and never quote");
      const verify = async (): Promise<number | null> => (await one.verb("gateway", "audit", "verify")).code;
      assert.equal(await verify(), 0);
      await writeFile(path, text.replace('"verdict":"drop"', '"verdict":"forward"').replace("not_allowed", "allowed"));
      assert.equal(await verify(), 1, "an edit");
      const lines = text.split("\n");
      await writeFile(path, [...lines.slice(0, 3), ...lines.slice(4)].join("\n"));
      assert.equal(await verify(), 1, "a removal");
      await writeFile(path, text);
      await truncate(path, Buffer.from(lines.slice(0, -20).join("\n")).length + 1);
      assert.equal(await verify(), 1, "a truncation");
      await writeFile(path, text);
      await appendFile(path, "");
      assert.equal(await verify(), 0);
    });
  });
}
