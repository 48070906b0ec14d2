/** Packets, announces, proofs, path requests and link handshakes against the vectors. */
import assert from "node:assert/strict";
import { announceData, announceRandomHash, openAnnounce } from "../../../planes/reticulum/stack/announce.ts";
import { ExchangeKey } from "../../../planes/reticulum/stack/crypto.ts";
import {
  decodeSignalling,
  deriveLinkKey,
  encodeSignalling,
  linkMdu,
  linkRequestPacket,
  linkRequestProof,
  makeLinkKeys,
  openLinkProof,
  parseLinkRequest,
} from "../../../planes/reticulum/stack/handshake.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import { destinationHash, dottedName, LINK, nameHash, SINGLE } from "../../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  buildPacket,
  CONTEXT,
  DATA,
  hashablePart,
  packetHash,
  parsePacket,
} from "../../../planes/reticulum/stack/packet.ts";
import { parsePathRequest, pathRequestPacket, tunnelSynthesis } from "../../../planes/reticulum/stack/path-request.ts";
import { linkProof, proves, singleProof } from "../../../planes/reticulum/stack/proof.ts";
import { Token } from "../../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, SpineError } from "../../../spine/index.ts";
import { assertHex, describeVectors, drawn, type VectorFile } from "./vectors.ts";

type Row = Readonly<Record<string, string>>;
interface Header {
  readonly raw: string;
  readonly valid: boolean;
  readonly flags: number;
  readonly hops: number;
  readonly context: number;
  readonly packet_type: number;
  readonly destination_type: number;
  readonly transport_id: string | null;
  readonly destination_hash: string;
  readonly data: string;
  readonly packet_hash: string;
  readonly hashable_part: string;
}

function checkHeader(c: Header): void {
  if (!c.valid) {
    assert.throws(() => parsePacket(fromHex(c.raw)), { code: "frame_syntax" });
    return;
  }
  const packet = parsePacket(fromHex(c.raw));
  assert.deepEqual(
    [packet.flags, packet.hops, packet.context, packet.packetType, packet.destinationType],
    [c.flags, c.hops, c.context, c.packet_type, c.destination_type],
  );
  assertHex(packet.transportId, c.transport_id);
  assertHex(packet.destination, c.destination_hash);
  assertHex(packet.data, c.data);
  assertHex(hashablePart(packet.raw), c.hashable_part);
  assertHex(packetHash(packet.raw), c.packet_hash);
}

describeVectors<VectorFile<Header & { pair?: string; h1: Header; h2: Header }>>("packets", ({ cases }) => {
  cases.forEach((c, i) => {
    it(`${i} ${c.pair ?? (c.valid ? "valid" : "malformed")}`, () => {
      if (c.pair === undefined) checkHeader(c);
      else for (const form of [c.h1, c.h2]) checkHeader(form);
    });
  });
});

interface AnnounceCase extends Record<string, unknown> {
  readonly name: string;
  readonly raw: string;
  readonly valid: boolean;
  readonly negative?: boolean;
  readonly unpacks?: boolean;
  readonly private_key: string;
  readonly app_name: string;
  readonly aspects: string[];
  readonly app_data: string | null;
  readonly ratchet_public: string | null;
  readonly random_prefix_5: string;
  readonly random_hash: string;
  readonly timestamp: number;
  readonly transport_id: string | null;
  readonly hops: number;
  readonly path_response: boolean;
}
describeVectors<VectorFile<AnnounceCase>>("announces", ({ cases }) => {
  for (const c of cases) {
    it(c.name, () => {
      if (c.negative === true) {
        assert.throws(() => openAnnounce(parsePacket(fromHex(c.raw))), SpineError);
        return;
      }
      const identity = Identity.fromPrivateKey(fromHex(c.private_key));
      const name = nameHash(dottedName(c.app_name, c.aspects));
      const destination = destinationHash(name, identity.hash);
      const randomHash = announceRandomHash(fromHex(c.random_prefix_5), c.timestamp * 1000);
      assertHex(randomHash, c.random_hash);
      const ratchet = c.ratchet_public === null ? undefined : fromHex(c.ratchet_public);
      const appData = c.app_data === null ? undefined : fromHex(c.app_data);
      const data = announceData({ identity, destination, nameHash: name, randomHash, ratchet, appData });
      const raw = buildPacket({
        packetType: ANNOUNCE,
        destinationType: SINGLE,
        destination,
        data,
        contextFlag: ratchet !== undefined,
        hops: c.hops,
        context: c.path_response ? CONTEXT.pathResponse : CONTEXT.none,
        ...(c.transport_id === null ? {} : { transportId: fromHex(c.transport_id) }),
      });
      assertHex(raw, c.raw);
      const opened = openAnnounce(parsePacket(raw));
      assertHex(opened.ratchet, c.ratchet_public);
      assertHex(opened.appData, c.app_data ?? "");
      assert.equal(opened.emittedSeconds, c.timestamp);
    });
  }
});

