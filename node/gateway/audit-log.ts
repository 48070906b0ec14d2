/**
 * The audit log of the gateway: files of chained records in `gateway-audit/`, rotated by size. A record is with the
 * operating system before the turn ends in which it was made, and on disk with the next anchor. It never begins anew
 * in silence: a torn end is cut and said, a broken one is set aside and said.
 */
import { closeSync, createReadStream, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { formatTime, type JsonObject, SpineError } from "../../spine/index.ts";
import { AUDIT_GENESIS, MAX_AUDIT_LINE, readAuditRecord, sealRecord } from "./audit-record.ts";

export interface AuditOptions {
  readonly folder: string;
  readonly maxFileBytes: number;
  /** Files kept; the oldest are removed beyond it. */
  readonly maxFiles: number;
  readonly now: () => number;
  /** Nothing can be recorded any more, such as on a full disk. Called once. */
  readonly onFailure: (error: SpineError) => void;
}

const NAME = /^audit-(\d{12})\.jsonl$/;
const MAX_BUFFER_BYTES = 262_144;

function nameOf(first: number): string {
  return `audit-${String(first).padStart(12, "0")}.jsonl`;
}

/** Files of a log, oldest first. */
export async function auditFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names
    .filter((name) => NAME.test(name))
    .sort()
    .map((name) => join(folder, name));
}

/** Lines of all files in order. */
export async function* auditLines(folder: string): AsyncGenerator<string> {
  for (const path of await auditFiles(folder)) yield* createInterface({ input: createReadStream(path) });
}

export class AuditLog {
  readonly #options: AuditOptions;
  #file = -1;
  #fileBytes = 0;
  #files: string[] = [];
  #records: number;
  #head: string;
  #buffer: string[] = [];
  #bufferBytes = 0;
  #scheduled = false;
  #failed = false;
  /** What was found at start, one sentence each. */
  readonly findings: string[] = [];

  private constructor(options: AuditOptions, records: number, head: string) {
    this.#options = options;
    this.#records = records;
    this.#head = head;
  }

  static async open(options: AuditOptions): Promise<AuditLog> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    const files = await auditFiles(options.folder);
    const findings: string[] = [];
    let [records, head] = [0, AUDIT_GENESIS];
    for (let path = files.at(-1); path !== undefined; path = files.at(-1)) {
      const end = await readEnd(path);
      if (end.torn > 0) {
        await truncate(path, end.bytes - end.torn);
        findings.push(`${end.torn} bytes of an unfinished record were cut off the audit log`);
      }
      if (end.line === undefined) {
        // An empty file says nothing; the one before it does.
        files.pop();
        await rm(path);
        continue;
      }
      const last = readAuditRecord(end.line);
      if (last !== undefined && last.number !== null) {
        [records, head] = [last.number, last.hash];
        break;
      }
      const aside = `${path}.broken-${options.now()}`;
      await rename(path, aside);
      files.pop();
      findings.push(`the end of the audit log is broken; it was set aside as ${aside}`);
    }
    const log = new AuditLog(options, records, head);
    log.#files = files;
    log.findings.push(...findings);
    log.#openFile();
    for (const message of findings) log.append({ kind: "error", message });
    return log;
  }

  /** Records ever written, and the hash of the last. */
  get head(): { readonly records: number; readonly hash: string } {
    return { records: this.#records, hash: this.#head };
  }
  get failed(): boolean {
    return this.#failed;
  }

  /** Adds a record; `n` and `ts` are added to its fields. */
  append(fields: JsonObject): void {
    if (this.#failed) return;
    const ts = formatTime(Math.floor(this.#options.now() / 1000));
    const { line, hash } = sealRecord({ ...fields, n: this.#records + 1, ts }, this.#head);
    this.#records++;
    this.#head = hash;
    this.#buffer.push(line);
    this.#bufferBytes += line.length + 1;
    if (this.#bufferBytes >= MAX_BUFFER_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.flush());
    }
  }

  /** Hands what was appended to the operating system: a killed process loses nothing of it. */
  flush(): void {
    this.#scheduled = false;
    if (this.#buffer.length === 0 || this.#failed) return;
    const bytes = Buffer.from(`${this.#buffer.join("\n")}\n`);
    this.#buffer = [];
    this.#bufferBytes = 0;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
      this.#fileBytes += bytes.length;
      if (this.#fileBytes >= this.#options.maxFileBytes) this.#rotate();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  /** On disk when it returns. */
  sync(): void {
    this.flush();
    if (this.#failed) return;
    try {
      fsyncSync(this.#file);
    } catch (cause) {
      this.#fail(cause);
    }
  }

  close(): void {
    this.sync();
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    this.#failed = true;
  }

  #fail(cause: unknown): void {
    this.#failed = true;
    this.#options.onFailure(new SpineError("audit_broken", "the audit log cannot be written", { cause }));
  }

  #openFile(): void {
    const { folder } = this.#options;
    const current = this.#files.at(-1);
    const path = current ?? join(folder, nameOf(this.#records + 1));
    this.#file = openSync(path, "a", 0o600);
    if (current === undefined) this.#files.push(path);
    this.#fileBytes = fstatSync(this.#file).size;
  }

  #rotate(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
    this.#fileBytes = 0;
    const path = join(this.#options.folder, nameOf(this.#records + 1));
    this.#file = openSync(path, "a", 0o600);
    this.#files.push(path);
    while (this.#files.length > this.#options.maxFiles) {
      const oldest = this.#files.shift() as string;
      void rm(oldest, { force: true });
    }
  }
}

interface FileEnd {
  readonly bytes: number;
  /** The last whole line; undefined if there is none. */
  readonly line: string | undefined;
  /** Bytes behind the last line feed. */
  readonly torn: number;
}

/** Reads as far back as one record can reach. */
async function readEnd(path: string): Promise<FileEnd> {
  const { size } = await stat(path);
  const want = Math.min(size, 2 * MAX_AUDIT_LINE);
  const buffer = Buffer.alloc(want);
  const file = openSync(path, "r");
  try {
    readSync(file, buffer, 0, want, size - want);
  } finally {
    closeSync(file);
  }
  const end = buffer.lastIndexOf(10);
  const torn = want - end - 1;
  if (end < 0) return { bytes: size, line: undefined, torn: size };
  const start = buffer.lastIndexOf(10, end - 1);
  return { bytes: size, line: buffer.subarray(start + 1, end).toString("utf8"), torn };
}
