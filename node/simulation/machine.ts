/** The machine simulations run on: worker threads, files, the terminal. Made for the `sim` verbs. */
import { mkdir, open } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { dirname } from "node:path";
import type { Writable } from "node:stream";
import { Worker } from "node:worker_threads";
import { asSpineError, SpineError, utf8Text } from "../../spine/index.ts";
import { writeFileAtomic } from "../files.ts";
import type { SimMachine } from "./face.ts";
import type { FromWorker } from "./worker.ts";

const MAX_FILE_BYTES = 16 * 1_048_576;
/** Of the machine's memory that one run may use: ten thousand nodes need more than the usual limit. */
const HEAP_SHARE = 0.75;
/** Short-lived objects are most of a run: less is copied where more of them fit. */
const YOUNG_MB = 128;
const PROGRESS_LINE_MS = 5_000;
const PROGRESS_REDRAW_MS = 100;

interface Job {
  readonly task: unknown;
  readonly onProgress: (value: unknown) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: SpineError) => void;
}

/** Where progress is shown; `isTTY` as of `process.stderr`. */
export type ProgressStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export class WorkerMachine implements SimMachine {
  readonly cores: number;
  readonly #stream: ProgressStream;
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Job>();
  readonly #waiting: Job[] = [];
  #stopped = false;
  /** Nothing is said of what takes no longer than a second. */
  #shownAt = performance.now() - PROGRESS_LINE_MS + 1_000;
  #isShown = false;

  constructor(stream: ProgressStream, cores: number = availableParallelism()) {
    this.#stream = stream;
    this.cores = cores;
  }

  elapsedMs(): number {
    return performance.now();
  }

  run(task: unknown, onProgress: (value: unknown) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) {
        reject(new SpineError("api_unavailable", "the simulation was stopped"));
        return;
      }
      this.#waiting.push({ task, onProgress, resolve, reject });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (this.#waiting.length > 0 && this.#busy.size < this.cores) {
      const worker = this.#idle.pop() ?? this.#startWorker();
      const job = this.#waiting.shift() as Job;
      this.#busy.set(worker, job);
      worker.ref();
      worker.postMessage(job.task);
    }
  }

  #startWorker(): Worker {
    const maxOldGenerationSizeMb = Math.floor((HEAP_SHARE * totalmem()) / 1_048_576);
    const resourceLimits = { maxOldGenerationSizeMb, maxYoungGenerationSizeMb: YOUNG_MB };
    const worker = new Worker(new URL("./worker.js", import.meta.url), { name: "spine-sim", resourceLimits });
    let failure: unknown = new Error("a simulation's worker thread ended");
    worker.on("message", (message: FromWorker) => this.#answer(worker, message));
    worker.on("error", (error) => {
      failure = error;
    });
    worker.on("exit", () => {
      const job = this.#busy.get(worker);
      this.#busy.delete(worker);
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
      if (this.#stopped) job?.reject(new SpineError("api_unavailable", "the simulation was stopped"));
      else job?.reject(asSpineError(failure));
      if (!this.#stopped) this.#dispatch();
    });
    return worker;
  }

  #answer(worker: Worker, message: FromWorker): void {
    const job = this.#busy.get(worker);
    if (job === undefined) return;
    if (message.type === "progress") {
      job.onProgress(message.value);
      return;
    }
    this.#busy.delete(worker);
    this.#idle.push(worker);
    // An idle pool must not keep the process alive.
    worker.unref();
    if (message.type === "done") job.resolve(message.result);
    else {
      const error = new SpineError(message.failure.code, message.failure.message);
      error.stack = message.failure.stack;
      job.reject(error);
    }
    this.#dispatch();
  }

  async readText(path: string): Promise<string> {
    let bytes: Buffer;
    try {
      await using file = await open(path, "r");
      const { size } = await file.stat();
      if (size > MAX_FILE_BYTES) throw new SpineError("api_input", `${path}: more than ${MAX_FILE_BYTES} bytes`);
      bytes = await file.readFile();
    } catch (cause) {
      if (cause instanceof SpineError) throw cause;
      throw new SpineError("store_failed", `cannot read ${path}`, { cause });
    }
    return utf8Text(bytes);
  }

  async writeText(path: string, text: string): Promise<void> {
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFileAtomic(path, text, { mode: 0o644, exclusive: false });
    } catch (cause) {
      throw new SpineError("store_failed", `cannot write ${path}`, { cause });
    }
  }

  showProgress(text: string | null): void {
    const stream = this.#stream;
    if (stream.isTTY !== true) {
      if (text === null || performance.now() - this.#shownAt < PROGRESS_LINE_MS) return;
      this.#shownAt = performance.now();
      stream.write(`${text}\n`);
      return;
    }
    if (text === null) {
      if (this.#isShown) stream.write("\r\x1b[K");
      this.#isShown = false;
    } else if (performance.now() - this.#shownAt >= PROGRESS_REDRAW_MS) {
      this.#shownAt = performance.now();
      this.#isShown = true;
      stream.write(`\r\x1b[K${text.slice(0, (stream.columns || 80) - 1)}`);
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const job of this.#waiting.splice(0))
      job.reject(new SpineError("api_unavailable", "the simulation was stopped"));
    await Promise.all([...this.#idle, ...this.#busy.keys()].map((worker) => worker.terminate()));
  }
}