describeVectors<VectorFile<Row>>("proofs", ({ cases }) => {
  cases.forEach((c, i) => {
    it(`${i}`, () => {
      const identity = Identity.fromPrivateKey(fromHex(c["recipient_private_key"] as string));
      const random = drawn(c["ephemeral_private"] as string, c["iv"] as string);
      const data = identity.encrypt(fromHex(c["plaintext"] as string), random);
      const destination = fromHex(c["destination_hash"] as string);
      const raw = buildPacket({ packetType: DATA, destinationType: SINGLE, destination, data });
      assertHex(raw, c["raw"]);
      const hash = packetHash(raw);
      assertHex(hash, c["packet_hash"]);
      const implicit = singleProof(hash, identity, "implicit");
      const explicit = singleProof(hash, identity, "explicit");
      assertHex(implicit, c["implicit_proof_packet"]);
      assertHex(explicit, c["explicit_proof_packet"]);
      for (const proof of [implicit, explicit]) {
        assert.ok(proves(parsePacket(proof).data, hash, identity));
        proof[proof.length - 1] = (proof[proof.length - 1] as number) ^ 1;
        assert.ok(!proves(parsePacket(proof).data, hash, identity));
      }
    });
  });
});

describeVectors<VectorFile<Row>>("path", ({ cases }) => {
  cases.forEach((c, i) => {
    it(`${i} ${c["kind"]}`, () => {
      if (c["kind"] === "tunnel-synthesize") {
        const identity = Identity.fromPrivateKey(fromHex(c["private_key"] as string));
        const random = fromHex(c["random_hash"] as string);
        const tunnel = tunnelSynthesis(identity, c["interface_string"] as string, random);
        assertHex(tunnel.id, c["tunnel_id"]);
        assertHex(tunnel.packet, c["raw"]);
        return;
      }
      const parsed = parsePathRequest(parsePacket(fromHex(c["raw"] as string)).data);
      if (c["kind"] === "path-request-tagless") {
        assert.equal(parsed, undefined);
        return;
      }
      assert.ok(parsed !== undefined);
      assertHex(parsed.transportId, c["transport_id"]);
      assertHex(concatBytes(parsed.target, parsed.tag), c["unique_tag"]);
      assertHex(pathRequestPacket(parsed), c["raw"]);
    });
  });
});

interface LinkStep extends Row {
  readonly what: string;
  readonly from: string;
  readonly raw: string;
}
interface LinkFile {
  readonly negative: readonly { name: string; raw: string }[];
  readonly signalling: readonly { mtu: number; mode: number; bytes: string }[];
  readonly cases: readonly {
    name: string;
    mtu: number;
    signalling: boolean;
    destination_hash: string;
    keys: Row;
    link_id: string;
    derived_key: string;
    link_mdu: number;
    transcript: readonly (LinkStep & { context: number })[];
  }[];
}
describeVectors<LinkFile>("links", ({ cases, signalling, negative }) => {
  for (const s of signalling) {
    it(`signalling ${s.mtu}`, () => {
      assertHex(encodeSignalling(s.mtu, s.mode), s.bytes);
      assert.deepEqual(decodeSignalling(fromHex(s.bytes)), { mtu: s.mtu, mode: s.mode });
    });
  }
  for (const c of cases) {
    it(c.name, () => {
      const key = (name: string): string => c.keys[name] as string;
      const keys = makeLinkKeys(drawn(key("initiator_x25519_private"), key("initiator_ed25519_seed")));
      const responder = Identity.fromPrivateKey(fromHex(key("responder_identity_private_key")));
      const exchange = new ExchangeKey(fromHex(key("responder_x25519_private")));
      const signals = c.signalling ? encodeSignalling(c.mtu) : new Uint8Array(0);
      const raw = linkRequestPacket(fromHex(c.destination_hash), keys, signals);
      const request = parseLinkRequest(parsePacket(raw));
      assertHex(request.linkId, c.link_id);
      const { linkId } = request;
      const linkKey = deriveLinkKey(exchange, request.exchangeKey, linkId);
      assertHex(linkKey, c.derived_key);
      assertHex(deriveLinkKey(keys.exchange, exchange.publicKey, linkId), c.derived_key);
      assert.equal(linkMdu(c.mtu), c.link_mdu);
      const token = new Token(linkKey as Uint8Array);
      for (const step of c.transcript) {
        assertHex(packetHash(fromHex(step.raw)), step["packet_hash"]);
        let made: Uint8Array;
        if (step.what === "LINKREQUEST") made = raw;
        else if (step.what === "LRPROOF") {
          made = linkRequestProof(linkId, responder, exchange.publicKey, encodeSignalling(c.mtu));
          assert.equal(openLinkProof(parsePacket(made).data, linkId, responder).mtu, c.mtu);
        } else if (step.what === "PROOF") {
          const signer = step.from === "responder" ? responder : keys.signing;
          made = linkProof(fromHex(step["proves"] as string), signer, linkId);
        } else {
          const plain = fromHex(step["plaintext"] as string);
          const data = step["iv"] == null ? plain : token.encrypt(plain, drawn(step["iv"]));
          const { context } = step;
          made = buildPacket({ packetType: DATA, destinationType: LINK, destination: linkId, context, data });
          if (step["iv"] != null) assertHex(token.decrypt(parsePacket(made).data), step["plaintext"]);
        }
        assertHex(made, step.raw);
      }
    });
  }
  for (const n of negative) {
    it(n.name, () => {
      const [first] = cases;
      assert.ok(first !== undefined);
      const responder = Identity.fromPrivateKey(fromHex(first.keys["responder_identity_private_key"] as string));
      const { data } = parsePacket(fromHex(n.raw));
      assert.throws(() => openLinkProof(data, fromHex(first.link_id), responder), { code: "signature_invalid" });
    });
  }
});
