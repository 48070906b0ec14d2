/**
 * A peer card: a signed transport binding as short text, for a QR code or a message. It holds the fields from which the
 * very envelope can be written again, so nothing but that envelope is ever signed, and its signature is checked as such.
 * `spine-peer:1:` and base64url of: flags, issuer, seq, prev, issued_at, fact id, keys, address, port, endpoints, signature.
 */
import {
  ByteReader,
  ByteWriter,
  draftEnvelope,
  type Envelope,
  factOf,
  formatTime,
  fromHex,
  ISSUER_PREFIX,
  type JsonObject,
  parseIssuer,
  type Sha256Hex,
  SpineError,
  sealEnvelope,
  toHex,
} from "../../spine/index.ts";
import { bindingFact, MAX_ENDPOINTS, readBinding } from "./binding.ts";
import { type Address, formatAddress, formatEndpoint, parseAddress, parseEndpoint } from "./ip.ts";

export const CARD_PREFIX = "spine-peer:1:";
/** The longest card, characters: it must fit a peerbook entry and a QR code of 78 columns. */
export const MAX_CARD_CHARACTERS = 420;

const FLAG_SIX = 1;
const FLAG_NEXT = 2;
const FLAG_FIRST = 4;
const FACT_ID = /^[0-9a-f]{32}$/;

function addressBytes({ family, value }: Address): Uint8Array {
  return fromHex(value.toString(16).padStart(family === 4 ? 8 : 32, "0"));
}
function readAddress(bytes: Uint8Array): string {
  return formatAddress({ family: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${toHex(bytes)}`) });
}

function writeEndpoint(writer: ByteWriter, text: string): void {
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined) throw new SpineError("peer_address", "an endpoint is not ADDRESS:PORT");
  writer.block(addressBytes(parseAddress(endpoint.host))).u16(endpoint.port);
}
function readEndpoint(reader: ByteReader): string {
  const bytes = reader.block(16);
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new SpineError("peer_address", "an endpoint of the card is malformed");
  return formatEndpoint({ host: readAddress(bytes), port: reader.u16() });
}

/** The card of an own, signed binding. Throws `peer_address` for an envelope that this program would not have made. */
export function writeCard(envelope: Envelope, sha256Hex: Sha256Hex): string {
  const binding = readBinding(envelope);
  const factId = (factOf(envelope) as JsonObject)["fact_id"];
  if (binding === undefined || typeof factId !== "string" || !FACT_ID.test(factId)) {
    throw new SpineError("peer_address", "not a transport binding made by this program");
  }
  const address = parseAddress(binding.address);
  const { nextKey, publicKey, port, endpoints } = binding;
  const flags =
    (address.family === 6 ? FLAG_SIX : 0) |
    (nextKey === null ? 0 : FLAG_NEXT) |
    (envelope.prev === null ? FLAG_FIRST : 0);
  const writer = new ByteWriter().u8(flags).bytes(parseIssuer(envelope.issuer)).varint(envelope.seq);
  if (envelope.prev !== null) writer.bytes(fromHex(envelope.prev.slice(2), 32));
  writer
    .varint(envelope.issuedAtMs / 1_000)
    .bytes(fromHex(factId))
    .bytes(fromHex(publicKey, 32));
  if (nextKey !== null) writer.bytes(fromHex(nextKey, 32));
  writer.bytes(addressBytes(address)).u16(port).u8(endpoints.length);
  for (const endpoint of endpoints) writeEndpoint(writer, endpoint);
  const card = CARD_PREFIX + Buffer.from(writer.bytes(envelope.signature).finish()).toString("base64url");
  if (openCard(card, sha256Hex).hash !== envelope.hash) {
    throw new SpineError("peer_address", "the binding cannot be written as a card");
  }
  return card;
}

/** The envelope a card stands for. Throws `peer_address`. Does not verify the signature. */
export function openCard(text: string, sha256Hex: Sha256Hex): Envelope {
  const body = text.startsWith(CARD_PREFIX) ? text.slice(CARD_PREFIX.length) : "";
  if (text.length > MAX_CARD_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(body)) {
    throw new SpineError("peer_address", `not a peer card (${CARD_PREFIX}…)`);
  }
  const bytes = Buffer.from(body, "base64url");
  // One card, one text: stray bits at its end would be a second spelling.
  if (bytes.toString("base64url") !== body) throw new SpineError("peer_address", "the card is cut short or altered");
  try {
    const envelope = readEnvelope(new ByteReader(new Uint8Array(bytes)), sha256Hex);
    if (readBinding(envelope) === undefined) throw new SpineError("peer_address", "it binds another transport");
    return envelope;
  } catch (cause) {
    throw new SpineError("peer_address", `the card is malformed: ${(cause as Error).message}`, { cause });
  }
}

function readEnvelope(reader: ByteReader, sha256Hex: Sha256Hex): Envelope {
  const flags = reader.u8();
  if (flags > 7) throw new SpineError("peer_address", "a newer kind of card");
  const issuer = ISSUER_PREFIX + toHex(reader.bytes(32));
  const seq = reader.varint();
  const prev = (flags & FLAG_FIRST) !== 0 ? null : `0x${toHex(reader.bytes(32))}`;
  const issuedAt = formatTime(reader.varint());
  const factId = toHex(reader.bytes(16));
  const publicKey = toHex(reader.bytes(32));
  const nextKey = (flags & FLAG_NEXT) !== 0 ? toHex(reader.bytes(32)) : null;
  const address = readAddress(reader.bytes((flags & FLAG_SIX) !== 0 ? 16 : 4));
  const port = reader.u16();
  const count = reader.u8();
  if (count > MAX_ENDPOINTS) throw new SpineError("peer_address", `${count} endpoints`);
  const endpoints = Array.from({ length: count }, () => readEndpoint(reader));
  const signature = new Uint8Array(reader.bytes(64));
  reader.end();
  const fact = bindingFact({ publicKey, nextKey, address, port, endpoints }, factId);
  return sealEnvelope(draftEnvelope({ issuer, seq, prev, issuedAt, fact }, sha256Hex), signature);
}
