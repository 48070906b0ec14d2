/** LXMF bytes against the vectors: messages, stamps, tickets, encrypted forms, paper, announce data, peering keys. */
import assert from "node:assert/strict";
import {
  deliveryAppData,
  propagationAppData,
  readDeliveryAppData,
  readPropagationAppData,
} from "../../../planes/reticulum/lxmf/app-data.ts";
import { openMessage, packMessage, sealMessage, verifyMessage } from "../../../planes/reticulum/lxmf/message.ts";
import { openPaper, paperUri } from "../../../planes/reticulum/lxmf/paper.ts";
import { packUpload, transientId } from "../../../planes/reticulum/lxmf/propagation.ts";
import { ROUNDS, stampIsValid, stampValue, ticketStamp, workState } from "../../../planes/reticulum/lxmf/stamp.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { type Packable, unpack } from "../../../planes/reticulum/stack/msgpack.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { concatBytes, fromHex, toHex } from "../../../spine/index.ts";
import { assertHex, describeVectors, drawn, type VectorFile } from "./vectors.ts";

interface LxmfCase {
  readonly name: string;
  readonly source_private_key: string;
  readonly destination_private_key: string;
  readonly timestamp: number;
  readonly title: string;
  readonly content: string;
  readonly fields_msgpack: string;
  readonly ticket: string | null;
  readonly stamp: string | null;
  readonly stamp_cost?: number;
  readonly stamp_value?: number;
  readonly message_hash: string;
  readonly signature: string;
  readonly packed: string;
  readonly opportunistic_packet?: string;
  readonly ephemeral_private?: string;
  readonly iv?: string;
  readonly transient_id?: string;
  readonly lxmf_data?: string;
  readonly propagation_stamp?: string;
  readonly propagation_cost?: number;
  readonly propagation_value?: number;
  readonly propagation_container?: string;
  readonly uri?: string;
  readonly reference_unpack: { readonly signature_valid: boolean };
}

interface LxmfFile extends VectorFile<LxmfCase> {
  readonly stamp_validity: readonly { readonly cost: number; readonly stamp: string; readonly valid: boolean }[];
  readonly peering_key: {
    readonly peer_identity_hash_first: string;
    readonly own_identity_hash_second: string;
    readonly peering_key: string;
    readonly value: number;
  };
  readonly delivery_announce_app_data: readonly {
    readonly app_data: string;
    readonly display_name: string | null;
    readonly stamp_cost: number | null;
    readonly compression: boolean;
  }[];
  readonly propagation_node_announce_app_data: readonly {
    readonly app_data: string;
    readonly valid: boolean;
    readonly stamp_cost: number | null;
    readonly name: string | null;
  }[];
}

function delivery(privateKey: string): Destination & { readonly identity: Identity } {
  const identity = Identity.fromPrivateKey(fromHex(privateKey));
  const destination = new Destination({ type: SINGLE, appName: "lxmf", aspects: ["delivery"], identity });
  return destination as Destination & { readonly identity: Identity };
}

describeVectors<LxmfFile>("lxmf", (file) => {
  for (const one of file.cases) {
    if (one.name.startsWith("negative")) {
      it(`${one.name}: does not verify`, () => {
        const message = openMessage(fromHex(one.packed));
        const honest = file.cases[0] as LxmfCase;
        assert.equal(verifyMessage(message, delivery(honest.source_private_key).identity), false);
      });
      continue;
    }
    it(`${one.name}: seals, packs and opens`, () => {
      const source = delivery(one.source_private_key);
      const to = delivery(one.destination_private_key);
      const sealed = sealMessage(
        {
          destination: to.hash,
          source: source.hash,
          timestamp: one.timestamp,
          title: fromHex(one.title),
          content: fromHex(one.content),
          fields: unpack(fromHex(one.fields_msgpack)) as ReadonlyMap<Packable, Packable>,
        },
        source.identity,
      );
      assertHex(sealed.hash, one.message_hash);
      assertHex(sealed.signature, one.signature);
      const stamp = one.stamp === null ? undefined : fromHex(one.stamp);
      assertHex(packMessage({ ...sealed, stamp }), one.packed);
      const opened = openMessage(fromHex(one.packed));
      assertHex(opened.hash, one.message_hash);
      assertHex(opened.stamp, one.stamp);
      assert.equal(verifyMessage(opened, source.identity), one.reference_unpack.signature_valid);
      if (one.ticket !== null) assertHex(ticketStamp(fromHex(one.ticket), opened.hash), one.stamp);
      if (one.stamp_value !== undefined && stamp !== undefined) {
        assert.equal(stampValue(workState(opened.hash, ROUNDS.message), stamp), one.stamp_value);
      }
      const secret = (): Parameters<typeof to.identity.encrypt>[1] => drawn(one.ephemeral_private ?? "", one.iv ?? "");
      if (one.opportunistic_packet !== undefined) {
        const sent = to.identity.encrypt(fromHex(one.packed).subarray(16), secret());
        assert.ok(one.opportunistic_packet.endsWith(toHex(sent)));
      }
      if (one.lxmf_data !== undefined) {
        const data = concatBytes(to.hash, to.identity.encrypt(fromHex(one.packed).subarray(16), secret()));
        assertHex(data, one.lxmf_data);
        assertHex(transientId(data), one.transient_id);
        const work = fromHex(one.propagation_stamp as string);
        assert.equal(stampValue(workState(transientId(data), ROUNDS.propagation), work), one.propagation_value);
        assertHex(packUpload(one.timestamp, [concatBytes(data, work)]), one.propagation_container);
      }
      if (one.uri !== undefined) {
        assert.equal(paperUri(opened, to.identity, secret()), one.uri);
        assertHex(openPaper(one.uri, to).hash, one.message_hash);
      }
    });
  }

  it("judges stamps at every cost", () => {
    const stamped = file.cases.find(({ name }) => name === "stamp-cost-4") as LxmfCase;
    const state = workState(fromHex(stamped.message_hash), ROUNDS.message);
    for (const { cost, stamp, valid } of file.stamp_validity) {
      assert.equal(stampIsValid(state, fromHex(stamp), cost), valid, `cost ${cost}`);
    }
    const peering = file.peering_key;
    const material = fromHex(peering.peer_identity_hash_first + peering.own_identity_hash_second);
    assert.equal(stampValue(workState(material, ROUNDS.peering), fromHex(peering.peering_key)), peering.value);
  });

  it("reads and writes what destinations announce", () => {
    for (const one of file.delivery_announce_app_data) {
      const read = readDeliveryAppData(fromHex(one.app_data));
      assert.equal(read.displayName ?? null, one.display_name, one.app_data);
      assert.equal(read.stampCost ?? null, one.stamp_cost, one.app_data);
      assert.equal(read.compression, one.compression, one.app_data);
    }
    assertHex(deliveryAppData({ displayName: "Bob", stampCost: 8 }), "93c403426f62089100");
    assertHex(deliveryAppData({ displayName: "Alice" }), "93c405416c696365c09100");
    for (const one of file.propagation_node_announce_app_data) {
      const read = readPropagationAppData(fromHex(one.app_data));
      assert.equal(read !== undefined, one.valid, one.app_data);
      assert.equal(read?.stampCost ?? null, one.stamp_cost, one.app_data);
      assert.equal(read?.name ?? null, one.name, one.app_data);
      if (read?.name !== "str name" && read !== undefined) assertHex(propagationAppData(read), one.app_data);
    }
  });
});
