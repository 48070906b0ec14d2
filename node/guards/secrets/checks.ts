/**
 * Check digits that issuers put into their tokens, so that a scanner can tell a real one from a made-up one without asking
 * anybody. Sources: GitHub's and npm's announcements of their token formats (CRC-32 in base62), Grafana's token generator
 * (CRC-32, little-endian hex), BIP 173 (Bech32, used by age), RFC 7519 (a JWT's header is a JSON object with `alg`).
 */
import { crc32 } from "node:zlib";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const BECH32_GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3] as const;
const CRC_CHARS = 6;

/** CRC-32 of `text` as six base62 digits. */
export function crcBase62(text: string): string {
  let rest = crc32(text);
  let out = "";
  for (let at = 0; at < CRC_CHARS; at++) {
    out = BASE62.charAt(rest % 62) + out;
    rest = Math.floor(rest / 62);
  }
  return out;
}

/** `prefix_` + 30 characters + their CRC: classic GitHub tokens and npm tokens. */
export function crcAfterPrefix(token: string): boolean | undefined {
  const body = token.slice(token.indexOf("_") + 1);
  return body.length === 36 ? crcBase62(body.slice(0, -CRC_CHARS)) === body.slice(-CRC_CHARS) : undefined;
}

/** CRC-32 of `text` as eight hex digits, lowest byte first. */
export function crcLittleEndianHex(text: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc32(text));
  return bytes.toString("hex");
}

/** `glsa_SECRET_CRC`. */
export function grafanaCheck(token: string): boolean {
  const cut = token.lastIndexOf("_");
  return crcLittleEndianHex(token.slice(0, cut)) === token.slice(cut + 1).toLowerCase();
}

function bech32Polymod(values: readonly number[]): number {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    BECH32_GENERATOR.forEach((generator, bit) => {
      if ((top >> bit) & 1) sum ^= generator;
    });
  }
  return sum >>> 0;
}

function bech32Prefix(prefix: string): number[] {
  const codes = [...prefix].map((char) => char.charCodeAt(0));
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

export function bech32Valid(text: string): boolean {
  const lower = text.toLowerCase();
  const cut = lower.lastIndexOf("1");
  const data = [...lower.slice(cut + 1)].map((char) => BECH32.indexOf(char));
  return !data.includes(-1) && bech32Polymod([...bech32Prefix(lower.slice(0, cut)), ...data]) === 1;
}

/** A header that names an algorithm. */
export function jwtCheck(token: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString("utf8"));
    return typeof header === "object" && header !== null && "alg" in header;
  } catch {
    return false;
  }
}

/** The first part is the bot's numeric id in base64. */
export function discordCheck(token: string): boolean {
  return /^\d{17,20}$/.test(Buffer.from(token.slice(0, token.indexOf(".")), "base64").toString("latin1"));
}

/** 13 to 19 digits, not all equal, with a valid check digit (ISO/IEC 7812-1). */
export function luhn(value: string): boolean {
  const digits = value.replace(/\D/g, "");
  if (digits.length < 13 || digits.length > 19 || /^(\d)\1*$/.test(digits)) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = digit * 2;
    sum += i % 2 === 0 ? digit : doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
