/** The key of the next encrypted packet, made while nobody waits: it is half of what sealing costs. Used by `endpoint.ts`. */
import type { StackContext } from "./context.ts";
import { ExchangeKey } from "./crypto.ts";

const KEY_BYTES = 32;

export class EphemeralKeys {
  readonly #context: StackContext;
  #next: ExchangeKey | undefined;
  #isPlanned = false;
  constructor(context: StackContext) {
    this.#context = context;
  }
  /** Given out once; the one after it is made as soon as what is under way has left. */
  take(): ExchangeKey {
    const key = this.#next ?? this.#make();
    this.#next = undefined;
    if (!this.#isPlanned) {
      this.#isPlanned = true;
      this.#context.schedule(this.#context.now(), () => {
        this.#isPlanned = false;
        this.#next ??= this.#make();
      });
    }
    return key;
  }
  #make(): ExchangeKey {
    return new ExchangeKey(this.#context.random(KEY_BYTES));
  }
}
