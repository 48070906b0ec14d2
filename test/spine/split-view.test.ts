/** Split-view proofs: the three shapes in every encoding, false accusations, random bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CheckpointStatement,
  checkpointHash,
  draftEnvelope,
  encodeSplitView,
  envelopeText,
  formatNote,
  formatTreeHead,
  issuerOf,
  NoteKeyType,
  nextStatement,
  noteKey,
  parseNoteKey,
  readLogHead,
  type SignedHead,
  SpineError,
  sealEnvelope,
  splitViewShape,
  statementText,
  utf8,
  verifySplitView,
  witnessRequestMessage,
  writeCheckpointFact,
} from "../../spine/index.ts";
import { namedKey, sha256, sha256Hex, verifier } from "../helpers/crypto.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { TestTree } from "../helpers/tree.ts";

const hashes = { sha256, sha256Hex };
const key = namedKey("log");
const logId = key.issuer;
const good = TestTree.numbered(20);
const evil = TestTree.numbered(20, "evil");

function statement(seq: number, size: number, of = good, prev?: CheckpointStatement): CheckpointStatement {
  const issuedAt = `2026-01-01T00:00:${String(seq).padStart(2, "0")}Z`;
  const head = { logId, root: of.root(size), size, issuedAt };
  return prev === undefined ? { ...nextStatement(sha256, null, head), seq } : nextStatement(sha256, prev, head);
}
function asRequest(of: CheckpointStatement, signer = key): SignedHead {
  return {
    type: "request",
    text: statementText(of),
    signature: signer.sign(witnessRequestMessage(checkpointHash(sha256, of))),
  };
}
function asEnvelope(of: CheckpointStatement, signer = key): SignedHead {
  const fact = writeCheckpointFact({ statement: of, witnesses: [], note: null }, "cp_1", "aegis");
  const input = { issuer: signer.issuer, seq: 1, prev: null, issuedAt: of.issuedAt, fact };
  const draft = draftEnvelope(input, sha256Hex);
  return { type: "envelope", text: envelopeText(sealEnvelope(draft, signer.sign(draft.signingBytes))) };
}
function asNote(size: number, of = good, origin = "log.example", signer = key): SignedHead {
  const text = formatTreeHead({ origin, size, root: of.root(size), extensions: [] });
  const { keyId } = noteKey(sha256, origin, NoteKeyType.ed25519, key.publicKey);
  return {
    type: "note",
    text: formatNote({ text, signatures: [{ name: origin, keyId, signature: signer.sign(utf8(text)) }] }),
  };
}

const first = statement(1, 5);
const proofs: [string, SignedHead, SignedHead][] = [
  ["equal_size", asNote(9), asNote(9, evil)],
  ["equal_size", asEnvelope(statement(1, 9)), asNote(9, evil)],
  ["equal_size", asEnvelope(statement(3, 9)), asEnvelope(statement(7, 9, evil))],
  ["equal_size", asRequest(statement(1, 9)), asEnvelope(statement(4, 9, evil))],
  ["equal_seq", asRequest(statement(2, 9)), asRequest(statement(2, 10))],
  ["equal_seq", asEnvelope(statement(2, 9)), asRequest({ ...statement(2, 9), issuedAt: "2026-01-01T00:00:59Z" })],
  ["broken_chain", asEnvelope(first), asEnvelope(statement(2, 9))],
  ["broken_chain", asRequest(statement(2, 9, good, statement(1, 6))), asEnvelope(first)],
];
const innocent: [string, SignedHead, SignedHead][] = [
  ["the same note twice", asNote(9), asNote(9)],
  ["a chain", asEnvelope(first), asEnvelope(statement(2, 9, good, first))],
  ["one tree head in both encodings", asEnvelope(statement(1, 9)), asNote(9)],
  ["different sizes without leaves", asNote(9), asNote(10, evil)],
  ["a gap in the sequence", asEnvelope(first), asEnvelope(statement(3, 12, evil))],
  ["two origins", asNote(9), asNote(9, evil, "other.example")],
];

describe("split views", () => {
  it("proves each shape, in one encoding whatever the order", async () => {
    for (const [shape, a, b] of proofs) {
      const bytes = encodeSplitView(hashes, logId, [a, b]);
      assert.deepEqual(encodeSplitView(hashes, logId, [b, a]), bytes);
      const view = await verifySplitView(hashes, bytes, verifier);
      assert.equal(view.shape, shape);
      assert.equal(view.logId, logId);
      assert.ok(bytes.length < 2500);
    }
  });

  it("never accuses a log whose heads can both be true", () => {
    for (const [why, a, b] of innocent) {
      assert.throws(() => encodeSplitView(hashes, logId, [a, b]), { code: "split_view_invalid" }, why);
      const says = [a, b].map((head) => readLogHead(hashes, logId, head));
      assert.equal(splitViewShape(says[0] as never, says[1] as never), undefined, why);
    }
  });

  it("refuses heads of others and forged signatures", async () => {
    const thief = namedKey("thief");
    const forged: [SignedHead, SignedHead][] = [
      [asNote(9), asNote(9, evil, "log.example", thief)],
      [asRequest(statement(2, 9)), asRequest(statement(2, 10), thief)],
    ];
    for (const heads of forged) {
      await assert.rejects(verifySplitView(hashes, encodeSplitView(hashes, logId, heads), verifier), {
        code: "split_view_invalid",
      });
    }
    assert.throws(() => encodeSplitView(hashes, logId, [asEnvelope(first), asEnvelope(statement(2, 9), thief)]), {
      code: "split_view_invalid",
    });
    assert.throws(() => encodeSplitView(hashes, thief.issuer, [asEnvelope(first), asEnvelope(statement(2, 9))]), {
      code: "split_view_invalid",
    });
  });

  it("refuses every change of a proof, and arbitrary bytes", async () => {
    const encoded = proofs.map(([, a, b]) => encodeSplitView(hashes, logId, [a, b]));
    const isRefused = async (bytes: Uint8Array): Promise<void> =>
      assert.rejects(verifySplitView(hashes, bytes, verifier), (error) => {
        assert.ok(error instanceof SpineError && error.code === "split_view_invalid", String(error));
        return true;
      });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...encoded),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (bytes, at, bit) => {
          const changed = Uint8Array.from(bytes);
          const where = at % bytes.length;
          changed[where] = (changed[where] as number) ^ bit;
          await isRefused(changed);
          await isRefused(bytes.subarray(0, where));
          await isRefused(Uint8Array.from([...bytes, 0]));
        },
      ),
      { numRuns: 300 },
    );
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), isRefused));
  });
});

interface DerivedFile {
  forkedCheckpoints: { pair: [string, string] };
  cosignedCheckpoint: { logVkey: string };
}

describeShared("split-view vectors", ["vectors/tlog/derived.json"], () => {
  it("proves the signed pair of one size", async () => {
    const { forkedCheckpoints, cosignedCheckpoint } = sharedJson<DerivedFile>("vectors/tlog/derived.json");
    const log = issuerOf(parseNoteKey(sha256, cosignedCheckpoint.logVkey).publicKey);
    const [a, b] = forkedCheckpoints.pair.map((text): SignedHead => ({ type: "note", text }));
    const bytes = encodeSplitView(hashes, log, [a as SignedHead, b as SignedHead]);
    assert.equal((await verifySplitView(hashes, bytes, verifier)).shape, "equal_size");
  });
});
