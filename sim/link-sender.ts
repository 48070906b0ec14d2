/** Sends one link's frames in order of priority, each for as long as its bits take: the daemon's outbox in virtual time. */
import { type LinkInfo, type Millis, Outbox, type Tier } from "../spine/index.ts";
import type { QueueWatch } from "./networks/order-watch.ts";
import type { World } from "./world.ts";

const MAX_OUTBOX_BYTES = 4_194_304;

/** What a node needs of a link; the daemon's own `LinkWriter` is one too. */
export interface LinkSender {
  push(frame: Uint8Array, tier: Tier): void;
  readonly waitingBytes: number;
  readonly dropped: number;
  /** What waits is given up. */
  close(): void;
}

/** Puts a frame on the wire; returns how long it occupies the sender's side, milliseconds. */
export type Transmit = (frame: Uint8Array, tier: Tier) => Millis;

export class StreamSender implements LinkSender {
  readonly #world: World;
  readonly #outbox: Outbox;
  readonly #transmit: Transmit;
  readonly #watch: QueueWatch;
  /** The wire is occupied until then. */
  #busyUntil: Millis = 0;
  #waits = false;
  #closed = false;

  constructor(world: World, info: LinkInfo, transmit: Transmit, watch: QueueWatch) {
    this.#world = world;
    this.#watch = watch;
    this.#transmit = transmit;
    this.#outbox = new Outbox({ maxBytes: MAX_OUTBOX_BYTES, bitrate: info.bitrate }, world.now());
  }
  get waitingBytes(): number {
    return this.#outbox.bytes;
  }
  get dropped(): number {
    return this.#outbox.dropped;
  }
  push(frame: Uint8Array, tier: Tier): void {
    if (this.#closed) return;
    this.#watch.queued(frame, tier);
    if (!this.#outbox.push(frame, tier)) this.#watch.refused(frame);
    if (!this.#waits) this.#run();
  }
  close(): void {
    this.#closed = true;
  }

  #run(): void {
    const now = this.#world.now();
    if (this.#closed) return;
    if (this.#busyUntil > now) return this.#wait(this.#busyUntil);
    for (let frame = this.#outbox.take(now); frame !== undefined; frame = this.#outbox.take(now)) {
      this.#watch.gave(frame, this.#outbox.takenTier);
      this.#busyUntil = now + this.#transmit(frame, this.#outbox.takenTier);
      if (this.#busyUntil <= now) continue;
      // Nothing more to send: whoever pushes next looks at the time himself.
      if (this.#outbox.length === 0) return;
      return this.#wait(this.#busyUntil);
    }
    const at = this.#outbox.readyAt(now);
    if (at !== undefined) this.#wait(Math.max(now + 1, at));
  }
  #wait(until: Millis): void {
    this.#waits = true;
    this.#world.clock.schedule(until, () => {
      this.#waits = false;
      this.#run();
    });
  }
}
