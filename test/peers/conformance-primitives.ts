/** The primitive commands of the public conformance suite's bridge protocol, each driving the stack itself. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { discoveryToken } from "../../planes/reticulum/interfaces/discovery.ts";
import { HdlcDecoder, hdlcEncode } from "../../planes/reticulum/interfaces/hdlc.ts";
import { automaticMtu } from "../../planes/reticulum/interfaces/interface.ts";
import { KISS, KissDecoder, kissEncode } from "../../planes/reticulum/interfaces/kiss.ts";
import { openAnnounce } from "../../planes/reticulum/stack/announce.ts";
import { bunzip2 } from "../../planes/reticulum/stack/bzip2.ts";
import { bzip2 } from "../../planes/reticulum/stack/bzip2-compress.ts";
import {
  aesDecrypt,
  aesEncrypt,
  type CipherName,
  ExchangeKey,
  hkdf,
  hmacSha256,
  SigningKey,
  sha256,
  VerifyingKey,
} from "../../planes/reticulum/stack/crypto.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import {
  packEnvelope,
  packStreamMessage,
  STREAM_TYPE,
  unpackStreamMessage,
} from "../../planes/reticulum/stack/envelope.ts";
import { linkMdu } from "../../planes/reticulum/stack/handshake.ts";
import { truncatedHash } from "../../planes/reticulum/stack/hash.ts";
import { IDENTITY_KEY_BYTES, Identity, PublicIdentity } from "../../planes/reticulum/stack/identity.ts";
import { destinationHash, dottedName, NAME_HASH_BYTES, nameHash, SINGLE } from "../../planes/reticulum/stack/name.ts";
import {
  ANNOUNCE,
  CONTEXT,
  ENCRYPTED_MDU,
  HEADER_BYTES,
  LONG_HEADER_BYTES,
  NETWORK_MTU,
  PLAIN_MDU,
  parsePacket,
} from "../../planes/reticulum/stack/packet.ts";
import { RatchetRing, ratchetId } from "../../planes/reticulum/stack/ratchet.ts";
import { TOKEN_OVERHEAD_BYTES, Token } from "../../planes/reticulum/stack/token.ts";
import { concatBytes, fromHex, type Random, toHex } from "../../spine/index.ts";
import type { Params, Value } from "./conformance-node.ts";

type Command = (params: Params) => Value;

const random: Random = (length) => new Uint8Array(randomBytes(length));

/** A byte field; absent and null are empty. */
function bytes(p: Params, key: string): Uint8Array {
  const value = p[key] ?? "";
  if (typeof value !== "string") throw new Error(`ValueError: ${key} is not hex`);
  return fromHex(value);
}
function text(p: Params, key: string): string {
  return String(p[key] ?? "");
}
function exact(p: Params, key: string, length: number, message: string): Uint8Array {
  const value = bytes(p, key);
  if (value.length !== length) throw new Error(`ValueError: ${message}`);
  return value;
}
const scalar = (p: Params, key: string): Uint8Array => exact(p, key, 32, "Curve25519 values must be 32 bytes");
const seed = (p: Params, key: string): Uint8Array => exact(p, key, 32, "an Ed25519 seed has 32 bytes");

function decrypted(plain: Uint8Array | undefined): Value {
  if (plain === undefined) throw new Error("ValueError: does not decrypt");
  return { plaintext: toHex(plain) };
}

/** The command leaves the mode to the key. */
function cipher(p: Params): CipherName {
  return bytes(p, "key").length === 16 ? "aes-128-cbc" : "aes-256-cbc";
}

function clamp(value: Uint8Array): Uint8Array {
  const out = value.slice();
  out[0] = (out[0] as number) & 248;
  out[31] = ((out[31] as number) & 127) | 64;
  return out;
}

function aspects(p: Params): string[] {
  return ((p["aspects"] ?? []) as readonly Value[]).map(String);
}

function announce(p: Params): Value {
  const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
  const ring = p["enable_ratchets"] === true ? { ratchets: new RatchetRing(identity) } : {};
  const options = { type: SINGLE, appName: text(p, "app_name"), aspects: aspects(p), identity, ...ring } as const;
  const destination = new Destination(options);
  const at = p["emission_ts"];
  const endpoint = new Endpoint({ random, ...(typeof at === "number" ? { unixMs: () => at * 1000 } : {}) });
  endpoint.attach({ id: "wire", bitrate: 1e6, hardwareMtu: NETWORK_MTU, signalsMtu: false });
  const appData = bytes(p, "app_data");
  const [sent] = endpoint.act(Date.now(), () => {
    endpoint.register(destination);
    endpoint.announce(destination, appData.length === 0 ? {} : { appData });
  });
  const raw = sent?.frame as Uint8Array;
  const packet = parsePacket(raw);
  const opened = openAnnounce(packet);
  const signatureAt = packet.contextFlag ? 116 : 84;
  return {
    raw: toHex(raw),
    destination_hash: toHex(opened.destination),
    announce_data: toHex(packet.data),
    public_key: toHex(opened.identity.publicKey),
    name_hash: toHex(opened.nameHash),
    random_hash: toHex(opened.randomHash),
    ratchet: toHex(opened.ratchet ?? new Uint8Array(0)),
    signature: toHex(packet.data.subarray(signatureAt, signatureAt + 64)),
    app_data: toHex(opened.appData),
    has_ratchet: packet.contextFlag,
  };
}

