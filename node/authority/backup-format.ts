/**
 * The backup file, version 1. Used by `backup.ts` and `restore.ts`.
 *
 * | part | bytes |
 * |---|---|
 * | first line | `spine-backup v1` and a line break |
 * | the rest | gzip (RFC 1952) of records: u8 kind, u32 big-endian length, payload |
 *
 * | kind | payload |
 * |---|---|
 * | 1 manifest | JSON, first and once: see `Manifest` |
 * | 2 file | u8 length of the name, name, content |
 * | 3 key file | the same, content sealed with the passphrase: 12-byte nonce, AES-256-GCM ciphertext, 16-byte tag; the name and the issuer are authenticated with it |
 * | 4 entries of the store | u32 key length, u32 value length, key, value; any number of whole entries |
 * | 9 end | 32 bytes: SHA-256 of all records before it, headers included; nothing follows |
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from "node:crypto";
import { SpineError } from "../../spine/index.ts";

export const FIRST_LINE = "spine-backup v1\n";
export const RecordKind = { manifest: 1, file: 2, sealedFile: 3, entries: 4, end: 9 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/** A restore makes everything in this folder first. Present = one was cut short; the next one starts over. */
export const STAGING = "restoring.tmp";
export const BACKUP_SCHEMA = "spine.backup.v1";

/** What a backup says of itself; its first record. */
export interface Manifest {
  readonly schema: typeof BACKUP_SCHEMA;
  /** Version of the program that made it. */
  readonly version: string;
  readonly issuer: string;
  readonly created_at: string;
  /** clear: readable by whoever has the file; none: the operator keeps the keys elsewhere. */
  readonly keys: "sealed" | "clear" | "none";
  /** scrypt (RFC 7914) from the passphrase to the 32-byte key of sealed files. */
  readonly scrypt?: { readonly n: number; readonly r: number; readonly p: number; readonly salt: string };
}

export interface BackupRecord {
  readonly kind: RecordKind;
  readonly payload: Uint8Array;
}

const HEADER_BYTES = 5;
/** No record that this program writes is longer than a piece of entries with one largest value. */
export const MAX_RECORD_BYTES: number = 8 << 20;
const DIGEST_BYTES = 32;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** About 64 MB and 0.2 s: costs a guesser more than a user. */
const SCRYPT = { n: 65_536, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
/** What a backup may ask of the machine that reads it. */
const MAX_SCRYPT_N = 1_048_576;

function recordBytes(kind: RecordKind, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = kind;
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/** Frames records and closes them with their digest. */
export async function* encodeRecords(records: AsyncIterable<BackupRecord>): AsyncGenerator<Buffer> {
  const digest = createHash("sha256");
  for await (const { kind, payload } of records) {
    const bytes = recordBytes(kind, payload);
    digest.update(bytes);
    yield bytes;
  }
  yield recordBytes(RecordKind.end, digest.digest());
}

function refuse(why: string): never {
  throw new SpineError("backup_invalid", why);
}

/** The records without the end, whose digest is checked when it comes. Throws `backup_invalid`, also when it never comes. */
export async function* decodeRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<BackupRecord> {
  const digest = createHash("sha256");
  let rest: Buffer = Buffer.alloc(0);
  let ended = false;
  for await (const chunk of chunks) {
    if (ended) refuse("something follows the end");
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER_BYTES) {
      const kind = rest[0] as RecordKind;
      const length = rest.readUInt32BE(1);
      if (length > MAX_RECORD_BYTES) refuse(`a record of ${length} bytes`);
      const size = HEADER_BYTES + length;
      if (rest.length < size) break;
      const payload = rest.subarray(HEADER_BYTES, size);
      if (kind === RecordKind.end) {
        if (payload.length !== DIGEST_BYTES || !digest.digest().equals(payload)) refuse("the checksum does not match");
        if (rest.length > size) refuse("something follows the end");
        ended = true;
      } else {
        if (!Object.values(RecordKind).includes(kind)) refuse(`a record of unknown kind ${kind}`);
        digest.update(rest.subarray(0, size));
        yield { kind, payload };
      }
      rest = rest.subarray(size);
    }
  }
  if (!ended) refuse("the file ends early");
}

export function encodeFile(name: string, content: Uint8Array): Buffer {
  const text = Buffer.from(name);
  return Buffer.concat([Uint8Array.of(text.length), text, content]);
}

/** Names are plain: no folder, nothing that begins with a dot. */
export function decodeFile(payload: Uint8Array): { readonly name: string; readonly content: Uint8Array } {
  const length = payload[0] ?? 0;
  const name = Buffer.from(payload.subarray(1, 1 + length)).toString("latin1");
  if (payload.length < 1 + length || !/^[a-z0-9][a-z0-9.-]{0,63}$/.test(name)) refuse("a file with an impossible name");
  return { name, content: payload.subarray(1 + length) };
}

export function readManifest(payload: Uint8Array): Manifest {
  let value: Partial<Manifest> | null;
  try {
    value = JSON.parse(Buffer.from(payload).toString("utf8")) as Partial<Manifest> | null;
  } catch (cause) {
    throw new SpineError("backup_invalid", "the manifest is not JSON", { cause });
  }
  if (value?.schema !== BACKUP_SCHEMA) refuse("the manifest is of another kind");
  const { issuer, keys, scrypt: cost } = value;
  if (typeof issuer !== "string" || !/^aegis:ed25519:[0-9a-f]{64}$/.test(issuer))
    refuse("the manifest names no issuer");
  if (keys !== "sealed" && keys !== "clear" && keys !== "none") refuse("the manifest does not say where the keys are");
  if (keys === "sealed") {
    const sane = cost !== undefined && [cost.n, cost.r, cost.p].every((one) => Number.isSafeInteger(one) && one > 0);
    if (!sane || cost.n > MAX_SCRYPT_N || cost.r > 32 || cost.p > 16 || !/^[0-9a-f]{32,128}$/.test(cost.salt)) {
      refuse("the manifest asks for an impossible key derivation");
    }
  }
  return value as Manifest;
}

export function newScrypt(): NonNullable<Manifest["scrypt"]> {
  return { ...SCRYPT, salt: randomBytes(SALT_BYTES).toString("hex") };
}

/** The 32-byte key of sealed files. */
export function deriveKey(passphrase: string, cost: NonNullable<Manifest["scrypt"]>): Promise<Buffer> {
  const { n, r, p, salt } = cost;
  return new Promise((resolve, reject) => {
    // NFC: the same passphrase typed on another keyboard is the same.
    const options = { N: n, r, p, maxmem: 256 * n * r };
    scrypt(passphrase.normalize("NFC"), Buffer.from(salt, "hex"), 32, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

function bound(issuer: string, name: string): Buffer {
  return Buffer.from(`${FIRST_LINE}${issuer}\n${name}`);
}

export function sealContent(key: Uint8Array, issuer: string, name: string, content: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound(issuer, name));
  return Buffer.concat([nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
}

/** Throws `backup_passphrase` when it does not open: another passphrase, or altered. */
export function openContent(key: Uint8Array, issuer: string, name: string, sealed: Uint8Array): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) refuse(`${name} is cut off`);
  const end = sealed.length - TAG_BYTES;
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES), options);
  decipher.setAAD(bound(issuer, name));
  decipher.setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
  } catch (cause) {
    throw new SpineError("backup_passphrase", `${name} does not open with this passphrase`, { cause });
  }
}
