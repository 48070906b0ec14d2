/** Two gateways join two libp2p meshes over a real NATS cluster: what may cross does, both ways, and nothing else. */
import assert from "node:assert/strict";
import { appendFile, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Daemon, daemonPool, eventually, note } from "../helpers/daemon.ts";
import { describeNats, type NatsServer, startCluster } from "../peers/nats.ts";

function fact(kind: string, text: string): object {
  return { schema: `aegis.spine.fact.${kind}.v1`, fact_id: `f_${text}`, text };
}

describeNats("newest", "gateways over a NATS cluster", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  let cluster: NatsServer[];
  let a: Daemon;
  let b: Daemon;
  let one: Daemon;
  let two: Daemon;

  const gatewaySet = (peers = ""): string[] => [
    "planes.nats.enabled=true",
    `planes.nats.servers=${cluster.map(({ url }) => url).join(",")}`,
    "planes.nats.streams.replicas=3",
    "planes.nats.streams.envelopeBytes=33554432",
    "gateway.anchorSeconds=1",
    ...(peers === "" ? [] : [`planes.nats.peers=${peers}`]),
  ];

  before(async () => {
    cluster = await startCluster();
    [a, b] = [await pool.start("a", { open: true }), await pool.start("b", { open: true })];
    one = await pool.start("one", { open: true, peers: [a.address], set: gatewaySet() });
    two = await pool.start("two", { open: true, peers: [b.address], set: gatewaySet() });
  });
  after(async () => {
    await pool.stopAll();
    for (const server of cluster) await server.stop();
  });

  async function holdsKinds(node: Daemon, issuer: string, count: number): Promise<void> {
    await eventually(
      `${node.name} holds ${count} of ${issuer.slice(-8)}`,
      async () => (await node.held(issuer)).size >= count,
      30_000,
    );
  }

  it("carry incidents there and back, and nothing that is not allowed", async () => {
    await a.publish([note("secret of a"), fact("revocation", "a1"), note("more"), fact("incident", "a2")]);
    // A chain begins with its genesis, which crosses.
    await holdsKinds(b, a.issuer, 3);
    await b.publish([note("secret of b"), fact("incident", "b1")]);
    await holdsKinds(a, b.issuer, 2);
    await a.publish([fact("incident", "a3")]);
    await holdsKinds(b, a.issuer, 4);
    assert.deepEqual([...(await b.held(a.issuer)).keys()], [1, 3, 5, 6]);
    assert.deepEqual([...(await a.held(b.issuer)).keys()], [1, 3]);
    // Nor to the other gateway, by whatever way.
    assert.deepEqual([...(await two.held(a.issuer)).keys()], [1, 3, 5, 6]);
  });

  it("go on when the leader is killed and a server is cut off, and lose nothing", async () => {
    const [first] = cluster as [NatsServer, NatsServer, NatsServer];
    await first.halt();
    await a.publish(Array.from({ length: 50 }, (_, i) => fact("incident", `killed ${i}`)));
    await holdsKinds(b, a.issuer, 54);
    await first.run();
    (cluster[1] as NatsServer).freeze();
    await a.publish(Array.from({ length: 50 }, (_, i) => fact("incident", `frozen ${i}`)));
    await holdsKinds(b, a.issuer, 104);
    (cluster[1] as NatsServer).thaw();
  });

  it("survive kill -9 in the middle, and what was stored before crosses afterwards", async () => {
    await one.kill();
    await a.publish([fact("incident", "while one is away")]);
    one = await pool.start("one", { peers: [a.address], set: gatewaySet() });
    await holdsKinds(b, a.issuer, 105);
    await two.kill();
    await a.publish([fact("incident", "while two is away")]);
    two = await pool.start("two", { peers: [b.address], set: gatewaySet() });
    await holdsKinds(b, a.issuer, 106);
  });

  it("keep an audit log that holds, with anchors in the own chain, and find every change of it", async () => {
    await eventually("an anchor", async () => {
      const status = JSON.parse((await one.verb("gateway", "status", "--json")).out) as { audit: { anchored: number } };
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