function validate(p: Params): Value {
  const raw = bytes(p, "raw");
  const packet = parsePacket(raw);
  const about = { destination_hash: toHex(packet.destination), has_ratchet: packet.contextFlag };
  try {
    const opened = openAnnounce(packet);
    const fields = {
      public_key: toHex(opened.identity.publicKey),
      name_hash: toHex(opened.nameHash),
      random_hash: toHex(opened.randomHash),
      ratchet: toHex(opened.ratchet ?? new Uint8Array(0)),
      app_data: toHex(opened.appData),
    };
    return { valid: packet.packetType === ANNOUNCE, ...about, ...fields };
  } catch {
    return { valid: false, ...about };
  }
}

function hdlcFrames(stream: Uint8Array): string[] {
  const frames: string[] = [];
  new HdlcDecoder(262_144).push(stream, (frame) => frame.length > HEADER_BYTES && frames.push(toHex(frame)));
  return frames;
}
function kissFrames(stream: Uint8Array, limit: number): string[] {
  const frames: string[] = [];
  new KissDecoder(limit).push(stream, (command, frame) => (command & 15) === KISS.data && frames.push(toHex(frame)));
  return frames;
}
/** The whole frame between its flags, however short. */
function unframe(framed: Uint8Array): string {
  let out = "";
  new HdlcDecoder(262_144).push(framed, (frame) => {
    if (out === "") out = toHex(frame);
  });
  return out;
}

function ratchetDecrypt(p: Params): Value {
  const listed = (p["ratchet_privates"] ?? [p["ratchet_private"] ?? null]) as readonly Value[];
  const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
  const ciphertext = bytes(p, "ciphertext");
  for (const each of listed) {
    if (typeof each !== "string") continue;
    const key = new ExchangeKey(fromHex(each));
    const plain = identity.decrypt(ciphertext, [key], true);
    if (plain !== undefined) return { plaintext: toHex(plain), latest_ratchet_id: toHex(ratchetId(key.publicKey)) };
  }
  const plain = p["enforce_ratchets"] === true ? undefined : identity.decrypt(ciphertext);
  return { plaintext: plain === undefined ? null : toHex(plain), latest_ratchet_id: null };
}

/** Where the interface chooses none, links stay at the network's MTU. */
function chosenMtu(bitrate: number): number | null {
  const mtu = automaticMtu(bitrate);
  return mtu === NETWORK_MTU ? null : mtu;
}

let folder: string | undefined;
let files = 0;

/** A new file name in a folder that goes when the bridge does. */
function fileName(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "spine-conformance-"));
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  return join(folder, String(files++));
}

