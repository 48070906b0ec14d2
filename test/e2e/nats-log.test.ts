/**
 * Logs and witnesses that meet on a NATS server only, with no link between nodes: co-signatures, one copy of the leaves
 * whoever is killed, and an upstream-style log and witness that know nothing of this project.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Daemon, daemonPool, eventually, notes, type Published } from "../helpers/daemon.ts";
import { describeNats, NatsServer } from "../peers/nats.ts";
import { StrangerKey, StrangerLog, serveStrangerWitness, witnessHolds } from "../peers/nats-log.ts";

const LONG = process.env["SPINE_LONG"] === "1";

interface LogView {
  readonly log_id: string;
  readonly leaves: number;
  readonly stopped: unknown;
  readonly witness: { readonly id: string };
}

describeNats("newest", "logs and witnesses over NATS alone", function () {
  this.timeout(LONG ? 600_000 : 120_000);
  const pool = daemonPool();
  let server: NatsServer;
  let admin: NatsConnection;
  let log: Daemon;
  let witness: Daemon;
  let logId = "";

  const set = (...more: string[]): string[] => [
    "planes.libp2p.enabled=false",
    "planes.nats.enabled=true",
    "planes.nats.discover=false",
    `planes.nats.servers=${server.url}`,
    "planes.nats.streams.envelopeBytes=16777216",
    "planes.nats.streams.logBytes=16777216",
    ...more,
  ];
  const startLog = () => pool.start("log", { open: true, port: null, set: set("planes.nats.streams.log=true") });
  const logOf = async (node: Daemon): Promise<LogView> => JSON.parse((await node.call("GET", "/v1/log")).text);
  const trust = async (node: Daemon, ...args: string[]): Promise<void> => {
    const { code, err } = await node.verb("trust", "add", ...args);
    assert.equal(code, 0, err);
  };
  /** Witnesses under whose checkpoint the envelope stands. */
  const witnessed = (node: Daemon, published: Published | undefined, ...ids: string[]): Promise<unknown> =>
    eventually(
      `${published?.hash} is co-signed by ${ids.length}`,
      async () => {
        const { status, text } = await node.call("GET", `/v1/proofs/inclusion?envelope_hash=${published?.hash}`);
        return status === 200 && ids.every((id) => text.includes(id));
      },
      40_000,
    );

  before(async () => {
    server = await NatsServer.start({ kind: "newest" });
    admin = await connect({ servers: server.url });
    log = await startLog();
    witness = await pool.start("witness", { open: true, port: null, set: set() });
    logId = (await logOf(log)).log_id;
    await trust(witness, "log", logId);
    await trust(log, "witness", witness.issuer);
  });
  after(async () => {
    await admin?.close();
    await pool.stopAll();
    await server?.stop();
  });

  it("co-sign checkpoints over the witness subject, without a link, beside an upstream-style witness", async () => {
    const stranger = new StrangerKey("upstream witness");
    serveStrangerWitness(admin, "aegis.spine.witness.sign.v1", stranger);
    await trust(log, "witness", stranger.id);
    const published = await log.publish(notes(50));
    await witnessed(log, published.at(-1), witness.issuer, stranger.id);
    assert.deepEqual((await log.status()).links, []);
    assert.deepEqual((await witness.status()).links, []);
    const metrics = await witness.metrics();
    assert.ok((metrics.get('spine_plane_events_total{plane="nats/streams",counter="witness_answered"}') ?? 0) >= 1);
    // The checkpoints come over the streams, as everybody's envelopes do.
    await eventually("the witness holds a checkpoint", async () => (await witness.count(logId)) >= 1);
  });

  it("keep one copy of the leaves on the cluster, in order and without a double, also through kill -9", async () => {
    let last: Published | undefined;
    for (let round = 0; round < (LONG ? 20 : 1); round++) {
      last = (await log.publish(notes(400, `round ${round}`))).at(-1);
      const { leaves } = await logOf(log);
      // In the middle of a copy, or of a checkpoint.
      await eventually("leaves go out", async () => {
        const mirrored = (await log.metrics()).get(
          'spine_plane_events_total{plane="nats/streams",counter="log_leaves_mirrored"}',
        );
        return (mirrored ?? 0) > leaves - 400;
      });
      await new Promise((resolve) => setTimeout(resolve, 20 * round));
      await log.kill();
      log = await startLog();
    }
    const [final] = await log.publish(notes(1, "after the kills"));
    await witnessed(log, final, witness.issuer);
    const jsm = await jetstreamManager(admin);
    const proof = JSON.parse((await log.call("GET", `/v1/proofs/inclusion?envelope_hash=${final?.hash}`)).text) as {
      readonly tree_size: number;
      readonly checkpoint_seq: number;
    };
    const stored = await eventually(
      "all leaves are there",
      async () => {
        const { state } = await jsm.streams.info("AEGISNET_LOG");
        return state.messages >= proof.tree_size && state;
      },
      40_000,
    );
    const hashes: string[] = [];
    for (let seq = 1; seq <= stored.messages; seq++) {
      const message = await jsm.streams.getMessage("AEGISNET_LOG", { seq });
      assert.ok(message);
      assert.equal(message.header?.get("Spine-Log"), logId);
      hashes.push(`0x${Buffer.from(message.data).toString("hex")}`);
    }
    assert.equal(new Set(hashes).size, hashes.length, "no leaf twice");
    const own = await log.held(log.issuer);
    for (const hash of own.values()) assert.ok(hashes.includes(hash));
    const inclusion = await log.call("GET", `/v1/proofs/inclusion?envelope_hash=${hashes[300]}`);
    assert.equal((JSON.parse(inclusion.text) as { log_index: number }).log_index, 300, "sequence less one");
    const kvm = new Kvm(admin);
    const index = await kvm.open("AEGISNET_LOG_INDEX");
    assert.equal((await index.get(last?.hash as string))?.string(), String(hashes.indexOf(last?.hash as string) + 1));
    const latest = await eventually("the checkpoint is kept", async () => {
      const entry = await (await kvm.open("AEGISNET_CHECKPOINTS")).get("latest");
      return entry?.json<{ seq: number; issuer: string }>();
    });
    assert.equal(latest.issuer, logId);
    assert.ok(latest.seq >= proof.checkpoint_seq);
    assert.equal((await logOf(log)).stopped, null);
  });

  it("let two nodes sync once that know each other's address on NATS", async () => {
    const address = (await log.status()).planes[0]?.addresses[0] as string;
    const late = await pool.start("late", { open: true, port: null, set: ["planes.libp2p.enabled=false"] });
    assert.equal(await late.stop(), 0);
    const planes = { nats: { servers: [server.url.replace("nats://", "")] } };
    await writeFile(join(late.dir, "config.yaml"), JSON.stringify({ issuers: { open: true }, planes }));
    const { code, err, lines } = await late.verb("sync", address, "--json");
    assert.equal(code, 0, err);
    const summary = lines.at(-1) as unknown as { received: number; complete: boolean };
    assert.ok(summary.complete && summary.received >= (await log.count(log.issuer)), JSON.stringify(summary));
  });

  it("leave alone a stream that another log began, and say so", async () => {
    const other = await pool.start("other", { open: true, port: null, set: set("planes.nats.streams.log=true") });
    await eventually("it says so", async () => (await other.status()).warnings.some((text) => text.includes(logId)));
    assert.equal(await other.stop(), 0);
  });

  it("witness an upstream-style log by the leaves on the cluster, and sign nothing else of it", async () => {
    const stranger = new StrangerLog(admin, new StrangerKey("upstream log"));
    await stranger.open();
    const upstream = await pool.start("upstream", {
      open: true,
      port: null,
      set: set("planes.nats.preset=clawdstrike", "planes.nats.witness=leaves"),
    });
    await stranger.append(randomBytes(32));
    assert.equal(await stranger.ask(stranger.statement(), 1_000), undefined, "its log is not trusted");
    await trust(upstream, "log", stranger.key.id);
    const first = stranger.statement();
    const answer = await eventually("its first checkpoint is co-signed", () => stranger.ask(first, 1_000));
    assert.equal(answer.witness_node_id, upstream.issuer);
    assert.ok(witnessHolds(first, answer));
    assert.deepEqual(await stranger.ask(first, 5_000), answer, "the identical answer");
    const hash = await stranger.publish(first, [answer]);
    await eventually("its checkpoint is read", async () => (await upstream.held(stranger.key.id)).get(1) === hash);
    for (let i = 0; i < 12; i++) await stranger.append(randomBytes(32));
    const refused = [
      { ...first, issued_at: "2026-01-01T00:00:00Z" },
      stranger.statement({ merkle_root: `0x${"ab".repeat(32)}` }),
      stranger.statement({ tree_size: 99 }),
      stranger.statement({ prev_checkpoint_hash: `0x${"cd".repeat(32)}` }),
      { ...stranger.statement(), more: 1 },
    ];
    for (const statement of refused) assert.equal(await stranger.ask(statement, 400), undefined);
    const second = stranger.statement();
    const again = await stranger.ask(second, 5_000);
    assert.ok(again !== undefined && witnessHolds(second, again));
    assert.equal(await upstream.stop(), 0);
  });
});
