/**
 * The witness role over a store, and the client that asks witnesses: honest ones in both encodings, ones that lie, stall
 * or answer twice, a kill at every write of a decision, a backup put back, and accusations that are false.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CheckpointRecord,
  type Cosignatures,
  Follower,
  type FollowerEvent,
  NO_COSIGNATURES,
  Witness,
  WitnessClient,
  type WitnessClientEvent,
  type WitnessEvent,
} from "../../../node/index.ts";
import {
  type AttestMessage,
  type CheckpointStatement,
  checkpointHash,
  decodeCosignatureShown,
  decodeWitnessRequest,
  draftEnvelope,
  encodeSplitView,
  encodeWitnessReply,
  envelopeText,
  formatAddCheckpoint,
  formatNote,
  formatTreeHead,
  issuerOf,
  NoteKeyType,
  nextStatement,
  noteKey,
  type Row,
  runOf,
  type SignedHead,
  sealEnvelope,
  statementText,
  utf8,
  validWitnesses,
  verifyNote,
  type WitnessReply,
  witnessedLog,
  witnessRequestMessage,
  writeCheckpointFact,
} from "../../../spine/index.ts";
import { MemoryStore } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";
import { namedKey, sha256, sha256Hex, verifier } from "../../helpers/crypto.ts";
import { rejectsWith } from "../../helpers/expect.ts";
import { TestTree } from "../../helpers/tree.ts";

const LOG = namedKey("some log");
const ORIGIN = "log.example.org/w";
const KEY = noteKey(sha256, ORIGIN, NoteKeyType.ed25519, LOG.publicKey);

/** A log of numbered leaves that states any size. */
class Log {
  readonly tree: TestTree;
  statement: CheckpointStatement | null = null;
  constructor(name = "leaf", count = 600) {
    this.tree = TestTree.numbered(count, name);
  }
  state(size: number): CheckpointRecord {
    const root = this.tree.root(size);
    this.statement = nextStatement(sha256, this.statement, {
      logId: LOG.issuer,
      root,
      size,
      issuedAt: "2026-01-01T00:00:00Z",
    });
    const text = formatTreeHead({ origin: ORIGIN, size, root, extensions: [] });
    const logLine = { name: ORIGIN, keyId: KEY.keyId, signature: LOG.sign(utf8(text)) };
    return { ...NO_COSIGNATURES, statement: this.statement, text, logLine, envelope: null };
  }
}

