/**
 * `spine restore`: makes a node's directory of a backup. Everything is verified before anything is written, the result
 * is checked like any store, and the issuer key takes its place last: until then the directory is no node.
 */
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { asSpineError, openSigningBytes, SpineError } from "../../spine/index.ts";
import { checkStore, dumpEntries, restoreDump } from "../../storage/index.ts";
import type { NodeDir } from "../dir.ts";
import { syncDir, writeFileAtomic } from "../files.ts";
import { sha256Hex } from "../hash.ts";
import { createTokenFile, readKeyFile } from "../keyfile.ts";
import { createSigner } from "../signer.ts";
import { WorkerVerifier } from "../verifier.ts";
import {
  type BackupRecord,
  decodeFile,
  decodeRecords,
  deriveKey,
  FIRST_LINE,
  type Manifest,
  openContent,
  RecordKind,
  readManifest,
  STAGING,
} from "./backup-format.ts";

const MAX_FILES = 64;

export interface RestoreOptions {
  readonly source: string;
  /** New, empty, or left behind by a restore that was cut short. */
  readonly dir: NodeDir;
  readonly passphrase: string | undefined;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export interface Restored {
  readonly issuer: string;
  readonly createdAt: string;
  readonly envelopes: number;
  /** false: the operator must put the keys into the directory before the node can run. */
  readonly keys: boolean;
}

async function* readRecords(path: string, signal: AbortSignal): AsyncGenerator<BackupRecord> {
  const start = Buffer.byteLength(FIRST_LINE);
  let first = "";
  try {
    for await (const chunk of createReadStream(path, { end: start - 1 })) first += String(chunk);
    if (first !== FIRST_LINE) throw new SpineError("backup_invalid", `${path} is no backup of version 1`);
    const file = createReadStream(path, { start, signal });
    const gunzip = createGunzip();
    file.on("error", (error) => gunzip.destroy(error));
    file.pipe(gunzip);
    yield* decodeRecords(gunzip as AsyncIterable<Buffer>);
  } catch (caught) {
    if (caught instanceof SpineError || signal.aborted) throw caught;
    throw new SpineError("backup_invalid", `${path}: ${asSpineError(caught).message}`, { cause: caught });
  }
}

interface Contents {
  readonly manifest: Manifest;
  /** In clear. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Reads all of it: checksum, every entry's own seal, every key opened. Nothing is written. */
async function verifyBackup({ source, passphrase, signal }: RestoreOptions): Promise<Contents> {
  let manifest: Manifest | undefined;
  let key: Buffer | undefined;
  const files = new Map<string, Buffer>();
  for await (const { kind, payload } of readRecords(source, signal)) {
    signal.throwIfAborted();
    if (kind === RecordKind.manifest && manifest === undefined) {
      manifest = readManifest(payload);
      if (manifest.scrypt === undefined) continue;
      if (passphrase === undefined)
        throw new SpineError("backup_passphrase", "the keys are sealed; no passphrase given");
      key = await deriveKey(passphrase, manifest.scrypt);
    } else if (manifest === undefined) {
      throw new SpineError("backup_invalid", "no manifest at the beginning");
    } else if (kind === RecordKind.file || kind === RecordKind.sealedFile) {
      const { name, content } = decodeFile(payload);
      const sealed = kind === RecordKind.sealedFile;
      if (sealed && key === undefined) throw new SpineError("backup_invalid", `${name} is sealed without a passphrase`);
      if (files.has(name) || files.size >= MAX_FILES) throw new SpineError("backup_invalid", "too many files");
      files.set(name, sealed ? openContent(key as Buffer, manifest.issuer, name, content) : Buffer.from(content));
    } else if (kind === RecordKind.entries) {
      checkEntries(payload);
    } else throw new SpineError("backup_invalid", "a second manifest");
  }
  if (manifest === undefined) throw new SpineError("backup_invalid", `${source} is empty`);
  return { manifest, files };
}

/** Looks at each: a value that is not what was stored throws. */
function checkEntries(payload: Uint8Array): void {
  try {
    for (const _ of dumpEntries(payload));
  } catch (cause) {
    throw new SpineError("backup_invalid", asSpineError(cause).message, { cause });
  }
}

async function* entriesOf({ source, signal }: RestoreOptions): AsyncGenerator<Uint8Array> {
  for await (const { kind, payload } of readRecords(source, signal)) if (kind === RecordKind.entries) yield payload;
}

/** Refuses what is not new, empty, or the remains of a restore; resolves with whether the directory was made here. */
async function claim(dir: NodeDir): Promise<boolean> {
  const names = await readdir(dir.path).catch(() => undefined);
  if (names === undefined) {
    await mkdir(dir.path, { recursive: true, mode: 0o700 });
    return true;
  }
  const unfinished = names.includes(STAGING) && !names.includes("issuer.key");
  if (names.length > 0 && !unfinished) throw new SpineError("restore_target", `${dir.path} is not empty`);
  if (((await stat(dir.path)).mode & 0o022) !== 0) {
    throw new SpineError("key_permissions", `others can write to ${dir.path}; run chmod 700 on it`);
  }
  for (const name of names) await rm(join(dir.path, name), { recursive: true, force: true });
  return false;
}

/** Rejects with `backup_invalid`, `backup_passphrase`, `restore_target` or a store's code; then the target is as before. */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { dir, signal, onStep } = options;
  onStep("reading and verifying the backup");
  const contents = await verifyBackup(options);
  const made = await claim(dir);
  const staging = join(dir.path, STAGING);
  try {
    await mkdir(staging, { mode: 0o700 });
    onStep("writing");
    const envelopes = await stage(options, contents, staging);
    signal.throwIfAborted();
    await putInPlace(dir, staging);
    const { issuer, created_at } = contents.manifest;
    return { issuer, createdAt: created_at, envelopes, keys: contents.files.has("issuer.key") };
  } catch (caught) {
    await rm(staging, { recursive: true, force: true });
    if (made) await rmdir(dir.path).catch(() => undefined);
    throw caught;
  }
}

async function stage(options: RestoreOptions, { manifest, files }: Contents, staging: string): Promise<number> {
  const { signal, onStep } = options;
  const store = join(staging, "store");
  await mkdir(store, { mode: 0o700 });
  await restoreDump(store, entriesOf(options));
  for (const [name, content] of files) {
    await writeFileAtomic(join(staging, name), content, { mode: 0o600, exclusive: true });
  }
  await createTokenFile(join(staging, "api-token"));
  if (files.has("issuer.key")) {
    const { issuer } = createSigner(await readKeyFile(join(staging, "issuer.key"), "issuer"));
    if (issuer !== manifest.issuer) throw new SpineError("backup_invalid", "the issuer key is of another node");
  }
  onStep("checking the restored store");
  await using verifier = new WorkerVerifier();
  const report = await checkStore(store, { verifier, sha256Hex, openSigningBytes, signal, onProgress: () => {} });
  const [finding] = report.findings;
  if (finding !== undefined) throw new SpineError("backup_invalid", `the copy is damaged: ${finding.detail}`);
  return report.envelopes;
}

/** A few renames, the issuer key last. */
async function putInPlace(dir: NodeDir, staging: string): Promise<void> {
  await syncDir(staging);
  const names = (await readdir(staging)).sort((a, b) => Number(a === "issuer.key") - Number(b === "issuer.key"));
  for (const name of names) {
    if (name === "issuer.key") await syncDir(dir.path);
    await rename(join(staging, name), join(dir.path, name));
  }
  await rmdir(staging);
  await syncDir(dir.path);
}
