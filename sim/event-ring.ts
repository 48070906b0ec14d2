/** The last things that happened at one node, kept cheaply: told when an invariant was broken. */
import { frameTypeOf, type Input, type LinkId, type Tier } from "../spine/index.ts";

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
  /** Of a frame that was sent. */
  tier: number;
}

export class EventRing {
  readonly #entries: Entry[] = [];
  #next = 0;

  add(atMs: number, what: string): void {
    this.#put(atMs, what, 0, 0, "", 0);
  }
  /** What the core asked for comes back as inputs too: they say nothing of their own. */
  input(atMs: number, input: Input): void {
    switch (input.type) {
      case "frame":
        return this.#put(atMs, "frame", input.frame.length, input.frame[0] ?? 0, input.link, 0);
      case "gossip":
        return this.#put(atMs, "gossip", input.data.length, 0, input.link, 0);
      case "local":
      case "offer":
        return this.#put(atMs, input.type, input.envelopes.length, 0, "", 0);
      case "link-up":
      case "link-down":
        return this.#put(atMs, input.type, 0, 0, input.link, 0);
      case "committed":
        return this.#put(atMs, "committed", input.id, 0, "", 0);
      case "verified":
      case "signed":
      case "found":
      case "rows-found":
      case "served":
      case "wake":
        return;
      default:
        return this.#put(atMs, input.type, 0, 0, "", 0);
    }
  }
  sent(atMs: number, link: LinkId, frame: Uint8Array, tier: Tier): void {
    this.#put(atMs, "sent", frame.length, frame[0] ?? 0, link, tier);
  }
  #put(atMs: number, what: string, size: number, first: number, link: string, tier: number): void {
    const entry = this.#entries[this.#next];
    if (entry === undefined) this.#entries.push({ atMs, what, size, first, link, tier });
    else {
      entry.atMs = atMs;
      entry.what = what;
      entry.size = size;
      entry.first = first;
      entry.link = link;
      entry.tier = tier;
    }
    this.#next = (this.#next + 1) % KEPT;
  }
  /** Oldest first; `remote` says who is at the other end of a link. */
  list(remote: (link: LinkId) => string): RecentEvent[] {
    const ordered = [...this.#entries.slice(this.#next), ...this.#entries.slice(0, this.#next)];
    return ordered.map((entry) => ({ atMs: entry.atMs, what: describe(entry, remote) }));
  }
}

function envelopes(count: number): string {
  return count === 1 ? "an envelope" : `${count} envelopes`;
}

function describe({ what, size, first, link, tier }: Entry, remote: (link: LinkId) => string): string {
  const frame = (): string => `${frameTypeOf(Uint8Array.of(first)) ?? `frame ${first}`}, ${size} bytes`;
  switch (what) {
    case "local":
      return `published ${envelopes(size)}`;
    case "offer":
      return `was given ${envelopes(size)}`;
    case "frame":
      return `got ${frame()}, from ${remote(link)}`;
    case "sent":
      return `sends ${frame()}, tier ${tier}, to ${remote(link)}`;
    case "gossip":
      return `heard a broadcast of ${size} bytes, from ${remote(link)}`;
    case "head":
      return "heard a head";
    case "committed":
      return `commit ${size} is on disk`;
    case "link-up":
      return `linked with ${remote(link)}`;
    case "link-down":
      return `lost the link to ${remote(link)}`;
    default:
      return what;
  }
}
