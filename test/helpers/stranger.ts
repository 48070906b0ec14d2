/** Starts `test/peers/libp2p-stranger.mjs` or another program of that folder, commands it and waits for its reports. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAMS = new URL("../../../test/peers/", import.meta.url);

export interface Report {
  readonly event: string;
  readonly [field: string]: unknown;
}

export class Stranger {
  readonly reports: Report[] = [];
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #stderr = "";

  private constructor(program: string, args: readonly string[]) {
    const file = fileURLToPath(new URL(program, PROGRAMS));
    this.#child = spawn(process.execPath, [file, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-4_000);
    });
    if (this.#child.stdout === null) throw new Error("the stranger has no stdout");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.reports.push(JSON.parse(line) as Report);
      for (const check of [...this.#watchers]) check();
    });
  }

  static start(...args: string[]): Promise<Stranger> {
    return Stranger.run("libp2p-stranger.mjs", ...args);
  }
  /** Starts a program by its path below `test/peers`. */
  static async run(program: string, ...args: string[]): Promise<Stranger> {
    const stranger = new Stranger(program, args);
    await stranger.until("ready");
    return stranger;
  }

  get id(): string {
    return this.of("ready")[0]?.["id"] as string;
  }
  of(event: string): Report[] {
    return this.reports.filter((report) => report.event === event);
  }
  command(op: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#child.stdin?.write(`${JSON.stringify({ op, ...fields })}\n`);
  }
  /** Waits for the `count`-th report of `event` that satisfies `match`. */
  async until(event: string, match: (report: Report) => boolean = () => true, count = 1): Promise<Report> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = this.of(event).filter(match)[count - 1];
        if (found === undefined) return;
        clearTimeout(timer);
        this.#watchers.delete(check);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(check);
        const seen = JSON.stringify(this.reports.slice(-10));
        reject(new Error(`the stranger never reported ${event}; last: ${seen} ${this.#stderr}`));
      }, 15_000);
      this.#watchers.add(check);
      check();
    });
  }
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      this.#child.once("exit", () => resolve());
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
      this.#child.once("exit", () => clearTimeout(timer));
      this.#child.stdin?.end();
    });
  }
}
