/** Quorum policies, and offline proofs under them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  cosignatureMessage,
  formatNote,
  formatNoteKey,
  formatTlogProof,
  formatTreeHead,
  isQuorum,
  joinCosignature,
  type NoteKey,
  NoteKeyType,
  type NoteSignature,
  noteKey,
  parseNote,
  parseQuorumPolicy,
  parseTlogProof,
  type QuorumPolicy,
  SpineError,
  utf8,
  verifyCosigned,
  verifyTlogProof,
} from "../../spine/index.ts";
import { hasher, namedKey, sha256, verifier } from "../helpers/crypto.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { TestTree } from "../helpers/tree.ts";

function vkey(name: string, type: NoteKeyType = NoteKeyType.cosignature): string {
  return formatNoteKey(noteKey(sha256, name, type, namedKey(name).publicKey));
}

const LOG = `log ${vkey("log.example", NoteKeyType.ed25519)} https://log.example/`;
const WITNESSES = ["a", "b", "c", "d"].map((name) => `witness ${name} ${vkey(name)}`).join("\n");

function policy(...lines: string[]): QuorumPolicy {
  return parseQuorumPolicy(sha256, [LOG, WITNESSES, ...lines].join("\n"));
}

describe("quorum policy", () => {
  it("evaluates witnesses, groups and groups of groups", () => {
    const cases: [string[], string[], boolean][] = [
      [["quorum none"], [], true],
      [["quorum a"], ["a"], true],
      [["quorum a"], ["b", "c", "d"], false],
      [["group g any a b", "quorum g"], ["b"], true],
      [["group g all a b", "quorum g"], ["b"], false],
      [["group g 2 a b c", "quorum g"], ["a", "c"], true],
      [["group g 2 a b c", "quorum g"], ["a", "d"], false],
      [["group x all a b", "group y any c d", "group z all x y", "quorum z"], ["a", "b", "d"], true],
      [["group x all a b", "group y any c d", "group z all x y", "quorum z"], ["a", "c", "d"], false],
      [["group x 1 a", " # comment", "#", "", "\tquorum  x "], ["a", "stranger"], true],
      [["quorum a"], ["stranger"], false],
    ];
    for (const [lines, signed, expected] of cases) {
      assert.equal(isQuorum(policy(...lines), new Set(signed)), expected, lines.join("; "));
    }
  });

  it("refuses policies that could be misread", () => {
    const bad: [string, string[]][] = [
      ["no quorum", []],
      ["two quorums", ["quorum a", "quorum b"]],
      ["unknown quorum", ["quorum e"]],
      ["quorum before its group", ["quorum g", "group g any a"]],
      ["forward reference", ["group g any h", "group h any a", "quorum g"]],
      ["member of itself", ["group g any g", "quorum g"]],
      ["member twice", ["group g 2 a a", "quorum g"]],
      ["member of two groups", ["group g any a", "group h any a", "quorum g"]],
      ["threshold 0", ["group g 0 a", "quorum g"]],
      ["threshold above members", ["group g 2 a", "quorum g"]],
      ["threshold with zeros", ["group g 01 a", "quorum g"]],
      ["no members", ["group g any", "quorum g"]],
      ["name taken", [`witness a ${vkey("e")}`, "quorum a"]],
      ["name none", ["group none any a", "quorum none"]],
      ["one key, two witnesses", [`witness e ${vkey("a")}`, "quorum a"]],
      ["log key as witness", [`witness e ${vkey("e", NoteKeyType.ed25519)}`, "quorum a"]],
      ["witness key as log", [`log ${vkey("e")}`, "quorum a"]],
      ["unknown keyword", ["require a", "quorum a"]],
      ["comment behind a line", ["quorum a # b"]],
      ["carriage return", ["quorum a\r"]],
      ["fields left over", ["quorum a b"]],
      ["too long", ["#".repeat(70_000), "quorum a"]],
      ["too long in UTF-8", [`#${"\u00e9".repeat(40_000)}`, "quorum a"]],
      ["log without key", ["log", "quorum a"]],
      ["log with too much", [`log ${vkey("l", NoteKeyType.ed25519)} url more`, "quorum a"]],
      ["witness without key", ["witness e", "quorum a"]],
      ["witness without name", ["witness", "quorum a"]],
      ["witness with too much", [`witness e ${vkey("e")} url more`, "quorum a"]],
      ["group without rule", ["group g", "quorum a"]],
      ["group without name", ["group", "quorum a"]],
      ["quorum without name", ["quorum"]],
      [
        "257 names",
        [...Array.from({ length: 253 }, (_, i) => `group g${i} any ${i === 0 ? "a" : `g${i - 1}`}`), "quorum a"],
      ],
    ];
    for (const [why, lines] of bad) assert.throws(() => policy(...lines), { code: "quorum_policy" }, why);
    assert.throws(() => policy("log x+00000000+AAAA", "quorum a"), { code: "vkey_invalid" });
    assert.throws(() => policy("quorum a", "wrong"), { code: "quorum_policy", message: /^line 7: / });
  });

  it("takes at least 32 logs, witnesses and groups", () => {
    const lines = Array.from({ length: 40 }, (_, i) => [
      `log ${vkey(`log${i}.example`, NoteKeyType.ed25519)}`,
      `witness w${i} ${vkey(`w${i}`)}`,
      `group g${i} any w${i}${i > 0 ? ` g${i - 1}` : ""}`,
    ]);
    const read = parseQuorumPolicy(sha256, [...lines.flat(), "quorum g39"].join("\n"));
    assert.ok(isQuorum(read, new Set(["w0"])));
    assert.ok(!isQuorum(read, new Set()));
  });

  it("throws only coded errors on arbitrary text", () => {
    const words = ["log", "witness", "group", "quorum", "a", "b", "none", "any", "2", "#", "\n", " ", vkey("a")];
    const texts = fc.array(fc.oneof(fc.constantFrom(...words), fc.string()), { maxLength: 20 });
    fc.assert(
      fc.property(texts, fc.constantFrom(" ", "\n"), (parts, separator) => {
        try {
          parseQuorumPolicy(sha256, parts.join(separator));
        } catch (error) {
          assert.ok(
            error instanceof SpineError && ["quorum_policy", "vkey_invalid"].includes(error.code),
            String(error),
          );
        }
      }),
    );
  });
});

const tree = TestTree.numbered(23);
const text = formatTreeHead({ origin: "log.example", size: 23, root: tree.root(), extensions: [] });

function line(name: string, timestamp?: number): NoteSignature {
  const type = timestamp === undefined ? NoteKeyType.ed25519 : NoteKeyType.cosignature;
  const key: NoteKey = noteKey(sha256, name, type, namedKey(name).publicKey);
  const message = timestamp === undefined ? utf8(text) : cosignatureMessage(timestamp, text);
  const signed = namedKey(name).sign(message);
  return { name, keyId: key.keyId, signature: timestamp === undefined ? signed : joinCosignature(timestamp, signed) };
}

describe("co-signed checkpoints", () => {
  const two = policy("group g 2 a b c", "quorum g");
  const check = (signatures: NoteSignature[]): Promise<unknown> => verifyCosigned(two, { text, signatures }, verifier);

  it("needs the log and a quorum of distinct witnesses", async () => {
    const good = await verifyCosigned(
      two,
      { text, signatures: [line("log.example"), line("a", 9), line("c", 5)] },
      verifier,
    );
    assert.deepEqual(good.witnesses, ["a", "c"]);
    assert.equal(good.oldestTimestamp, 5);
    await assert.rejects(check([line("log.example"), line("a", 1), line("a", 2)]), { code: "quorum_missing" });
    await assert.rejects(check([line("log.example"), line("a", 1), line("d", 2)]), { code: "quorum_missing" });
    await assert.rejects(check([line("a", 1), line("b", 2)]), { code: "note_unsigned" });
    await assert.rejects(check([line("stranger")]), { code: "note_unsigned" });
    const wrong = { ...line("b", 2), signature: line("b", 3).signature.with(9, 1) };
    await assert.rejects(check([line("log.example"), line("a", 1), line("c", 1), wrong]), { code: "note_signature" });
  });

  it("refuses other origins, even under a listed key", async () => {
    const other = text.replace("log.example", "other.example");
    const key = noteKey(sha256, "log.example", NoteKeyType.ed25519, namedKey("log.example").publicKey);
    const signed = { name: key.name, keyId: key.keyId, signature: namedKey("log.example").sign(utf8(other)) };
    await assert.rejects(verifyCosigned(two, { text: other, signatures: [signed] }, verifier), {
      code: "log_not_allowed",
    });
  });
});

interface DerivedFile {
  tlogProof: { leaf: string; index: number; size: number; logVkey: string; witnessVkey: string; text: string };
}

describeShared("tlog-proof vectors", ["vectors/tlog/derived.json"], () => {
  const { tlogProof } = sharedJson<DerivedFile>("vectors/tlog/derived.json");
  const trusted = parseQuorumPolicy(sha256, `log ${tlogProof.logVkey}\nwitness w ${tlogProof.witnessVkey}\nquorum w\n`);
  it("verifies the derived proof and writes it back", async () => {
    const proof = parseTlogProof(tlogProof.text);
    assert.equal(formatTlogProof(proof), tlogProof.text);
    const result = await verifyTlogProof(hasher, proof, hasher.leaf(utf8(tlogProof.leaf)), trusted, verifier);
    assert.equal(proof.index, tlogProof.index);
    assert.equal(result.head.size, tlogProof.size);
    assert.deepEqual(result.witnesses, ["w"]);
    await assert.rejects(verifyTlogProof(hasher, proof, hasher.leaf(utf8("other")), trusted, verifier), {
      code: "proof_mismatch",
    });
  });
});

describe("tlog-proof", () => {
  const checkpoint = formatNote({ text, signatures: [line("log.example"), line("a", 7)] });
  const one = policy("quorum a");
  const proof = { extra: null, index: 11, path: tree.inclusion(11), checkpoint };

  it("proves every leaf and fails when anything is changed", async () => {
    for (let index = 0; index < tree.size; index++) {
      const read = parseTlogProof(formatTlogProof({ ...proof, index, path: tree.inclusion(index) }));
      await verifyTlogProof(hasher, read, tree.read(0, index), one, verifier);
    }
    const good = formatTlogProof(proof);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: good.length - 1 }),
        fc.constantFrom(..."0Az+/=\n \u2014"),
        async (at, character) => {
          if (good[at] === character) return;
          const changed = good.slice(0, at) + character + good.slice(at + 1);
          await assert.rejects(
            async () => verifyTlogProof(hasher, parseTlogProof(changed), tree.read(0, 11), one, verifier),
            (error) => error instanceof SpineError && error.code !== "internal",
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it("refuses other spellings", () => {
    const good = formatTlogProof(proof);
    const bad = ["", good.replace("@v1", "@v2"), good.replace("index 11", "index 011"), good.replace("index 11\n", "")];
    bad.push(
      good.replace("index", "extra !\nindex"),
      good.replace("\n\n", "\n"),
      good.replace("index 11", "index 11 "),
    );
    bad.push(good.replace("index 11\n", `index 11\n${`${"A".repeat(43)}=\n`.repeat(64)}`), `\n${good}`);
    for (const text of bad) {
      assert.throws(
        () => parseTlogProof(text),
        (error) => error instanceof SpineError && /syntax$/.test(error.code),
        text,
      );
    }
    const withExtra = { ...proof, extra: Uint8Array.of(1, 2, 3) };
    assert.deepEqual(parseTlogProof(formatTlogProof(withExtra)), withExtra);
    assert.equal(parseNote(parseTlogProof(good).checkpoint).text, text);
  });
});
