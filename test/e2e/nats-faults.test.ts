/** One gateway on a real NATS server that fails, lies and is flooded: each fault is counted and recorded, nothing is lost. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { draftHead, type Envelope, envelopeBytes, headText, revocationFact, sealHead } from "../../spine/index.ts";
import { namedKey } from "../helpers/crypto.ts";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";
import { describeNats, freePorts, type NatsKind, NatsServer } from "../peers/nats.ts";
import { chain, chainOf } from "../planes/nats/bus-rig.ts";

const LONG = process.env["SPINE_LONG"] === "1";

function incidents(count: number, name: string): object[] {
  return Array.from({ length: count }, (_, i) => ({
    schema: "aegis.spine.fact.incident.v1",
    fact_id: `i_${name}_${i}`,
  }));
}

/** The older server takes its turn in the long form; both run the contract and the bus every time. */
const KINDS: readonly NatsKind[] = LONG ? ["debian", "newest"] : ["newest"];

for (const kind of KINDS) {
  describeNats(kind, "a gateway and a NATS server that fails", function () {
    this.timeout(180_000);
    const pool = daemonPool();
    let server: NatsServer | undefined;
    let port: number;
    let node: Daemon;
    let admin: NatsConnection;

    const set = (): string[] => [
      "planes.nats.enabled=true",
      `planes.nats.servers=127.0.0.1:${port}`,
      "planes.nats.streams.envelopeBytes=16777216",
      "planes.nats.senderPerSecond=100",
      "gateway.anchorSeconds=1",
    ];
    const counter = async (name: string): Promise<number> =>
      (await node.metrics()).get(`spine_plane_events_total{plane="nats/streams",counter="${name}"}`) ?? 0;
    const count = async (what: string, name: string, least: number): Promise<unknown> =>
      eventually(what, async () => (await counter(name)) >= least, 40_000);
    const messages = async (): Promise<number> =>
      (await (await jetstreamManager(admin)).streams.info("AEGISNET_ENVELOPES")).state.messages;
    const audit = async (): Promise<string> => {
      const folder = join(node.dir, "gateway-audit");
      const names = (await readdir(folder)).sort();
      return (await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")))).join("");
    };

    before(async () => {
      port = (await freePorts(1))[0] as number;
    });
    after(async () => {
      await admin?.close();
      await pool.stopAll();
      await server?.stop();
    });

    it("starts without the server, says so, and publishes what was stored when it comes", async () => {
      node = await pool.start("node", { open: true, set: set() });
      const { out } = await node.verb("status");
      assert.match(out, /no NATS server can be reached/);
      assert.match(out, /^nats {6}no server$/m);
      assert.match(out, /^gateway {3}0 forwarded, .*audit log of \d+ records/m);
      await node.publish(incidents(20, "early"));
      server = await NatsServer.start({ kind, port });
      admin = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
      await count("published", "feed_published", 20);
      assert.ok((await messages()) >= 20);
      const { nats, gateway } = await node.status();
      assert.ok(nats?.streams_ready === true && nats.published >= 20);
      assert.ok(gateway?.judged === true && gateway.audit_records > 0);
    });

    it("refuses, counts and records garbage of every sort on its subjects", async () => {
      const js = jetstream(admin);
      const [good, bad] = chain("stranger", 2) as [Envelope, Envelope];
      const subject = "aegis.spine.envelope.incident.v1";
      const text = new TextDecoder().decode(envelopeBytes(bad));
      await js.publish(subject, envelopeBytes(good));
      await js.publish(subject, "no json");
      await js.publish(subject, new Uint8Array(300_000));
      await js.publish("aegis.spine.envelope.revocation.v1", envelopeBytes(bad));
      await js.publish(subject, text.replace(/"signature":"0x..../, '"signature":"0x0000'));
      await js.publish(subject, text.replace("inc_stranger_2", "inc_stranger_X"));
      // The same again and again, without an id by which a server could know it.
      for (let i = 0; i < 5; i++) await js.publish(subject, envelopeBytes(good));
      await count("read", "read_added", 1);
      await count("known", "read_known", 5);
      await count("malformed", "read_malformed", 2);
      await count("oversized", "read_oversized", 1);
      await count("mismatched", "read_mismatched", 1);
      await count("unsigned", "read_refused", 1);
      await count("poison is not delivered again", "messages_poison", 5);
      const key = namedKey("stranger");
      const draft = draftHead({ issuer: key.issuer, seq: 9, hash: good.hash, sentAt: 1_767_225_600 });
      const head = headText(sealHead(draft, key.sign(draft.signingBytes)));
      for (const data of ["garbage", new Uint8Array(5_000), "{}", head.replace(/"seq":9/, '"seq":8'), head]) {
        admin.publish("aegis.spine.heads.v1", data);
      }
      admin.publish("aegis.spine.peers.v1", "not a key");
      admin.publish("aegis.spine.witness.sign.v1", new Uint8Array(100_000), { reply: "nowhere" });
      const own = (await node.status()).planes.find(({ name }) => name === "nats")?.addresses[0]?.slice(5);
      for (const data of [
        "",
        "{}",
        "x".repeat(5_000),
        JSON.stringify({ v: 1, from: "00".repeat(32), nonce: "0", session: "0" }),
      ]) {
        admin.publish(`aegis.spine.peer.${own}.open`, data, { reply: "nowhere" });
        admin.publish(`aegis.spine.peer.${own}.link.0000000000000000`, data);
      }
      await count("heads", "heads_heard", 4);
      await count("oversized head", "heads_oversized", 1);
      await eventually("bad heads are refused", async () => {
        const metrics = await node.metrics();
        return (
          (metrics.get('spine_inputs_refused_total{code="json_syntax"}') ?? 0) > 0 &&
          (metrics.get('spine_inputs_refused_total{code="head_invalid"}') ?? 0) > 0
        );
      });
      const log = await audit();
      for (const reason of ["json_syntax", "envelope_size", "subject_mismatch", "signature_invalid", "hash_mismatch"]) {
        assert.ok(log.includes(`"reason":"${reason}"`), reason);
      }
    });

    it("freezes an issuer that forked on the streams, and forwards no more of it", async () => {
      const js = jetstream(admin);
      const first = chain("forker", 2);
      const other = chain("forker", 2, "run");
      await js.publish("aegis.spine.envelope.incident.v1", envelopeBytes(first[0] as Envelope));
      await js.publish("aegis.spine.envelope.run.v1", envelopeBytes(other[0] as Envelope));
      await eventually("frozen", async () => (await node.forks()).length > 0);
      await eventually("recorded", async () => (await audit()).includes('"kind":"fork"'));
    });

    it("takes nothing more of an issuer that was revoked, and says so", async () => {
      const js = jetstream(admin);
      const { issuer } = namedKey("quitter");
      const target = { scope: "key", value: issuer, fromSeq: 3 } as const;
      const leave = revocationFact({
        factId: "rev_quitter",
        targets: [target],
        reason: "gone",
        issuedAt: 1_767_225_600,
      });
      const incident = (n: number) => ({ schema: "aegis.spine.fact.incident.v1", fact_id: `quitter_${n}` });
      const [first, second, third] = chainOf("quitter", [incident(1), leave, incident(3)]) as [
        Envelope,
        Envelope,
        Envelope,
      ];
      await js.publish("aegis.spine.envelope.incident.v1", envelopeBytes(first));
      await js.publish("aegis.spine.envelope.revocation.v1", envelopeBytes(second));
      await eventually("it is revoked", async () => (await node.held(issuer)).size === 2);
      await js.publish("aegis.spine.envelope.incident.v1", envelopeBytes(third));
      await eventually("recorded", async () => (await audit()).includes('"reason":"issuer_revoked"'));
      assert.equal((await node.held(issuer)).size, 2);
    });

    it("lets a sender that breaks its rate wait, and nobody else", async () => {
      const js = jetstream(admin);
      const [one] = chain("flooded", 1) as [Envelope];
      const [other] = chain("patient", 1) as [Envelope];
      const from = (name: string) => {
        const made = headers();
        made.set("X-Aegis-Sender", name);
        return { headers: made };
      };
      const subject = "aegis.spine.envelope.incident.v1";
      const known = await counter("read_known");
      // Without waiting for the server, so that they come as fast as they can be read.
      for (let i = 0; i < 500; i++) admin.publish(subject, envelopeBytes(one), from("flooder"));
      await js.publish(subject, envelopeBytes(other), from("patient"));
      await eventually("the other is read", async () => (await node.held(other.issuer)).size === 1);
      await count("counted", "read_rate_limited", 1);
      assert.ok((await counter("read_known")) - known < 500, "while the flood still waits");
      await count("and nothing of it is lost", "read_known", known + 499);
    });

    it("starts over when the stream is purged or deleted, and lasts through a full one", async () => {
      const jsm = await jetstreamManager(admin);
      await jsm.streams.purge("AEGISNET_ENVELOPES");
      await eventually("published again after the purge", async () => (await messages()) >= 20, 40_000);
      await jsm.streams.delete("AEGISNET_ENVELOPES");
      await node.publish(incidents(1, "after deletion"));
      await eventually("a new stream with everything", async () => (await messages()) >= 21, 40_000);
      const { config } = await jsm.streams.info("AEGISNET_ENVELOPES");
      const full = { ...config, discard: "new" as const, max_msgs: await messages() };
      await jsm.streams.update("AEGISNET_ENVELOPES", full);
      const failures = await counter("publish_failures");
      await node.publish(incidents(3, "while full"));
      await eventually("refused by the full stream", async () => (await counter("publish_failures")) > failures);
      await jsm.streams.update("AEGISNET_ENVELOPES", { ...full, max_msgs: -1 });
      await eventually("published when there is room", async () => (await messages()) >= 24, 40_000);
      await jsm.streams.update("AEGISNET_ENVELOPES", { ...config, max_msg_size: 4_000 });
      const [, small] = await node.publish([
        { ...incidents(1, "large")[0], text: "x".repeat(8_000) },
        ...incidents(1, "behind a large one"),
      ]);
      await count("too large for the stream", "feed_oversized", 1);
      await eventually("what is behind it", async () => {
        const last = await jsm.streams.getMessage("AEGISNET_ENVELOPES", {
          last_by_subj: "aegis.spine.envelope.incident.v1",
        });
        return last?.json<{ seq: number }>().seq === small?.seq;
      });
      assert.match((await node.verb("status")).out, /larger than the cluster takes/);
      await jsm.streams.update("AEGISNET_ENVELOPES", { ...config, max_msg_size: -1 });
    });

    it("loses nothing while the server flaps, and while it is away for long", async () => {
      const running = server as NatsServer;
      const before = await messages();
      for (let i = 0; i < (LONG ? 20 : 2); i++) {
        await running.halt();
        await node.publish(incidents(10, `flap ${i}`));
        await running.run();
        await node.publish(incidents(10, `flap back ${i}`));
      }
      const flapped = before + (LONG ? 400 : 40);
      await eventually("all of the flapping", async () => (await messages()) >= flapped, 60_000);
      await running.halt();
      await node.publish(incidents(500, "away"));
      await new Promise((resolve) => setTimeout(resolve, LONG ? 3_600_000 : 1_500));
      await running.run();
      await eventually("all of the outage", async () => (await messages()) >= flapped + 500, 60_000);
    }).timeout(LONG ? 4_000_000 : 180_000);

    it("takes a policy that tightens at once, and one that loosens only when confirmed", async () => {
      const file = join(node.dir, "gateway.yaml");
      const status = async () =>
        JSON.parse((await node.call("GET", "/v1/gateway")).text) as {
          policy_hash: string;
          policy_pending: string[];
          policy_problem: string | null;
        };
      const { policy_hash: original } = await status();
      await writeFile(file, "allow: [{from: local, to: nats, kinds: [incident]}]\n", { mode: 0o600 });
      await eventually("tightened", async () => (await status()).policy_hash !== original);
      const tight = (await status()).policy_hash;
      const before = await messages();
      const run = { schema: "aegis.spine.fact.run.v1", fact_id: "run_1" };
      const [withheld] = await node.publish([run, ...incidents(1, "policy")]);
      await eventually("the incident only", async () => (await messages()) === before + 1);
      await writeFile(file, "allow: [{to: nats, kinds: ['*']}]\n");
      await eventually("pending", async () => (await status()).policy_pending.length > 0);
      assert.equal((await status()).policy_hash, tight);
      await writeFile(file, "allow: nonsense\n");
      await eventually("a problem", async () => (await status()).policy_problem !== null);
      assert.equal((await status()).policy_hash, tight);
      await writeFile(file, "allow: [{to: nats, kinds: ['*']}]\n");
      const confirmed = await node.verb("gateway", "confirm");
      assert.equal(confirmed.code, 0, confirmed.err);
      await eventually("loosened by the operator", async () => (await status()).policy_hash !== tight);
      // What the tight policy withheld is published now, once, whatever happens meanwhile.
      await node.kill();
      node = await pool.start("node", { open: true, set: set() });
      const streams = (await jetstreamManager(admin)).streams;
      const { first_seq: firstSeq } = (await streams.info("AEGISNET_ENVELOPES")).state;
      const times = async (): Promise<Map<string, number>> => {
        const { state } = await streams.info("AEGISNET_ENVELOPES");
        const found = new Map<string, number>();
        for (let seq = firstSeq; seq <= state.last_seq; seq++) {
          const hash = (await streams.getMessage("AEGISNET_ENVELOPES", { seq }))?.header
            .get("Nats-Msg-Id")
            .split(".")[0];
          if (hash !== undefined) found.set(hash, (found.get(hash) ?? 0) + 1);
        }
        return found;
      };
      await eventually("the run", async () => (await times()).has(withheld?.hash as string), 40_000);
      await node.publish(incidents(1, "after the policy"));
      await eventually("all is published", async () => ((await node.status()).nats?.behind ?? 1) === 0, 40_000);
      for (const [hash, count] of await times()) assert.equal(count, 1, hash);
    });
  });
}
