/**
 * A whole envelope in its one spelling, as on gossip topics and streams: read in one pass, without building its JSON.
 * Whatever is unusual is left to the parser in `open.ts`, which says what is wrong with it. rules 1.
 */
import { utf8 } from "./bytes.ts";
import { type Envelope, envelopeSizeBytes, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import type { Sha256Hex } from "./ports.ts";
import { scanSigningBytes } from "./scan.ts";

const HEAD_NULL_TOKEN = utf8('{"capability_token":null,');
const HEAD_NO_TOKEN = utf8("{");
const HASH_KEY = utf8('"envelope_hash":"0x');
const AFTER_HASH = utf8('",');
const SIGNATURE_KEY = utf8(',"signature":"0x');
const TAIL = utf8('"}');
const CLOSE_OBJECT = 0x7d;
const HASH_DIGITS = 64;
const SIGNATURE_DIGITS = 128;

function hasAt(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}

/** Value of a lower-case hex digit's code, or −1. */
function nibble(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}

/** The envelope, with its hash recomputed and its signature unverified; undefined says nothing but "unusual". */
export function readWholeEnvelope(bytes: Uint8Array, sha256Hex: Sha256Hex): Envelope | undefined {
  const head = hasAt(bytes, 0, HEAD_NULL_TOKEN) ? HEAD_NULL_TOKEN.length : HEAD_NO_TOKEN.length;
  if (bytes[0] !== HEAD_NO_TOKEN[0] || !hasAt(bytes, head, HASH_KEY)) return undefined;
  const hashAt = head + HASH_KEY.length;
  const restAt = hashAt + HASH_DIGITS + AFTER_HASH.length;
  const signatureAt = bytes.length - TAIL.length - SIGNATURE_DIGITS;
  const restEnd = signatureAt - SIGNATURE_KEY.length;
  if (restEnd <= restAt || !hasAt(bytes, restAt - AFTER_HASH.length, AFTER_HASH)) return undefined;
  if (!hasAt(bytes, restEnd, SIGNATURE_KEY) || !hasAt(bytes, bytes.length - TAIL.length, TAIL)) return undefined;

  const signingBytes = new Uint8Array(head + restEnd - restAt + 1);
  if (envelopeSizeBytes(signingBytes) > MAX_ENVELOPE_BYTES) return undefined;
  signingBytes.set(bytes.subarray(0, head));
  signingBytes.set(bytes.subarray(restAt, restEnd), head);
  signingBytes[signingBytes.length - 1] = CLOSE_OBJECT;
  const fields = scanSigningBytes(signingBytes, 0, signingBytes.length);
  if (fields === undefined) return undefined;

  const digits = sha256Hex(signingBytes);
  for (let i = 0; i < HASH_DIGITS; i++) if (bytes[hashAt + i] !== digits.charCodeAt(i)) return undefined;
  const signature = new Uint8Array(SIGNATURE_DIGITS / 2);
  for (let i = 0; i < signature.length; i++) {
    const high = nibble(bytes[signatureAt + 2 * i]);
    const low = nibble(bytes[signatureAt + 2 * i + 1]);
    if (high < 0 || low < 0) return undefined;
    signature[i] = 16 * high + low;
  }
  const { issuer, seq, prev, issuedAt, issuedAtMs, factSchema } = fields;
  return { issuer, seq, prev, issuedAt, issuedAtMs, factSchema, hash: `0x${digits}`, signingBytes, signature };
}
