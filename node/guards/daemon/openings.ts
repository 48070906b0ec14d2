/**
 * What opens the commitments of receipts: nonce and target, on this host only, mode 0600. Append-only segments of JSON
 * Lines, synced in groups; when the newest is full the oldest goes, so the space is bounded and what is older than that
 * can no longer be revealed. The guard host appends, `spine guard reveal` and the audit read.
 */
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { SpineError } from "../../../spine/index.ts";
import { errorCodeOf, syncDir } from "../../files.ts";
import { type Line, lineText, splitLines } from "../../lines.ts";
import { type DecisionReceipt, opensCommitment } from "../receipt.ts";

export interface Opening {
  /** 64 hex digits. */
  readonly commitment: string;
  /** 32 hex digits. */
  readonly nonce: string;
  /** Canonical JSON of the action, content by its SHA-256. */
  readonly target: string;
}

export const SEGMENTS = 8;
const SEGMENT_NAME = /^\d{8}\.jsonl$/;
const NEWLINE = 10;

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

async function segmentNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") return [];
    throw new SpineError("store_failed", `cannot list ${folder}`, { cause });
  });
  return names
    .filter((name) => SEGMENT_NAME.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b);
}

function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(8, "0")}.jsonl`);
}

export class OpeningsLog {
  readonly #folder: string;
  readonly #segmentBytes: number;
  #numbers: number[];
  #file: FileHandle;
  /** Bytes of whole lines in the newest segment; a write that failed halfway is cut off again. */
  #size: number;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  private constructor(folder: string, segmentBytes: number, numbers: number[], file: FileHandle, size: number) {
    this.#folder = folder;
    this.#segmentBytes = segmentBytes;
    this.#numbers = numbers;
    this.#file = file;
    this.#size = size;
  }

  /** `maxBytes` of all segments together. Throws `store_failed`. */
  static async open(folder: string, maxBytes: number): Promise<OpeningsLog> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const numbers = await segmentNumbers(folder);
      if (numbers.length === 0) numbers.push(1);
      const file = await open(segmentPath(folder, numbers.at(-1) as number), "a+", 0o600);
      const size = await wholeLines(file);
      await file.truncate(size);
      await syncDir(folder);
      return new OpeningsLog(folder, Math.floor(maxBytes / SEGMENTS), numbers, file, size);
    } catch (cause) {
      if (cause instanceof SpineError) throw cause;
      throw new SpineError("store_failed", `cannot open ${folder}`, { cause });
    }
  }

  /** Resolved = on disk. Rejects with `store_full` or `store_failed`; a later call may well succeed. */
  keep({ commitment, opening }: DecisionReceipt): Promise<void> {
    if (this.#closed) return Promise.reject(new SpineError("store_closed", "the openings were closed"));
    const line = `${JSON.stringify({ commitment, nonce: opening.nonce, target: opening.target })}\n`;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits for what was handed in. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
    await this.#file.close();
  }

  async #run(): Promise<void> {
    // A turn of the event loop lets the rest of one burst join the first write.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0);
      try {
        await this.#append(Buffer.from(group.map(({ line }) => line).join("")));
        for (const { resolve } of group) resolve();
      } catch (cause) {
        const code = errorCodeOf(cause) === "ENOSPC" || errorCodeOf(cause) === "EDQUOT" ? "store_full" : "store_failed";
        const error = new SpineError(code, "what opens the receipt's commitment could not be written", { cause });
        for (const { reject } of group) reject(error);
      }
    }
    this.#running = undefined;
  }

  async #append(bytes: Buffer): Promise<void> {
    if (this.#size > 0 && this.#size + bytes.length > this.#segmentBytes) await this.#nextSegment();
    try {
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
      this.#size += bytes.length;
    } catch (cause) {
      await this.#file.truncate(this.#size).catch(() => undefined);
      throw cause;
    }
  }

  async #nextSegment(): Promise<void> {
    const number = (this.#numbers.at(-1) as number) + 1;
    const next = await open(segmentPath(this.#folder, number), "a+", 0o600);
    await this.#file.close();
    this.#file = next;
    this.#size = 0;
    this.#numbers.push(number);
    for (const old of this.#numbers.splice(0, Math.max(0, this.#numbers.length - SEGMENTS)))
      await rm(segmentPath(this.#folder, old), { force: true });
    await syncDir(this.#folder);
  }
}

/** Length up to and including the last line break: what follows was cut short by a crash. */
async function wholeLines(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const piece = Buffer.alloc(65_536);
  for (let end = size; end > 0; ) {
    const from = Math.max(0, end - piece.length);
    const { bytesRead } = await file.read(piece, 0, end - from, from);
    const at = piece.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (at >= 0) return from + at + 1;
    end = from;
  }
  return 0;
}

/** The openings of these commitments that are still kept and do open them. Reads all segments, newest first. */
export async function findOpenings(folder: string, commitments: ReadonlySet<string>): Promise<Map<string, Opening>> {
  const found = new Map<string, Opening>();
  for (const number of (await segmentNumbers(folder)).reverse()) {
    if (found.size === commitments.size) break;
    const stream = createReadStream(segmentPath(folder, number));
    try {
      for await (const lines of splitLines(stream))
        for (const line of lines) {
          const opening = readOpening(line, commitments);
          if (opening !== undefined) found.set(opening.commitment, opening);
        }
    } catch (cause) {
      // A segment may be pruned while it is read.
      if (errorCodeOf(cause) !== "ENOENT") throw new SpineError("store_failed", `cannot read ${folder}`, { cause });
    } finally {
      stream.destroy();
    }
  }
  return found;
}

function readOpening(line: Line, wanted: ReadonlySet<string>): Opening | undefined {
  try {
    const { commitment, nonce, target } = JSON.parse(lineText(line)) as Record<string, unknown>;
    if (typeof commitment !== "string" || typeof nonce !== "string" || typeof target !== "string") return undefined;
    if (!wanted.has(commitment)) return undefined;
    return opensCommitment(commitment, { nonce, target }) ? { commitment, nonce, target } : undefined;
  } catch {
    // A line cut short by a crash opens nothing.
    return undefined;
  }
}
