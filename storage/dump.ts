/**
 * One moment of a store as a stream of entries, and a new store made of them: for backups. What must never come back
 * from a copy is left out: the state of a witness (rules 7). Called through `LevelStore.dump` and `restoreDump`.
 */
import { RowTable, SpineError } from "../spine/index.ts";
import { getU32, Meta, metaKey, Prefix, putU32, rowKey } from "./keys.ts";
import { type Engine, engineError, newBatch, openEngine, READ_AHEAD_BYTES } from "./level-engine.ts";
import { readFormat } from "./migrate.ts";
import { unseal } from "./seal.ts";
import { encodeNumber } from "./values.ts";

/** Entries per piece are cut at about this many bytes. */
const PIECE_BYTES = 256 << 10;
const MAX_KEY_BYTES = 1_024;
const HEADER_BYTES = 8;

/** Kept by the node that made it only: restored, it would let a witness sign twice. */
const WITNESS_ROWS: Uint8Array = rowKey(RowTable.witness);

function isLeftOut(key: Uint8Array): boolean {
  return key[0] === Prefix.quarantine || WITNESS_ROWS.every((byte, i) => key[i] === byte);
}

/**
 * Every entry as u32 key length, u32 value length, key, value, in pieces of whole entries. All of one moment, however
 * long the reader takes. Rejects with `store_corrupt` rather than copy a damaged value.
 */
export async function* dumpEngine(engine: Engine): AsyncGenerator<Uint8Array> {
  const iterator = engine.iterator({ highWaterMarkBytes: READ_AHEAD_BYTES, fillCache: false });
  try {
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (;;) {
      const entries = await iterator.nextv(1_024);
      for (const [key, value] of entries) {
        if (isLeftOut(key)) continue;
        unseal(key, value);
        const header = new Uint8Array(HEADER_BYTES);
        putU32(header, 0, key.length);
        putU32(header, 4, value.length);
        parts.push(header, key, value);
        bytes += HEADER_BYTES + key.length + value.length;
        if (bytes < PIECE_BYTES) continue;
        yield Buffer.concat(parts, bytes);
        [parts, bytes] = [[], 0];
      }
      if (entries.length === 0) break;
    }
    if (bytes > 0) yield Buffer.concat(parts, bytes);
  } catch (caught) {
    throw engineError(caught, "backup");
  } finally {
    await iterator.close();
  }
}

/** The entries of one piece. Throws `store_corrupt` on anything that `dumpEngine` does not write. */
export function* dumpEntries(piece: Uint8Array): Generator<readonly [Uint8Array, Uint8Array]> {
  for (let at = 0; at < piece.length; ) {
    if (at + HEADER_BYTES > piece.length) throw new SpineError("store_corrupt", "a cut-off entry");
    const [keyBytes, valueBytes] = [getU32(piece, at), getU32(piece, at + 4)];
    const start = at + HEADER_BYTES;
    const end = start + keyBytes + valueBytes;
    if (keyBytes < 1 || keyBytes > MAX_KEY_BYTES || end > piece.length) {
      throw new SpineError("store_corrupt", "an entry of impossible length");
    }
    const key = piece.subarray(start, start + keyBytes);
    const value = piece.subarray(start + keyBytes, end);
    if (isLeftOut(key)) throw new SpineError("store_corrupt", "an entry that no copy holds");
    unseal(key, value);
    yield [key, value];
    at = end;
  }
}

/** Fills a new directory; resolved = all of it is on disk. Rejects with what the pieces reject with. */
export async function restoreDump(directory: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  const engine = await openEngine(directory);
  let entries = 0;
  try {
    for await (const piece of pieces) {
      const batch = newBatch(engine);
      for (const [key, value] of dumpEntries(piece)) {
        batch.put(key, value);
        entries++;
      }
      await batch.write();
    }
    // Synced last: everything before it is in the same journal or in tables already.
    const format = metaKey(Meta.format);
    const value = await engine.get(format);
    if (value === undefined) throw new SpineError("store_corrupt", "the copy has no format number");
    await engine.put(format, encodeNumber(format, (await readFormat(engine)) ?? 0), { sync: true });
  } catch (caught) {
    throw engineError(caught, directory);
  } finally {
    await engine.close();
  }
  return entries;
}
