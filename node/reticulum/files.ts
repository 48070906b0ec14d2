/**
 * What the Reticulum plane keeps on disk: the identity in `reticulum.key`, and under `reticulum/` the ratchets of own
 * destinations and what announces taught. Damaged files are set aside, never overwritten.
 */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { reticulum } from "../../planes/index.ts";
import { asSpineError, fromHex, type Millis, SpineError } from "../../spine/index.ts";
import type { NodeDir } from "../dir.ts";
import { fileExists } from "../init.ts";
import { createIdentityFile, readIdentityFile } from "../keyfile.ts";
import { readSecretText } from "../secret-file.ts";

const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** The node's identity, made on first use. Throws `key_invalid` or `key_permissions`. */
export async function openIdentity(dir: NodeDir): Promise<reticulum.Identity> {
  if (!(await fileExists(dir.reticulumKey))) await createIdentityFile(dir.reticulumKey);
  return reticulum.Identity.fromPrivateKey(await readIdentityFile(dir.reticulumKey));
}

/** 64 bytes as 128 hex digits, in a file that only its owner reads. Throws `key_permissions`, `key_missing` or `key_invalid`. */
export async function readGroupKey(path: string): Promise<Uint8Array> {
  const text = (await readSecretText(path)).trim();
  if (!/^[0-9a-fA-F]{128}$/.test(text)) throw new SpineError("key_invalid", `${path}: expected 128 hex digits`);
  return fromHex(text.toLowerCase(), 64);
}

/** Durable when it returns: content and name are on disk, or the old file still is. Throws `store_failed`. */
export function writeBytesDurably(path: string, bytes: Uint8Array): void {
  const folder = dirname(path);
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = openSync(temporary, "wx", 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const parent = openSync(folder, "r");
    try {
      fsyncSync(parent);
    } finally {
      closeSync(parent);
    }
  } catch (cause) {
    throw new SpineError("store_failed", `cannot write ${path}`, { cause });
  }
}

/** Loads a file if it is there. One that cannot be used is renamed to `….damaged`, and `warn` told. */
export function loadOrSetAside(path: string, load: (bytes: Uint8Array) => void, warn: (text: string) => void): void {
  if (!existsSync(path)) return;
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_FILE_BYTES) throw new SpineError("frame_size", `${bytes.length} bytes`);
    load(new Uint8Array(bytes));
  } catch (caught) {
    renameSync(path, `${path}.damaged`);
    warn(`${path} cannot be used (${asSpineError(caught).message}); it was renamed to ….damaged`);
  }
}

/** A destination's ratchets, kept in `reticulum/ratchets/NAME`. */
export function openRatchets(
  dir: NodeDir,
  name: string,
  identity: reticulum.Identity,
  warn: (text: string) => void,
): reticulum.RatchetRing {
  const path = join(dir.reticulum, "ratchets", name);
  const ring = new reticulum.RatchetRing(identity, { save: (file) => writeBytesDurably(path, file) });
  loadOrSetAside(path, (bytes) => ring.load(bytes), warn);
  return ring;
}

/**
 * Destinations heard of before and the paths to them; `now` is the station's time. Destinations that an earlier release kept
 * in `reticulum/known` are taken over; that file goes once they are in the new one.
 */
export function loadNetwork(
  dir: NodeDir,
  endpoint: reticulum.Endpoint,
  now: Millis,
  warn: (text: string) => void,
): void {
  const old = join(dir.reticulum, "known");
  const isNew = existsSync(join(dir.reticulum, "network"));
  if (!isNew) loadOrSetAside(old, (bytes) => endpoint.known.load(bytes, now), warn);
  loadOrSetAside(join(dir.reticulum, "network"), (bytes) => endpoint.loadTables(bytes, now), warn);
  if (!existsSync(old)) return;
  if (!isNew) saveNetwork(dir, endpoint);
  rmSync(old);
}

export function saveNetwork(dir: NodeDir, endpoint: reticulum.Endpoint): void {
  writeBytesDurably(join(dir.reticulum, "network"), endpoint.saveTables());
}
