/** The bus on real servers: streams, acknowledged publishing, durable reading, the log with one writer, witnesses. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { BusMessage, Handled } from "../../../planes/index.ts";
import { type Envelope, envelopeBytes } from "../../../spine/index.ts";
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

    it("keeps one writer of the log: no leaf twice, none lost, whoever else appends", async () => {
      const [a, b] = [await rig({ withLog: true }), await rig({ withLog: true })];
      await until("ready", () => a.bus.ready && b.bus.ready);
      const [one, two] = [await a.bus.openLog("one"), await b.bus.openLog("two")];
      const hashes = chain("e", 12).map(({ hash }) => hash);
      const append = async (log: typeof one): Promise<number[]> => {
        const out: number[] = [];
        for (const hash of hashes) out.push(await log.append(hash));
        return out;
      };
      const [x, y] = await Promise.all([append(one), append(two)]);
      assert.deepEqual(x, y, "both know each leaf by one index");
      const info = await (await jetstreamManager(admin)).streams.info("AEGISNET_LOG");
      assert.equal(info.state.messages, 12);
      assert.ok(one.taken + two.taken > 0, "they did meet");
      assert.deepEqual(await one.leaf(x[3] as number), hashes[3]);
      // A writer that died between the stream and the index: the next one mends it.
      const { Kvm } = await import("@nats-io/kv");
      const index = await new Kvm(admin).open("AEGISNET_LOG_INDEX");
      await index.purge(hashes[11] as string);
      const third = await b.bus.openLog("three");
      assert.equal(await third.append(hashes[11] as string), x[11]);
      assert.equal((await (await jetstreamManager(admin)).streams.info("AEGISNET_LOG")).state.messages, 12);
    });

    it("carries questions to witnesses, takes answers until enough, and says nothing when told so", async () => {
      const [a, b, c] = [await rig(), await rig(), await rig()];
      b.bus.witness.serve(async (question) => Uint8Array.of(...question, 1));
      c.bus.witness.serve(async () => undefined);
      await until("ready", () => a.bus.ready && b.bus.ready && c.bus.ready);
      const answers: number[][] = [];
      await a.bus.witness.ask(Uint8Array.of(7), 2_000, (answer) => {
        answers.push([...answer]);
        return true;
      });
      assert.deepEqual(answers, [[7, 1]]);
      await until("c was asked", () => c.bus.counters()["witness_silent"] === 1);
    });
  });
}
