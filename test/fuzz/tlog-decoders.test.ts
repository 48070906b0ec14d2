/** Every decoder of the transparency log and its witnesses against random and mutated input. */
import assert from "node:assert/strict";
import {
  type CheckpointStatement,
  canonicalText,
  checkpointHash,
  decodeEntryBundle,
  decodeWitnessReply,
  decodeWitnessRequest,
  decodeWitnessRow,
  draftEnvelope,
  encodeEntryBundle,
  encodeSplitView,
  encodeWitnessReply,
  encodeWitnessRequest,
  encodeWitnessRow,
  formatAddCheckpoint,
  formatNote,
  formatNoteKey,
  formatPortableProof,
  formatTlogProof,
  formatTreeHead,
  joinCosignature,
  merkleLine,
  NoteKeyType,
  nextStatement,
  nobleSha256Hex,
  noteKey,
  openSplitView,
  parseAddCheckpoint,
  parseJson,
  parseNote,
  parseNoteBytes,
  parseNoteKey,
  parsePortableProof,
  parseQuorumPolicy,
  parseSignatureLines,
  parseStatement,
  parseTilePath,
  parseTlogProof,
  parseTreeHead,
  parseWitnessAnswer,
  readCheckpointFact,
  sealEnvelope,
  statementText,
  tilePath,
  utf8,
  utf8Text,
  witnessMessage,
  witnessRequestMessage,
  writeCheckpointFact,
} from "../../spine/index.ts";
import { hasher, namedKey, sha256 } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";
import { fuzzDecoder, fuzzRuns } from "./fuzz-decoder.ts";

const log = namedKey("log");
const witness = namedKey("witness");
const tree = TestTree.numbered(9);
const origin = "log.example/fuzz";
const logNoteKey = noteKey(sha256, origin, NoteKeyType.ed25519, log.publicKey);
const witnessKey = noteKey(sha256, "w.example", NoteKeyType.cosignature, witness.publicKey);

function note(size: number, of = tree): string {
  const text = formatTreeHead({ origin, size, root: of.root(size), extensions: [] });
  const signature = log.sign(utf8(text));
  const cosignature = joinCosignature(1_700_000_000, witness.sign(utf8(text)));
  const lines = [logNoteKey, witnessKey].map(({ name, keyId }) => ({ name, keyId }));
  return formatNote({
    text,
    signatures: lines.map((line, i) => ({ ...line, signature: i === 0 ? signature : cosignature })),
  });
}

const statement: CheckpointStatement = nextStatement(sha256, null, {
  logId: log.issuer,
  root: tree.root(),
  size: tree.size,
  issuedAt: "2026-01-01T00:00:00Z",
});
const witnessLine = {
  witness: witness.issuer,
  signature: witness.sign(witnessMessage(checkpointHash(sha256, statement))),
};
const logSignature = log.sign(witnessRequestMessage(checkpointHash(sha256, statement)));
const fact = writeCheckpointFact({ statement, witnesses: [witnessLine], note: note(9) }, "cp_1", "aegis");
const draft = draftEnvelope(
  { issuer: log.issuer, seq: 1, prev: null, issuedAt: "2026-01-01T00:00:00Z", fact },
  nobleSha256Hex,
);
const checkpoint = sealEnvelope(draft, log.sign(draft.signingBytes));
const path = tree.inclusion(4);
const portable = formatPortableProof({
  envelope: checkpoint,
  index: 4,
  size: 9,
  checkpointSeq: 1,
  path,
  checkpoint,
  lateWitnesses: [witnessLine],
  unjudged: { eas_timestamp: { chain_id: 1 } },
});
const row = encodeWitnessRow({
  revision: 4,
  size: 9,
  root: tree.root(),
  statement: { statement, logSignature },
  note: { text: parseNote(note(9)).text, timestamp: 9, logSignatures: parseNote(note(9)).signatures },
  restored: { revision: 5, statement: tree.root(), note: null },
});
const hashes = { sha256, sha256Hex: nobleSha256Hex };
const evil = TestTree.numbered(9, "evil");
const splitView = encodeSplitView(hashes, log.issuer, [
  { type: "note", text: note(9, evil) },
  { type: "request", text: statementText(statement), signature: logSignature },
]);
const policy = `# all\nlog ${formatNoteKey(logNoteKey)} https://log.example/\nwitness w ${formatNoteKey(witnessKey)}\ngroup g 1 w\nquorum g\n`;
const bundle = encodeEntryBundle([new Uint8Array(32), new Uint8Array(0), new Uint8Array(3)]);

