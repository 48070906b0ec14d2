/**
 * Revocations seen from outside the queues they wait in: nothing less urgent may be given to a wire before them. One per
 * link of the core's own queues, one per slow wire for what all links over it share.
 */
import type { reticulum } from "../../planes/index.ts";
import { type Millis, RADIO_DEFAULTS, type Tier } from "../../spine/index.ts";
import type { World } from "../world.ts";

const HOUR_MS = 3_600_000;

/** Of one link's queue. */
export class QueueWatch {
  readonly #world: World;
  readonly #index: number;
  readonly #urgent = new Set<Uint8Array>();
  constructor(world: World, index: number) {
    this.#world = world;
    this.#index = index;
  }
  /** A frame is put into the queue. */
  queued(frame: Uint8Array, tier: Tier): void {
    if (tier === 1) this.#urgent.add(frame);
  }
  /** There was no room for it. */
  refused(frame: Uint8Array): void {
    this.#urgent.delete(frame);
  }
  /** The queue gave a frame to the wire. Throws what `Invariants.overtaken` does. */
  gave(frame: Uint8Array, tier: Tier): void {
    if (this.#urgent.size === 0 || this.#urgent.delete(frame) || tier === 1) return;
    this.#world.invariants.overtaken(this.#index, tier);
  }
}

/** Of the line that all links over one radio share. Its faults are told to the world: a plane's code is no place to throw. */
export class LineWatch implements reticulum.AirWatch {
  /** Of the packet that is given to the wire just now; undefined: the stack's own. */
  tier: Tier | undefined;
  waitingBytes = 0;
  readonly #world: World;
  readonly #index: number;
  #urgent: { readonly receiver: string; readonly packets: number; left: number }[] = [];
  /** When the last revocations were begun, one for each that an issuer may send in an hour before everything else. */
  readonly #begun: Millis[] = [];
  constructor(world: World, index: number) {
    this.#world = world;
    this.#index = index;
  }
  waits(bytes: number): void {
    this.waitingBytes = bytes;
    if (bytes > 0) this.#world.meter?.waits(this.#index, this.#world.peer(this.#index).queued.bytes);
  }
  queued(tier: Tier, receiver: string, packets: number): void {
    if (tier === 1) this.#urgent.push({ receiver, packets, left: packets });
  }
  forgot(receiver: string): void {
    this.#urgent = this.#urgent.filter((one) => one.receiver !== receiver);
  }
  turn(tier: Tier | undefined, receiver: string): void {
    this.tier = tier;
    if (tier === 1) this.#urgentTurn(receiver);
    else if (tier !== undefined && this.#urgent.length > 0 && !this.#mayWait) this.#overtaken(tier);
  }
  #urgentTurn(receiver: string): void {
    const one = this.#urgent.find((waiting) => waiting.receiver === receiver);
    if (one === undefined) return;
    if (one.left === one.packets) this.#begun.push(this.#world.now());
    if (this.#begun.length > RADIO_DEFAULTS.revocationsPerHour) this.#begun.shift();
    one.left--;
    if (one.left === 0) this.#urgent.splice(this.#urgent.indexOf(one), 1);
  }
  /** More than a few of an hour take their turns like everything else. */
  get #mayWait(): boolean {
    const [first = 0] = this.#begun;
    return this.#begun.length >= RADIO_DEFAULTS.revocationsPerHour && first > this.#world.now() - HOUR_MS;
  }
  #overtaken(tier: Tier): void {
    try {
      this.#world.invariants.overtaken(this.#index, tier);
    } catch (violation) {
      this.#world.planeFailed(violation);
    }
  }
}
