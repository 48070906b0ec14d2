/** Sends one link's frames in order of priority as fast as its plane takes them. One per link; used by the driver. */
import type { Plane } from "../planes/index.ts";
import { type Clock, type LinkId, type LinkInfo, Outbox, type Tier } from "../spine/index.ts";

/** Most bytes waiting per link: enough for a full answer beside urgent frames. */
const MAX_OUTBOX_BYTES = 4 * 1_048_576;
/** `room()` waits above this. */
const ROOM_BYTES = 1_048_576;

export class LinkWriter {
  readonly #plane: Pick<Plane, "send">;
  readonly #link: LinkId;
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  /** The plane itself decides what goes first. */
  readonly #overtakes: boolean;
  #running = false;
  #runningUrgent = false;
  #wakers: (() => void)[] = [];
  #cancelTimer: (() => void) | undefined;
  sentBytes = 0;

  constructor(plane: Pick<Plane, "send">, link: LinkId, info: LinkInfo, clock: Clock) {
    this.#plane = plane;
    this.#link = link;
    this.#clock = clock;
    this.#overtakes = info.cost === "radio";
    const bitrate = info.cost === "radio" ? Number.POSITIVE_INFINITY : info.bitrate;
    this.#outbox = new Outbox({ maxBytes: MAX_OUTBOX_BYTES, bitrate }, clock.now());
  }
  get waitingBytes(): number {
    return this.#outbox.bytes;
  }
  get dropped(): number {
    return this.#outbox.dropped;
  }

  /** False if the frame found no room, or the link is closed. */
  push(frame: Uint8Array, tier: Tier): boolean {
    if (this.#abort.signal.aborted) return false;
    const taken = this.#outbox.push(frame, tier);
    if (!this.#running) void this.#run();
    else if (this.#overtakes && tier === 1 && !this.#runningUrgent) void this.#runUrgent();
    return taken;
  }

  /** What is urgent does not wait until a narrow plane has taken a frame that is not. */
  async #runUrgent(): Promise<void> {
    this.#runningUrgent = true;
    const { signal } = this.#abort;
    try {
      for (let frame = this.#outbox.takeUrgent(); frame !== undefined; frame = this.#outbox.takeUrgent()) {
        await this.#plane.send(this.#link, frame, { signal, tier: 1 });
        this.sentBytes += frame.length;
        this.#wake();
      }
    } catch {
      this.close();
    } finally {
      this.#runningUrgent = false;
    }
  }

  /** Resolves when bulk data may be pushed; false once the link is closed. */
  async room(): Promise<boolean> {
    while (this.#outbox.bytes > ROOM_BYTES && !this.#abort.signal.aborted) {
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
    return !this.#abort.signal.aborted;
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { signal } = this.#abort;
    try {
      for (;;) {
        const frame = this.#outbox.take(this.#clock.now());
        if (frame === undefined) break;
        await this.#plane.send(this.#link, frame, { signal, tier: this.#outbox.takenTier });
        this.sentBytes += frame.length;
        this.#wake();
      }
    } catch {
      // The link went away or was closed: its `down` event follows and nothing more can be sent.
      this.close();
    } finally {
      this.#running = false;
    }
    this.#waitForBudget();
  }

  #waitForBudget(): void {
    const at = this.#outbox.readyAt(this.#clock.now());
    if (at === undefined || this.#abort.signal.aborted) return;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.schedule(at, () => {
      if (!this.#running && !this.#abort.signal.aborted) void this.#run();
    });
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  /** Idempotent; frames that wait are given up. */
  close(): void {
    this.#cancelTimer?.();
    this.#abort.abort();
    this.#wake();
  }
}