describe("witnesses", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "spine-witness-"));
  });
  const all: Witness[] = [];
  after(async () => {
    await Promise.all(all.map((witness) => witness.settled()));
    await rm(folder, { recursive: true, force: true });
  });

  let files = 0;
  /** A witness over a store; `write` stands before every durable write. */
  async function witnessOf(store: MemoryStore, marks: string, write = async (): Promise<void> => {}, name = "wit") {
    const events: WitnessEvent[] = [];
    const signer = namedKey(name);
    const witness = new Witness({
      store,
      signer,
      name: `${name}.example`,
      verifier,
      nowSeconds: () => 1_800_000_000,
      marks,
      commitRows: async (rows: readonly Row[]) => {
        await write();
        await store.commit({ ...NOTHING, rows });
      },
      onEvent: (event) => events.push(event),
    });
    all.push(witness);
    await witness.open();
    witness.allow([witnessedLog(sha256, LOG.issuer, ORIGIN)]);
    return { witness, events };
  }
  async function fresh(name = "wit") {
    const store = new MemoryStore();
    await store.open();
    const marks = join(folder, `marks-${files++}`);
    return { store, marks, ...(await witnessOf(store, marks, undefined, name)) };
  }

  /** A client of these witnesses; `mangle` may change or hold back an answer. */
  function clientOf(
    log: Log,
    witnesses: readonly Witness[],
    mangle: (reply: WitnessReply, witness: Witness) => WitnessReply | undefined | Uint8Array = (reply) => reply,
    quorum = witnesses.length,
  ) {
    const events: WitnessClientEvent[] = [];
    let latest: (CheckpointRecord & { late: Cosignatures }) | null = null;
    const client = new WitnessClient({
      signer: LOG,
      tree: { consistency: (first: number, second: number) => log.tree.consistency(first, second) } as never,
      verifier,
      trusted: () => ({ witnesses: witnesses.map(({ id }) => id), quorum }),
      publicWitnesses: [],
      publicQuorum: 0,
      ask: async (id, body, signal) => {
        const witness = witnesses.find((one) => one.id === id) as Witness;
        const reply = mangle(await witness.answer(decodeWitnessRequest(body)), witness);
        if (reply instanceof Uint8Array) return reply;
        if (reply !== undefined) return encodeWitnessReply(reply);
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined)));
      },
      show: async (id, body) => {
        await witnesses.find((one) => one.id === id)?.shown(decodeCosignatureShown(body));
      },
      latest: () => latest,
      fetch: async () => new Response("", { status: 500 }),
      onEvent: (event) => events.push(event),
    });
    const collect = async (record: CheckpointRecord, signal = new AbortController().signal): Promise<Cosignatures> => {
      let found: Cosignatures = NO_COSIGNATURES;
      await client.collect(
        record,
        (more) => {
          found = { lines: [...found.lines, ...more.lines], notes: [...found.notes, ...more.notes] };
        },
        signal,
      );
      latest = { ...record, ...found, late: NO_COSIGNATURES };
      return found;
    };
    return { client, collect, events };
  }

  it("co-sign both encodings, round after round, with consistency proofs and one row", async () => {
    const log = new Log();
    const { witness } = await fresh();
    const { client, collect, events } = clientOf(log, [witness]);
    for (const size of [1, 2, 255, 256, 600]) {
      const record = log.state(size);
      const found = await collect(record);
      assert.deepEqual(await validWitnesses(sha256, record.statement, found.lines, verifier), [witness.id]);
      assert.equal(
        (await verifyNote({ text: record.text, signatures: found.notes }, [witness.noteKey], verifier)).length,
        1,
      );
      assert.equal(client.missing(found), undefined);
      assert.equal(witness.row(LOG.issuer)?.size, size);
    }
    assert.deepEqual(events, []);
  });

  it("catch up a client that forgot where they stand", async () => {
    const log = new Log();
    const { witness } = await fresh();
    await clientOf(log, [witness]).collect(log.state(300));
    const { collect, events } = clientOf(log, [witness]);
    assert.equal((await collect(log.state(500))).lines.length, 1);
    assert.deepEqual(events, []);
  });

  it("that lie count for nothing, and the others' co-signatures still do", async () => {
    const log = new Log();
    const [liar, honest] = [await fresh("liar"), await fresh("honest")];
    const lies: Record<string, (reply: WitnessReply) => WitnessReply | Uint8Array> = {
      "another signature": (reply) =>
        reply.type === "signed" ? { ...reply, line: { ...reply.line, signature: new Uint8Array(64) } } : reply,
      "another witness": (reply) =>
        reply.type === "signed" ? { ...reply, line: { ...reply.line, witness: honest.witness.id } } : reply,
      garbage: () => Uint8Array.of(9, 9, 9),
      "an answer to another question": () => ({ type: "answer", status: 200, body: "— x AAAAAAAA\n" }),
      "a size without end": () => ({ type: "refused", code: "witness_stale", size: 2 ** 40, seq: 1 }),
    };
    let size = 10;
    for (const [what, lie] of Object.entries(lies)) {
      const { client, collect, events } = clientOf(log, [liar.witness, honest.witness], (reply, witness) =>
        witness === liar.witness ? lie(reply) : reply,
      );
      const found = await collect(log.state(size++));
      assert.deepEqual(new Set(found.lines.map(({ witness }) => witness)), new Set([honest.witness.id]), what);
      assert.match(client.missing(found) ?? "", /1 of 2/, what);
      assert.ok(
        events.some((event) => event.witness === liar.witness.id),
        what,
      );
    }
  });

  it("that stall hold nothing up beyond the deadline, and answer twice without counting twice", async function () {
    this.timeout(20_000);
    const log = new Log();
    const [mute, honest] = [await fresh("mute"), await fresh("honest")];
    const { client, collect } = clientOf(
      log,
      [mute.witness, honest.witness],
      (reply, witness) => (witness === mute.witness ? undefined : reply),
      1,
    );
    const record = log.state(20);
    const found = await collect(record);
    assert.equal(found.lines.length, 1);
    assert.equal(client.missing({ ...found, lines: [...found.lines, ...found.lines] }), undefined);
    const both = clientOf(log, [mute.witness, honest.witness]);
    assert.match(both.client.missing({ ...found, lines: [...found.lines, ...found.lines] }) ?? "", /1 of 2/);
  });

  it("never sign two views, whichever encoding shows the second, and keep both as evidence", async () => {
    for (const encoding of ["statement", "note"] as const) {
      const [honest, forked] = [new Log(), new Log("another leaf")];
      const { witness, events } = await fresh();
      await clientOf(honest, [witness]).collect(honest.state(100));
      const second = forked.state(100);
      const logSignature = LOG.sign(witnessRequestMessage(checkpointHash(sha256, second.statement)));
      const body = `old 100\n\n${second.text}\n— ${ORIGIN} ${Buffer.concat([KEY.keyId, second.logLine.signature]).toString("base64")}\n`;
      const reply = await witness.answer(
        encoding === "note"
          ? { type: "note", body }
          : { type: "statement", statement: second.statement, logSignature, oldSize: 100, proof: [] },
      );
      assert.ok(
        reply.type === "refused" ? reply.code === "log_conflict" : reply.type === "answer" && reply.status === 422,
      );
      const conflict = events.find((event) => event.type === "witness-conflict");
      assert.ok(conflict?.type === "witness-conflict");
      const proofs = conflict.before.flatMap((head) => {
        try {
          return [encodeSplitView({ sha256, sha256Hex }, LOG.issuer, [head, conflict.now])];
        } catch {
          return [];
        }
      });
      assert.ok(proofs.length > 0, "the two heads prove it");
    }
  });

  it("raise an alarm, and accuse nobody, when a larger tree is not proven to extend the one they signed", async () => {
    const [honest, forked] = [new Log(), new Log("another leaf")];
    const { witness, events } = await fresh();
    const { collect } = clientOf(honest, [witness]);
    await collect(honest.state(100));
    for (const proof of [forked.tree.consistency(100, 150), []]) {
      const { text, logLine } = forked.state(150);
      const note = formatNote({ text, signatures: [logLine] });
      const { status } = await witness.addCheckpoint(formatAddCheckpoint(100, proof, note));
      assert.equal(status, 422);
    }
    assert.deepEqual(
      events.map(({ type }) => type).filter((type) => type !== "cosigned"),
      ["witness-unproven"],
    );
    assert.deepEqual(witness.unproven, [LOG.issuer]);
    assert.equal((await collect(honest.state(150))).notes.length, 1);
    assert.deepEqual(witness.unproven, []);
  });

  it("killed at any write of a decision sign nothing that the row does not hold", async () => {
    for (let kill = 0; kill < 3; kill++) {
      const log = new Log();
      const store = new MemoryStore();
      await store.open();
      const marks = join(folder, `marks-${files++}`);
      let writes = 0;
      const dying = await witnessOf(store, marks, async () => {
        if (writes++ >= kill) throw new Error("killed");
      });
      const signed: string[] = [];
      for (const size of [10, 20]) {
        const record = log.state(size);
        const found = await clientOf(log, [dying.witness]).collect(record);
        if (found.lines.length > 0) signed.push(statementText(record.statement));
      }
      await dying.witness.settled();
      const { witness } = await witnessOf(store, marks);
      const row = witness.row(LOG.issuer);
      for (const text of signed) {
        assert.ok(row?.statement !== null && row !== undefined, "what was signed is on disk");
        assert.ok(JSON.parse(text).tree_size <= row.size);
      }
      assert.notEqual(row?.restored, "unknown");
    }
  });

  it("sign nothing more when their marks can no longer be written, and go on once they can", async () => {
    const log = new Log();
    const store = new MemoryStore();
    await store.open();
    const place = join(folder, `place-${files++}`);
    await mkdir(place);
    const { witness } = await witnessOf(store, join(place, "marks"));
    const { collect } = clientOf(log, [witness]);
    assert.equal((await collect(log.state(10))).lines.length, 1);
    await witness.settled();
    await rm(place, { recursive: true });
    const blind = await collect(log.state(20));
    await witness.settled();
    assert.equal((await collect(log.state(30))).lines.length, 0);
    await mkdir(place);
    assert.equal((await collect(log.state(40))).lines.length, 1);
    // The statement came first; its mark failed beside it, and the note was not signed.
    assert.ok(blind.lines.length <= 1 && blind.notes.length <= 1);
  });

  it("restored from a backup refuse until their last co-signatures are shown, by whoever kept them", async () => {
    const log = new Log();
    const old = await fresh();
    const { collect } = clientOf(log, [old.witness]);
    await collect(log.state(10));
    const backup = new MemoryStore();
    await backup.open();
    for await (const { key, value } of old.store.rows(3)) {
      await backup.commit({ ...NOTHING, rows: [{ table: 3, key, value }] });
    }
    await collect(log.state(20));
    await old.witness.settled();
    const { witness } = await witnessOf(backup, old.marks);
    assert.deepEqual(witness.restored, [LOG.issuer]);
    // A log that shows nothing is refused; the client of the true log shows what it kept.
    const forgetful = clientOf(log, [witness]);
    const stateless = await forgetful.collect({ ...log.state(30) });
    assert.equal(stateless.lines.length, 0);
    const again = clientOf(log, [old.witness, witness], undefined, 1);
    const record = log.state(40);
    const kept = await clientOf(log, [old.witness]).collect(record);
    assert.equal(kept.lines.length, 1);
    assert.deepEqual(again.events, []);
    await rejectsWith("witness_signature", () =>
      witness.shown({
        type: "statement",
        statement: record.statement,
        logSignature: LOG.sign(witnessRequestMessage(checkpointHash(sha256, record.statement))),
        signature: new Uint8Array(64),
      }),
    );
    await witness.confirm(LOG.issuer);
    assert.deepEqual(witness.restored, []);
  });
});

