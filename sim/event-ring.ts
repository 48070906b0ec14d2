/** The last things that happened at one node, kept cheaply: told when an invariant was broken. */
import type { Input } from "../spine/index.ts";

const KEPT = 24;

export interface RecentEvent {
  readonly atMs: number;
  readonly what: string;
}

/** Numbers and names only: to keep inputs themselves would keep whole frames alive, at each of thousands of nodes. */
interface Entry {
  atMs: number;
  what: string;
  /** Bytes, envelopes or the number of a commit. */
  size: number;
  /** First byte of a frame. */
  first: number;
  link: string;
}

export class EventRing {
  readonly #entries: Entry[] = [];
  #next = 0;

  add(atMs: number, what: string): void {
    this.#put(atMs, what, 0, 0, "");
  }
  input(atMs: number, input: Input): void {
    switch (input.type) {
      case "frame":
        return this.#put(atMs, "frame", input.frame.length, input.frame[0] ?? 0, input.link);
      case "gossip":
        return this.#put(atMs, "gossip", input.data.length, 0, input.link);
      case "local":
      case "offer":
        return this.#put(atMs, input.type, input.envelopes.length, 0, "");
      case "link-up":
      case "link-down":
        return this.#put(atMs, input.type, 0, 0, input.link);
      case "committed":
        return this.#put(atMs, "committed", input.id, 0, "");
      default:
        return this.#put(atMs, input.type, 0, 0, "");
    }
  }
  #put(atMs: number, what: string, size: number, first: number, link: string): void {
    const entry = this.#entries[this.#next];
    if (entry === undefined) this.#entries.push({ atMs, what, size, first, link });
    else {
      entry.atMs = atMs;
      entry.what = what;
      entry.size = size;
      entry.first = first;
      entry.link = link;
    }
    this.#next = (this.#next + 1) % KEPT;
  }
  /** Oldest first. */
  list(): RecentEvent[] {
    const ordered = [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)];
    return ordered.map((entry) => ({ atMs: entry.atMs, what: describe(entry) }));
  }
}

function describe({ what, size, first, link }: Entry): string {
  switch (what) {
    case "local":
    case "offer":
      return `${what} of ${size} envelopes`;
    case "frame":
      return `frame of ${size} bytes, type ${first}, on ${link}`;
    case "gossip":
      return `broadcast of ${size} bytes heard on ${link}`;
    case "committed":
      return `commit ${size} is on disk`;
    default:
      return link === "" ? what : `${what} ${link}`;
  }
}
