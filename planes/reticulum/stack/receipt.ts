/** Waiting for the proof of a sent packet (spec/reticulum.md section 11). Used by the endpoint, links and channels. */
import type { Millis } from "../../../spine/index.ts";
import type { StackContext } from "./context.ts";

export type ReceiptState = "sent" | "delivered" | "failed";

/** One sent packet. Ends in exactly one of `delivered` and `failed`. */
export class Receipt {
  /** 32 bytes. */
  readonly hash: Uint8Array;
  readonly sentAt: Millis;
  state: ReceiptState = "sent";
  /** Set once delivered: time from sending to proof. */
  rttMs: Millis | undefined;
  onDelivered: ((receipt: Receipt) => void) | undefined;
  onFailed: ((receipt: Receipt) => void) | undefined;
  readonly #context: StackContext;
  readonly #cancel: () => void;
  readonly #forget: () => void;
  /** `forget` takes the receipt out of its table. */
  constructor(context: StackContext, hash: Uint8Array, timeoutMs: Millis, forget: () => void) {
    this.#context = context;
    this.hash = hash;
    this.sentAt = context.now();
    this.#forget = forget;
    this.#cancel = context.schedule(this.sentAt + timeoutMs, () => this.fail());
  }
  /** The proof arrived and was checked. */
  deliver(): void {
    if (this.state !== "sent") return;
    this.state = "delivered";
    this.rttMs = this.#context.now() - this.sentAt;
    this.#end(this.onDelivered);
  }
  /** No proof came in time, or nobody waits any longer. */
  fail(): void {
    if (this.state !== "sent") return;
    this.state = "failed";
    this.#end(this.onFailed);
  }
  #end(listener: ((receipt: Receipt) => void) | undefined): void {
    this.#cancel();
    this.#forget();
    if (listener !== undefined) this.#context.notify(() => listener(this));
  }
}
