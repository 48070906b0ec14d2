/**
 * Looks for damage inside LevelDB's journals before LevelDB opens them: it would drop a damaged commit, and the rest
 * of its 32 KiB block, without a word. A torn tail is no damage: a power cut leaves one, and nothing there was
 * acknowledged.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { maskedCrc32c } from "./crc32c.ts";

const BLOCK_BYTES = 32_768;
/** Masked CRC-32C u32, length u16, both little-endian, type u8. */
const HEADER_BYTES = 7;
/** A record begins with one of these; the others continue one. */
const FULL = 1;
const FIRST = 2;
const LAST_TYPE = 4;

/** Names the first damaged journal of the directory and where, or undefined if all are sound. Missing directories are sound. */
export async function findJournalDamage(directory: string): Promise<string | undefined> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((one) => one.endsWith(".log")).sort()) {
    // LevelDB removes journals while it runs; whether it does, its lock tells later.
    const bytes = await readFile(join(directory, name)).catch(() => new Uint8Array(0));
    const offset = journalDamage(bytes);
    if (offset !== undefined) return `journal ${name} is damaged at byte ${offset}`;
  }
  return undefined;
}

/**
 * Offset of a damaged record behind which another one begins. Every commit is synced before the next is written, so
 * that the later one proves that the damaged one had been whole.
 */
export function journalDamage(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let damaged: number | undefined;
  for (let block = 0; block < bytes.length; block += BLOCK_BYTES) {
    const end = Math.min(block + BLOCK_BYTES, bytes.length);
    for (let at = block; at + HEADER_BYTES <= end; ) {
      const type = bytes[at + 6] as number;
      const length = view.getUint16(at + 4, true);
      if (type === 0 && length === 0 && damaged === undefined) break;
      if (isRecord(bytes, view, at, end)) {
        if (damaged !== undefined && (type === FULL || type === FIRST)) return damaged;
        at += HEADER_BYTES + length;
      } else {
        damaged ??= at;
        at++;
      }
    }
  }
  return undefined;
}

function isRecord(bytes: Uint8Array, view: DataView, at: number, end: number): boolean {
  const type = bytes[at + 6] as number;
  const stop = at + HEADER_BYTES + view.getUint16(at + 4, true);
  if (type < FULL || type > LAST_TYPE || stop > end) return false;
  const masked = view.getUint32(at, true);
  return masked === maskedCrc32c(bytes, at + 6, stop);
}
