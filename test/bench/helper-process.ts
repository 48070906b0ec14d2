/** A helper process of a benchmark: starts a script, hands out its messages one by one, ends it. */
import { type ChildProcess, fork } from "node:child_process";

export class HelperProcess {
  readonly #child: ChildProcess;
  readonly #messages: unknown[] = [];
  #wake: () => void = () => {};
  #exit: string | undefined;
  /** `script` is relative to this folder. */
  constructor(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = fork(new URL(script, import.meta.url), args, { env: { ...process.env, ...env } });
    this.#child.on("message", (message) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.#child.on("exit", (code, signal) => {
      this.#exit = `${script} ${args[0]} ended early (${code ?? signal})`;
      this.#wake();
    });
  }
  send(message: object): void {
    this.#child.send(message);
  }
  async next<T>(): Promise<T> {
    while (this.#messages.length === 0) {
      if (this.#exit !== undefined) throw new Error(this.#exit);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift() as T;
  }
  async end(): Promise<void> {
    if (this.#exit !== undefined) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGTERM");
    await gone;
  }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