export const PRIMITIVES: Readonly<Record<string, Command>> = {
  sha256: (p) => ({ hash: toHex(sha256(bytes(p, "data"))) }),
  truncated_hash: (p) => ({ hash: toHex(truncatedHash(bytes(p, "data"))), full_hash: toHex(sha256(bytes(p, "data"))) }),
  hmac_sha256: (p) => ({ hmac: toHex(hmacSha256(bytes(p, "key"), bytes(p, "message"))) }),
  hkdf: (p) => {
    const length = Number(p["length"]);
    const ikm = bytes(p, "ikm");
    if (!(length >= 1) || typeof p["ikm"] !== "string") throw new Error("ValueError: Invalid input or output length");
    return { derived_key: toHex(hkdf(length, ikm, bytes(p, "salt"), bytes(p, "info"))) };
  },
  x25519_generate: (p) => {
    const secret = clamp(scalar(p, "seed"));
    return { private_key: toHex(secret), public_key: toHex(new ExchangeKey(secret).publicKey) };
  },
  x25519_public_from_private: (p) => ({ public_key: toHex(new ExchangeKey(scalar(p, "private_key")).publicKey) }),
  x25519_exchange: (p) => {
    const shared = new ExchangeKey(scalar(p, "private_key")).agree(scalar(p, "peer_public_key"));
    if (shared === undefined) throw new Error("ValueError: unusable peer key");
    return { shared_secret: toHex(shared) };
  },
  ed25519_generate: (p) => {
    const secret = seed(p, "seed");
    return { private_key: toHex(secret), public_key: toHex(new SigningKey(secret).publicKey) };
  },
  ed25519_sign: (p) => ({ signature: toHex(new SigningKey(bytes(p, "private_key")).sign(bytes(p, "message"))) }),
  ed25519_verify: (p) => ({
    valid: new VerifyingKey(bytes(p, "public_key")).verify(bytes(p, "message"), bytes(p, "signature")),
  }),
  aes_encrypt: (p) => ({
    ciphertext: toHex(concatBytes(...aesEncrypt(cipher(p), bytes(p, "key"), bytes(p, "iv"), [bytes(p, "plaintext")]))),
  }),
  aes_decrypt: (p) => decrypted(aesDecrypt(cipher(p), bytes(p, "key"), bytes(p, "iv"), bytes(p, "ciphertext"))),
  token_generate_key: (p) => {
    const cipher = text(p, "mode").toLowerCase().replaceAll("_", "-");
    return { key: toHex(cipher === "" ? Token.generateKey(random) : Token.generateKey(random, cipher as CipherName)) };
  },
  token_encrypt: (p) => ({ token: toHex(new Token(bytes(p, "key")).encrypt(bytes(p, "plaintext"), random)) }),
  token_decrypt: (p) => decrypted(new Token(bytes(p, "key")).decrypt(bytes(p, "token"))),
  token_verify_hmac: (p) => {
    const token = bytes(p, "token");
    if (token.length <= 32) throw new Error("ValueError: token too short");
    return { valid: new Token(bytes(p, "key")).isAuthentic(token) };
  },
  identity_from_private_key: (p) => {
    const identity = Identity.fromPrivateKey(bytes(p, "private_key"));
    return { public_key: toHex(identity.publicKey), hash: identity.hex, hexhash: identity.hex };
  },
  identity_hash: (p) => ({ hash: new PublicIdentity(bytes(p, "public_key")).hex }),
  identity_random_hash: () => ({ random_hash: toHex(truncatedHash(random(16))) }),
  identity_sign: (p) => ({
    signature: toHex(Identity.fromPrivateKey(bytes(p, "private_key")).sign(bytes(p, "message"))),
  }),
  identity_verify: (p) => ({
    valid: new PublicIdentity(bytes(p, "public_key")).verify(bytes(p, "message"), bytes(p, "signature")),
  }),
  identity_encrypt: (p) => ({
    ciphertext: toHex(new PublicIdentity(bytes(p, "public_key")).encrypt(bytes(p, "plaintext"), random)),
  }),
  identity_decrypt: (p) => {
    const plain = Identity.fromPrivateKey(bytes(p, "private_key")).decrypt(bytes(p, "ciphertext"));
    return { plaintext: plain === undefined ? null : toHex(plain) };
  },
  identity_to_file: (p) => {
    const path = fileName();
    writeFileSync(path, Identity.fromPrivateKey(bytes(p, "private_key")).exportPrivateKey());
    return { path };
  },
  identity_from_file: (p) => {
    try {
      const identity = Identity.fromPrivateKey(new Uint8Array(readFileSync(text(p, "path"))));
      return { found: true, public_key: toHex(identity.publicKey), hash: identity.hex, hexhash: identity.hex };
    } catch {
      return { found: false };
    }
  },
  name_hash: (p) => ({ hash: toHex(nameHash(text(p, "name"))) }),
  destination_hash: (p) => {
    const name = nameHash(dottedName(text(p, "app_name"), aspects(p)));
    return { destination_hash: toHex(destinationHash(name, bytes(p, "identity_hash"))) };
  },
  hash_from_name_and_identity: (p) => ({
    destination_hash: toHex(destinationHash(nameHash(text(p, "full_name")), bytes(p, "identity_hash"))),
  }),
  packet_constants: () => ({
    mtu: NETWORK_MTU,
    header_minsize: HEADER_BYTES,
    header_maxsize: LONG_HEADER_BYTES,
    mdu: PLAIN_MDU,
    ifac_min_size: 1,
    packet_mdu: PLAIN_MDU,
    packet_plain_mdu: PLAIN_MDU,
    packet_encrypted_mdu: ENCRYPTED_MDU,
    link_mdu: linkMdu(NETWORK_MTU),
    hashlength: sha256(new Uint8Array(0)).length * 8,
    siglength: new SigningKey(new Uint8Array(32)).sign(new Uint8Array(0)).length * 8,
    truncated_hashlength: truncatedHash(new Uint8Array(0)).length * 8,
    keysize: IDENTITY_KEY_BYTES * 8,
    name_hash_length: NAME_HASH_BYTES * 8,
    token_overhead: TOKEN_OVERHEAD_BYTES,
    aes128_blocksize: 16,
  }),
  packet_context_constants: () => ({
    NONE: CONTEXT.none,
    RESOURCE: CONTEXT.resource,
    RESOURCE_ADV: CONTEXT.resourceAdvertisement,
    RESOURCE_REQ: CONTEXT.resourceRequest,
    RESOURCE_HMU: CONTEXT.resourceHashmapUpdate,
    RESOURCE_PRF: CONTEXT.resourceProof,
    RESOURCE_ICL: CONTEXT.resourceInitiatorCancel,
    RESOURCE_RCL: CONTEXT.resourceReceiverCancel,
    CACHE_REQUEST: CONTEXT.cacheRequest,
    REQUEST: CONTEXT.request,
    RESPONSE: CONTEXT.response,
    PATH_RESPONSE: CONTEXT.pathResponse,
    COMMAND: CONTEXT.command,
    COMMAND_STATUS: CONTEXT.commandStatus,
    CHANNEL: CONTEXT.channel,
    KEEPALIVE: CONTEXT.keepalive,
    LINKIDENTIFY: CONTEXT.linkIdentify,
    LINKCLOSE: CONTEXT.linkClose,
    LINKPROOF: CONTEXT.linkProof,
    LRRTT: CONTEXT.linkRtt,
    LRPROOF: CONTEXT.linkRequestProof,
  }),
  announce_build: announce,
  announce_validate: validate,
  ratchet_public_from_private: (p) => ({
    ratchet_public: toHex(new ExchangeKey(bytes(p, "ratchet_private")).publicKey),
  }),
  ratchet_id: (p) => ({ ratchet_id: toHex(ratchetId(bytes(p, "ratchet_public"))) }),
  ratchet_encrypt: (p) => {
    const identity = new PublicIdentity(bytes(p, "public_key"));
    return { ciphertext: toHex(identity.encrypt(bytes(p, "plaintext"), random, bytes(p, "ratchet_public"))) };
  },
  ratchet_decrypt: ratchetDecrypt,
  hdlc_frame: (p) => ({ framed: toHex(hdlcEncode(bytes(p, "data"))) }),
  hdlc_escape: (p) => ({ escaped: toHex(hdlcEncode(bytes(p, "data")).slice(1, -1)) }),
  hdlc_deframe: (p) => ({ data: unframe(bytes(p, "framed")) }),
  hdlc_deframe_stream: (p) => ({ frames: hdlcFrames(bytes(p, "stream")) }),
  kiss_frame: (p) => ({ framed: toHex(kissEncode(KISS.data, bytes(p, "data"))) }),
  kiss_deframe: (p) => ({ data: kissFrames(bytes(p, "framed"), 262_144)[0] ?? "" }),
  kiss_deframe_stream: (p) => ({ frames: kissFrames(bytes(p, "stream"), Number(p["hw_mtu"] ?? 262_144)) }),
  bz2_compress: (p) => {
    const compressed = bzip2(bytes(p, "data"));
    return { compressed: toHex(compressed), size: compressed.length };
  },
  bz2_decompress: (p) => {
    const data = bunzip2(bytes(p, "compressed"), 64 * 1024 * 1024);
    return { decompressed: toHex(data), size: data.length };
  },
  auto_discovery_token: (p) => ({
    token: toHex(discoveryToken(bytes(p, "group_id"), text(p, "link_local_addr"))),
  }),
  interface_optimise_mtu: (p) => ({
    hw_mtu: p["autoconfigure"] === false ? -1 : chosenMtu(Number(p["bitrate"])),
    unchanged: p["autoconfigure"] === false,
  }),
  wire_channel_envelope_pack: (p) => {
    const raw = packEnvelope({
      type: Number(p["msgtype"]),
      sequence: Number(p["sequence"]),
      payload: bytes(p, "data"),
    });
    return { raw: toHex(raw), sequence: Number(p["sequence"]) };
  },
  wire_buffer_pack: (p) => {
    if (p["unpack_raw"] !== undefined) {
      const message = unpackStreamMessage(bytes(p, "unpack_raw"));
      return { stream_id: message.stream, eof: message.eof, compressed: false, data: toHex(message.data) };
    }
    const flags = { eof: p["eof"] === true, compressed: p["compressed"] === true };
    const message = { stream: Number(p["stream_id"]), data: bytes(p, "data"), ...flags };
    try {
      return { raw: toHex(packStreamMessage(message)), msgtype: STREAM_TYPE };
    } catch (caught) {
      return { error: String(caught) };
    }
  },
};
