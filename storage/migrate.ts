/**
 * Forward-only migrations, run while the store opens. Format 1 is the first; the migration from n to n + 1 stands at
 * index n − 1 of MIGRATIONS and writes its new format number in its last batch, so that a cut-off run starts over.
 */
import { SpineError } from "../spine/index.ts";
import { Meta, metaKey } from "./keys.ts";
import { type Engine, newBatch } from "./level-engine.ts";
import { decodeNumber, encodeNumber } from "./values.ts";

/** Brings the engine from one format to the next, in batches that may be repeated. */
export type Migration = (engine: Engine) => Promise<void>;

const MIGRATIONS: readonly Migration[] = [];

/**
 * Stamps an empty store with the newest format and migrates an older one to it; resolves with the format found.
 * Rejects with `store_version` if the store is too new (nothing is written) and `store_corrupt` if it has no format.
 */
export async function migrate(engine: Engine, migrations: readonly Migration[] = MIGRATIONS): Promise<number> {
  const newest = migrations.length + 1;
  const found = await readFormat(engine);
  if (found === undefined) {
    for await (const _ of engine.keys({ limit: 1 })) {
      throw new SpineError("store_corrupt", "the store holds entries but no format number");
    }
    await writeFormat(engine, newest);
    return newest;
  }
  if (found > newest) {
    throw new SpineError("store_version", `the store has format ${found}, this program knows up to ${newest}`);
  }
  for (let format = found; format < newest; format++) {
    await migrations[format - 1]?.(engine);
    await writeFormat(engine, format + 1);
  }
  return found;
}

/**
 * Writes the newest format number into a store that lost it; resolves with whether it had. A store that was damaged
 * before it was migrated is beyond this: its contents then show as damaged.
 */
export async function restoreFormat(engine: Engine): Promise<boolean> {
  try {
    if ((await readFormat(engine)) !== undefined) return false;
  } catch (caught) {
    // A damaged number is as good as a lost one; an unreadable store is another matter.
    if (!(caught instanceof SpineError)) throw caught;
  }
  await writeFormat(engine, MIGRATIONS.length + 1);
  return true;
}

export async function readFormat(engine: Engine): Promise<number | undefined> {
  const key = metaKey(Meta.format);
  const value = await engine.get(key);
  return value === undefined ? undefined : decodeNumber(key, value);
}

async function writeFormat(engine: Engine, format: number): Promise<void> {
  const key = metaKey(Meta.format);
  await newBatch(engine).put(key, encodeNumber(key, format)).write({ sync: true });
}
