/**
 * What the command line and the simulator are to each other. The simulator stands on top of the node, so the node does
 * not import it: `load.ts` takes it up at run time, and `sim/` implements `SimulatorFace` of this file.
 */
import type { Claim, Issuer, Sha256Hex } from "../../spine/index.ts";
import type { Verb } from "../commands/verb.ts";

/** Native crypto for simulated nodes: the same bytes and verdicts as the pure code, some twenty times faster. */
export interface SimCrypto {
  readonly sha256Hex: Sha256Hex;
  /** Deterministic key from 32 bytes. */
  keyFromSeed(seed: Uint8Array): {
    readonly issuer: Issuer;
    readonly publicKey: Uint8Array;
    sign(message: Uint8Array): Uint8Array;
  };
  verify(claim: Claim): boolean;
}

/** What a task has on its worker thread. */
export interface SimTaskTools {
  readonly crypto: SimCrypto;
  /** Milliseconds of wall time, for speeds. */
  elapsedMs(): number;
  /** Passed to the caller's `onProgress`, at most a few times a second: the rest is dropped. */
  progress(value: unknown): void;
  /** Appends lines to a new file, buffered; on disk when the task has ended. Throws `store_failed`. */
  openLines(path: string): (line: string) => void;
}

/** A task, its progress and its result are plain data: they are copied between threads. */
export interface SimMachine {
  readonly cores: number;
  /** Milliseconds of wall time, for speeds. */
  elapsedMs(): number;
  /**
   * Runs `SimulatorFace.runTask` on a worker thread; tasks beyond `cores` wait in order. Rejects with what the task
   * threw, and with `api_unavailable` once `stop` was called.
   */
  run(task: unknown, onProgress: (value: unknown) => void): Promise<unknown>;
  /** Throws `store_failed` when there is no such file, `api_input` when it has more than 16 MiB or is not UTF-8. */
  readText(path: string): Promise<string>;
  /** Whole or not at all, replacing what was there; makes missing directories. Throws `store_failed`. */
  writeText(path: string, text: string): Promise<void>;
  /** Rewrites one line on a terminal; elsewhere a line now and then. `null` ends it. */
  showProgress(text: string | null): void;
  /** Ends the worker threads. Idempotent. */
  stop(): Promise<void>;
}

export interface SimulatorFace {
  /** By name, without the leading `sim`. */
  readonly simVerbs: Readonly<Record<string, (machine: SimMachine) => Verb>>;
  runSimTask(task: unknown, tools: SimTaskTools): Promise<unknown>;
}
