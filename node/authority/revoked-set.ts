/**
 * Count and root of what is revoked here, worked out anew when something changed: in slices between which the event loop
 * goes on, as it takes a second for a hundred thousand. Used by `revocation-sets.ts`.
 */
import { setImmediate as turn } from "node:timers/promises";
import { type Authority, type RevocationSetRoot, revocationSetSteps } from "../../spine/index.ts";
import { treeHasher } from "../hash.ts";

/** Longest that the event loop is held up at once. */
const SLICE_MS = 4;
/** After a pass that was overtaken by changes this many times its duration is left to others. */
const REST = 4;

export class RevokedSet {
  readonly #authority: Authority;
  #version = -1;
  #set: RevocationSetRoot = { count: 0, root: "" };
  #running: Promise<void> | undefined;
  #restUntil = 0;
  constructor(authority: Authority) {
    this.#authority = authority;
  }

  /** Whether `newest` says what is in force at this moment. */
  get isCurrent(): boolean {
    return this.#version === this.#authority.version;
  }
  /** The newest that is known; a small set is always up to date. With nothing known yet the root is empty. */
  get newest(): RevocationSetRoot {
    this.#start();
    return this.#set;
  }
  /** As `newest`, once it was worked out; older only when something changed during that or shortly before. */
  async settled(): Promise<RevocationSetRoot> {
    this.#start();
    await this.#running;
    return this.#set;
  }

  #start(): void {
    if (this.isCurrent || this.#running !== undefined || performance.now() < this.#restUntil) return;
    const { version } = this.#authority;
    const pass = { version, steps: revocationSetSteps(this.#authority.revoked(), treeHasher) };
    if (this.#slice(pass)) return;
    this.#running = this.#finish(pass).finally(() => {
      this.#running = undefined;
    });
  }

  /** True when the pass is over. A set that changed meanwhile was a mixture: it is not kept. */
  #slice({ version, steps }: Pass): boolean {
    const until = performance.now() + SLICE_MS;
    do {
      const step = steps.next();
      if (step.done !== true) continue;
      if (version === this.#authority.version) [this.#version, this.#set] = [version, step.value];
      return true;
    } while (performance.now() < until);
    return false;
  }

  async #finish(pass: Pass): Promise<void> {
    const from = performance.now();
    do await turn();
    while (!this.#slice(pass));
    const now = performance.now();
    if (!this.isCurrent) this.#restUntil = now + REST * (now - from);
  }
}

interface Pass {
  readonly version: number;
  readonly steps: ReturnType<typeof revocationSetSteps>;
}
