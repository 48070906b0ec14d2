/** Signed notes, verifier keys, tree heads, co-signatures: shared vectors, edges, random bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checkOrigin,
  cosignatureMessage,
  formatNote,
  formatNoteKey,
  formatSignatureLine,
  formatTreeHead,
  fromBase64,
  fromHex,
  HELLO_TAG,
  joinCosignature,
  type NoteKey,
  NoteKeyType,
  noteKey,
  parseNote,
  parseNoteBytes,
  parseNoteKey,
  parseTreeHead,
  SpineError,
  splitCosignature,
  toBase64,
  utf8,
  verifyNote,
  WITNESS_REQUEST_TAG,
  WITNESS_TAG,
} from "../../spine/index.ts";
import { namedKey, sha256, testKey, verifier } from "../helpers/crypto.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";

interface NoteCase {
  name: string;
  vkey: string;
  note: string;
  valid: boolean;
}
interface NoteFile {
  note: NoteCase[];
  cosign: NoteCase[];
  badVkeys: { vkey: string; why: string }[];
  cosignParseOnly: { note: string }[];
}
interface DerivedFile {
  witnessVkey: string;
  witnessSeedHex: string;
  cosignedCheckpoint: { timestamp: number; line: string; note: string; logVkey: string };
  mutations: { why: string; note: string }[];
}

async function verdict(note: string, vkeys: readonly string[]): Promise<string> {
  try {
    const keys = vkeys.map((vkey) => parseNoteKey(sha256, vkey));
    await verifyNote(parseNote(note), keys, verifier);
    return "valid";
  } catch (error) {
    assert.ok(error instanceof SpineError, String(error));
    return error.code;
  }
}

describeShared("note vectors", ["vectors/tlog/vectors.json", "vectors/tlog/derived.json"], () => {
  const file = sharedJson<NoteFile>("vectors/tlog/vectors.json");
  const derived = sharedJson<DerivedFile>("vectors/tlog/derived.json");

  it(`verifies ${file.note.length + file.cosign.length} notes and writes them back`, async () => {
    for (const c of [...file.note, ...file.cosign]) {
      assert.equal((await verdict(c.note, [c.vkey])) === "valid", c.valid, c.name);
      assert.equal(formatNote(parseNote(c.note)), c.note);
      assert.equal(formatNoteKey(parseNoteKey(sha256, c.vkey)), c.vkey);
      const other = formatNoteKey(noteKey(sha256, "other.example", NoteKeyType.ed25519, namedKey("other").publicKey));
      assert.equal(await verdict(c.note, [other]), "note_unsigned");
    }
  });
  it("reads and writes back the tree heads", () => {
    let heads = 0;
    for (const { name, note } of file.note) {
      if (!name.startsWith("tessera")) continue;
      const { text } = parseNote(note);
      const head = parseTreeHead(text);
      assert.equal(formatTreeHead(head), text);
      assert.equal(head.size, Number(name.slice(name.lastIndexOf("-") + 1)));
      heads += 1;
    }
    assert.equal(heads, 16);
  });
  it(`refuses ${file.badVkeys.length} bad verifier keys`, () => {
    for (const { vkey, why } of file.badVkeys) {
      assert.throws(() => parseNoteKey(sha256, vkey), { code: "vkey_invalid" }, why);
    }
  });
  it("reads co-signatures of unknown keys", () => {
    for (const { note } of file.cosignParseOnly) {
      const times = parseNote(note).signatures.map((line) => splitCosignature(line.signature)?.timestamp);
      assert.ok(times.includes(1_679_315_147));
    }
  });
  it("makes the derived co-signature byte for byte", async () => {
    const { cosignedCheckpoint, witnessVkey, witnessSeedHex } = derived;
    const witness = testKey(fromHex(witnessSeedHex));
    const key = noteKey(sha256, "example.com/witness", NoteKeyType.cosignature, witness.publicKey);
    assert.equal(formatNoteKey(key), witnessVkey);
    const { text } = parseNote(cosignedCheckpoint.note);
    const { timestamp, line, logVkey } = cosignedCheckpoint;
    const signature = joinCosignature(timestamp, witness.sign(cosignatureMessage(timestamp, text)));
    assert.equal(formatSignatureLine({ name: key.name, keyId: key.keyId, signature }), line);
    const verified = await verifyNote(
      parseNote(cosignedCheckpoint.note),
      [parseNoteKey(sha256, logVkey), key],
      verifier,
    );
    assert.deepEqual(
      verified.map((v) => v.timestamp),
      [null, timestamp],
    );
  });
  it(`refuses ${derived.mutations.length} mutations`, async () => {
    const vkeys = [derived.cosignedCheckpoint.logVkey, derived.witnessVkey];
    for (const { why, note } of derived.mutations) {
      const code = await verdict(note, vkeys);
      assert.ok(code === "note_signature" || code === "note_syntax", `${why}: ${code}`);
    }
  });
});

describe("notes", () => {
  const log = namedKey("log");
  const key: NoteKey = noteKey(sha256, "log.example/a", NoteKeyType.ed25519, log.publicKey);
  const vkey = formatNoteKey(key);
  const text = "log.example/a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
  const sign = (of: string): string =>
    formatNote({ text: of, signatures: [{ name: key.name, keyId: key.keyId, signature: log.sign(utf8(of)) }] });

  it("splits at the last empty line", async () => {
    const note = sign("a\n\nb\n\n\n");
    assert.equal(parseNote(note).text, "a\n\nb\n\n\n");
    assert.equal(await verdict(note, [vkey]), "valid");
  });

  it("refuses malformed notes", () => {
    const good = sign(text);
    const [line] = good.split("\n").slice(-2) as [string];
    const cases: [string, string][] = [
      ["no final line feed", good.slice(0, -1)],
      ["no empty line", good.replace("\n\n", "\n")],
      ["no signature", `${text}\n`],
      ["carriage return", good.replace("\n", "\r\n")],
      ["tab", good.replace("log", "\tlog")],
      ["NUL", good.replace("log", "\0log")],
      ["lone surrogate", good.replace("log", "\ud800")],
      ["hyphen for dash", good.replace("\u2014", "-")],
      ["two spaces", good.replace("\u2014 ", "\u2014  ")],
      ["plus in name", good.replace("\u2014 log", "\u2014 l+g")],
      ["no-break space in name", good.replace("\u2014 log", "\u2014 l\u00a0g")],
      ["base64 without padding", good.replace("=\n\n", "=\n\n").replace(/=+\n$/, "\n")],
      ["text after base64", good.replace(/\n$/, " x\n")],
      ["key id alone", `${text}\n\u2014 a AAAAAA==\n`],
      ["empty line among signatures", `${good}\n${line}`],
      ["101 lines", `${text}\n${`${line}\n`.repeat(101)}`],
      ["too large in UTF-8", `${"\u00e9".repeat(140_000)}\n\n${line}\n`],
      ["an empty line alone at the end", `${text}\n${line}`],
      ["too large", `${"a".repeat(262_144)}\n\n${line}\n`],
      ["empty", ""],
    ];
    for (const [why, note] of cases) assert.throws(() => parseNote(note), { code: "note_syntax" }, why);
    assert.throws(() => parseNoteBytes(Uint8Array.of(0xff, 10, 10)), { code: "note_syntax" });
    assert.equal(parseNote(`${text}\n${`${line}\n`.repeat(100)}`).signatures.length, 100);
    const room = 262_144 - utf8(`\n\n${line}\n`).length;
    assert.equal(parseNoteBytes(utf8(`${"a".repeat(room)}\n\n${line}\n`)).text.length, room + 1);
  });

  it("ignores unknown keys, even of the same name, and rejects a known key's wrong signature", async () => {
    const namesake = noteKey(sha256, key.name, NoteKeyType.ed25519, namedKey("namesake").publicKey);
    const note = parseNote(sign(text));
    const forged = { name: key.name, keyId: key.keyId, signature: new Uint8Array(64).fill(7) };
    const short = { ...forged, signature: new Uint8Array(63) };
    const strange = { name: namesake.name, keyId: namesake.keyId, signature: Uint8Array.of(1) };
    const both = { text, signatures: [...note.signatures, strange] };
    assert.equal(await verdict(formatNote(both), [vkey]), "valid");
    for (const bad of [forged, short]) {
      assert.equal(
        await verdict(formatNote({ text, signatures: [...note.signatures, bad] }), [vkey]),
        "note_signature",
      );
    }
    assert.equal(await verdict(sign(text), [formatNoteKey(namesake)]), "note_unsigned");
  });

  it("keeps the two key types apart", async () => {
    const cosigner = noteKey(sha256, key.name, NoteKeyType.cosignature, log.publicKey);
    assert.notDeepEqual(cosigner.keyId, key.keyId);
    const line = { name: cosigner.name, keyId: cosigner.keyId, signature: log.sign(utf8(text)) };
    assert.equal(await verdict(formatNote({ text, signatures: [line] }), [formatNoteKey(cosigner)]), "note_signature");
  });

  it("refuses malformed tree heads", () => {
    const root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const bad = [
      "",
      "\n",
      `o\n1\n${root}`,
      `\n1\n${root}\n`,
      `o\n01\n${root}\n`,
      `o\n+1\n${root}\n`,
      `o\n-1\n${root}\n`,
    ];
    bad.push(
      `o\n9007199254740992\n${root}\n`,
      `o\n1\n${root.slice(0, -4)}\n`,
      `o\n1\n${root}\n\n`,
      `o\n1e3\n${root}\n`,
    );
    bad.push(`o\n1\n${root.replace("U=", "V=")}\n`);
    for (const text of bad)
      assert.throws(() => parseTreeHead(text), { code: "tree_head_invalid" }, JSON.stringify(text));
    assert.deepEqual(parseTreeHead(`o\n0\n${root}\nx\n`).extensions, ["x"]);
  });

  it("refuses malformed verifier keys and names", () => {
    const other = (index: number, part: string): string => vkey.split("+").with(index, part).join("+");
    const bad = ["", "+", `${vkey}=`, vkey.toUpperCase(), other(0, ""), other(0, "a b"), other(1, "00000000")];
    bad.push(other(1, "0"), other(2, ""), other(2, "AQ=="), vkey.slice(0, -4));
    for (const text of bad) assert.throws(() => parseNoteKey(sha256, text), { code: "vkey_invalid" }, text);
    assert.equal(noteKey(sha256, "x".repeat(255), NoteKeyType.ed25519, log.publicKey).name.length, 255);
    for (const name of ["", "a b", "a+b", "a\u2003b", "a\u0085b", "x".repeat(256)]) {
      assert.throws(() => noteKey(sha256, name, NoteKeyType.ed25519, log.publicKey), { code: "vkey_invalid" }, name);
    }
    assert.throws(() => noteKey(sha256, "a", NoteKeyType.ed25519, new Uint8Array(31)), { code: "vkey_invalid" });
  });

  it("keeps our own origins apart from everything else that is signed", () => {
    for (const origin of ["log.example.org", "log.example.org/node-42", "localhost:8080/a/b"]) checkOrigin(origin);
    const bad = [
      "",
      "{}",
      "a b",
      "A.example",
      "a/",
      "a//b",
      "https://a.example",
      "a\nb",
      `a.example/${"x".repeat(255)}`,
    ];
    for (const origin of [...bad, "cosignature/v1\n", HELLO_TAG, WITNESS_TAG, WITNESS_REQUEST_TAG]) {
      assert.throws(() => checkOrigin(origin), { code: "tree_head_invalid" }, origin);
    }
  });

  it("refuses co-signatures with impossible times", () => {
    assert.equal(splitCosignature(new Uint8Array(71)), undefined);
    assert.equal(splitCosignature(new Uint8Array(72).fill(255)), undefined);
    const time = Number.MAX_SAFE_INTEGER;
    assert.equal(splitCosignature(joinCosignature(time, new Uint8Array(64)))?.timestamp, time);
    assert.throws(() => cosignatureMessage(-1, text), { code: "internal" });
  });

  it("throws only coded errors on arbitrary text", () => {
    const pieces = fc.constantFrom("\n", "\n\n", "\u2014 ", "log.example/a", " ", "AAAAAAA=", "1", "=", "+", "\u0000");
    const texts = fc.array(fc.oneof(pieces, fc.string({ unit: "binary" })), { maxLength: 12 }).map((p) => p.join(""));
    const readers = [
      parseNote,
      parseTreeHead,
      (t: string) => parseNoteKey(sha256, t),
      (t: string) => parseNoteBytes(utf8(t)),
    ];
    fc.assert(
      fc.property(texts, (t) => {
        for (const read of readers) {
          try {
            read(t);
          } catch (error) {
            assert.ok(error instanceof SpineError && error.code !== "internal", String(error));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("base64", () => {
  it("agrees with the platform and has one spelling for each value", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
        assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
      }),
    );
    const strange = fc.array(fc.constantFrom(..."AB+/=Q-_ \n"), { maxLength: 9 }).map((c) => c.join(""));
    fc.assert(
      fc.property(strange, (text) => {
        const bytes = fromBase64(text);
        if (bytes !== undefined) assert.equal(toBase64(bytes), text);
      }),
      { numRuns: 1000 },
    );
    for (const text of ["A", "AA", "AAA", "A===", "====", "AB==", "AAB=", "AA=A", "AAAA\n", "AA==AAAA"]) {
      assert.equal(fromBase64(text), undefined, text);
    }
  });
});
