/**
 * Paths whose wire is away: kept by the wire's lasting id, or by tunnel for connections that come back under another one,
 * and given back when it returns (spec/reticulum.md section 20). Used by the endpoint and `tunnels.ts`.
 */
import type { Millis } from "../../../spine/index.ts";
import type { PathEntry } from "./path-table.ts";

const SHELF_MS = 28_800_000;
const MAX_SHELVES = 256;
const MAX_SHELVED_PATHS = 16_384;

interface Shelf {
  readonly paths: ReadonlyMap<string, PathEntry>;
  readonly until: Millis;
}

/** Bounded: when full, the shelf put away longest ago is lost. */
export class PathShelves {
  readonly #byName = new Map<string, Shelf>();
  #paths = 0;
  get size(): number {
    return this.#byName.size;
  }
  put(name: string, paths: ReadonlyMap<string, PathEntry>, now: Millis): void {
    this.take(name, now);
    if (paths.size === 0 || paths.size > MAX_SHELVED_PATHS) return;
    for (const [oldest, shelf] of this.#byName) {
      const full = this.#byName.size >= MAX_SHELVES || this.#paths + paths.size > MAX_SHELVED_PATHS;
      if (!full && shelf.until > now) break;
      this.#drop(oldest);
    }
    this.#byName.set(name, { paths, until: now + SHELF_MS });
    this.#paths += paths.size;
  }
  #drop(name: string): Shelf | undefined {
    const shelf = this.#byName.get(name);
    if (shelf === undefined) return undefined;
    this.#byName.delete(name);
    this.#paths -= shelf.paths.size;
    return shelf;
  }
  /** What was put there less than 8 h ago; the shelf is empty afterwards. */
  take(name: string, now: Millis): ReadonlyMap<string, PathEntry> | undefined {
    const shelf = this.#drop(name);
    return shelf !== undefined && shelf.until > now ? shelf.paths : undefined;
  }
  entries(): readonly (readonly [string, ReadonlyMap<string, PathEntry>])[] {
    return [...this.#byName].map(([name, shelf]) => [name, shelf.paths] as const);
  }
}
