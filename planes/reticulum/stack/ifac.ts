/** Interface access codes: closed networks by name and passphrase (spec/reticulum.md section 17). Used by the endpoint. */
import { concatBytes, fromHex, SpineError, utf8 } from "../../../spine/index.ts";
import { hkdf, sameBytes, sha256 } from "./crypto.ts";
import { Identity } from "./identity.ts";

const SALT = fromHex("adf54d882c9a9b80771eb4995d702d4a3e733391b2a0f53f416d9f907e55cff8");
const FLAG = 0x80;

export interface IfacOptions {
  readonly networkName?: string;
  readonly passphrase?: string;
  /** 1 to 64 bytes of access code in every packet. */
  readonly sizeBytes: number;
}

/** Masks what leaves an interface and opens what arrives. */
export class Ifac {
  readonly sizeBytes: number;
  /** 64 bytes derived from name and passphrase. */
  readonly key: Uint8Array;
  readonly #identity: Identity;
  /** Throws `config_invalid` without name and passphrase, or for a size out of bounds. */
  constructor(options: IfacOptions) {
    const { networkName, passphrase, sizeBytes } = options;
    if (networkName === undefined && passphrase === undefined) {
      throw new SpineError("config_invalid", "an access code needs a network name or a passphrase");
    }
    if (!Number.isInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > 64) {
      throw new SpineError("config_invalid", `access code of ${sizeBytes} bytes`);
    }
    const origin = concatBytes(
      networkName === undefined ? new Uint8Array(0) : sha256(utf8(networkName)),
      passphrase === undefined ? new Uint8Array(0) : sha256(utf8(passphrase)),
    );
    this.sizeBytes = sizeBytes;
    this.key = hkdf(64, sha256(origin), SALT);
    this.#identity = Identity.fromPrivateKey(this.key);
  }
  #code(raw: Uint8Array): Uint8Array {
    return this.#identity.sign(raw).subarray(64 - this.sizeBytes);
  }
  mask(raw: Uint8Array): Uint8Array {
    const code = this.#code(raw);
    const out = concatBytes(raw.subarray(0, 2), code, raw.subarray(2));
    this.#applyMask(out, code);
    out[0] = (out[0] as number) | FLAG;
    return out;
  }
  /** The packet as it was, or undefined when it does not carry a right code. */
  open(masked: Uint8Array): Uint8Array | undefined {
    const size = this.sizeBytes;
    if (masked.length <= 2 + size || ((masked[0] as number) & FLAG) === 0) return undefined;
    const code = masked.slice(2, 2 + size);
    const plain = masked.slice();
    this.#applyMask(plain, code);
    plain[0] = (plain[0] as number) & ~FLAG;
    const raw = concatBytes(plain.subarray(0, 2), plain.subarray(2 + size));
    return sameBytes(this.#code(raw), code) ? raw : undefined;
  }
  /** XORs everything but the code itself. */
  #applyMask(bytes: Uint8Array, code: Uint8Array): void {
    const mask = hkdf(bytes.length, code, this.key);
    for (let i = 0; i < bytes.length; i++) {
      if (i < 2 || i >= 2 + this.sizeBytes) bytes[i] = (bytes[i] as number) ^ (mask[i] as number);
    }
  }
}

/** Bit 7 of the first byte: the packet claims to carry an access code. */
export function hasAccessCode(raw: Uint8Array): boolean {
  return ((raw[0] ?? 0) & FLAG) !== 0;
}
