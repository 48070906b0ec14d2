/** The last things that happened at one node, kept cheaply: told when an invariant was broken. */
import type { Input } from "../spine/index.ts";

const KEPT = 24;

export interface RecentEvent {
  readonly atMs: number;
  readonly what: string;
}

export class EventRing {
  readonly #entries: { atMs: number; what: string; input: Input | null }[] = [];
  #next = 0;

  add(atMs: number, what: string): void {
    this.#put(atMs, what, null);
  }
  /** Described only when somebody asks. */
  input(atMs: number, input: Input): void {
    this.#put(atMs, "", input);
  }
  #put(atMs: number, what: string, input: Input | null): void {
    const entry = this.#entries[this.#next];
    if (entry === undefined) this.#entries.push({ atMs, what, input });
    else {
      entry.atMs = atMs;
      entry.what = what;
      entry.input = input;
    }
    this.#next = (this.#next + 1) % KEPT;
  }
  /** Oldest first. */
  list(): RecentEvent[] {
    const ordered = [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)];
    return ordered.map(({ atMs, what, input }) => ({ atMs, what: input === null ? what : describe(input) }));
  }
}

function describe(input: Input): string {
  switch (input.type) {
    case "local":
    case "offer":
      return `${input.type} of ${input.envelopes.length} envelopes`;
    case "frame":
      return `frame of ${input.frame.length} bytes, type ${input.frame[0]}, on ${input.link}`;
    case "gossip":
      return `broadcast of ${input.data.length} bytes heard on ${input.link}`;
    case "link-up":
    case "link-down":
      return `${input.type} ${input.link}`;
    case "committed":
      return `commit ${input.id} is on disk`;
    default:
      return input.type;
  }
}
