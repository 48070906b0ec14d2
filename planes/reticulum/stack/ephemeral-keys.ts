/**
 * Keys for one use, made while nobody waits: the exchange key of the next sealed packet or link is half of what it costs.
 * Used by `endpoint.ts` and `own-links.ts`.
 */
import type { StackContext } from "./context.ts";
import { ExchangeKey, SigningKey } from "./crypto.ts";

const KEY_BYTES = 32;

/** Each key is given out once; the one after it is made as soon as what is under way has left. */
export class EphemeralKeys {
  readonly #context: StackContext;
  readonly #exchanges: Ahead<ExchangeKey>;
  readonly #signings: Ahead<SigningKey>;
  constructor(context: StackContext) {
    this.#context = context;
    this.#exchanges = new Ahead(context, () => new ExchangeKey(this.#random()));
    this.#signings = new Ahead(context, () => new SigningKey(this.#random()));
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
}

class Ahead<T> {
  readonly #context: StackContext;
  readonly #make: () => T;
  #next: T | undefined;
  #isPlanned = false;
  constructor(context: StackContext, make: () => T) {
    this.#context = context;
    this.#make = make;
  }
  take(): T {
    const key = this.#next ?? this.#make();
    this.#next = undefined;
    if (this.#isPlanned) return key;
    this.#isPlanned = true;
    this.#context.schedule(this.#context.now(), () => {
      this.#isPlanned = false;
      this.#next ??= this.#make();
    });
    return key;
  }
}
