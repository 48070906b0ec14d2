/** Consumes a plane's events, checks their order as they come, and lets tests wait for what they expect. */
import assert from "node:assert/strict";
import type { Plane, PlaneEvent } from "../../planes/index.ts";
import type { LinkId } from "../../spine/index.ts";

type Of<T extends PlaneEvent["type"]> = Extract<PlaneEvent, { type: T }>;

export class Recorder {
  readonly plane: Plane;
  readonly events: PlaneEvent[] = [];
  /** Resolved when the plane's events have ended. */
  readonly ended: Promise<void>;
  readonly #live = new Set<LinkId>();
  readonly #gone = new Set<LinkId>();
  readonly #watchers = new Set<() => void>();
  #paused: Promise<void> | null = null;
  #unpause: (() => void) | null = null;
  /** What the event order broke, if anything. */
  #broken: Error | null = null;

  constructor(plane: Plane) {
    this.plane = plane;
    this.ended = this.#run();
  }

  /** Links that are up now, oldest first. */
  get links(): readonly LinkId[] {
    return [...this.#live];
  }
  of<T extends PlaneEvent["type"]>(type: T): Of<T>[] {
    return this.events.filter((event): event is Of<T> => event.type === type);
  }
  frames(link?: LinkId): Uint8Array[] {
    return this.of("frame")
      .filter((event) => link === undefined || event.link === link)
      .map(({ frame }) => frame);
  }
  /** Stops consuming until `resume`. */
  pause(): void {
    this.#paused ??= new Promise((resolve) => {
      this.#unpause = resolve;
    });
  }
  resume(): void {
    this.#paused = null;
    this.#unpause?.();
  }
  /** Waits until `done` is true; fails with `what` after `deadlineMs`. */
  async until(what: string, done: () => boolean, deadlineMs = 30_000): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const finish = (error: Error | null): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        if (error === null) resolve();
        else reject(error);
      };
      const check = (): void => {
        if (this.#broken !== null) finish(this.#broken);
        else if (done()) finish(null);
      };
      const timer = setTimeout(
        () => finish(new Error(`still waiting for ${what}; saw ${this.events.map(({ type }) => type).slice(-20)}`)),
        deadlineMs,
      );
      this.#watchers.add(check);
      check();
    });
  }
  async link(count = 1): Promise<LinkId> {
    await this.until(`${count} links`, () => this.#live.size >= count);
    return this.links[count - 1] as LinkId;
  }

  async #run(): Promise<void> {
    for await (const event of this.plane.events()) {
      try {
        this.#judgeOrder(event);
      } catch (error) {
        this.#broken ??= error as Error;
      }
      this.events.push(event);
      for (const check of [...this.#watchers]) check();
      while (this.#paused !== null) await this.#paused;
    }
    if (this.#broken !== null) throw this.#broken;
  }

  #judgeOrder(event: PlaneEvent): void {
    if (event.type === "up") {
      assert.ok(!this.#live.has(event.link) && !this.#gone.has(event.link), `link id ${event.link} was used before`);
      this.#live.add(event.link);
    } else if (event.type === "down") {
      assert.ok(this.#live.delete(event.link), `down without up: ${event.link}`);
      this.#gone.add(event.link);
    } else if (event.type === "frame") {
      assert.ok(this.#live.has(event.link), `frame outside the life of link ${event.link}`);
    }
  }
}
