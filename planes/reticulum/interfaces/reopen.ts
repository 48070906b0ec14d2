/** Keeps a line open: opens it, waits for its end, tries again with growing pauses. Used by the framed interfaces. */
import { setTimeout as sleep } from "node:timers/promises";
import { asSpineError, type Millis, SpineError } from "../../../spine/index.ts";
import type { Line, OpenLine } from "./line.ts";

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** A line that lived this long starts again with the shortest pause. */
const SETTLED_MS = 10_000;

export interface Session {
  /** The line is open. A rejection closes it and counts as a failed attempt. */
  opened(line: Line): void | Promise<void>;
  data(chunk: Uint8Array): void;
  closed(): void;
}

/** Waits; ends early, without rejecting, when `signal` is aborted. */
export type Pause = (ms: Millis, signal: AbortSignal) => Promise<void>;

const realPause: Pause = (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined);

export class Reopener {
  lastError: SpineError | undefined;
  /** Openings after the first. */
  reconnects = 0;
  readonly #open: OpenLine;
  readonly #session: Session;
  readonly #stopped = new AbortController();
  #line: Line | undefined;
  #loop: Promise<void> | undefined;
  #drop: ((reason: SpineError) => void) | undefined;
  readonly #pause: Pause;
  constructor(open: OpenLine, session: Session, pause: Pause = realPause) {
    this.#pause = pause;
    this.#open = open;
    this.#session = session;
  }
  start(): void {
    this.#loop ??= this.#run();
  }
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#drop?.(new SpineError("plane_stopped", "stopped"));
    await this.#loop;
  }
  /** Ends the present line as if it had failed; it is opened again. */
  fail(reason: SpineError): void {
    this.#drop?.(reason);
  }
  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let pauseMs = FIRST_PAUSE_MS;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const startedAt: Millis = performance.now();
      this.lastError = await this.#once(signal, attempt);
      if (performance.now() - startedAt > SETTLED_MS) pauseMs = FIRST_PAUSE_MS;
      // Half of the pause is random, so that many clients of one server do not come back together.
      if (!signal.aborted) await this.#pause(pauseMs * (0.5 + Math.random() / 2), signal);
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    }
  }
  /** One opening and its life; returns why it ended. */
  async #once(signal: AbortSignal, attempt: number): Promise<SpineError> {
    // What an earlier line still has to say must not touch this one.
    let current = true;
    let end: (reason: SpineError) => void = () => undefined;
    const ended = new Promise<SpineError>((resolve) => {
      end = resolve;
    });
    this.#drop = end;
    const data = (chunk: Uint8Array): void => {
      if (current) this.#session.data(chunk);
    };
    try {
      this.#line = await this.#open({ data, closed: (reason) => end(reason) }, signal);
    } catch (caught) {
      return asSpineError(caught, "device_failed");
    }
    if (attempt > 0) this.reconnects++;
    const line = this.#line;
    let reason: SpineError;
    try {
      const opening = this.#session.opened(line);
      // A line may end while it is still being set up.
      const early = opening === undefined ? undefined : await Promise.race([opening, ended]);
      if (early instanceof SpineError) reason = early;
      else {
        this.lastError = undefined;
        reason = signal.aborted ? new SpineError("plane_stopped", "stopped") : await ended;
      }
    } catch (caught) {
      reason = asSpineError(caught, "device_failed");
    }
    current = false;
    this.#session.closed();
    this.#line = undefined;
    await line.close();
    return reason;
  }
}
