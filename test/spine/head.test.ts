/** Head announcements: vectors, text and binary forms, refused fields. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ByteReader,
  ByteWriter,
  draftHead,
  formatTime,
  type Head,
  headClaim,
  headSigningBytes,
  headText,
  MAX_TIME_SECONDS,
  nobleSigner,
  nobleVerify,
  openHead,
  parseSeed,
  readHead,
  sealHead,
  toHex,
  utf8Text,
  writeHead,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";

describeShared("head vectors", ["vectors/spine/head_announcements.json"], () => {
  const { cases } = sharedJson<{
    cases: { name: string; message_text: string; valid: boolean; seed_hex?: string; signing_bytes_utf8?: string }[];
  }>("vectors/spine/head_announcements.json");
  for (const c of cases)
    it(c.name, async () => {
      const head = openHead(c.message_text);
      assert.equal(headText(head), c.message_text);
      assert.equal(nobleVerify(headClaim(head)), c.valid);
      if (c.signing_bytes_utf8 !== undefined) assert.equal(utf8Text(headSigningBytes(head)), c.signing_bytes_utf8);
      if (c.seed_hex === undefined) return;
      const draft = draftHead(head);
      assert.deepEqual(sealHead(draft, await nobleSigner(parseSeed(c.seed_hex)).sign(draft.signingBytes)), head);
    });
});

const signer = nobleSigner(parseSeed("08".repeat(32)));
const anyHead: fc.Arbitrary<Head> = fc
  .tuple(
    fc.maxSafeNat(),
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.integer({ min: 0, max: MAX_TIME_SECONDS }),
    fc.uint8Array({ minLength: 64, maxLength: 64 }),
  )
  .map(([seq, hash, sentAt, signature]) => ({
    issuer: signer.issuer,
    seq,
    hash: `0x${toHex(hash)}`,
    sentAt,
    signature,
  }));

describe("heads", () => {
  it("read back from text and from bytes", () => {
    fc.assert(
      fc.property(anyHead, (head) => {
        assert.deepEqual(openHead(headText(head)), head);
        const writer = new ByteWriter();
        writeHead(writer, head);
        const bytes = writer.finish();
        assert.ok(bytes.length <= 144, `${bytes.length} bytes`);
        const reader = new ByteReader(bytes);
        assert.deepEqual(readHead(reader), head);
        reader.end();
        for (let cut = 0; cut < bytes.length; cut += 7)
          assert.equal(
            outcome(() => readHead(new ByteReader(bytes.subarray(0, cut)))),
            "frame_syntax",
          );
      }),
    );
  });
  it("refuse each bad field with its code", () => {
    const good = JSON.parse(
      headText({
        issuer: signer.issuer,
        seq: 1,
        hash: `0x${"00".repeat(32)}`,
        sentAt: 0,
        signature: new Uint8Array(64),
      }),
    ) as Record<string, unknown>;
    assert.equal(
      outcome(() => openHead(JSON.stringify(good, null, 1))),
      "ok",
    );
    const bad: readonly (readonly [Record<string, unknown>, string])[] = [
      [{ extra: 1 }, "head_field"],
      [{ schema: "clawdstrike.spine.head_announcement.v1" }, "head_field"],
      [{ schema: undefined }, "head_field"],
      [{ seq: "1" }, "head_field"],
      [{ seq: -1 }, "head_field"],
      [{ seq: 1.5 }, "head_field"],
      [{ seq: 2 ** 53 }, "head_field"],
      [{ head_hash: undefined }, "head_field"],
      [{ head_hash: "00".repeat(32) }, "head_field"],
      [{ head_hash: `0x${"AA".repeat(32)}` }, "head_field"],
      [{ sent_at: "2026-01-01T00:00:00+00:00" }, "head_field"],
      [{ sent_at: "2026-01-01T00:00:00.0Z" }, "head_field"],
      [{ sent_at: "2026-01-01 00:00:00Z" }, "head_field"],
      [{ sent_at: "2025-12-31T23:59:60Z" }, "head_field"],
      [{ sent_at: "1969-12-31T23:59:59Z" }, "head_field"],
      [{ sent_at: 5 }, "head_field"],
      [{ issuer: signer.issuer.slice(0, 14) + signer.issuer.slice(14).toUpperCase() }, "issuer_syntax"],
      [{ issuer: `aegis:ed25519:01${"00".repeat(31)}` }, "public_key_invalid"],
      [{ signature: "0x00" }, "signature_syntax"],
      [{ signature: 5 }, "head_field"],
    ];
    for (const [change, code] of bad)
      assert.equal(
        outcome(() => openHead(JSON.stringify({ ...good, ...change }))),
        code,
        JSON.stringify(change),
      );
    assert.equal(
      outcome(() => openHead("[]")),
      "head_field",
    );
    assert.equal(
      outcome(() => openHead(" ".repeat(5000))),
      "head_field",
    );
    assert.equal(
      outcome(() => formatTime(0)),
      "ok",
    );
  });
  it("keep nothing of the frame they were read from", () => {
    const writer = new ByteWriter();
    const head = {
      issuer: signer.issuer,
      seq: 1,
      hash: `0x${"00".repeat(32)}`,
      sentAt: 0,
      signature: new Uint8Array(64),
    };
    writeHead(writer, head);
    const frame = Buffer.from(writer.finish());
    const read = readHead(new ByteReader(frame));
    frame.fill(0xff);
    assert.deepEqual(read, head);
  });
  it("refuse bad binary fields", () => {
    const write = (key: Uint8Array, sentAt: number): Uint8Array =>
      new ByteWriter().bytes(key).varint(1).bytes(new Uint8Array(32)).varint(sentAt).bytes(new Uint8Array(64)).finish();
    const key = new Uint8Array(32).fill(9);
    assert.equal(
      outcome(() => readHead(new ByteReader(write(key, MAX_TIME_SECONDS)))),
      "ok",
    );
    assert.equal(
      outcome(() => readHead(new ByteReader(write(key, MAX_TIME_SECONDS + 1)))),
      "head_field",
    );
    assert.equal(
      outcome(() => readHead(new ByteReader(write(new Uint8Array(32), 0)))),
      "public_key_invalid",
    );
  });
});
