/** Checkpoint statements, facts and witness signatures: the shared chain, then edges and random JSON. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CheckpointStatement,
  checkpointHash,
  checkpointHashText,
  factOf,
  fromHex,
  type Json,
  type JsonObject,
  nextStatement,
  openEnvelope,
  parseJson,
  parseStatement,
  readCheckpointFact,
  readStatement,
  readWitnessLine,
  SpineError,
  statementText,
  toHex,
  validWitnesses,
  witnessClaim,
  witnessMessage,
  witnessSignatureObject,
  writeCheckpointFact,
} from "../../spine/index.ts";
import { namedKey, sha256, sha256Hex, testKey, verifier } from "../helpers/crypto.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";

interface CheckpointFile {
  chain: {
    canonical: string;
    checkpoint_hash: string;
    statement_text: string;
    witness_message_hex: string;
    witnesses: { checkpoint_hash: string; schema: string; signature: string; witness_node_id: string }[];
  }[];
  log_seed_hex: string;
  witness_seeds_hex: string[];
  witness_checks: {
    name: string;
    signature: string;
    statement_text: string;
    upstream: string;
    witness_node_id: string;
  }[];
  log_checkpoint_envelope: { envelope_text: string; envelope_hash: string };
}

describeShared("checkpoint vectors", ["vectors/spine/checkpoints.json"], () => {
  const file = sharedJson<CheckpointFile>("vectors/spine/checkpoints.json");

  it(`reads, hashes and rebuilds a chain of ${file.chain.length} statements`, () => {
    let previous: CheckpointStatement | null = null;
    for (const c of file.chain) {
      const statement = parseStatement(c.statement_text);
      assert.equal(statementText(statement), c.canonical);
      assert.equal(checkpointHashText(sha256, statement), c.checkpoint_hash);
      assert.equal(toHex(witnessMessage(checkpointHash(sha256, statement))), c.witness_message_hex);
      assert.equal(statement.logId, testKey(fromHex(file.log_seed_hex)).issuer);
      assert.deepEqual(nextStatement(sha256, previous, statement), statement);
      previous = statement;
    }
  });
  it("makes and verifies every witness signature", async () => {
    for (const c of file.chain) {
      const statement = parseStatement(c.statement_text);
      const lines = c.witnesses.map((witness) => readWitnessLine(witness));
      const seen = await validWitnesses(sha256, statement, lines, verifier);
      assert.deepEqual(
        seen,
        c.witnesses.map((witness) => witness.witness_node_id),
      );
      c.witnesses.forEach((expected, i) => {
        const key = testKey(fromHex(file.witness_seeds_hex[i] as string));
        const signature = key.sign(witnessMessage(checkpointHash(sha256, statement)));
        assert.deepEqual(witnessSignatureObject(sha256, statement, { witness: key.issuer, signature }), expected);
      });
    }
  });
  it(`judges ${file.witness_checks.length} witness checks as the reference does`, async () => {
    for (const c of file.witness_checks) {
      const verdict = await check(c).catch((error: unknown) => {
        assert.ok(error instanceof SpineError, String(error));
        // A malformed statement is refused here before its hash could differ.
        const names: Partial<Record<string, string>> = {
          witness_signature: "invalid_witness_signature",
          issuer_syntax: "invalid_issuer",
        };
        return names[error.code] ?? (error.code === "checkpoint_field" ? "false" : error.code);
      });
      assert.equal(verdict, c.upstream, c.name);
    }
    async function check(c: CheckpointFile["witness_checks"][number]): Promise<string> {
      const line = readWitnessLine({ witness_node_id: c.witness_node_id, signature: c.signature });
      const [isValid] = await verifier.verify([witnessClaim(sha256, parseStatement(c.statement_text), line)]);
      return String(isValid);
    }
  });
  it("reads the statement out of a checkpoint envelope and writes the fact back", async () => {
    const envelope = openEnvelope(file.log_checkpoint_envelope.envelope_text, sha256Hex);
    assert.equal(envelope.hash, file.log_checkpoint_envelope.envelope_hash);
    const fact = factOf(envelope) as JsonObject;
    const checkpoint = readCheckpointFact(fact);
    const listed = file.chain[2];
    assert.ok(listed);
    assert.equal(statementText(checkpoint.statement), listed.canonical);
    assert.equal((await validWitnesses(sha256, checkpoint.statement, checkpoint.witnesses, verifier)).length, 3);
    const written = writeCheckpointFact(checkpoint, fact["fact_id"] as string, "clawdstrike");
    assert.deepEqual(JSON.parse(JSON.stringify(written)), JSON.parse(JSON.stringify(fact)));
    const { witnesses, ...rest } = fact;
    assert.deepEqual(readCheckpointFact({ ...rest, witness_signatures: witnesses as Json }), checkpoint);
    const aegis = writeCheckpointFact({ ...checkpoint, note: "x" }, "cp_1", "aegis");
    assert.deepEqual(readCheckpointFact(aegis), { ...checkpoint, note: "x" });
  });
});

describe("checkpoint statements", () => {
  const logId = namedKey("log").issuer;
  const root = new Uint8Array(32).fill(7);
  const issuedAt = "2026-01-01T00:00:00Z";
  const first = nextStatement(sha256, null, { logId, root, size: 3, issuedAt });
  const object = parseJson(statementText(first)) as JsonObject;

  it("refuses every field that is wrong, missing or unknown", () => {
    const wrong: Record<string, Json[]> = {
      checkpoint_seq: [0, -1, 1.5, "1", null, 2 ** 53, 2n ** 60n],
      issued_at: ["", "yesterday", "2026-02-30T00:00:00Z", 0, null],
      log_id: [logId.toUpperCase(), `0x${logId.slice(14)}`, "", null],
      merkle_root: ["", "x", toHex(root), `0x${toHex(root).toUpperCase().replace(/^../, "AB")}`, null],
      prev_checkpoint_hash: ["", `0x${toHex(root)}`, 0],
      schema: ["x", null],
      tree_size: [-1, 0.5, "3", null],
    };
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values) {
        assert.throws(
          () => readStatement({ ...object, [field]: value }),
          { code: "checkpoint_field" },
          `${field} ${value}`,
        );
      }
      const { [field]: _, ...rest } = object;
      assert.throws(() => readStatement(rest), { code: "checkpoint_field" }, field);
    }
    for (const value of [null, [], "x", 1, { ...object, extra: 1 }]) {
      assert.throws(() => readStatement(value), { code: "checkpoint_field" });
    }
    assert.throws(() => parseStatement('{"tree_size":1,"tree_size":1}'), { code: "json_duplicate_key" });
  });

  it("never states a smaller or different tree, nor an earlier time", () => {
    const other = new Uint8Array(32);
    for (const head of [
      { logId, root, size: 2, issuedAt },
      { logId, root: other, size: 3, issuedAt },
      { logId: namedKey("other").issuer, root: other, size: 4, issuedAt },
    ]) {
      assert.throws(() => nextStatement(sha256, first, head), { code: "log_conflict" });
    }
    const later = nextStatement(sha256, first, { logId, root: other, size: 4, issuedAt: "2025-01-01T00:00:00Z" });
    assert.equal(later.issuedAt, issuedAt);
    assert.equal(later.prev, checkpointHashText(sha256, first));
  });

  it("refuses facts and witness lines of the wrong form", () => {
    const fact = writeCheckpointFact({ statement: first, witnesses: [], note: null }, "cp_1", "aegis");
    for (const schema of [null, 1, "aegis.spine.fact.heartbeat.v1", "spine.fact.log_checkpoint.v1"]) {
      assert.throws(() => readCheckpointFact({ ...fact, schema }), { code: "checkpoint_field" });
    }
    assert.throws(() => readCheckpointFact({ ...fact, note: 1 }), { code: "checkpoint_field" });
    assert.throws(() => readCheckpointFact([]), { code: "checkpoint_field" });
    const line = { witness_node_id: logId, signature: "00".repeat(64) };
    assert.equal(readCheckpointFact({ ...fact, witnesses: Array(100).fill(line) }).witnesses.length, 100);
    for (const witnesses of [
      {},
      "x",
      Array(101).fill(line),
      [{ ...line, signature: 1 }],
      [{ ...line, witness_node_id: 1 }],
    ]) {
      assert.throws(() => readCheckpointFact({ ...fact, witnesses }), { code: "witness_signature" });
    }
  });

  it("counts a witness once and leaves out wrong lines", async () => {
    const good = (name: string) => {
      const key = namedKey(name);
      return { witness: key.issuer, signature: key.sign(witnessMessage(checkpointHash(sha256, first))) };
    };
    const bad = { ...good("b"), signature: new Uint8Array(64) };
    const lines = [good("a"), good("a"), bad, good("c")];
    assert.deepEqual(await validWitnesses(sha256, first, lines, verifier), [
      namedKey("a").issuer,
      namedKey("c").issuer,
    ]);
  });

  it("throws only coded errors on arbitrary values", () => {
    const values = fc.oneof(fc.jsonValue(), fc.constantFrom(...Object.values(object)));
    const readers = [readStatement, readCheckpointFact, readWitnessLine];
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(object), "witnesses", "note"), values, (field, value) => {
        const schema = "aegis.spine.fact.log_checkpoint.v1";
        for (const read of readers) {
          for (const candidate of [value, { ...object, [field]: value }, { ...object, schema, [field]: value }]) {
            try {
              read(candidate as Json);
            } catch (error) {
              assert.ok(error instanceof SpineError && error.code !== "internal", String(error));
            }
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
