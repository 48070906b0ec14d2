/** Portable proofs: what holds, what each kind of change breaks, what trust demands, both crypto providers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CheckpointStatement,
  canonicalText,
  checkpointHash,
  draftEnvelope,
  type Envelope,
  type ErrorCode,
  factOf,
  formatPortableProof,
  fromHex,
  type JsonObject,
  nobleVerifier,
  type PortableProof,
  type PortableTrust,
  type PortableVerdict,
  parsePortableProof,
  parseTrustBundle,
  readCheckpointFact,
  SpineError,
  sealEnvelope,
  verifyPortableProof,
  type WitnessLine,
  witnessMessage,
  writeCheckpointFact,
} from "../../spine/index.ts";
import { hasher, namedKey, sha256, sha256Hex, type TestKey, verifier } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";

const log = namedKey("log");
const issuer = namedKey("issuer");
const witnesses = [namedKey("w1"), namedKey("w2"), namedKey("w3")] as const;

function seal(key: TestKey, seq: number, fact: JsonObject, prev: string | null = null): Envelope {
  const draft = draftEnvelope({ issuer: key.issuer, seq, prev, issuedAt: "2026-01-01T00:00:00Z", fact }, sha256Hex);
  return sealEnvelope(draft, key.sign(draft.signingBytes));
}
function cosign(statement: CheckpointStatement, key: TestKey): WitnessLine {
  return { witness: key.issuer, signature: key.sign(witnessMessage(checkpointHash(sha256, statement))) };
}
function checkpointOf(tree: TestTree, by: readonly TestKey[], key = log, logId = log.issuer): Envelope {
  const statement: CheckpointStatement = {
    logId,
    seq: 1,
    prev: null,
    root: tree.root(),
    size: tree.size,
    issuedAt: "2026-01-01T00:00:05Z",
  };
  const lines = by.map((witness) => cosign(statement, witness));
  return seal(key, 1, writeCheckpointFact({ statement, witnesses: lines, note: null }, "cp_1", "aegis"));
}

function world(fact: JsonObject = { schema: "aegis.spine.fact.incident.v1", text: "grüße \u{1f600}" }) {
  const tree = TestTree.numbered(11);
  const envelope = seal(issuer, 1, fact);
  const index = tree.size;
  tree.append(fromHex(envelope.hash.slice(2)));
  for (let i = 0; i < 9; i++) tree.append(sha256(Uint8Array.of(i)));
  const checkpoint = checkpointOf(tree, witnesses.slice(0, 2));
  const proof: PortableProof = {
    envelope,
    index,
    size: tree.size,
    checkpointSeq: 1,
    path: tree.inclusion(index),
    checkpoint,
    lateWitnesses: [],
    unjudged: {},
  };
  return { tree, proof };
}

function trust(changes: JsonObject = {}): PortableTrust {
  const bundle = {
    allowed_log_ids: [log.issuer],
    allowed_witness_node_ids: witnesses.map((witness) => witness.issuer),
    witness_quorum: 2,
    ...changes,
  };
  return { bundle: parseTrustBundle(canonicalText(bundle)) };
}

async function check(proof: PortableProof, by = trust()): Promise<PortableVerdict> {
  const carried = parsePortableProof(sha256Hex, formatPortableProof(proof));
  return verifyPortableProof(sha256, hasher, carried, by, verifier);
}
async function fails(code: ErrorCode, proof: PortableProof, by = trust()): Promise<void> {
  await assert.rejects(check(proof, by), (error) => {
    assert.ok(error instanceof SpineError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

describe("portable proof", () => {
  const { tree, proof } = world();

  it("says what it proves, by whom, and what it does not", async () => {
    const verdict = await check({ ...proof, unjudged: { eas_timestamp: { chain_id: 1 } } });
    assert.equal(verdict.envelopeHash, proof.envelope.hash);
    assert.equal(verdict.issuer, issuer.issuer);
    assert.deepEqual(verdict.witnesses, [witnesses[0].issuer, witnesses[1].issuer]);
    assert.equal(verdict.tier, null);
    assert.deepEqual(verdict.proven, [
      "envelope_signed",
      "included",
      "checkpoint_signed",
      "log_allowed",
      "witness_quorum",
      "witnesses_allowed",
    ]);
    assert.deepEqual(verdict.notProven, ["issuer_allowed", "issuer_attested", "tier", "not_revoked", "eas_timestamp"]);
  });

  it("does not call proven what an empty list lets through", async () => {
    const verdict = await check(proof, { bundle: parseTrustBundle("{}") });
    assert.deepEqual(verdict.proven, ["envelope_signed", "included", "checkpoint_signed", "witness_quorum"]);
    for (const claim of ["log_allowed", "witnesses_allowed"] as const) assert.ok(verdict.notProven.includes(claim));
    assert.equal(verdict.ignoredLines, 0);
  });

  it("gives the same verdict with pure JavaScript signatures", async () => {
    const native = await check(proof);
    assert.deepEqual(await verifyPortableProof(sha256, hasher, proof, trust(), nobleVerifier), native);
  });

  it("reads back what it writes", () => {
    const text = formatPortableProof({ ...proof, lateWitnesses: [cosign(statementOf(proof), witnesses[2])] });
    assert.equal(formatPortableProof(parsePortableProof(sha256Hex, text)), text);
    assert.equal(formatPortableProof(parsePortableProof(sha256Hex, JSON.stringify(JSON.parse(text), null, 2))), text);
  });

  it("counts late, distinct and allowed witnesses only", async () => {
    const three = trust({ witness_quorum: 3 });
    await fails("quorum_missing", proof, three);
    const late = cosign(statementOf(proof), witnesses[2]);
    assert.equal((await check({ ...proof, lateWitnesses: [late] }, three)).witnesses.length, 3);
    const [first, second] = [cosign(statementOf(proof), witnesses[0]), cosign(statementOf(proof), witnesses[1])];
    await fails("quorum_missing", { ...proof, lateWitnesses: [first, second, first] }, three);
    await fails(
      "quorum_missing",
      { ...proof, lateWitnesses: [cosign(statementOf(proof), namedKey("stranger"))] },
      three,
    );
    await fails("quorum_missing", { ...proof, lateWitnesses: [{ ...late, signature: first.signature }] }, three);
    const own = trust({
      witness_quorum: 3,
      allowed_witness_node_ids: [log.issuer, witnesses[0].issuer, witnesses[1].issuer],
    });
    await fails("quorum_missing", { ...proof, lateWitnesses: [cosign(statementOf(proof), log)] }, own);
  });

  it("refuses truncated, altered, re-ordered and cross-log proofs with the right code", async () => {
    const flip = (bytes: Uint8Array): Uint8Array => bytes.with(5, (bytes[5] as number) ^ 1);
    const other = TestTree.numbered(21, "other");
    const { envelope, checkpoint, path, index, size } = proof;
    const thief = namedKey("thief");
    const incident: JsonObject = { schema: "aegis.spine.fact.incident.v1" };
    const cases: [ErrorCode, string, PortableProof][] = [
      ["proof_shape", "path without its first hash", { ...proof, path: path.slice(1) }],
      ["proof_shape", "path without its last hash", { ...proof, path: path.slice(0, -1) }],
      ["proof_shape", "empty path", { ...proof, path: [] }],
      ["proof_shape", "path too long", { ...proof, path: [...path, path[0] as Uint8Array] }],
      ["proof_mismatch", "path reversed", { ...proof, path: path.toReversed() }],
      ["proof_mismatch", "path hash altered", { ...proof, path: path.with(1, flip(path[1] as Uint8Array)) }],
      ["proof_mismatch", "index one lower", { ...proof, index: index - 1 }],
      ["proof_mismatch", "index of another leaf with a path of that length", { ...proof, index: 0 }],
      ["proof_index", "index beyond the tree", { ...proof, index: size }],
      ["proof_index", "index far beyond the tree", { ...proof, index: Number.MAX_SAFE_INTEGER }],
      ["portable_proof", "another size", { ...proof, size: size + 1 }],
      ["portable_proof", "size 0", { ...proof, size: 0 }],
      ["portable_proof", "another checkpoint", { ...proof, checkpointSeq: 2 }],
      [
        "signature_invalid",
        "envelope signature altered",
        { ...proof, envelope: { ...envelope, signature: flip(envelope.signature) } },
      ],
      [
        "signature_invalid",
        "envelope signature of the checkpoint",
        { ...proof, envelope: { ...envelope, signature: checkpoint.signature } },
      ],
      [
        "signature_invalid",
        "checkpoint signature altered",
        { ...proof, checkpoint: { ...checkpoint, signature: flip(checkpoint.signature) } },
      ],
      ["hash_mismatch", "envelope hash of another", { ...proof, envelope: { ...envelope, hash: checkpoint.hash } }],
      ["hash_mismatch", "checkpoint hash of another", { ...proof, checkpoint: { ...checkpoint, hash: envelope.hash } }],
      [
        "proof_mismatch",
        "another envelope of the issuer",
        { ...proof, envelope: seal(issuer, 2, incident, envelope.hash) },
      ],
      ["proof_mismatch", "the same fact by another issuer", { ...proof, envelope: seal(thief, 1, incident) }],
      ["proof_mismatch", "the path of another leaf", { ...proof, path: tree.inclusion(index + 1) }],
      [
        "proof_mismatch",
        "a checkpoint of another tree of that size",
        { ...proof, checkpoint: checkpointOf(other, witnesses) },
      ],
      [
        "log_not_allowed",
        "another log's checkpoint",
        { ...proof, checkpoint: checkpointOf(tree, witnesses, thief, thief.issuer) },
      ],
      [
        "portable_proof",
        "a checkpoint signed by a stranger in the log's name",
        { ...proof, checkpoint: checkpointOf(tree, witnesses, thief) },
      ],
      ["checkpoint_field", "no checkpoint at all", { ...proof, checkpoint: envelope }],
      ["quorum_missing", "no witness", { ...proof, checkpoint: checkpointOf(tree, []) }],
      ["quorum_missing", "one witness", { ...proof, checkpoint: checkpointOf(tree, witnesses.slice(0, 1)) }],
      [
        "quorum_missing",
        "one witness twice",
        { ...proof, checkpoint: checkpointOf(tree, [witnesses[0], witnesses[0]]) },
      ],
      ["quorum_missing", "strange witnesses", { ...proof, checkpoint: checkpointOf(tree, [thief, namedKey("x")]) }],
    ];
    for (const [code, why, altered] of cases) {
      await fails(code, altered).catch((error: Error) => assert.fail(`${why}: ${error.message}`));
    }
    const text = formatPortableProof(proof);
    const textual: [ErrorCode, string][] = [
      ["portable_proof", text.replace("portable-proof-v1", "portable-proof-v2")],
      ["portable_proof", text.replace('"log_index":11', '"log_index":-1')],
      ["portable_proof", text.replace('"log_index":11', '"log_index":"11"')],
      ["portable_proof", text.replace('"audit_path":["0x', '"audit_path":["')],
      ["portable_proof", text.replace('"inclusion_proof"', '"inclusion"')],
      ["portable_proof", text.replace('{"attestation', '{"a":1,"attestation')],
      ["json_syntax", text.slice(0, -1)],
      ["json_duplicate_key", text.replace("{", '{"schema":"x",')],
      ["hash_mismatch", text.replace("grüße", "gruesse")],
      ["portable_proof", "[]"],
    ];
    for (const [code, altered] of textual) {
      assert.notEqual(altered, text);
      assert.throws(() => parsePortableProof(sha256Hex, altered), { code });
    }
    assert.ok(cases.length + textual.length >= 30);
  });

  it("enforces allowed issuers and attestation", async () => {
    await fails("issuer_not_admitted", proof, trust({ allowed_envelope_issuers: [log.issuer] }));
    const named = await check(proof, trust({ allowed_envelope_issuers: [issuer.issuer] }));
    assert.ok(named.proven.includes("issuer_allowed"));
    const attested = trust({ require_attested_issuers: true, allowed_receipt_signer_node_ids: [log.issuer] });
    await fails("issuer_not_admitted", proof, attested);
    const verdict = await check(proof, { ...attested, attestedIssuers: new Set([issuer.issuer]) });
    assert.ok(verdict.proven.includes("issuer_attested"));
    await fails("log_not_allowed", proof, trust({ allowed_log_ids: [issuer.issuer] }));
  });

  it("never believes a claimed tier", async () => {
    const policy = `0x${"ab".repeat(32)}`;
    const claiming = (tier: string) =>
      world({ schema: "aegis.spine.fact.guard_receipt.v1", tier, policy_hash: policy }).proof;
    assert.deepEqual((await check(claiming("linux_kernel_attested"))).tier, {
      claimed: "linux_kernel_attested",
      achieved: "best_effort",
    });
    const signers = trust({ allowed_receipt_signer_node_ids: [issuer.issuer] });
    const known = { ...signers, policyHashes: new Set([policy]) };
    const shown = await check(claiming("daemon_enforced"), known);
    assert.equal(shown.tier?.achieved, "daemon_enforced");
    assert.ok(shown.proven.includes("tier"));
    assert.equal((await check(claiming("daemon_enforced"), signers)).tier?.achieved, "best_effort");
    const demanding = trust({ required_receipt_enforcement_tiers: ["daemon_enforced"] });
    await fails("tier_not_proven", claiming("daemon_enforced"), demanding);
    await fails(
      "issuer_not_admitted",
      claiming("best_effort"),
      trust({ allowed_receipt_signer_node_ids: [log.issuer] }),
    );
  });

  it("fails whichever byte is changed, with a coded error", async () => {
    const text = formatPortableProof(proof);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: text.length - 1 }), fc.constantFrom(...'0a{}",:\u0000'), async (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        try {
          const verdict = await verifyPortableProof(
            sha256,
            hasher,
            parsePortableProof(sha256Hex, changed),
            trust(),
            verifier,
          );
          // Only a spelling that means the same may pass, such as another case of signature hex.
          assert.deepEqual(verdict, await check(proof));
        } catch (error) {
          assert.ok(error instanceof SpineError && error.code !== "internal", String(error));
        }
      }),
      { numRuns: 300 },
    );
  });
});

function statementOf(proof: PortableProof): CheckpointStatement {
  return readCheckpointFact(factOf(proof.checkpoint)).statement;
}
