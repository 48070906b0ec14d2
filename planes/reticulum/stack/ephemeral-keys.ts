/**
 * Keys for one use, made while nobody waits: the exchange key of the next sealed packet or link, and for those whom packets
 * go to again and again the key agreed with them. Used by `endpoint.ts` and `own-links.ts`.
 */
import { toHex } from "../../../spine/index.ts";
import type { StackContext } from "./context.ts";
import { ExchangeKey, SigningKey } from "./crypto.ts";
import type { PublicIdentity, Seal } from "./identity.ts";

const KEY_BYTES = 32;
/** Receivers that a key is agreed with ahead; the one sent to longest ago makes room. */
const MAX_RECEIVERS = 16;

/** Each key is given out once; the one after it is made as soon as what is under way has left. */
export class EphemeralKeys {
  readonly #context: StackContext;
  readonly #exchanges: Ahead<ExchangeKey>;
  readonly #signings: Ahead<SigningKey>;
  readonly #seals = new Map<string, Ahead<Seal>>();
  constructor(context: StackContext) {
    this.#context = context;
    this.#exchanges = new Ahead(context, () => new ExchangeKey(this.#random()), "always");
    this.#signings = new Ahead(context, () => new SigningKey(this.#random()), "always");
  }
  #random(): Uint8Array {
    return this.#context.random(KEY_BYTES);
  }
  exchange(): ExchangeKey {
    return this.#exchanges.take();
  }
  signing(): SigningKey {
    return this.#signings.take();
  }
  /** For one packet to this identity, or to its ratchet. Throws `key_invalid` for an unusable key. */
  seal(identity: PublicIdentity, ratchet: Uint8Array | undefined): Seal {
    const receiver = ratchet === undefined ? identity.hex : toHex(ratchet);
    const earlier = this.#seals.get(receiver);
    // From the second packet on: who gets one alone need not cost two.
    const seals = earlier ?? new Ahead(this.#context, () => identity.seal(this.exchange(), ratchet), "when-repeated");
    this.#seals.delete(receiver);
    const seal = seals.take();
    this.#seals.set(receiver, seals);
    const [oldest] = this.#seals.keys();
    if (this.#seals.size > MAX_RECEIVERS && oldest !== undefined) this.#seals.delete(oldest);
    return seal;
  }
}

class Ahead<T> {
  readonly #context: StackContext;
  readonly #make: () => T;
  #isWanted: boolean;
  #next: T | undefined;
  #isPlanned = false;
  constructor(context: StackContext, make: () => T, ahead: "always" | "when-repeated") {
    this.#context = context;
    this.#make = make;
    this.#isWanted = ahead === "always";
  }
  take(): T {
    const key = this.#next ?? this.#make();
    this.#next = undefined;
    if (this.#isPlanned) return key;
    if (!this.#isWanted) {
      this.#isWanted = true;
      return key;
    }
    this.#isPlanned = true;
    this.#context.schedule(this.#context.now(), () => {
      this.#isPlanned = false;
      this.#next ??= this.#make();
    });
    return key;
  }
}
