/** A simulation's worker thread: one task after another, each a whole run in virtual time. Started by `machine.ts` only. */
import { closeSync, openSync, writeSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { asSpineError, type ErrorCode, SpineError } from "../../spine/index.ts";
import { nativeSimCrypto } from "./crypto.ts";
import { loadSimulator } from "./load.ts";

export interface TaskFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly stack: string;
}
/** To the main thread. */
export type FromWorker =
  | { readonly type: "progress"; readonly value: unknown }
  | { readonly type: "done"; readonly result: unknown }
  | { readonly type: "failed"; readonly failure: TaskFailure };

const PROGRESS_MS = 200;
const LINE_BUFFER_CHARS = 65_536;

/** A file that lines are appended to. */
class LineFile {
  readonly #fd: number;
  #waiting: string[] = [];
  #chars = 0;

  constructor(path: string) {
    try {
      this.#fd = openSync(path, "w");
    } catch (cause) {
      throw new SpineError("store_failed", `cannot write ${path}`, { cause });
    }
  }
  add(line: string): void {
    this.#waiting.push(line);
    this.#chars += line.length;
    if (this.#chars >= LINE_BUFFER_CHARS) this.#flush();
  }
  #flush(): void {
    if (this.#waiting.length === 0) return;
    writeSync(this.#fd, `${this.#waiting.join("\n")}\n`);
    this.#waiting = [];
    this.#chars = 0;
  }
  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }
}

const crypto = nativeSimCrypto();
const { runSimTask } = await loadSimulator();
const post = (message: FromWorker): void => parentPort?.postMessage(message);

/** One at a time: the main thread waits for the answer before it sends another. */
async function perform(task: unknown): Promise<void> {
  let saidAt = performance.now();
  const files: LineFile[] = [];
  try {
    const result = await runSimTask(task, {
      crypto,
      elapsedMs: () => performance.now(),
      progress(value) {
        if (performance.now() - saidAt < PROGRESS_MS) return;
        saidAt = performance.now();
        post({ type: "progress", value });
      },
      openLines(path) {
        const file = new LineFile(path);
        files.push(file);
        return (line) => file.add(line);
      },
    });
    for (const file of files.splice(0)) file.close();
    post({ type: "done", result });
  } catch (caught) {
    for (const file of files) file.close();
    const { code, message, stack } = asSpineError(caught);
    post({ type: "failed", failure: { code, message, stack: stack ?? "" } });
  }
}

parentPort?.on("message", (task: unknown) => void perform(task));
