/**
 * Sessions with a posture: a bounded table in memory that forgets idle ones. A forgotten session starts anew in the
 * policy's initial state, which must therefore be the state an unknown agent deserves. The daemon owns one per policy.
 */
import type { PosturePolicy } from "./policy/effective.ts";
import { type PostureView, SessionPosture } from "./posture.ts";

/** Longer names are refused. */
export const MAX_SESSION_CHARS = 256;

export interface SessionView {
  readonly session: string;
  /** Milliseconds since the Unix epoch of its last request. */
  readonly last: number;
  readonly posture: PostureView;
}

export class SessionTable {
  readonly #policy: PosturePolicy;
  readonly #idleMs: number;
  readonly #limit: number;
  /** In order of last use, oldest first. */
  readonly #sessions = new Map<string, { readonly posture: SessionPosture; lastMs: number }>();
  #refused = 0;
  #forgotten = 0;

  /** `idleMs`: unused sessions older than this may be forgotten. `limit`: most sessions held. */
  constructor(policy: PosturePolicy, options: { readonly idleMs: number; readonly limit?: number }) {
    this.#policy = policy;
    this.#idleMs = options.idleMs;
    this.#limit = options.limit ?? 10_000;
  }

  get size(): number {
    return this.#sessions.size;
  }
  /** Requests turned away because the table was full of live sessions. */
  get refused(): number {
    return this.#refused;
  }
  get forgotten(): number {
    return this.#forgotten;
  }

  /** The session of that name, made when new. Undefined when the name is unusable or the table is full: deny. */
  open(name: string, nowMs: number): SessionPosture | undefined {
    const known = this.#sessions.get(name);
    this.#sweep(nowMs, name);
    if (known !== undefined) {
      this.#sessions.delete(name);
      known.lastMs = nowMs;
      this.#sessions.set(name, known);
      return known.posture;
    }
    // A live session is never pushed out: it might be a restricted one that would then start anew.
    if (name === "" || name.length > MAX_SESSION_CHARS || this.#sessions.size >= this.#limit) {
      this.#refused++;
      return undefined;
    }
    const posture = new SessionPosture(this.#policy, nowMs);
    this.#sessions.set(name, { posture, lastMs: nowMs });
    return posture;
  }

  /** Without making or touching it. */
  peek(name: string): SessionPosture | undefined {
    return this.#sessions.get(name)?.posture;
  }

  /** Newest first. */
  list(limit: number): readonly SessionView[] {
    return [...this.#sessions]
      .reverse()
      .slice(0, limit)
      .map(([session, { posture, lastMs }]) => ({ session, last: lastMs, posture: posture.view() }));
  }

  /** Takes up a session where it was left; without effect on one that lives, or in a state this policy does not have. */
  restore(name: string, view: PostureView, sinceMs: number, lastMs: number): void {
    if (this.#sessions.has(name) || this.#sessions.size >= this.#limit) return;
    if (!Object.hasOwn(this.#policy.states, view.state)) return;
    const posture = new SessionPosture(this.#policy, sinceMs, view);
    this.#sessions.set(name, { posture, lastMs });
  }

  /** Ends a session; true when it existed. */
  close(name: string): boolean {
    return this.#sessions.delete(name);
  }

  #sweep(nowMs: number, kept: string): void {
    for (const [name, { lastMs }] of this.#sessions) {
      if (nowMs - lastMs < this.#idleMs) return;
      if (name === kept) continue;
      this.#sessions.delete(name);
      this.#forgotten++;
    }
  }
}
