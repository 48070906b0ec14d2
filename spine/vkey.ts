/** Verifier keys of signed notes, `NAME+KEYID+BASE64` (c2sp.org/signed-note): Ed25519 logs and Ed25519 co-signers. */
import { fromBase64, toBase64 } from "./base64.ts";
import { concatBytes, toHex, utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { Sha256 } from "./ports.ts";

export const NoteKeyType = {
  /** Ed25519 over the note text: logs. */
  ed25519: 0x01,
  /** Timestamped Ed25519 co-signature (c2sp.org/tlog-cosignature): witnesses. */
  cosignature: 0x04,
} as const;
export type NoteKeyType = (typeof NoteKeyType)[keyof typeof NoteKeyType];

export const MAX_KEY_NAME_CHARS = 255;
const KEY_ID_BYTES = 4;

export interface NoteKey {
  readonly name: string;
  readonly type: NoteKeyType;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 4 bytes; a hint that selects a key, never a proof of one. */
  readonly keyId: Uint8Array;
}

/** Non-empty, without any Unicode space, control character or `+`. */
export function isKeyName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_KEY_NAME_CHARS && !/[\s\u0085+\p{Cc}\p{Cs}]/u.test(name);
}

/** Throws `vkey_invalid` for a name that cannot stand in a signature line or a key that is not 32 bytes. */
export function noteKey(sha256: Sha256, name: string, type: NoteKeyType, publicKey: Uint8Array): NoteKey {
  if (!isKeyName(name) || publicKey.length !== 32) throw new SpineError("vkey_invalid", "name or key length");
  const digest = sha256(concatBytes(utf8(name), Uint8Array.of(0x0a, type), publicKey));
  return { name, type, publicKey, keyId: digest.subarray(0, KEY_ID_BYTES) };
}

export function formatNoteKey(key: NoteKey): string {
  return `${key.name}+${toHex(key.keyId)}+${toBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))}`;
}

/** Throws `vkey_invalid`: wrong form, unknown algorithm, wrong key length, or an id that is not this key's. */
export function parseNoteKey(sha256: Sha256, text: string): NoteKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  const bytes = match === null ? undefined : fromBase64(match[3] as string);
  if (match === null || bytes === undefined) throw new SpineError("vkey_invalid", "not a verifier key");
  const type = Object.values(NoteKeyType).find((known) => known === bytes[0]);
  if (type === undefined) throw new SpineError("vkey_invalid", `unsupported key type ${bytes[0] ?? "none"}`);
  const key = noteKey(sha256, match[1] as string, type, bytes.subarray(1));
  if (toHex(key.keyId) !== match[2]) throw new SpineError("vkey_invalid", "the key id is not that of this key");
  return key;
}
