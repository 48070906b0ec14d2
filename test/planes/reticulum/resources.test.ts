/** Resource segments, channel envelopes and bzip2 against the vectors, and bzip2 against damage. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  HASHMAP_ENTRIES,
  packAdvertisement,
  packPartRequest,
  unpackAdvertisement,
  unpackPartRequest,
} from "../../../planes/reticulum/stack/advertisement.ts";
import { bunzip2 } from "../../../planes/reticulum/stack/bzip2.ts";
import { sha256 } from "../../../planes/reticulum/stack/crypto.ts";
import {
  packEnvelope,
  packStreamMessage,
  STREAM_TYPE,
  unpackEnvelope,
  unpackStreamMessage,
} from "../../../planes/reticulum/stack/envelope.ts";
import { LINK } from "../../../planes/reticulum/stack/name.ts";
import { buildPacket, CONTEXT, DATA, PROOF } from "../../../planes/reticulum/stack/packet.ts";
import {
  advertise,
  makeSegment,
  metadataBlock,
  openSegment,
  partBytesAt,
  partOf,
  planSegments,
  splitMetadata,
} from "../../../planes/reticulum/stack/segment.ts";
import { Token } from "../../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, SpineError, utf8 } from "../../../spine/index.ts";
import { assertHex, describeVectors, drawn, type VectorFile } from "./vectors.ts";

interface ResourceCase {
  readonly name: string;
  readonly link_key: string;
  readonly link_id: string;
  readonly mtu: number;
  readonly metadata: string | null;
  readonly metadata_block: string | null;
  readonly data: string | null;
  readonly data_rule: string | null;
  readonly data_len: number;
  readonly data_sha256: string;
  readonly prefix_random_4: string;
  readonly iv: string;
  readonly compressed: boolean;
  readonly random_hash: string;
  readonly resource_hash: string;
  readonly original_hash: string;
  readonly expected_proof: string;
  readonly total_size: number;
  readonly total_parts: number;
  readonly hashmap: string;
  readonly advertisement_plaintext: string;
  readonly advertisement_fields: { q: string | null; f: number; i: number; l: number };
  readonly parts?: readonly string[];
  readonly parts_sha256?: string;
  readonly first_part_packet: string;
  readonly first_messages: readonly Readonly<Record<string, string>>[];
}
interface ResourceFile extends VectorFile<ResourceCase> {
  readonly segmentation: readonly {
    data_len: number;
    metadata_block_len: number;
    total_segments: number;
    segments_offset_len: number[][];
  }[];
}

function dataOf(c: ResourceCase): Uint8Array {
  if (c.data !== null) return fromHex(c.data);
  const tag = /'([^']*)<i>'/.exec(c.data_rule ?? "")?.[1];
  assert.ok(tag !== undefined, "rule for the data");
  const blocks: Uint8Array[] = [];
  for (let i = 0; i * 32 < c.data_len; i++) blocks.push(sha256(utf8(`${tag}${i}`)));
  return concatBytes(...blocks).subarray(0, c.data_len);
}

describeVectors<ResourceFile>("resources", ({ cases, segmentation }) => {
  for (const s of segmentation) {
    it(`plan of ${s.data_len} + ${s.metadata_block_len}`, () => {
      assert.deepEqual(planSegments(s.data_len, s.metadata_block_len), s.segments_offset_len);
    });
  }
  for (const c of cases) {
    it(c.name, () => {
      const token = new Token(fromHex(c.link_key));
      const data = dataOf(c);
      assertHex(sha256(data), c.data_sha256);
      const block = c.metadata === null ? new Uint8Array(0) : metadataBlock(fromHex(c.metadata));
      assertHex(block, c.metadata_block ?? "");
      const body = concatBytes(block, data);
      const partBytes = partBytesAt(c.mtu);
      const advertisement = unpackAdvertisement(fromHex(c.advertisement_plaintext), partBytes);
      assertHex(packAdvertisement(advertisement), c.advertisement_plaintext);
      if (c.compressed) {
        const opened = openSegment(
          concatBytes(...(c.parts ?? []).map((p) => fromHex(p))),
          token,
          advertisement,
          1 << 20,
        );
        assertHex(opened.body, c.data);
        assertHex(opened.proof, c.expected_proof);
      } else {
        const segment = makeSegment(body, token, partBytes, drawn(c.prefix_random_4, c.iv, c.random_hash));
        assertHex(segment.hash, c.resource_hash);
        assertHex(segment.proof, c.expected_proof);
        assertHex(segment.hashmap, c.hashmap);
        const { q, f, i, l } = c.advertisement_fields;
        const about = { totalBytes: c.total_size, originalHash: segment.hash, segment: i, segments: l, flags: f };
        const requestId = q === null ? null : fromHex(q);
        assertHex(packAdvertisement(advertise(segment, { ...about, requestId })), c.advertisement_plaintext);
        const parts = segment.mapHashes.map((_, index) => partOf(segment, index));
        if (c.parts !== undefined) for (const [index, p] of parts.entries()) assertHex(p, c.parts[index]);
        else assertHex(sha256(concatBytes(...parts)), c.parts_sha256);
        assertHex(
          buildPacket({
            packetType: DATA,
            destinationType: LINK,
            destination: fromHex(c.link_id),
            context: CONTEXT.resource,
            data: parts[0] as Uint8Array,
          }),
          c.first_part_packet,
        );
        const opened = openSegment(segment.stream, token, advertisement, 1 << 20);
        assertHex(opened.body, Buffer.from(body).toString("hex"));
        if (c.metadata !== null) assertHex(splitMetadata(opened.body).metadata, c.metadata);
      }
      for (const message of c.first_messages) {
        const request = message["RESOURCE_REQ"];
        if (request !== undefined) assertHex(packPartRequest(unpackPartRequest(fromHex(request))), request);
        const proof = message["RESOURCE_PRF_packet"];
        if (proof === undefined) continue;
        const made = buildPacket({
          packetType: PROOF,
          destinationType: LINK,
          destination: fromHex(c.link_id),
          context: CONTEXT.resourceProof,
          data: concatBytes(advertisement.hash, fromHex(c.expected_proof)),
        });
        assertHex(made, proof);
      }
    });
  }
});

interface ChannelCase {
  readonly kind: string;
  readonly msgtype: number;
  readonly sequence: number;
  readonly payload: string;
  readonly raw: string;
  readonly stream_id: number;
  readonly eof: boolean;
  readonly compressed: boolean;
  readonly data: string;
  readonly message: string;
  readonly envelope_seq9: string;
  readonly decoded: string;
}
describeVectors<VectorFile<ChannelCase>>("channel", ({ cases }) => {
  cases.forEach((c, i) => {
    it(`${i} ${c.kind}`, () => {
      if (c.kind === "envelope") {
        const raw = packEnvelope({ type: c.msgtype, sequence: c.sequence, payload: fromHex(c.payload) });
        assertHex(raw, c.raw);
        assertHex(unpackEnvelope(raw).payload, c.payload);
        return;
      }
      const message = unpackStreamMessage(fromHex(c.message));
      assertHex(message.data, c.decoded);
      assert.deepEqual([message.stream, message.eof], [c.stream_id, c.eof]);
      if (!c.compressed) assertHex(packStreamMessage(message), c.message);
      assertHex(packEnvelope({ type: STREAM_TYPE, sequence: 9, payload: fromHex(c.message) }), c.envelope_seq9);
    });
  });
});

describe("bunzip2", () => {
  // 300,000 zero bytes as the bzip2 program packs them.
  const zeros = fromHex(
    "425a6839314159265359df474d6f00024c4080c00004000008200030cc0529a61446c4511e2ee48a70a121be8e9ade",
  );
  it("inflates to the bound and not beyond", () => {
    assert.deepEqual(sha256(bunzip2(zeros, 300_000)), sha256(new Uint8Array(300_000)));
    assert.throws(() => bunzip2(zeros, 299_999), { code: "decompression_limit" });
  });
  it("refuses or survives any single damage with a coded error", () => {
    fc.assert(
      fc.property(fc.nat(zeros.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = zeros.slice();
        damaged[at] = (damaged[at] as number) ^ change;
        try {
          bunzip2(damaged, 300_000);
        } catch (caught) {
          assert.ok(caught instanceof SpineError);
        }
      }),
    );
  });
});

describe("advertisements", () => {
  it("counts parts by the size of the transfer, whatever the sender says", () => {
    const fields = { hash: new Uint8Array(32), randomHash: new Uint8Array(4), originalHash: new Uint8Array(32) };
    const rest = { totalBytes: 1000, segment: 1, segments: 1, requestId: null, flags: 1 };
    const make = (parts: number, transferBytes: number): Uint8Array => {
      const hashmap = new Uint8Array(4 * Math.min(parts, HASHMAP_ENTRIES));
      return packAdvertisement({ ...fields, ...rest, parts, transferBytes, hashmap });
    };
    assert.equal(unpackAdvertisement(make(3, 1000), 464).parts, 3);
    assert.equal(unpackAdvertisement(make(7000, 3_000_000), 464).parts, 6466);
    for (const parts of [4, 2_000_000]) {
      assert.throws(() => unpackAdvertisement(make(parts, 1000), 464), { code: "frame_syntax" });
    }
  });
});
