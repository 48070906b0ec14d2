/** The LevelDB engine as the level store uses it: options, types and the translation of its errors. */
import { appendFile, link, mkdtemp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Level } from "level";
import { asSpineError, type ErrorCode, SpineError } from "../spine/index.ts";
import { findJournalDamage } from "./journal.ts";

export type Engine = Level<Uint8Array, Uint8Array>;
export type EngineBatch = ReturnType<typeof newBatch>;
export type EngineSnapshot = ReturnType<Engine["snapshot"]>;

/**
 * Chosen by measurement (`test/bench/store.ts`), sizes in bytes. Snappy halves the disk use and costs no throughput.
 * 16 KiB table blocks compress better than 4 KiB. LevelDB maps whole table files into memory and keeps at least 64
 * open: small files and few of them bound what a scan makes resident.
 */
const OPTIONS = {
  keyEncoding: "view",
  valueEncoding: "view",
  compression: true,
  writeBufferSize: 16 << 20,
  cacheSize: 8 << 20,
  blockSize: 16 << 10,
  maxFileSize: 2 << 20,
  maxOpenFiles: 74,
};
/** How much an iterator may read ahead. */
export const READ_AHEAD_BYTES = 256 << 10;

/**
 * Opens the directory, creating it if missing. Rejects with `store_locked`, `store_corrupt`, `store_full` or
 * `store_failed`. Damage in a journal is refused before LevelDB drops it, unless `tolerant`.
 */
export async function openEngine(directory: string, tolerant = false): Promise<Engine> {
  const damage = tolerant ? undefined : await findJournalDamage(directory);
  if (damage !== undefined) throw new SpineError("store_corrupt", `${directory}: ${damage}`);
  const engine: Engine = new Level<Uint8Array, Uint8Array>(directory, OPTIONS);
  const path = resolve(directory);
  try {
    await engine.open();
  } catch (caught) {
    throw engineError(caught, directory);
  }
  openHere.add(path);
  engine.once("closed", () => openHere.delete(path));
  return engine;
}

/** Directories open in this process. */
const openHere = new Set<string>();

/**
 * Takes LevelDB's lock on a directory without letting LevelDB read it: a scratch database inside it shares its lock
 * file by a hard link. Dispose to release. Rejects with `store_locked`; resolves with undefined where the file system
 * has no hard links.
 */
export async function holdLock(directory: string): Promise<AsyncDisposable | undefined> {
  // The operating system's lock does not hold against its own process, and closing a second handle would release it.
  if (openHere.has(resolve(directory))) throw new SpineError("store_locked", `${directory} is open in this process`);
  const scratch = await mkdtemp(join(directory, "lock-"));
  const remove = () => rm(scratch, { recursive: true, force: true });
  try {
    await appendFile(join(directory, "LOCK"), "");
    await link(join(directory, "LOCK"), join(scratch, "LOCK"));
  } catch {
    await remove();
    return undefined;
  }
  const engine = new Level(scratch);
  try {
    await engine.open();
  } catch (caught) {
    await remove();
    throw engineError(caught, directory);
  }
  return {
    async [Symbol.asyncDispose]() {
      await engine.close();
      await remove();
    },
  };
}

/** A chained batch: an array batch halves the throughput of large commits. */
export function newBatch(engine: Engine) {
  return engine.batch();
}

/** Salvages what LevelDB can of a directory that it refuses to open. The directory must be closed. */
export async function salvageEngine(directory: string): Promise<void> {
  const { repair } = Level as unknown as { repair(location: string): Promise<void> };
  try {
    await repair(directory);
  } catch (caught) {
    throw engineError(caught, directory);
  }
}

/** Bytes of table files, estimated. */
export function tableBytes(engine: Engine): Promise<number> {
  const measured = engine as unknown as { approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> };
  return measured.approximateSize(Uint8Array.of(0), Uint8Array.of(255));
}

/** Every error of the engine as a SpineError; ours pass unchanged. */
export function engineError(caught: unknown, subject = "store"): SpineError {
  if (caught instanceof SpineError) return caught;
  const chain = causes(caught);
  const text = chain.map((error) => `${error.code} ${error.message}`).join(": ");
  return new SpineError(engineCode(text), `${subject}: ${chain.at(-1)?.message ?? String(caught)}`, { cause: caught });
}

function engineCode(text: string): ErrorCode {
  if (/LEVEL_LOCKED/.test(text)) return "store_locked";
  if (/No space left|Disk quota exceeded|ENOSPC|EDQUOT|File too large/i.test(text)) return "store_full";
  if (/LEVEL_CORRUPTION|Corruption:/.test(text)) return "store_corrupt";
  // A missing or misnamed part of an existing database.
  if (/IO error: .*: (?:No such file|Not a directory|Is a directory)|create_if_missing/.test(text))
    return "store_corrupt";
  // A read behind the end of a table that was cut off.
  if (/IO error: .*\.(?:ldb|sst): Invalid argument/.test(text)) return "store_corrupt";
  if (/^LEVEL_(?:DATABASE|ITERATOR|SNAPSHOT|BATCH)_NOT_OPEN [^:]*$/.test(text)) return "store_closed";
  return "store_failed";
}

function causes(caught: unknown): readonly { code: string; message: string }[] {
  const found: { code: string; message: string }[] = [];
  for (let error = caught; error instanceof Error && found.length < 8; error = error.cause) {
    found.push({ code: String((error as { code?: unknown }).code ?? ""), message: error.message });
  }
  return found.length > 0 ? found : [{ code: "", message: asSpineError(caught).message }];
}
