/**
 * The keys of a link between two nodes over servers that are trusted with delivery only: X25519 between the planes' own
 * keys, HKDF-SHA-256 over both nonces, AES-256-GCM per message with a counter as nonce. A server, or another client of
 * it, can drop a link's messages but neither read, forge, replay nor reorder them.
 */

import type { KeyObject } from "node:crypto";
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
} from "node:crypto";
import { concatBytes, fromHex, SpineError, toHex, utf8 } from "../../spine/index.ts";

const PKCS8_X25519 = fromHex("302e020100300506032b656e04220420");
const SPKI_X25519 = fromHex("302a300506032b656e032100");
const LABEL = "spine nats link v1";
export const KEY_BYTES = 32;
export const NONCE_BYTES = 16;
const COUNTER_BYTES = 8;
const TAG_BYTES = 16;
/** What sealing adds to a message. */
export const SEAL_BYTES: number = COUNTER_BYTES + TAG_BYTES;

/** A plane's own key. `id` is the public key in hex, by which peers name the node on this plane. */
export class PlaneKey {
  readonly id: string;
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;
  constructor(seed: Uint8Array) {
    this.#privateKey = createPrivateKey({
      key: Buffer.from(concatBytes(PKCS8_X25519, seed)),
      format: "der",
      type: "pkcs8",
    });
    const spki = createPublicKey(this.#privateKey).export({ format: "der", type: "spki" });
    this.publicKey = new Uint8Array(spki.subarray(SPKI_X25519.length));
    this.id = toHex(this.publicKey);
  }

  /** Keys of one link. Both ends give the same nonces in the same order: the dialler's first. */
  derive(peer: string, dialler: boolean, dialNonce: Uint8Array, answerNonce: Uint8Array): LinkSeal {
    const peerKey = fromHex(peer, KEY_BYTES);
    const publicKey = createPublicKey({
      key: Buffer.from(concatBytes(SPKI_X25519, peerKey)),
      format: "der",
      type: "spki",
    });
    let secret: Buffer;
    try {
      secret = diffieHellman({ privateKey: this.#privateKey, publicKey });
    } catch (cause) {
      throw new SpineError("peer_address", "not the key of a peer", { cause });
    }
    const [first, second] = dialler ? [this.publicKey, peerKey] : [peerKey, this.publicKey];
    const info = concatBytes(utf8(LABEL), first, second);
    const keys = new Uint8Array(hkdfSync("sha256", secret, concatBytes(dialNonce, answerNonce), info, 64));
    const [out, back] = [keys.slice(0, 32), keys.slice(32)];
    return dialler ? new LinkSeal(out, back) : new LinkSeal(back, out);
  }
}

/** What opening a message found: its content, or why there is none. */
export type Opened = Uint8Array | "forged" | "replayed" | "lost";

export class LinkSeal {
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  #sent = 0;
  #received = 0;
  constructor(sendKey: Uint8Array, receiveKey: Uint8Array) {
    this.#sendKey = sendKey;
    this.#receiveKey = receiveKey;
  }

  /** Counter, ciphertext, tag. */
  seal(kind: number, payload: Uint8Array): Uint8Array {
    const iv = nonce(this.#sent++);
    const cipher = createCipheriv("aes-256-gcm", this.#sendKey, iv);
    const out = new Uint8Array(COUNTER_BYTES + 1 + payload.length + TAG_BYTES);
    out.set(iv.subarray(4), 0);
    out.set(cipher.update(Uint8Array.of(kind)), COUNTER_BYTES);
    out.set(cipher.update(payload), COUNTER_BYTES + 1);
    cipher.final();
    out.set(cipher.getAuthTag(), out.length - TAG_BYTES);
    return out;
  }

  /** Messages come in the order sent: a later counter than the next means that some were lost on the way. */
  open(message: Uint8Array): Opened {
    if (message.length < SEAL_BYTES + 1) return "forged";
    const counter = message.subarray(0, COUNTER_BYTES);
    const view = new DataView(counter.buffer, counter.byteOffset, COUNTER_BYTES);
    const number = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
    const iv = new Uint8Array(12);
    iv.set(counter, 4);
    const decipher = createDecipheriv("aes-256-gcm", this.#receiveKey, iv);
    decipher.setAuthTag(message.subarray(message.length - TAG_BYTES));
    const content = decipher.update(message.subarray(COUNTER_BYTES, message.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return "forged";
    }
    if (number < this.#received) return "replayed";
    if (number > this.#received) return "lost";
    this.#received++;
    return new Uint8Array(content.buffer, content.byteOffset, content.length);
  }
}

function nonce(counter: number): Uint8Array {
  const iv = new Uint8Array(12);
  const view = new DataView(iv.buffer);
  view.setUint32(4, Math.floor(counter / 2 ** 32));
  view.setUint32(8, counter >>> 0);
  return iv;
}
