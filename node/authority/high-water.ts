/**
 * The newest (seq, hash) of a chain, kept in a file outside the store and its backups (rules 7). Two slots of one block
 * each are written in turn, so that a write cut short leaves the other. For the own chain, a log's chain, a witness' state.
 *
 * Each slot is a line padded to 512 bytes: `spine-high-water v1 PURPOSE SUBJECT SEQ HASH BOOT CHECK`, CHECK being the
 * first 16 hex digits of the SHA-256 of what stands before it.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { SpineError } from "../../spine/index.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import { sha256Hex } from "../hash.ts";

export type HighWaterPurpose = "issuer" | "log" | "witness";

export interface HighWaterMark {
  readonly seq: number;
  /** `0x` and 64 hex digits. */
  readonly hash: string;
  /** The machine's boot in which it was written; "-" where the system tells none. */
  readonly boot: string;
}

const SLOT_BYTES = 512;
const SLOTS = 2;
const LINE = /^spine-high-water v1 ([a-z]+) (\S{1,200}) (\d{1,16}) (0x[0-9a-f]{64}) ([0-9a-f-]{1,36})$/;
const CHECK_CHARACTERS = 16;

/** Changes with each start of the machine (Linux); "-" elsewhere. */
export async function bootId(): Promise<string> {
  const text = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  return /^[0-9a-f-]{36}$/.test(text.trim()) ? text.trim() : "-";
}

function encodeSlot(purpose: string, subject: string, { seq, hash, boot }: HighWaterMark): Uint8Array {
  const line = `spine-high-water v1 ${purpose} ${subject} ${seq} ${hash} ${boot}`;
  const check = sha256Hex(Buffer.from(line)).slice(0, CHECK_CHARACTERS);
  return Buffer.from(`${`${line} ${check}`.padEnd(SLOT_BYTES - 1)}\n`);
}

function decodeSlot(bytes: Uint8Array, purpose: string, subject: string): HighWaterMark | undefined {
  const text = Buffer.from(bytes).toString("latin1").trimEnd();
  const line = text.slice(0, -CHECK_CHARACTERS - 1);
  const found = LINE.exec(line);
  if (found === null || sha256Hex(Buffer.from(line)).slice(0, CHECK_CHARACTERS) !== text.slice(line.length + 1)) {
    return undefined;
  }
  const [, madeFor, about, seq, hash, boot] = found as unknown as [string, string, string, string, string, string];
  if (madeFor !== purpose || about !== subject || !Number.isSafeInteger(Number(seq))) return undefined;
  return { seq: Number(seq), hash, boot };
}

export interface HighWaterRead {
  /** Undefined when the file is missing, damaged or of another chain. */
  readonly mark: HighWaterMark | undefined;
  readonly state: "missing" | "damaged" | "sound";
  /** Slot that holds the mark. */
  readonly slot: number;
}

/** Throws `store_failed` when the file is there and cannot be read. */
export async function readHighWater(path: string, purpose: HighWaterPurpose, subject: string): Promise<HighWaterRead> {
  let bytes: Buffer;
  try {
    const handle = await open(path, "r");
    try {
      bytes = Buffer.alloc(SLOTS * SLOT_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      bytes = bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (errorCodeOf(cause) === "ENOENT") return { mark: undefined, state: "missing", slot: 0 };
    throw new SpineError("store_failed", `cannot read ${path}`, { cause });
  }
  let best: HighWaterMark | undefined;
  let slot = 0;
  for (let i = 0; i < SLOTS; i++) {
    const mark = decodeSlot(bytes.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES), purpose, subject);
    if (mark !== undefined && mark.seq >= (best?.seq ?? -1)) [best, slot] = [mark, i];
  }
  return { mark: best, state: best === undefined ? "damaged" : "sound", slot };
}

/** A mark where none is, or over one of another chain. */
export async function createHighWater(
  path: string,
  purpose: HighWaterPurpose,
  subject: string,
  point: { readonly seq: number; readonly hash: string },
): Promise<void> {
  const slot = encodeSlot(purpose, subject, { ...point, boot: await bootId() });
  await writeFileAtomic(path, Buffer.concat([slot, slot]), { mode: 0o600, exclusive: false });
}

export interface HighWaterOptions {
  readonly path: string;
  readonly purpose: HighWaterPurpose;
  /** Issuer id, log origin or key: a mark of another chain is never taken for this one's. Without blanks. */
  readonly subject: string;
  readonly boot: string;
  /** Told when the file cannot be written; it is tried again with the next mark. */
  readonly onError: (error: unknown) => void;
}

/** A mark is on disk this long after `raise`, at most; within a second of the commit together with the write itself. */
const DELAY_MS = 400;

/** Raises the mark behind the back of whoever commits: nothing ever waits for it. */
export class HighWaterWriter {
  readonly #options: HighWaterOptions;
  #handle: FileHandle | undefined;
  #slot = 0;
  #latest: { readonly seq: number; readonly hash: string } | undefined;
  #written = -1;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: HighWaterOptions) {
    this.#options = options;
  }

  /** Continues a file that was read, so that its newer slot is not the first to be overwritten. */
  continueFrom(read: HighWaterRead): void {
    if (read.mark === undefined) return;
    this.#slot = 1 - read.slot;
    this.#written = read.mark.seq;
  }

  /** After the commit; cheap, returns at once. Marks never go down. */
  raise(point: { readonly seq: number; readonly hash: string }): void {
    if (this.#closed || point.seq <= (this.#latest?.seq ?? this.#written)) return;
    this.#latest = point;
    this.#timer ??= setTimeout(() => void this.flush(), DELAY_MS);
  }

  /** Resolved = the newest mark is on disk, or the failure was told. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const point = this.#latest;
    if (point === undefined || point.seq <= this.#written) return;
    const { purpose, subject, boot } = this.#options;
    const slot = encodeSlot(purpose, subject, { ...point, boot });
    try {
      this.#handle ??= await this.#open(slot);
      await this.#handle.write(slot, 0, SLOT_BYTES, this.#slot * SLOT_BYTES);
      await this.#handle.datasync();
      this.#slot = 1 - this.#slot;
      this.#written = point.seq;
    } catch (caught) {
      await this.#handle?.close().catch(() => {});
      this.#handle = undefined;
      this.#options.onError(caught);
    }
  }

  /** Never truncates what is there; a new file is whole from the start. */
  async #open(slot: Uint8Array): Promise<FileHandle> {
    const { path } = this.#options;
    try {
      // Whoever put a link here must not choose what is written to.
      return await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    } catch (caught) {
      if (errorCodeOf(caught) !== "ENOENT") throw caught;
      await writeFileAtomic(path, Buffer.concat([slot, slot]), { mode: 0o600, exclusive: true });
      return open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    }
  }

  /** Writes what is left and closes the file. */
  async close(): Promise<void> {
    if (this.#closed) return this.#writing;
    this.#closed = true;
    await this.flush();
    await this.#handle?.close();
    this.#handle = undefined;
  }
}
