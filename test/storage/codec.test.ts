/** Keys and values on disk: golden bytes of format 1, round trips, and nothing but coded errors on damage. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Admission,
  concatBytes,
  fromHex,
  type IssuerRecord,
  SpineError,
  toHex,
  writeRecord,
} from "../../spine/index.ts";
import { cutBlocks, decodeBlock, decodeStates, encodeBlock } from "../../storage/block.ts";
import { maskedCrc32c } from "../../storage/crc32c.ts";
import { journalDamage } from "../../storage/journal.ts";
import {
  blockKey,
  leafKey,
  locationKey,
  Meta,
  metaKey,
  numberKey,
  Prefix,
  quarantineKey,
  readBlockKey,
  readLeafKey,
  readNumberKey,
} from "../../storage/keys.ts";
import { seal, unseal } from "../../storage/seal.ts";
import { tableState, unsnap } from "../../storage/tables.ts";
import * as values from "../../storage/values.ts";

const key = fromHex("0300000007");
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => `0x${toHex(bytes)}`);
const seq = fc.maxSafeNat();
const record: fc.Arbitrary<IssuerRecord> = fc.record(
  {
    issuer: fc.constant("i"),
    admission: fc.constantFrom<Admission>("denied", "allowed", "proved", "attested", "own"),
    ranges: fc.array(
      fc
        .tuple(seq, seq, hash, fc.option(hash))
        .map(([a, b, last, prev]) => ({ from: Math.min(a, b), to: Math.max(a, b), prev, last })),
      { maxLength: 5 },
    ),
    prunedBelow: seq,
    frozenAt: fc.option(fc.nat()),
  },
  { noNullPrototype: true },
);

function corrupt(action: () => unknown): void {
  assert.throws(action, (error: unknown) => error instanceof SpineError && error.code === "store_corrupt");
}

describe("storage codecs", () => {
  it("write the keys of format 1", () => {
    const hex = (bytes: Uint8Array) => toHex(bytes);
    assert.equal(hex(metaKey(Meta.format)), "0101");
    assert.equal(hex(metaKey(Meta.logSize)), "0102");
    assert.equal(hex(numberKey(Prefix.head, 0x01020304)), "0401020304");
    assert.equal(hex(blockKey(Prefix.block, 2, 2 ** 53 - 1)), "0500000002001fffffffffffff");
    assert.equal(hex(leafKey(Prefix.leaves, 2 ** 40 + 1)), "070000010000000001");
    assert.equal(hex(locationKey(new Uint8Array(32).fill(0xab))), `06${"ab".repeat(32)}`);
    assert.equal(hex(quarantineKey(Uint8Array.of(5, 6))), "0c0506");
  });

  it("write the values of format 1", () => {
    const hashText = `0x${"cd".repeat(32)}`;
    const location = values.locationBuffer();
    values.encodeLocation(key, location, 1, 2 ** 53 - 1, 2 ** 48 - 1);
    const sealed = (bytes: Uint8Array) => toHex(bytes.subarray(0, -4));
    assert.equal(sealed(location), "0100000001001fffffffffffffffffffffffff");
    const pieces = { from: 1, to: 130, prev: null, last: hashText };
    const ada = { issuer: "i", admission: "own", ranges: [pieces], prunedBelow: 0, frozenAt: 9 } as const;
    assert.equal(sealed(values.encodeRecord(key, ada, 0)), `0104000a01018101${"cd".repeat(32)}00`);
    const head = { issuer: "i", seq: 1, hash: hashText, sentAt: 5, signature: new Uint8Array(64).fill(1) };
    assert.equal(sealed(values.encodeHead(key, head)), `0101${"cd".repeat(32)}05${"01".repeat(64)}`);
    assert.equal(toHex(encodeBlock(key, 7, Uint8Array.of(1), Uint8Array.of(9))), "0101000000000007010972a49c00");
  });

  it("read back what they wrote", () => {
    fc.assert(
      fc.property(record, seq, fc.nat(2 ** 32 - 1), fc.nat(2 ** 40), (one, number, no, leaf) => {
        const whole = values.encodeRecord(key, one, 0);
        assert.deepEqual(values.decodeRecord(key, whole, "i"), { record: one, pages: 0 });
        assert.equal(values.decodeNumber(key, values.encodeNumber(key, number)), number);
        const location = values.locationBuffer();
        values.encodeLocation(key, location, no, number, leaf);
        assert.deepEqual(values.decodeLocation(key, location), { issuerNo: no, seq: number, leafIndex: leaf });
        assert.deepEqual(values.decodePointer(key, values.encodePointer(key, no, number)), {
          issuerNo: no,
          firstSeq: number,
        });
        const mark = { below: number, count: leaf };
        assert.deepEqual(values.decodePruneMark(key, values.encodePruneMark(key, mark)), mark);
        assert.deepEqual(readBlockKey(blockKey(Prefix.states, no, number)), { issuerNo: no, firstSeq: number });
        assert.equal(readLeafKey(leafKey(Prefix.leaves, number)), number);
        assert.equal(readNumberKey(numberKey(Prefix.name, no)), no);
      }),
    );
  });

  it("keep keys in the order of their numbers", () => {
    fc.assert(
      fc.property(seq, seq, (a, b) => {
        const order = Buffer.compare(blockKey(Prefix.block, 1, a), blockKey(Prefix.block, 1, b));
        assert.equal(order, Math.sign(a - b));
        assert.equal(Buffer.compare(leafKey(Prefix.leaves, a), leafKey(Prefix.leaves, b)), order);
      }),
    );
  });

  it("notice any flipped bit and a value under another key", () => {
    const value = seal(key, Uint8Array.of(1, 2, 3));
    for (let bit = 0; bit < value.length * 8; bit++) {
      const flipped = value.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      corrupt(() => unseal(key, flipped));
    }
    corrupt(() => unseal(fromHex("0300000008"), value));
  });

  const decoders: Record<string, (value: Uint8Array) => unknown> = {
    number: (value) => values.decodeNumber(key, value),
    name: (value) => values.decodeName(key, value),
    record: (value) => values.decodeRecord(key, value, "i"),
    head: (value) => values.decodeHead(key, value, "i"),
    fork: (value) => values.decodeFork(key, value, "i"),
    location: (value) => values.decodeLocation(key, value),
    mark: (value) => values.decodePruneMark(key, value),
    pointer: (value) => values.decodePointer(key, value),
    leaves: (value) => values.decodeLeaves(key, value),
    block: (value) => decodeBlock(key, value, 1, 1),
    states: (value) => decodeStates(key, value, 3),
    key: (value) => [readBlockKey, readLeafKey, readNumberKey].map((read) => read(value)),
  };
  for (const [name, decode] of Object.entries(decoders)) {
    it(`throw only store_corrupt on any ${name}`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, sound) => {
          try {
            decode(sound ? seal(key, bytes) : bytes);
          } catch (error) {
            assert.ok(error instanceof SpineError && error.code === "store_corrupt", String(error));
          }
        }),
        { numRuns: process.env["SPINE_LONG"] === "1" ? 100_000 : 500 },
      );
    });
  }

  it("cut blocks by count and by bytes", () => {
    const offsets = (sizes: number[]) => {
      let at = 0;
      return Uint32Array.from([0, ...sizes.map((size) => (at += size))]);
    };
    assert.deepEqual(cutBlocks(offsets(Array(130).fill(10))), [64, 128, 130]);
    assert.deepEqual(cutBlocks(offsets([65_000, 65_000, 65_000, 5])), [2, 4]);
    assert.deepEqual(cutBlocks(offsets([70_000, 1])), [1, 2]);
    assert.deepEqual(cutBlocks(offsets([])), []);
    assert.ok(writeRecord(new Uint8Array(1), new Uint8Array(64)).length > 0);
  });
});

describe("LevelDB's own files", () => {
  it("have the checksum of RFC 3720, masked", () => {
    // CRC-32C of 32 zero bytes is 8a9136aa (RFC 3720, B.4).
    const crc = 0x8a9136aa;
    const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
    assert.equal(maskedCrc32c(new Uint8Array(32), 0, 32), masked);
  });

  it("unpack Snappy literals and copies, and refuse the rest", () => {
    // "abcd", then a copy of 8 bytes from 4 back: the copy overlaps itself.
    const packed = Uint8Array.of(12, 3 << 2, 97, 98, 99, 100, ((8 - 4) << 2) | 1, 4);
    assert.equal(Buffer.from(unsnap(packed)).toString(), "abcdabcdabcd");
    for (let cut = 0; cut < packed.length; cut++) assert.throws(() => unsnap(packed.subarray(0, cut)), RangeError);
    assert.throws(() => unsnap(Uint8Array.of(12, 3 << 2, 97, 98, 99, 100, (4 << 2) | 1, 5)), RangeError);
  });

  it("never fail otherwise on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.equal(tableState(bytes), "incomplete");
        const magic = fromHex("57fb808b247547db");
        assert.equal(tableState(concatBytes(bytes, new Uint8Array(40), magic)), "damaged");
        journalDamage(bytes);
        try {
          unsnap(bytes);
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
      }),
      { numRuns: process.env["SPINE_LONG"] === "1" ? 1_000_000 : 1000 },
    );
  });
});
