/**
 * Verifies LevelDB's table files by their own checksums, which the engine never reads: on damaged keys its compaction
 * does not fail but aborts the process. Called by the offline store check, before LevelDB sees the directory.
 */
import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { maskedCrc32c } from "./crc32c.ts";

const FOOTER_BYTES = 48;
/** Compression type u8, masked CRC-32C u32, behind every block. */
const TRAILER_BYTES = 5;
const SNAPPY = 1;
const MAGIC = Uint8Array.of(0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb);
/** Where `setAside` moves damaged tables. */
const ASIDE = "damaged";

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * `incomplete`: without its last bytes, as a table whose writing was cut off and that nothing refers to; should
 * something refer to it, LevelDB reports it by itself. `damaged`: complete, but some block is not what was written.
 */
export type TableState = "sound" | "incomplete" | "damaged";

/** Names of the table files in a state, in order. Reads every byte; throws the signal's reason. */
export async function findTables(
  directory: string,
  state: TableState,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const found: string[] = [];
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((one) => /\.(?:ldb|sst)$/.test(one)).sort()) {
    signal?.throwIfAborted();
    if (tableState(await readFile(join(directory, name))) === state) found.push(name);
  }
  return found;
}

/** Moves table files into a folder of the directory that LevelDB does not look into. */
export async function setAside(directory: string, names: readonly string[]): Promise<void> {
  await mkdir(join(directory, ASIDE), { recursive: true });
  for (const name of names) await rename(join(directory, name), join(directory, ASIDE, name));
}

export function tableState(bytes: Uint8Array): TableState {
  const footer = bytes.length - FOOTER_BYTES;
  const start = bytes.length - MAGIC.length;
  if (footer < 0 || !MAGIC.every((byte, i) => bytes[start + i] === byte)) return "incomplete";
  try {
    const [meta, next] = readHandle(bytes, footer);
    const [index] = readHandle(bytes, next);
    for (const block of [...handlesOf(bytes, meta), ...handlesOf(bytes, index)]) checkedBlock(bytes, block);
    return "sound";
  } catch (error) {
    if (error instanceof RangeError) return "damaged";
    throw error;
  }
}

/** The blocks that an index block names. */
function handlesOf(bytes: Uint8Array, index: Handle): readonly Handle[] {
  const contents = checkedBlock(bytes, index);
  const view = new DataView(contents.buffer, contents.byteOffset, contents.byteLength);
  const restarts = view.getUint32(contents.length - 4, true);
  const end = contents.length - 4 - 4 * restarts;
  const handles: Handle[] = [];
  for (let at = 0; at < end; ) {
    const [, afterShared] = varint(contents, at);
    const [unshared, afterUnshared] = varint(contents, afterShared);
    const [length, start] = varint(contents, afterUnshared);
    handles.push(readHandle(contents, start + unshared)[0]);
    at = start + unshared + length;
  }
  return handles;
}

/** A block's contents, decompressed; throws RangeError if its checksum is wrong. */
function checkedBlock(bytes: Uint8Array, { offset, size }: Handle): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = offset + size;
  if (view.getUint32(end + 1, true) !== maskedCrc32c(bytes, offset, end + 1)) throw new RangeError("checksum");
  const contents = bytes.subarray(offset, end);
  return bytes[end] === SNAPPY && offset + size + TRAILER_BYTES <= bytes.length ? unsnap(contents) : contents;
}

function readHandle(bytes: Uint8Array, at: number): readonly [Handle, number] {
  const [offset, next] = varint(bytes, at);
  const [size, end] = varint(bytes, next);
  return [{ offset, size }, end];
}

function varint(bytes: Uint8Array, at: number): readonly [number, number] {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return [value, at + i + 1];
  }
  throw new RangeError("varint");
}

/** Decompresses a raw Snappy block; throws RangeError on malformed input. */
export function unsnap(bytes: Uint8Array): Uint8Array {
  const [length, start] = varint(bytes, 0);
  // Snappy never shrinks below about a twentieth; a larger claim is damage.
  if (length > bytes.length * 32) throw new RangeError("snappy length");
  const out = new Uint8Array(length);
  let to = 0;
  for (let at = start; at < bytes.length; ) {
    const tag = bytes[at++] as number;
    if ((tag & 3) === 0) {
      let run = tag >> 2;
      if (run >= 60) {
        const wide = run - 59;
        run = littleEndian(bytes, at, wide);
        at += wide;
      }
      out.set(bytes.subarray(at, at + run + 1), to);
      at += run + 1;
      to += run + 1;
      continue;
    }
    const wide = (tag & 3) === 1 ? 1 : (tag & 3) === 2 ? 2 : 4;
    const low = littleEndian(bytes, at, wide);
    at += wide;
    const back = wide === 1 ? ((tag >> 5) << 8) | low : low;
    const run = wide === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    if (back === 0 || back > to || to + run > length) throw new RangeError("snappy copy");
    for (const stop = to + run; to < stop; to++) out[to] = out[to - back] as number;
  }
  if (to !== length) throw new RangeError("snappy length");
  return out;
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = count - 1; i >= 0; i--) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new RangeError("snappy end");
    value = value * 256 + byte;
  }
  return value;
}
