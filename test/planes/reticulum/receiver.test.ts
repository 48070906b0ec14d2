/** The resource receiver's own messages against what the reference receiver sent, step by step. */
import assert from "node:assert/strict";
import {
  HASHMAP_ENTRIES,
  MAP_HASH_BYTES,
  unpackAdvertisement,
  unpackPartRequest,
} from "../../../planes/reticulum/stack/advertisement.ts";
import type { StackContext } from "../../../planes/reticulum/stack/context.ts";
import { sha256 } from "../../../planes/reticulum/stack/crypto.ts";
import type { LinkPort } from "../../../planes/reticulum/stack/link-port.ts";
import { LINK } from "../../../planes/reticulum/stack/name.ts";
import { buildPacket, CONTEXT, PROOF } from "../../../planes/reticulum/stack/packet.ts";
import { SegmentReceiver } from "../../../planes/reticulum/stack/resource-receiver.ts";
import { INITIAL_WINDOW } from "../../../planes/reticulum/stack/resource-window.ts";
import { makeSegment, partBytesAt, partOf } from "../../../planes/reticulum/stack/segment.ts";
import { Token } from "../../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, toHex, utf8 } from "../../../spine/index.ts";
import { describeVectors, drawn, type VectorFile } from "./vectors.ts";

interface Case {
  readonly name: string;
  readonly link_key: string;
  readonly link_id: string;
  readonly mtu: number;
  readonly compressed: boolean;
  readonly metadata_block: string | null;
  readonly data: string | null;
  readonly data_rule: string | null;
  readonly data_len: number;
  readonly prefix_random_4: string;
  readonly iv: string;
  readonly random_hash: string;
  readonly advertisement_plaintext: string;
  readonly first_messages: readonly Readonly<Record<string, string>>[];
}

function dataOf(c: Case): Uint8Array {
  if (c.data !== null) return fromHex(c.data);
  const tag = /'([^']*)<i>'/.exec(c.data_rule ?? "")?.[1];
  const blocks = Array.from({ length: Math.ceil(c.data_len / 32) }, (_, i) => sha256(utf8(`${tag}${i}`)));
  return concatBytes(...blocks).subarray(0, c.data_len);
}

describeVectors<VectorFile<Case>>("resources", ({ cases }) => {
  for (const c of cases.filter(({ compressed }) => !compressed)) {
    it(`receives ${c.name} with the reference's messages`, () => {
      const token = new Token(fromHex(c.link_key));
      const id = fromHex(c.link_id);
      const body = concatBytes(fromHex(c.metadata_block ?? ""), dataOf(c));
      const draws = drawn(c.prefix_random_4, c.iv, c.random_hash);
      const segment = makeSegment(body, token, partBytesAt(c.mtu), draws);
      const queue: Uint8Array[] = [];
      const said: Record<string, string>[] = [];
      const context: StackContext = {
        now: () => 0,
        random: () => new Uint8Array(0),
        schedule: () => () => undefined,
        transmit: () => undefined,
        count: () => undefined,
        notify: (task) => task(),
      };
      const link: LinkPort = {
        id,
        context,
        token,
        mtu: c.mtu,
        mdu: 431,
        rttMs: 0,
        bitrate: 1000,
        handshakeRate: 1000,
        transmit: (code, data) => {
          assert.equal(code, CONTEXT.resourceRequest);
          said.push({ RESOURCE_REQ: toHex(data) });
          queue.push(data);
          return data;
        },
        transmitProof: (code, data) => {
          const packet = buildPacket({
            packetType: PROOF,
            destinationType: LINK,
            destination: id,
            context: code,
            data,
          });
          said.push({ RESOURCE_PRF_packet: toHex(packet) });
        },
        transmitProved: () => {
          throw new Error("not used");
        },
        close: () => undefined,
      };
      const advertisement = unpackAdvertisement(fromHex(c.advertisement_plaintext), partBytesAt(c.mtu));
      const receiver = new SegmentReceiver(link, advertisement, 1 << 20, { window: INITIAL_WINDOW, rate: undefined });
      let received: Uint8Array | undefined;
      receiver.onSegment = (whole) => {
        received = whole;
      };
      receiver.start();
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const request = unpackPartRequest(next);
        for (const wanted of request.wanted) receiver.part(partOf(segment, segment.mapHashes.indexOf(wanted)));
        if (request.lastKnown === undefined) continue;
        const at = segment.mapHashes.indexOf(request.lastKnown) + 1;
        const hashes = segment.hashmap.subarray(at * MAP_HASH_BYTES, (at + HASHMAP_ENTRIES) * MAP_HASH_BYTES);
        receiver.update({ hash: segment.hash, segment: at / HASHMAP_ENTRIES, hashes });
      }
      assert.deepEqual(received && toHex(received), toHex(body));
      // The vectors keep the first requests and the proof.
      const requests = c.first_messages.filter((m) => m["RESOURCE_REQ"] !== undefined);
      assert.deepEqual(said.slice(0, requests.length), requests);
      const proofs = c.first_messages.filter((m) => m["RESOURCE_PRF_packet"] !== undefined);
      assert.deepEqual(said.slice(-1), proofs);
    });
  }
});
