/** Every decoder of the Reticulum stack, its files and LXMF against random bytes and damaged copies of what is right. */
import assert from "node:assert/strict";
import {
  deliveryAppData,
  propagationAppData,
  readDeliveryAppData,
  readPropagationAppData,
} from "../../planes/reticulum/lxmf/app-data.ts";
import { openMessage, packMessage, sealMessage, verifyMessage } from "../../planes/reticulum/lxmf/message.ts";
import { openPaper, paperUri } from "../../planes/reticulum/lxmf/paper.ts";
import { packUpload, readUpload } from "../../planes/reticulum/lxmf/propagation.ts";
import { TicketBook } from "../../planes/reticulum/lxmf/ticket.ts";
import {
  packAdvertisement,
  packHashmapUpdate,
  packPartRequest,
  unpackAdvertisement,
  unpackHashmapUpdate,
  unpackPartRequest,
} from "../../planes/reticulum/stack/advertisement.ts";
import { openAnnounce } from "../../planes/reticulum/stack/announce.ts";
import { bunzip2 } from "../../planes/reticulum/stack/bzip2.ts";
import { bzip2 } from "../../planes/reticulum/stack/bzip2-compress.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import {
  packEnvelope,
  packStreamMessage,
  unpackEnvelope,
  unpackStreamMessage,
} from "../../planes/reticulum/stack/envelope.ts";
import { openLinkProof, parseLinkRequest } from "../../planes/reticulum/stack/handshake.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import { Ifac } from "../../planes/reticulum/stack/ifac.ts";
import { KnownDestinations } from "../../planes/reticulum/stack/known.ts";
import { type Packable, pack, unpack } from "../../planes/reticulum/stack/msgpack.ts";
import { SINGLE } from "../../planes/reticulum/stack/name.ts";
import { ANNOUNCE, CONTEXT, LINK_REQUEST, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { parsePathRequest, pathRequestPacket, tunnelSynthesis } from "../../planes/reticulum/stack/path-request.ts";
import { RatchetRing } from "../../planes/reticulum/stack/ratchet.ts";
import { metadataBlock, splitMetadata } from "../../planes/reticulum/stack/segment.ts";
import { unpackTables } from "../../planes/reticulum/stack/table-file.ts";
import { openTunnelSynthesis } from "../../planes/reticulum/stack/tunnels.ts";
import { concatBytes, utf8 } from "../../spine/index.ts";
import { seededRandom } from "../planes/reticulum/ether.ts";
import { mailbox, postOffice } from "../planes/reticulum/lxmf-net.ts";
import { Net } from "../planes/reticulum/net.ts";
import { linked, pair, pattern } from "../planes/reticulum/pair.ts";
import { fuzzDecoder, fuzzRuns } from "./fuzz-decoder.ts";

const random = seededRandom("fuzz");
const identity = Identity.create(random);
const hash = (n: number): Uint8Array => random(n).slice(0, n);
const inbox = new Destination({ type: SINGLE, appName: "lxmf", aspects: ["delivery"], identity });
const access = new Ifac({ networkName: "fuzz", sizeBytes: 8 });

/** A session between two endpoints, for packets as they are. */
const p = pair({ seed: "fuzz" });
const frames: Uint8Array[] = [];
p.ether.tap = (frame) => {
  frames.push(frame.slice());
  return true;
};
const { near, far } = linked(p);
far.acceptResource = () => true;
p.ether.act(p.alice, () => near.sendResource(pattern(3000)));
p.ether.run(5000);
p.ether.act(p.alice, () => p.alice.send(p.service.hash, pattern(40)));
p.ether.run(1100);
p.ether.act(p.bob, () => p.bob.announce(p.service, { appData: utf8("fuzz") }));
p.ether.run(100);
const packets = frames.map((frame) => parsePacket(frame));
const announces = packets.filter((packet) => packet.packetType === ANNOUNCE).map(({ raw }) => raw);
const requests = packets.filter((packet) => packet.packetType === LINK_REQUEST).map(({ raw }) => raw);
const proofs = packets.filter((packet) => packet.context === CONTEXT.linkRequestProof);

const advertisement = {
  transferBytes: 3072,
  totalBytes: 3000,
  parts: 7,
  hash: hash(32),
  randomHash: hash(4),
  originalHash: hash(32),
  segment: 1,
  segments: 1,
  requestId: null,
  flags: 1,
  hashmap: hash(28),
};
const text = { title: utf8("title"), content: utf8("content") };
const message = sealMessage(
  { destination: inbox.hash, source: hash(16), timestamp: 1_750_000_000, fields: new Map(), ...text },
  identity,
);
const ratchets = new RatchetRing(identity);
ratchets.rotate(1_750_000_000_000, random);
const net = new Net("fuzz");
const box = mailbox(net, net.node("box"));
const { office } = await postOffice(net, net.node("office"));

function issued(): Packable {
  const tickets = new TicketBook();
  tickets.offer(hash(16), 1_750_000_000, random);
  return tickets.save();
}

type Decoder = readonly [string, (bytes: Uint8Array) => unknown, readonly Uint8Array[]];

const decoders: readonly Decoder[] = [
  ["packet", parsePacket, frames],
  ["announce", (b) => openAnnounce(parsePacket(b)), announces],
  ["link request", (b) => parseLinkRequest(parsePacket(b)), requests],
  ["link proof", (b) => openLinkProof(b, near.id, p.service.identity as Identity), proofs.map(({ data }) => data)],
  [
    "MessagePack",
    unpack,
    [pack([1, "two", utf8("three"), null, true, [4, [5]], new Map<Packable, Packable>([["six", 7]]), 2 ** 40, -1])],
  ],
  ["advertisement", (b) => unpackAdvertisement(b, 464), [packAdvertisement(advertisement)]],
  ["part request", unpackPartRequest, [packPartRequest({ hash: hash(32), lastKnown: 7, wanted: [1, 2, 3] })]],
  ["hashmap update", unpackHashmapUpdate, [packHashmapUpdate({ hash: hash(32), segment: 1, hashes: hash(40) })]],
  ["metadata", splitMetadata, [concatBytes(metadataBlock(pack("name")), hash(20))]],
  ["channel envelope", unpackEnvelope, [packEnvelope({ type: 0x101, sequence: 7, payload: utf8("payload") })]],
  [
    "stream message",
    unpackStreamMessage,
    [
      packStreamMessage({ stream: 7, eof: true, data: utf8("plain") }),
      packStreamMessage({ stream: 7, eof: false, data: bzip2(utf8("packed ".repeat(50))), compressed: true }),
    ],
  ],
  ["bzip2", (b) => bunzip2(b, 10_000), [bzip2(utf8("again and ".repeat(300))), bzip2(pattern(500))]],
  ["access code", (b) => access.open(b), frames.map((frame) => access.mask(frame))],
  ["sealed packet", (b) => identity.decrypt(b), [identity.encrypt(utf8("secret"), random)]],
  [
    "path request",
    parsePathRequest,
    [parsePacket(pathRequestPacket({ target: hash(16), transportId: hash(16), tag: hash(16) })).data],
  ],
  ["tunnel", openTunnelSynthesis, [parsePacket(tunnelSynthesis(identity, "TCPInterface[x]", hash(16)).packet).data]],
  ["ratchet file", (b) => new RatchetRing(identity).load(b), [ratchets.file()]],
  ["known destinations", (b) => new KnownDestinations().load(b), [p.alice.known.save()]],
  ["table file", (b) => unpackTables(b, 1_750_000_000_000, 1_750_000_000_000), [p.alice.saveTables()]],
  ["LXMF message", (b) => verifyMessage(openMessage(b), identity), [packMessage(message)]],
  [
    "LXMF paper",
    (b) => openPaper(`lxm://${Buffer.from(b).toString("base64url")}`, inbox),
    [new Uint8Array(Buffer.from(paperUri(message, identity, random).slice("lxm://".length), "base64url"))],
  ],
  ["LXMF upload", readUpload, [packUpload(1_750_000_000, [packMessage(message), hash(200)])]],
  ["LXMF delivery app_data", readDeliveryAppData, [deliveryAppData({ displayName: "name", stampCost: 8 })]],
  [
    "LXMF propagation app_data",
    readPropagationAppData,
    [
      propagationAppData({
        at: 1_750_000_000,
        active: true,
        transferLimitKb: 256,
        syncLimitKb: 10_240,
        stampCost: 16,
        stampFlexibility: 3,
        peeringCost: 18,
        name: "node",
      }),
    ],
  ],
  ["LXMF router file", (b) => box.router.load(b), [box.router.save()]],
  ["LXMF propagation file", (b) => office.load(b), [office.save()]],
  ["LXMF tickets", (b) => new TicketBook().load(unpack(b)), [pack(issued())]],
];

/** These say nothing about what they cannot read. */
const SILENT = new Set([
  "access code",
  "sealed packet",
  "path request",
  "LXMF delivery app_data",
  "LXMF propagation app_data",
]);

/** Damage here still inflates kilobytes. */
const SLOW = new Set(["bzip2", "stream message"]);

describe(`fuzzing Reticulum, ${fuzzRuns()} inputs per decoder`, () => {
  for (const [name, decode, seeds] of decoders)
    it(name, () => {
      assert.ok(seeds.length > 0, "nothing right to damage");
      const { refused } = fuzzDecoder(name, decode, seeds, Math.ceil(fuzzRuns() / (SLOW.has(name) ? 10 : 1)));
      assert.equal(refused.size === 0, SILENT.has(name));
    }).timeout(3_600_000);
});
