/** Judges messages that arrive: known before, signed by their source, worth their stamp. Used by `router.ts`. */
import { SpineError, toHex } from "../../../spine/index.ts";
import type { Packable } from "../stack/msgpack.ts";
import { type LxmfHost, type RecentKeys, resume } from "./host.ts";
import { type LxMessage, openMessage, packMessage, verifyMessage } from "./message.ts";
import type { RouterCounter } from "./router.ts";
import { ROUNDS, STAMP_BYTES } from "./stamp.ts";
import type { TicketBook } from "./ticket.ts";

/** A message whose source is not known waits this long for its announce. */
const SOURCE_WAIT_MS = 10_000;
const MAX_WAITING = 256;

export type Arrival = "opportunistic" | "direct" | "propagated" | "paper";

export interface ReceivedMessage {
  readonly message: LxMessage;
  readonly method: Arrival;
  /** Signed by its source. False only when the source never announced itself; wrong signatures are refused. */
  readonly verified: boolean;
  /** "none": none was asked for. */
  readonly stamp: "none" | "ticket" | "valid" | "missing" | "invalid";
}

export interface InboxOptions {
  readonly tickets: TicketBook;
  readonly seen: RecentKeys;
  readonly stampCost: number | undefined;
  readonly enforceStamps: boolean;
  readonly count: (name: RouterCounter) => void;
  readonly deliver: (received: ReceivedMessage) => void;
}

interface Waiting {
  readonly message: LxMessage;
  readonly method: Arrival;
  readonly cancelTimer: () => void;
}

export class Inbox {
  readonly #host: LxmfHost;
  readonly #options: InboxOptions;
  readonly #waiting = new Map<string, Waiting>();
  constructor(host: LxmfHost, options: InboxOptions) {
    this.#host = host;
    this.#options = options;
  }
  /** A whole message; never throws because of its content. */
  take(packed: Uint8Array, method: Arrival): void {
    let message: LxMessage;
    try {
      message = openMessage(packed);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      this.#options.count("refused");
      return;
    }
    const key = toHex(message.hash);
    if (this.#options.seen.has(key) || this.#waiting.has(key)) {
      this.#options.count("duplicate");
      return;
    }
    if (this.#host.endpoint.known.get(message.source) === undefined) this.#wait(key, message, method);
    else this.#judge(key, message, method);
  }
  #wait(key: string, message: LxMessage, method: Arrival): void {
    const { endpoint } = this.#host;
    const { context } = endpoint;
    if (this.#waiting.size >= MAX_WAITING) {
      this.#options.count("refused");
      return;
    }
    endpoint.searchPath(message.source);
    const cancelTimer = context.schedule(context.now() + SOURCE_WAIT_MS, () => {
      this.#waiting.delete(key);
      this.#judge(key, message, method);
    });
    this.#waiting.set(key, { message, method, cancelTimer });
  }
  /** Somebody announced itself: its messages can be verified. */
  heard(source: string): void {
    for (const [key, { message, method, cancelTimer }] of this.#waiting) {
      if (toHex(message.source) !== source) continue;
      cancelTimer();
      this.#waiting.delete(key);
      this.#judge(key, message, method);
    }
  }
  #judge(key: string, message: LxMessage, method: Arrival): void {
    const known = this.#host.endpoint.known.get(message.source);
    const verified = known !== undefined && verifyMessage(message, known.identity);
    if (known !== undefined && !verified) {
      this.#options.count("refused");
      return;
    }
    this.#options.seen.add(key);
    this.#host.changed();
    this.#weigh(message, (stamp) => {
      if (this.#options.enforceStamps && (stamp === "missing" || stamp === "invalid")) {
        this.#options.count("refused");
        return;
      }
      if (verified) {
        this.#options.tickets.take(message, this.#host.unixMs() / 1000);
        this.#host.endpoint.known.markUsed(message.source);
      } else this.#options.count("unverified");
      this.#options.count("received");
      this.#host.endpoint.context.notify(() => this.#options.deliver({ message, method, verified, stamp }));
    });
  }
  #weigh(message: LxMessage, then: (stamp: ReceivedMessage["stamp"]) => void): void {
    const { stampCost, tickets } = this.#options;
    const { stamp, hash } = message;
    if (stampCost === undefined) then("none");
    else if (tickets.accepts(message, this.#host.unixMs() / 1000)) then("ticket");
    else if (stamp === undefined || stamp.length !== STAMP_BYTES) then("missing");
    else {
      const value = this.#host.stamps.value(hash, ROUNDS.message, stamp);
      const invalid = (): void => then("invalid");
      resume(this.#host, value, (bits) => then(bits >= stampCost ? "valid" : "invalid"), invalid);
    }
  }
  /** What waits for its source, for the disk. */
  save(): Packable {
    return [...this.#waiting.values()].map(({ message, method }): Packable => [packMessage(message), method]);
  }
  /** Throws `frame_syntax`. */
  load(saved: Packable): void {
    if (!Array.isArray(saved)) throw new SpineError("frame_syntax", "waiting messages");
    for (const entry of saved as readonly Packable[]) {
      const [packed, method] = Array.isArray(entry) ? (entry as readonly Packable[]) : [];
      const known = method === "opportunistic" || method === "direct" || method === "propagated" || method === "paper";
      if (!(packed instanceof Uint8Array) || !known) throw new SpineError("frame_syntax", "waiting message");
      this.take(packed, method);
    }
  }
  close(): void {
    for (const { cancelTimer } of this.#waiting.values()) cancelTimer();
    this.#waiting.clear();
  }
}
