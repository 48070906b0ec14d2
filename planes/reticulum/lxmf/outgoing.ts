/** A message on its way: its method, its state, its end. Made by the router. */
import { type SpineError, toHex } from "../../../spine/index.ts";
import { type LxMessage, packMessage } from "./message.ts";

export type Method = "opportunistic" | "direct" | "propagated";
/** `sent`: a propagation node has it. `delivered`: the recipient's router has it. */
export type OutgoingState = "waiting" | "stamping" | "sending" | "sent" | "delivered" | "failed" | "cancelled";

export class Outgoing {
  readonly hex: string;
  message: LxMessage;
  method: Method;
  state: OutgoingState = "waiting";
  attempts = 0;
  failure: SpineError | undefined;
  /** Called once, when the state is final. */
  onConcluded: ((outgoing: Outgoing) => void) | undefined;
  /** Leave it with the propagation node when the recipient does not answer. */
  readonly propagateOnFailure: boolean;
  /** Unix ms. */
  readonly since: number;
  /** What waits for the next attempt. */
  cancelTimer: (() => void) | undefined;
  readonly abort = new AbortController();
  /** Sealed for the propagation node, with its stamp. */
  upload: Uint8Array | undefined;
  constructor(message: LxMessage, method: Method, propagateOnFailure: boolean, since: number) {
    this.message = message;
    this.hex = toHex(message.hash);
    this.method = method;
    this.propagateOnFailure = propagateOnFailure;
    this.since = since;
  }
  get isOver(): boolean {
    return this.state === "sent" || this.state === "delivered" || this.state === "failed" || this.state === "cancelled";
  }
  packed(): Uint8Array {
    return packMessage(this.message);
  }
}
