/**
 * `spine backup`: one file that holds everything a node needs to go on, but nothing that must never come back: the
 * high-water mark, the state of a witness, the API token. The store's part comes from the daemon while one runs.
 */
import { open, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { asSpineError, type Issuer, SpineError } from "../../spine/index.ts";
import type { NodeDir } from "../dir.ts";
import { errorCodeOf, syncDir } from "../files.ts";
import { VERSION } from "../version.ts";
import {
  BACKUP_SCHEMA,
  type BackupRecord,
  deriveKey,
  encodeFile,
  encodeRecords,
  FIRST_LINE,
  type Manifest,
  newScrypt,
  RecordKind,
  sealContent,
} from "./backup-format.ts";

/** Files of the node's directory that are part of it. Keys are told apart: they may be sealed or left out. */
const KEY_FILE = /^[a-z0-9-]+\.key$/;
const PLAIN_FILE = /^(?:config\.yaml|trust\.yaml|gateway\.yaml|peers\.json|[a-z0-9-]+\.(?:accepted|pub))$/;
const MAX_FILE_BYTES = 4 << 20;
const GZIP_LEVEL = 3;

export interface BackupOptions {
  readonly dir: NodeDir;
  readonly issuer: Issuer;
  readonly target: string;
  /** Seals the keys; undefined leaves them readable. */
  readonly passphrase: string | undefined;
  readonly withKeys: boolean;
  /** The store at one moment (`LevelStore.dump`). */
  readonly entries: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** Bytes of the store copied so far. */
  readonly onProgress: (bytes: number) => void;
}

async function* records(options: BackupOptions): AsyncGenerator<BackupRecord> {
  const { dir, issuer, passphrase, withKeys, entries, signal, onProgress } = options;
  const scrypt = withKeys && passphrase !== undefined ? newScrypt() : undefined;
  const manifest: Manifest = {
    schema: BACKUP_SCHEMA,
    version: VERSION,
    issuer,
    created_at: new Date().toISOString(),
    keys: !withKeys ? "none" : scrypt === undefined ? "clear" : "sealed",
    ...(scrypt === undefined ? {} : { scrypt }),
  };
  yield { kind: RecordKind.manifest, payload: Buffer.from(JSON.stringify(manifest)) };
  const key = scrypt === undefined ? undefined : await deriveKey(passphrase as string, scrypt);
  for (const name of (await readdir(dir.path)).sort()) {
    const isKey = KEY_FILE.test(name);
    if (!(isKey ? withKeys : PLAIN_FILE.test(name))) continue;
    const path = join(dir.path, name);
    const info = await stat(path);
    if (!info.isFile()) continue;
    if (info.size > MAX_FILE_BYTES) throw new SpineError("store_failed", `${path} has ${info.size} bytes`);
    const content = await readFile(path);
    const sealed = isKey && key !== undefined;
    yield {
      kind: sealed ? RecordKind.sealedFile : RecordKind.file,
      payload: encodeFile(name, sealed ? sealContent(key, issuer, name, content) : content),
    };
  }
  let bytes = 0;
  for await (const payload of entries) {
    signal.throwIfAborted();
    yield { kind: RecordKind.entries, payload };
    bytes += payload.length;
    onProgress(bytes);
  }
}

/** Writes FILE whole or not at all, mode 0600, never over an existing one; resolves with its size in bytes. */
export async function writeBackup(options: BackupOptions): Promise<number> {
  const { target, signal } = options;
  if (await stat(target).then(Boolean, () => false)) throw new SpineError("usage", `${target} exists already`);
  const partial = `${target}.partial`;
  try {
    const handle = await open(partial, "w", 0o600);
    try {
      await handle.chmod(0o600);
      await handle.writeFile(FIRST_LINE);
      const source = Readable.from(encodeRecords(records(options)));
      const packed = source.pipe(createGzip({ level: GZIP_LEVEL }));
      source.once("error", (error) => packed.destroy(error));
      for await (const chunk of packed) {
        signal.throwIfAborted();
        await handle.appendFile(chunk as Buffer);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    const { size } = await stat(partial);
    await rename(partial, target);
    await syncDir(dirname(target));
    return size;
  } catch (caught) {
    await unlink(partial).catch(() => undefined);
    if (errorCodeOf(caught) === "ENOSPC") throw new SpineError("store_full", `${target}: no space`, { cause: caught });
    throw asSpineError(caught, "store_failed");
  }
}
