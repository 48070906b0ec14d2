/** The bus on real servers: streams, acknowledged publishing, durable reading, the log with one writer, witnesses. */
import assert from "node:assert/strict";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { BusMessage, Handled } from "../../../planes/index.ts";
import { type Envelope, envelopeBytes, toHex } from "../../../spine/index.ts";
import { rejectsWith } from "../../helpers/expect.ts";
import { describeNats, type NatsKind, NatsServer } from "../../peers/nats.ts";
import { busRig, chain, type Rig, until } from "./bus-rig.ts";

for (const kind of ["debian", "newest"] satisfies NatsKind[]) {
  describeNats(kind, "NatsBus", () => {
    let server: NatsServer;
    let admin: NatsConnection;
    const rigs: Rig[] = [];
    async function rig(...options: Parameters<typeof busRig>[1][]): Promise<Rig> {
      const made = await busRig([server.url], options[0]);
      rigs.push(made);
      return made;
    }
    beforeEach(async () => {
      server = await NatsServer.start({ kind });
      admin = await connect({ servers: server.url });
    });
    afterEach(async () => {
      for (const { stop } of rigs.splice(0)) await stop();
      await admin.close();
      await server.stop();
    });

    it("makes what is missing, publishes once per hash and hands it to every reader", async () => {
      const heard: BusMessage[][] = [[], []];
      const reader =
        (list: BusMessage[]) =>
        async (batch: readonly BusMessage[]): Promise<readonly Handled[]> => {
          list.push(...batch);
          return batch.map(() => "done");
        };
      const a = await rig({ onBatch: reader(heard[0] as BusMessage[]) });
      await rig({ onBatch: reader(heard[1] as BusMessage[]) });
      await until("ready", () => a.bus.ready);
      assert.ok(a.bus.features?.supported);
      const envelopes = chain("a", 40);
      await Promise.all(envelopes.map((envelope) => a.bus.publish(envelope)));
      await Promise.all(envelopes.map((envelope) => a.bus.publish(envelope)));
      assert.equal(a.bus.counters()["published"], 40);
      assert.equal(a.bus.counters()["publish_duplicates"], 40);
      for (const list of heard) {
        await until("all", () => list.length >= 40);
        assert.deepEqual(
          list.map(({ data }) => Buffer.from(data).toString()).sort(),
          envelopes.map((one) => Buffer.from(envelopeBytes(one)).toString()).sort(),
        );
        assert.equal(list[0]?.subject, "aegis.spine.envelope.incident.v1");
      }
      const info = await (await jetstreamManager(admin)).streams.info("AEGISNET_ENVELOPES");
      assert.equal(info.state.messages, 40);
      assert.equal(info.config.discard, "old");
    });

    it("delivers again what was not done, and never what is poison", async () => {
      let rounds = 0;
      const { bus } = await rig({
        onBatch: async (batch) => {
          rounds++;
          return batch.map(({ redelivered }, i): Handled => (i === 0 ? "poison" : redelivered ? "done" : "later"));
        },
      });
      await until("ready", () => bus.ready);
      for (const envelope of chain("b", 1)) await bus.publish(envelope);
      await until("poison", () => bus.counters()["messages_poison"] === 1);
      for (const envelope of chain("c", 3)) await bus.publish(envelope);
      await until("all handled", () => (bus.counters()["messages_read"] as number) >= 4 && rounds >= 2);
    });

    it("reads at once what was sent to a reader that did not live to answer", async () => {
      const durable = "spine_mortal";
      const envelopes = chain("m", 6);
      const first = await rig({ durable, onBatch: async (batch) => batch.map((): Handled => "done") });
      await until("ready", () => first.bus.ready);
      for (const envelope of envelopes.slice(0, 2)) await first.bus.publish(envelope);
      await until("read", () => first.bus.counters()["messages_read"] === 2);
      await first.stop();
      const js = jetstream(admin);
      for (const envelope of envelopes.slice(2))
        await js.publish("aegis.spine.envelope.incident.v1", envelopeBytes(envelope));
      const consumer = await js.consumers.get("AEGISNET_ENVELOPES", durable);
      let sent = 0;
      for await (const _ of await consumer.fetch({ max_messages: 4, expires: 5_000 })) if (++sent === 4) break;
      const seen: number[] = [];
      const second = await rig({
        durable,
        onBatch: async (batch) => {
          for (const { data } of batch) seen.push((JSON.parse(Buffer.from(data).toString()) as { seq: number }).seq);
          return batch.map((): Handled => "done");
        },
      });
      // The servers themselves would send them again after 30 seconds.
      await until("all", () => seen.length >= 4, 20_000);
      assert.deepEqual(seen, [3, 4, 5, 6]);
      await until("caught up", () => second.bus.caughtUp);
    });

    it("goes on after the server was killed, and starts over when the stream is gone", async () => {
      const lost: string[] = [];
      const seen = new Set<string>();
      const { bus } = await rig({
        onLost: (reason) => lost.push(reason),
        onBatch: async (batch) => {
          for (const { data } of batch) seen.add(Buffer.from(data).toString());
          return batch.map((): Handled => "done");
        },
      });
      await until("ready", () => bus.ready);
      const [first, second, third] = chain("d", 3) as [Envelope, Envelope, Envelope];
      await bus.publish(first);
      await server.halt();
      await assert.rejects(bus.publish(second), { code: "nats_unavailable" });
      await server.run();
      await until("ready again", () => bus.ready);
      await bus.publish(second);
      await until("both read", () => seen.size === 2);
      await bus.inspect();
      assert.deepEqual(lost, []);
      const jsm = await jetstreamManager(await connectAgain());
      await jsm.streams.purge("AEGISNET_ENVELOPES");
      await bus.inspect();
      assert.equal(lost.length, 1, "a purge is noticed");
      await jsm.streams.delete("AEGISNET_ENVELOPES");
      await assert.rejects(bus.publish(third), { code: "nats_unavailable" });
      await bus.inspect();
      assert.equal(lost.length, 2, "a new stream is noticed");
      await bus.publish(third);
      await until("read from the new stream", () => seen.size === 3, 30_000);
    }).timeout(60_000);

    async function connectAgain(): Promise<NatsConnection> {
      await admin.close();
      admin = await connect({ servers: server.url });
      return admin;
    }

    it("refuses streams that would lose or double data, and says why", async () => {
      const jsm = await jetstreamManager(admin);
      await jsm.streams.add({ name: "AEGISNET_LOG", subjects: ["aegis.spine.log.leaf.v1", "x.>"], storage: "file" });
      const { bus } = await rig({ withLog: true });
      await until("a problem", () => bus.problems.length > 0 && !bus.ready);
      assert.match(bus.problems.join(), /a log stream holds leaves only/);
      await jsm.streams.delete("AEGISNET_LOG");
      await until("mended", () => bus.ready);
    });

    it("refuses a bucket that forgets", async () => {
      const { Kvm } = await import("@nats-io/kv");
      await new Kvm(admin).create("AEGISNET_LOG_INDEX", { history: 1, ttl: 60_000, max_bytes: 1_048_576 });
      const { bus } = await rig({ withLog: true });
      await until("a problem", () => bus.problems.length > 0 && !bus.ready);
      assert.match(bus.problems.join(), /bucket AEGISNET_LOG_INDEX forgets after 60000 ms/);
      await (await jetstreamManager(admin)).streams.delete("KV_AEGISNET_LOG_INDEX");
      await until("mended", () => bus.ready);
    });

    it("makes its consumer anew when somebody deleted it", async () => {
      const seen = new Set<string>();
      const durable = "spine_deleted";
      const { bus } = await rig({
        durable,
        onBatch: async (batch) => {
          for (const { data } of batch) seen.add(Buffer.from(data).toString());
          return batch.map((): Handled => "done");
        },
      });
      await until("ready", () => bus.ready);
      const [first, second] = chain("del", 2) as [Envelope, Envelope];
      await bus.publish(first);
      await until("read", () => seen.size === 1);
      const { consumers } = await jetstreamManager(admin);
      // Debian's server fails at times while it writes there, and then it is gone or not.
      const gone = async () => consumers.delete("AEGISNET_ENVELOPES", durable).catch(({ code }) => code === 10_014);
      await until("deleted", gone);
      await bus.publish(second);
      await until("read by another consumer", () => seen.size === 2, 60_000);
      assert.ok((bus.counters()["consumers_made"] as number) >= 2);
    });

    it("keeps one writer of the log: leaves in one order, none twice, many at a time, whoever else appends", async () => {
      const [a, b] = [await rig({ withLog: true }), await rig({ withLog: true })];
      await until("ready", () => a.bus.ready && b.bus.ready);
      const hashes = chain("f", 300).map(({ hash }) => hash);
      const strange = chain("g", 20).map(({ hash }) => hash);
      const [one, two] = [await a.bus.openLog("one"), await b.bus.openLog("two")];
      const both = await Promise.allSettled([one.extend(hashes.slice(0, 100)), two.extend(strange)]);
      assert.ok(
        both.some(({ status }) => status === "rejected"),
        "at most one of them",
      );
      await (await jetstreamManager(admin)).streams.purge("AEGISNET_LOG");
      await (await jetstreamManager(admin)).streams.delete("AEGISNET_LOG");
      await until("made anew", () => a.bus.inspect().then(() => true));
      const again = await a.bus.openLog("one");
      await again.extend(hashes.slice(0, 200));
      // Somebody else in between: nothing that names a predecessor which is not there is taken.
      const other = await b.bus.openLog("two");
      await other.extend(strange.slice(0, 1));
      await rejectsWith("nats_stream", () => again.extend(hashes.slice(200, 210)));
      assert.deepEqual(await (await b.bus.openLog("two")).newest(), { hash: strange[0], writer: "two" });
      const third = await a.bus.openLog("one");
      await third.extend(hashes.slice(200));
      const leaves: string[] = [];
      for await (const page of a.bus.leaves(0)) for (const leaf of page) leaves.push(`0x${toHex(leaf)}`);
      assert.deepEqual(leaves, [...hashes.slice(0, 200), strange[0], ...hashes.slice(200)]);
      assert.equal(await third.indexOf(hashes[298] as string), 299);
      // A writer that died between the stream and the index: the next one mends it.
      const { Kvm } = await import("@nats-io/kv");
      const index = await new Kvm(admin).open("AEGISNET_LOG_INDEX");
      for (const lost of [299, 290, 250]) await index.purge(hashes[lost] as string);
      const fourth = await b.bus.openLog("one");
      assert.equal(await fourth.indexOf(hashes[250] as string), 251);
      await rejectsWith("nats_stream", async () => {
        const js = jetstream(admin);
        await js.publish("aegis.spine.log.leaf.v1", "no leaf");
        await b.bus.openLog("one");
      });
      // What is no leaf counts for none: a reader ends there, and takes nothing of the page it is on.
      await jetstream(admin).publish("aegis.spine.log.leaf.v1", new Uint8Array(100_000));
      let read = 0;
      for (const from of [0, 301, 302])
        await rejectsWith("nats_stream", async () => {
          for await (const page of a.bus.leaves(from)) read += page.length;
        });
      assert.equal(read, 0);
      await third.putCheckpoint(7, "{}");
      assert.equal(await fourth.latestCheckpoint(), "{}");
    });

    it("carries questions to witnesses, takes answers until enough, and says nothing when told so", async () => {
      const [a, b, c] = [await rig(), await rig(), await rig()];
      b.bus.witness.serve(async ({ data, header }) => Uint8Array.of(...data, Number(header("Spine-Number"))));
      c.bus.witness.serve(async () => undefined);
      await until("ready", () => a.bus.ready && b.bus.ready && c.bus.ready);
      const answers: number[][] = [];
      const question = { data: Uint8Array.of(7), headers: [["Spine-Number", "1"]] as const };
      await a.bus.witness.ask(question, AbortSignal.timeout(2_000), (answer) => {
        answers.push([...answer]);
        return true;
      });
      assert.deepEqual(answers, [[7, 1]]);
      await until("c was asked", () => c.bus.counters()["witness_silent"] === 1);
    });
  });
}