describe("followers of logs", () => {
  const other = namedKey("another log");
  /** A checkpoint envelope of a log's chain. */
  function checkpoint(key: typeof LOG, seq: number, size: number, name: string): string {
    const prev = seq === 1 ? null : `0x${"3".repeat(64)}`;
    const statement: CheckpointStatement = {
      logId: key.issuer,
      seq,
      prev: seq === 1 ? null : `0x${"1".repeat(64)}`,
      root: sha256(utf8(name)),
      size,
      issuedAt: "2026-01-01T00:00:00Z",
    };
    const fact = writeCheckpointFact({ statement, witnesses: [], note: null }, "cp_1", "aegis");
    const fields = { issuer: key.issuer, seq, prev, issuedAt: statement.issuedAt, fact };
    const draft = draftEnvelope(fields, sha256Hex);
    return envelopeText(sealEnvelope(draft, key.sign(draft.signingBytes)));
  }

  async function follower() {
    const store = new MemoryStore();
    await store.open();
    const events: FollowerEvent[] = [];
    const sent: AttestMessage[] = [];
    const make = async () => {
      const one = new Follower({
        store,
        verifier,
        ownLog: () => "aegis:ed25519:own",
        commitRows: (rows) => store.commit({ ...NOTHING, rows }),
        send: (_, message) => sent.push(message),
        links: () => ["a", "b"],
        penalise: () => {},
        onEvent: (event) => events.push(event),
      });
      await one.open();
      await one.follow([LOG.issuer], () => undefined);
      return one;
    };
    return { store, events, sent, make, one: await make() };
  }
  const envelope = (text: string): SignedHead => ({ type: "envelope", text });

  it("accuse nobody by a claim, by heads that agree, or by different sizes alone", async () => {
    const { one, events } = await follower();
    const first = checkpoint(LOG, 1, 10, "a");
    assert.equal(await one.accuse(LOG.issuer, envelope(first), envelope(first)), false);
    assert.equal(await one.accuse(LOG.issuer, envelope(first), envelope(checkpoint(LOG, 3, 20, "b"))), false);
    assert.equal(await one.accuse(LOG.issuer, envelope(first), envelope(checkpoint(other, 1, 10, "b"))), false);
    await one.message("a", { type: "log-heads", heads: [{ logId: LOG.issuer, seq: 1, hash: `0x${"2".repeat(64)}` }] });
    assert.deepEqual(events, []);
    assert.equal(one.proofs.size, 0);
  });

  it("refuse a forged proof, with blame on whoever sent it", async () => {
    const { one, events } = await follower();
    const proof = encodeSplitView({ sha256, sha256Hex }, LOG.issuer, [
      envelope(checkpoint(LOG, 1, 10, "a")),
      envelope(checkpoint(LOG, 1, 10, "b")),
    ]);
    for (const at of [1, 40, proof.length - 5]) {
      const forged = proof.slice();
      forged[at] = (forged[at] as number) ^ 1;
      await rejectsWith("split_view_invalid", () => one.message("a", { type: "split-view", proof: forged }));
    }
    assert.equal(events.length, 0);
    await one.message("a", { type: "split-view", proof });
    assert.deepEqual(
      events.map(({ shape }) => shape),
      ["equal_size"],
    );
  });

  it("keep one proof of each followed log, spread it once, and hold it over a restart", async () => {
    const { one, make, events, sent } = await follower();
    const heads = ["a", "b", "c"].map((name) => checkpoint(LOG, 1, 10, name)) as [string, string, string];
    assert.ok(await one.accuse(LOG.issuer, envelope(heads[0]), envelope(heads[1])));
    await one.accuse(LOG.issuer, envelope(heads[1]), envelope(heads[2]));
    assert.equal(events.length, 1);
    assert.equal(sent.filter(({ type }) => type === "split-view").length, 2);
    const again = await make();
    assert.deepEqual([...again.proofs.keys()], [LOG.issuer]);
    const foreign = encodeSplitView({ sha256, sha256Hex }, other.issuer, [
      envelope(checkpoint(other, 1, 10, "a")),
      envelope(checkpoint(other, 1, 10, "b")),
    ]);
    await again.message("a", { type: "split-view", proof: foreign });
    assert.equal(again.proofs.size, 1);
  });

  it("find two views in an exchange of heads: claim, question, evidence, proof", async () => {
    const [left, right] = [await follower(), await follower()];
    const texts = [checkpoint(LOG, 1, 10, "a"), checkpoint(LOG, 1, 10, "b")] as const;
    const { openEnvelope } = await import("../../../spine/index.ts");
    for (const [i, { store, one }] of [left, right].entries()) {
      const opened = openEnvelope(texts[i] as string, sha256Hex);
      await store.commit({ ...NOTHING, runs: [runOf([opened])] });
      one.stored(LOG.issuer, 1, opened.hash);
      one.ready("a");
    }
    const cross = async (): Promise<void> => {
      const [fromLeft, fromRight] = [left.sent.splice(0), right.sent.splice(0)];
      for (const message of fromLeft) await right.one.message("a", message);
      for (const message of fromRight) await left.one.message("a", message);
    };
    for (let i = 0; i < 4; i++) await cross();
    for (const { events } of [left, right]) assert.equal(events.length, 1);
    assert.equal(issuerOf(LOG.publicKey), LOG.issuer);
  });
});
