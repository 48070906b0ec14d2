/**
 * Key and token files, one line each, mode 0600:
 * `spine-key v1 PURPOSE ed25519 SEED` with the seed as 64 hex digits, `spine-token v1 TOKEN` likewise, and
 * `spine-key v1 reticulum x25519-ed25519 KEYS` with 128, `spine-key v1 wireguard x25519 KEY` with 64.
 * The purpose is part of the file so that no key can be used for another's work (rules 1).
 */
import { randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { fromHex, SpineError, toHex } from "../spine/index.ts";
import { errorCodeOf, writeFileAtomic } from "./files.ts";

export type KeyPurpose = "issuer" | "next" | "libp2p" | "log" | "nats";

const SECRET_BYTES = 32;
/** No valid file is longer; anything else is not read into memory. */
const MAX_FILE_BYTES = 256;

async function writeSecret(path: string, line: string): Promise<void> {
  try {
    await writeFileAtomic(path, `${line}\n`, { mode: 0o600, exclusive: true });
  } catch (cause) {
    if (errorCodeOf(cause) === "EEXIST") throw new SpineError("key_exists", `${path} exists already`, { cause });
    throw new SpineError("store_failed", `cannot write ${path}`, { cause });
  }
}

async function readSecret(path: string): Promise<string> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") throw new SpineError("key_missing", `${path} does not exist`, { cause });
    throw new SpineError("key_permissions", `cannot open ${path}`, { cause });
  });
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new SpineError("key_invalid", `${path} is not a file`);
    const bits = info.mode & 0o777;
    if ((bits & 0o077) !== 0) {
      throw new SpineError("key_permissions", `${path} has mode ${bits.toString(8).padStart(4, "0")}, expected 0600`);
    }
    const user = process.getuid?.();
    if (user !== undefined && info.uid !== user) {
      throw new SpineError("key_permissions", `${path} belongs to user ${info.uid}, not to ${user}`);
    }
    if (info.size > MAX_FILE_BYTES) throw new SpineError("key_invalid", `${path} has ${info.size} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/** Throws `key_exists` rather than replace. `seed` is 32 bytes, fresh random if omitted; returns it. */
export async function createKeyFile(path: string, purpose: KeyPurpose, seed?: Uint8Array): Promise<Uint8Array> {
  const secret = seed ?? randomBytes(SECRET_BYTES);
  await writeSecret(path, `spine-key v1 ${purpose} ed25519 ${toHex(secret)}`);
  return secret;
}

/** The 32-byte seed. Throws `key_missing`, `key_permissions` or `key_invalid` (wrong purpose or content). */
export async function readKeyFile(path: string, purpose: KeyPurpose): Promise<Uint8Array> {
  const text = await readSecret(path);
  const found = /^spine-key v1 ([a-z0-9]+) ed25519 ([0-9a-f]{64})\n?$/.exec(text);
  if (!found) throw new SpineError("key_invalid", `${path} is not a spine key file`);
  if (found[1] !== purpose) {
    throw new SpineError("key_invalid", `${path} holds a key for "${found[1]}", expected "${purpose}"`);
  }
  return fromHex(found[2] as string, SECRET_BYTES);
}

const IDENTITY_BYTES = 64;

/** A Reticulum identity: X25519 scalar, then Ed25519 seed, one line like a key. Throws `key_exists` rather than replace. */
export async function createIdentityFile(path: string): Promise<void> {
  await writeSecret(path, `spine-key v1 reticulum x25519-ed25519 ${randomBytes(IDENTITY_BYTES).toString("hex")}`);
}

/** The 64 secret bytes. Throws as `readKeyFile` does. */
export async function readIdentityFile(path: string): Promise<Uint8Array> {
  const found = /^spine-key v1 reticulum x25519-ed25519 ([0-9a-f]{128})\n?$/.exec(await readSecret(path));
  if (!found) throw new SpineError("key_invalid", `${path} is not a reticulum identity file`);
  return fromHex(found[1] as string, IDENTITY_BYTES);
}

/** An X25519 key of the WireGuard plane: `spine-key v1 wireguard x25519 KEY`. Throws `key_exists` rather than replace. */
export async function createTransportKeyFile(path: string): Promise<void> {
  await writeSecret(path, `spine-key v1 wireguard x25519 ${randomBytes(SECRET_BYTES).toString("hex")}`);
}

/** The 32 secret bytes. Throws as `readKeyFile` does. */
export async function readTransportKeyFile(path: string): Promise<Uint8Array> {
  const found = /^spine-key v1 wireguard x25519 ([0-9a-f]{64})\n?$/.exec(await readSecret(path));
  if (!found) throw new SpineError("key_invalid", `${path} is not a wireguard key file`);
  return fromHex(found[1] as string, SECRET_BYTES);
}

export async function createTokenFile(path: string): Promise<void> {
  await writeSecret(path, `spine-token v1 ${randomBytes(SECRET_BYTES).toString("hex")}`);
}

/** The bearer token, 64 hex digits. Throws as `readKeyFile` does. */
export async function readTokenFile(path: string): Promise<string> {
  const found = /^spine-token v1 ([0-9a-f]{64})\n?$/.exec(await readSecret(path));
  if (!found) throw new SpineError("key_invalid", `${path} is not a spine token file`);
  return found[1] as string;
}
