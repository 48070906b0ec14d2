/** Where nodes are: laid out by their group, moved by the timeline. Metres. */
import type { Rng } from "../rng.ts";
import type { Place, Placement } from "../scenario-file.ts";

interface Journey {
  readonly from: Place;
  readonly to: Place;
  readonly startMs: number;
  readonly endMs: number;
}

export class Places {
  readonly #journeys: Journey[] = [];
  /** Counts changes: what was reckoned from places is stale after one. */
  version = 0;

  put(index: number, at: Place): void {
    this.#journeys[index] = { from: at, to: at, startMs: 0, endMs: 0 };
    this.version++;
  }
  move(index: number, to: Place, nowMs: number, overMs: number): void {
    this.#journeys[index] = { from: this.at(index, nowMs), to, startMs: nowMs, endMs: nowMs + overMs };
    this.version++;
  }
  isMoving(index: number, nowMs: number): boolean {
    return (this.#journeys[index]?.endMs ?? 0) > nowMs;
  }
  at(index: number, nowMs: number): Place {
    const journey = this.#journeys[index];
    if (journey === undefined) return { x: 0, y: 0 };
    const { from, to, startMs, endMs } = journey;
    if (nowMs >= endMs) return to;
    const share = (nowMs - startMs) / (endMs - startMs);
    return { x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y) };
  }
}

/** One place for each of `count` nodes. */
export function layOut(placement: Placement, count: number, rng: Rng): Place[] {
  return Array.from({ length: count }, (_, i) => placeOf(placement, i, count, rng));
}

function placeOf(placement: Placement, i: number, count: number, rng: Rng): Place {
  switch (placement.type) {
    case "point":
      return placement.at;
    case "line": {
      const share = count === 1 ? 0 : i / (count - 1);
      return between(placement.from, placement.to, share, share);
    }
    case "grid": {
      const columns = Math.ceil(Math.sqrt(count));
      const rows = Math.ceil(count / columns);
      const [column, row] = [i % columns, Math.floor(i / columns)];
      return between(placement.from, placement.to, column / Math.max(1, columns - 1), row / Math.max(1, rows - 1));
    }
    case "disc": {
      const [angle, radius] = [2 * Math.PI * rng.float(), placement.radiusM * Math.sqrt(rng.float())];
      return { x: placement.at.x + radius * Math.cos(angle), y: placement.at.y + radius * Math.sin(angle) };
    }
  }
}

function between(from: Place, to: Place, shareX: number, shareY: number): Place {
  return { x: from.x + shareX * (to.x - from.x), y: from.y + shareY * (to.y - from.y) };
}
