/** Path requests as an endpoint lives with them: its own, and those for its own destinations (spec/reticulum.md section 9.2). */
import { type Millis, toHex } from "../../../spine/index.ts";
import { PacketFilter } from "./packet-filter.ts";
import type { PathRequest } from "./path-request.ts";

const MAX_REMEMBERED = 16_000;
/** Between two automatic requests for one destination. */
const REQUEST_INTERVAL_MS = 20_000;
/** Between two answers for one destination on one wire: emissions count whole seconds, and all there hear the first. */
const ANSWER_INTERVAL_MS = 1000;

/** Bounded: what was noted longest ago is forgotten. */
export class PathQuestions {
  readonly #tags = new PacketFilter(MAX_REMEMBERED);
  readonly #askedAt = new Map<string, Millis>();
  readonly #answeredAt = new Map<string, Millis>();
  /** False for a request that came before, by whatever way. */
  isNew(request: PathRequest): boolean {
    const tag = toHex(request.target) + toHex(request.tag);
    if (this.#tags.has(tag)) return false;
    this.#tags.add(tag);
    return true;
  }
  asked(key: string, now: Millis): void {
    note(this.#askedAt, key, now);
  }
  /** Was the path asked for in the last 20 s? */
  isFresh(key: string, now: Millis): boolean {
    const last = this.#askedAt.get(key);
    return last !== undefined && now - last < REQUEST_INTERVAL_MS;
  }
  mayAnswer(key: string, now: Millis): boolean {
    const last = this.#answeredAt.get(key);
    if (last !== undefined && now - last < ANSWER_INTERVAL_MS) return false;
    note(this.#answeredAt, key, now);
    return true;
  }
}

function note(map: Map<string, Millis>, key: string, now: Millis): void {
  map.delete(key);
  const [oldest] = map.keys();
  if (map.size >= MAX_REMEMBERED && oldest !== undefined) map.delete(oldest);
  map.set(key, now);
}
