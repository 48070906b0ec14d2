/** Broadcasts on their way through a gossiping network: who has heard each, and who has yet to judge it. */
import {
  BoundedMap,
  type GossipMessage,
  openGossip,
  type Sha256Hex,
  SpineError,
  type Tier,
} from "../../spine/index.ts";
import { Bits } from "../bits.ts";

const MAX_MESSAGES = 20_000;

export class Broadcast {
  readonly id: string;
  readonly data: Uint8Array;
  readonly tier: Tier;
  readonly #heard = new Bits();
  #opened: GossipMessage | null | undefined;
  constructor(id: string, data: Uint8Array, tier: Tier) {
    this.id = id;
    this.data = data;
    this.tier = tier;
  }
  /** Opened once for all nodes; undefined if it cannot be opened: each finds that out for itself. */
  opened(sha256Hex: Sha256Hex): GossipMessage | undefined {
    if (this.#opened === undefined) {
      try {
        this.#opened = openGossip(this.data, sha256Hex);
      } catch (caught) {
        if (!(caught instanceof SpineError)) throw caught;
        this.#opened = null;
      }
    }
    return this.#opened ?? undefined;
  }
  heardBy(index: number): boolean {
    return this.#heard.has(index);
  }
  /** False if the node heard it before. */
  hear(index: number): boolean {
    return this.#heard.add(index);
  }
}

export class BroadcastBook {
  readonly #sha256Hex: Sha256Hex;
  readonly #messages = new BoundedMap<string, Broadcast>(MAX_MESSAGES);
  /** Per node, what waits for its verdict. */
  readonly #held = new Map<number, Map<string, Broadcast>>();
  constructor(sha256Hex: Sha256Hex) {
    this.#sha256Hex = sha256Hex;
  }
  of(data: Uint8Array, tier: Tier): Broadcast {
    const id = this.#sha256Hex(data);
    const known = this.#messages.get(id);
    if (known !== undefined) return known;
    const message = new Broadcast(id, data, tier);
    this.#messages.set(id, message);
    return message;
  }
  hold(index: number, message: Broadcast): string {
    const held = this.#held.get(index) ?? new Map<string, Broadcast>();
    this.#held.set(index, held);
    held.set(message.id, message);
    return message.id;
  }
  release(index: number, id: string): Broadcast | undefined {
    const message = this.#held.get(index)?.get(id);
    this.#held.get(index)?.delete(id);
    return message;
  }
}