/** Decoders of text take bytes here; what they accept is written back the same, where a value has one spelling. */
function oneSpelling<T>(read: (text: string) => T, write: (value: T) => string): (bytes: Uint8Array) => void {
  return (bytes) => {
    const text = utf8Text(bytes);
    assert.equal(write(read(text)), text);
  };
}

const decoders: readonly (readonly [string, (bytes: Uint8Array) => unknown, readonly (string | Uint8Array)[]])[] = [
  ["parseNote", oneSpelling(parseNote, formatNote), [note(9), note(1)]],
  ["parseNoteBytes", (bytes) => parseNoteBytes(bytes), [note(9)]],
  ["parseTreeHead", oneSpelling(parseTreeHead, formatTreeHead), [parseNote(note(9)).text]],
  [
    "parseNoteKey",
    oneSpelling((text) => parseNoteKey(sha256, text), formatNoteKey),
    [formatNoteKey(logNoteKey), formatNoteKey(witnessKey)],
  ],
  [
    "parseTilePath",
    oneSpelling(parseTilePath, tilePath),
    ["tile/0/x001/234.p/7", "tile/entries/000", "tile/63/x999/x999/999"],
  ],
  ["decodeEntryBundle", (bytes) => assert.deepEqual(encodeEntryBundle(decodeEntryBundle(bytes, 3)), bytes), [bundle]],
  [
    "parseAddCheckpoint",
    (bytes) => parseAddCheckpoint(utf8Text(bytes)),
    [formatAddCheckpoint(4, tree.consistency(4), note(9))],
  ],
  ["parseWitnessAnswer", (bytes) => [200, 409].map((status) => parseWitnessAnswer(status, utf8Text(bytes))), []],
  ["parseSignatureLines", (bytes) => parseSignatureLines(utf8Text(bytes)), [note(9).split("\n\n")[1] as string]],
  ["parseQuorumPolicy", (bytes) => parseQuorumPolicy(sha256, utf8Text(bytes)), [policy]],
  [
    "parseTlogProof",
    oneSpelling(parseTlogProof, formatTlogProof),
    [formatTlogProof({ extra: Uint8Array.of(1), index: 4, path, checkpoint: note(9) })],
  ],
  [
    "parseStatement",
    (bytes) => parseStatement(statementText(parseStatement(utf8Text(bytes)))),
    [statementText(statement)],
  ],
  ["readCheckpointFact", (bytes) => readCheckpointFact(parseJson(bytes)), [canonicalText(fact)]],
  ["decodeWitnessRow", oneSpelling(decodeWitnessRow, encodeWitnessRow), [row]],
  [
    "decodeWitnessRequest",
    (bytes) => assert.deepEqual(encodeWitnessRequest(decodeWitnessRequest(bytes)), bytes),
    [
      encodeWitnessRequest({ type: "note", body: formatAddCheckpoint(0, [], note(9)) }),
      encodeWitnessRequest({ type: "statement", statement, logSignature, oldSize: 4, proof: tree.consistency(4) }),
    ],
  ],
  [
    "decodeWitnessReply",
    (bytes) => assert.deepEqual(encodeWitnessReply(decodeWitnessReply(bytes)), bytes),
    [
      encodeWitnessReply({ type: "signed", line: witnessLine }),
      encodeWitnessReply({ type: "answer", status: 409, body: "4\n" }),
      encodeWitnessReply({ type: "refused", code: "witness_stale", size: 4, seq: 1 }),
    ],
  ],
  ["openSplitView", (bytes) => openSplitView(hashes, bytes), [splitView]],
  ["parsePortableProof", (bytes) => parsePortableProof(nobleSha256Hex, bytes), [portable]],
  [
    "merkleLine",
    (bytes) => {
      const line = parseJson(bytes);
      for (const verb of ["root", "inclusion", "consistency"] as const) {
        const answer = merkleLine(hasher, verb, line);
        assert.ok("root" in answer || answer.ok || answer.code !== "internal");
      }
    },
    ['{"leaves":["00","","6162"]}', '{"leaf":"00","index":0,"size":1,"path":[],"root":"00"}'],
  ],
];

describe(`fuzzing the log, ${fuzzRuns()} inputs per decoder`, () => {
  for (const [name, decode, seeds] of decoders) {
    it(name, () => {
      const bytes = seeds.map((seed) => (typeof seed === "string" ? utf8(seed) : seed));
      const { refused } = fuzzDecoder(name, decode, bytes);
      assert.ok(refused.size > 0, "nothing was refused");
    }).timeout(3_600_000);
  }
});
