/**
 * The message router of one delivery address: sends by packet, by link or by a propagation node, takes in what arrives
 * (spec/reticulum.md sections 21.2 to 21.4). No loop: every step follows from an event or its own timer.
 */
import {
  concatBytes,
  type Millis,
  SpineError,
  type SpineError as SpineErrorType,
  toHex,
  utf8,
} from "../../../spine/index.ts";
import { Destination } from "../stack/destination.ts";
import type { Identity } from "../stack/identity.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "../stack/msgpack.ts";
import { SINGLE } from "../stack/name.ts";
import { ENCRYPTED_MDU } from "../stack/packet.ts";
import type { RatchetRing } from "../stack/ratchet.ts";
import { deliveryAppData, readDeliveryAppData } from "./app-data.ts";
import { DeliveryLinks } from "./delivery-links.ts";
import { type LxmfHost, RecentKeys, resume } from "./host.ts";
import { Inbox, type ReceivedMessage } from "./inbox.ts";
import { FIELD, type Fields, openMessage, sealMessage } from "./message.ts";
import { type Method, Outgoing } from "./outgoing.ts";
import { PropagationClient } from "./propagation-client.ts";
import { ROUNDS } from "./stamp.ts";
import { TicketBook } from "./ticket.ts";

const MAX_OUTGOING = 1024;
const MAX_ATTEMPTS = 5;
const RETRY_MS = 10_000;
const PATH_WAIT_MS = 7000;
const EXPIRY_MS = 2_592_000_000;
const VERSION = 1;

export interface RouterOptions {
  readonly identity: Identity;
  readonly ratchets?: RatchetRing;
  readonly displayName?: string;
  /** Bits of work asked of senders without a ticket; none if omitted. */
  readonly stampCost?: number;
  /** Refuse messages without it, instead of marking them. */
  readonly enforceStamps?: boolean;
  /** Address of the propagation node to use, 16 bytes. */
  readonly propagationNode?: Uint8Array;
  readonly onMessage: (received: ReceivedMessage) => void;
}

export interface SendOptions {
  readonly destination: Uint8Array;
  readonly title?: string | Uint8Array;
  readonly content: string | Uint8Array;
  readonly fields?: Fields;
  /** "direct" by default; an opportunistic message that does not fit one packet goes directly. */
  readonly method?: Method;
  /** Allow the recipient to answer without work. */
  readonly ticket?: boolean;
  readonly propagateOnFailure?: boolean;
}

export type RouterCounter = "sent" | "delivered" | "failed" | "received" | "duplicate" | "refused" | "unverified";

export class LxmfRouter {
  readonly destination: Destination;
  readonly client: PropagationClient;
  readonly tickets = new TicketBook();
  readonly counters = new Map<RouterCounter, number>();
  readonly #host: LxmfHost;
  readonly #options: RouterOptions;
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #seen = new RecentKeys(16_384);
  readonly #links: DeliveryLinks;
  readonly #inbox: Inbox;
  #closed = false;
  constructor(host: LxmfHost, options: RouterOptions) {
    this.#host = host;
    this.#options = options;
    const { identity, ratchets, displayName, stampCost } = options;
    this.destination = new Destination({
      type: SINGLE,
      appName: "lxmf",
      aspects: ["delivery"],
      identity,
      ...(ratchets === undefined ? {} : { ratchets }),
    });
    this.destination.proofs = "all";
    this.destination.appData = deliveryAppData({
      ...(displayName === undefined ? {} : { displayName }),
      ...(stampCost === undefined ? {} : { stampCost }),
    });
    this.#inbox = new Inbox(host, {
      tickets: this.tickets,
      seen: this.#seen,
      stampCost,
      enforceStamps: options.enforceStamps === true,
      count: (name) => this.#count(name),
      deliver: (received) => options.onMessage(received),
    });
    this.#links = new DeliveryLinks(host, identity, {
      received: (packed) => this.#inbox.take(packed, "direct"),
      delivered: (outgoing) => this.#conclude(outgoing, "delivered"),
      missed: (outgoing) => this.#missed(outgoing),
    });
    this.client = new PropagationClient(host, {
      identity,
      destination: this.destination,
      node: options.propagationNode,
      received: (packed) => this.#inbox.take(packed, "propagated"),
    });
    this.destination.onPacket = (data) => this.#inbox.take(concatBytes(this.destination.hash, data), "opportunistic");
    this.destination.onLink = (link) => this.#links.accept(link);
    host.act(() => {
      host.endpoint.register(this.destination);
      host.endpoint.onAnnounce({
        name: "lxmf.delivery",
        pathResponses: true,
        heard: ({ destination }) => this.#heard(destination),
      });
    });
  }
  #count(name: RouterCounter): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }
  /** Messages on their way, oldest first. */
  get queue(): readonly Outgoing[] {
    return [...this.#outgoing.values()];
  }
  get openLinks(): number {
    return this.#links.size;
  }
  announce(): void {
    this.#host.act(() => this.#host.endpoint.announce(this.destination));
  }

  /** Takes a message; what becomes of it is told by `onConcluded`. Throws `rate_limited` when too many are on their way. */
  send(options: SendOptions): Outgoing {
    if (this.#outgoing.size >= MAX_OUTGOING) {
      throw new SpineError("rate_limited", `${MAX_OUTGOING} messages are on their way already`);
    }
    const { destination, title = "", content, method = "direct" } = options;
    const now = this.#host.unixMs();
    const fields = new Map(options.fields ?? []);
    const { context } = this.#host.endpoint;
    const ticket = options.ticket === true ? this.tickets.offer(destination, now / 1000, context.random) : undefined;
    if (ticket !== undefined) fields.set(FIELD.ticket, ticket);
    const text = {
      destination: destination.slice(),
      source: this.destination.hash,
      timestamp: now / 1000,
      title: typeof title === "string" ? utf8(title) : title,
      content: typeof content === "string" ? utf8(content) : content,
      fields,
    };
    const message = sealMessage(text, this.#options.identity);
    const outgoing = new Outgoing(message, method, options.propagateOnFailure === true, now);
    this.#outgoing.set(outgoing.hex, outgoing);
    this.#host.changed();
    // After the caller could set `onConcluded`.
    this.#later(outgoing, 0);
    return outgoing;
  }
  /** Ends the way of a message; what has left cannot be called back. */
  cancel(hex: string): boolean {
    const outgoing = this.#outgoing.get(hex);
    if (outgoing === undefined) return false;
    this.#conclude(outgoing, "cancelled");
    return true;
  }
  #later(outgoing: Outgoing, inMs: Millis): void {
    this.#host.act(() => {
      const { context } = this.#host.endpoint;
      outgoing.cancelTimer?.();
      outgoing.cancelTimer = context.schedule(context.now() + inMs, () => {
        outgoing.cancelTimer = undefined;
        this.#attempt(outgoing);
      });
    });
  }
  /** A destination announced itself: what waits for it goes at once. */
  #heard(destination: Uint8Array): void {
    const key = toHex(destination);
    for (const outgoing of this.#outgoing.values()) {
      if (outgoing.state === "waiting" && toHex(outgoing.message.destination) === key) this.#later(outgoing, 0);
    }
    this.#inbox.heard(key);
  }
  #attempt(outgoing: Outgoing): void {
    if (outgoing.isOver || this.#closed) return;
    const { endpoint } = this.#host;
    const { destination } = outgoing.message;
    const known = endpoint.known.get(destination);
    if (known === undefined || (outgoing.method !== "propagated" && !endpoint.hasPath(destination))) {
      endpoint.searchPath(destination);
      if (known === undefined || outgoing.attempts === 0) {
        this.#again(outgoing, PATH_WAIT_MS, new SpineError("path_unknown", `no path to ${toHex(destination)}`));
        return;
      }
    }
    if (outgoing.message.stamp === undefined && this.#stamps(outgoing, known.appData)) return;
    outgoing.state = "sending";
    if (outgoing.method === "opportunistic" && outgoing.packed().length - 16 > ENCRYPTED_MDU)
      outgoing.method = "direct";
    try {
      if (outgoing.method === "propagated") this.#propagate(outgoing);
      else if (outgoing.method === "direct") this.#links.send(outgoing);
      else {
        const receipt = endpoint.send(destination, outgoing.packed().subarray(16));
        receipt.onDelivered = () => this.#conclude(outgoing, "delivered");
        receipt.onFailed = () => this.#missed(outgoing);
      }
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      this.#again(outgoing, RETRY_MS, caught);
    }
  }
  /** Gives the message the stamp its recipient asks for; true when that takes time. */
  #stamps(outgoing: Outgoing, appData: Uint8Array): boolean {
    const { stampCost } = readDeliveryAppData(appData);
    if (stampCost === undefined) return false;
    const { message } = outgoing;
    const ticket = this.tickets.stampFor(message.destination, message.hash, this.#host.unixMs() / 1000);
    if (ticket !== undefined) {
      outgoing.message = { ...message, stamp: ticket };
      return false;
    }
    outgoing.state = "stamping";
    resume(
      this.#host,
      this.#host.stamps.search(message.hash, ROUNDS.message, stampCost, outgoing.abort.signal),
      (stamp) => {
        outgoing.message = { ...outgoing.message, stamp };
        this.#host.changed();
        this.#attempt(outgoing);
      },
      (reason) => this.#stampFailed(outgoing, reason),
    );
    return true;
  }
  #stampFailed(outgoing: Outgoing, reason: unknown): void {
    if (outgoing.isOver) return;
    const coded = reason instanceof SpineError ? reason : new SpineError("internal", "stamp search", { cause: reason });
    if (coded.code === "rate_limited") this.#again(outgoing, RETRY_MS, coded);
    else this.#fail(outgoing, coded);
  }
  #propagate(outgoing: Outgoing): void {
    this.client.upload(outgoing, (failure) => {
      if (outgoing.isOver) return;
      if (failure === undefined) this.#conclude(outgoing, "sent");
      else if (failure.code === "stamp_cost") this.#fail(outgoing, failure);
      else this.#again(outgoing, RETRY_MS, failure);
    });
  }
  #missed(outgoing: Outgoing): void {
    if (outgoing.isOver) return;
    const { destination } = outgoing.message;
    if (outgoing.attempts > 0) this.#host.endpoint.searchPath(destination);
    this.#again(
      outgoing,
      RETRY_MS,
      new SpineError("delivery_failed", `no proof of delivery from ${toHex(destination)}`),
    );
  }
  #again(outgoing: Outgoing, inMs: Millis, reason: SpineErrorType): void {
    outgoing.attempts++;
    outgoing.state = "waiting";
    if (outgoing.attempts < MAX_ATTEMPTS && this.#host.unixMs() - outgoing.since < EXPIRY_MS)
      this.#later(outgoing, inMs);
    else if (outgoing.propagateOnFailure && outgoing.method !== "propagated" && this.client.hasNode) {
      outgoing.method = "propagated";
      outgoing.attempts = 0;
      this.#later(outgoing, 0);
    } else this.#fail(outgoing, reason);
  }
  #fail(outgoing: Outgoing, reason: SpineErrorType): void {
    outgoing.failure = reason;
    this.#conclude(outgoing, "failed");
  }
  #conclude(outgoing: Outgoing, state: "sent" | "delivered" | "failed" | "cancelled"): void {
    if (outgoing.isOver) return;
    outgoing.state = state;
    outgoing.cancelTimer?.();
    outgoing.abort.abort(new SpineError("plane_stopped", "the message is no longer sent"));
    this.#outgoing.delete(outgoing.hex);
    if (state !== "cancelled") this.#count(state);
    this.#host.changed();
    const { onConcluded } = outgoing;
    if (onConcluded !== undefined) this.#host.endpoint.context.notify(() => onConcluded(outgoing));
  }

  /** A message that a propagation node of this same program took for us. */
  take(packed: Uint8Array): void {
    this.#inbox.take(packed, "propagated");
  }
  /** A message from paper. Throws as `openMessage` does. */
  takePaper(packed: Uint8Array): void {
    openMessage(packed);
    this.#host.act(() => this.#inbox.take(packed, "paper"));
  }

  /** Outgoing messages, tickets and what was received, for the disk. */
  save(): Uint8Array {
    const outgoing = this.queue.map(
      (one): Packable => [one.packed(), one.method, one.propagateOnFailure, new Double(one.since), one.attempts],
    );
    return pack([
      VERSION,
      outgoing,
      this.#seen.values(),
      this.client.seen.values(),
      this.tickets.save(),
      this.#inbox.save(),
    ]);
  }
  /** Goes on where `save` was. Throws `frame_syntax`. */
  load(file: Uint8Array): void {
    const list = unpack(file);
    const [version, outgoing, seen, fetched, tickets, waiting] = Array.isArray(list)
      ? (list as readonly Packable[])
      : [];
    if (version !== VERSION || !Array.isArray(outgoing) || !Array.isArray(seen) || !Array.isArray(fetched)) {
      throw new SpineError("frame_syntax", "router file");
    }
    for (const key of seen) if (typeof key === "string") this.#seen.add(key);
    for (const key of fetched) if (typeof key === "string") this.client.seen.add(key);
    this.tickets.load(tickets as Packable);
    this.#host.act(() => this.#inbox.load(waiting as Packable));
    for (const entry of outgoing as readonly Packable[]) this.#reload(entry);
  }
  #reload(entry: Packable): void {
    const [packed, method, fallback, since, attempts] = Array.isArray(entry) ? (entry as readonly Packable[]) : [];
    const at = packedNumber(since);
    const known = method === "direct" || method === "opportunistic" || method === "propagated";
    if (!(packed instanceof Uint8Array) || !known || at === undefined || typeof attempts !== "number") {
      throw new SpineError("frame_syntax", "outgoing message");
    }
    const outgoing = new Outgoing(openMessage(packed), method, fallback === true, at);
    outgoing.attempts = Math.min(attempts, MAX_ATTEMPTS - 1);
    this.#outgoing.set(outgoing.hex, outgoing);
    this.#later(outgoing, 0);
  }
  /** Stops sending; what is on its way stays for `save`. */
  close(): void {
    this.#closed = true;
    for (const outgoing of this.#outgoing.values()) {
      outgoing.cancelTimer?.();
      outgoing.abort.abort(new SpineError("plane_stopped", "the router stops"));
    }
    this.#host.act(() => {
      this.#inbox.close();
      this.#links.close();
      this.client.close();
      this.#host.endpoint.deregister(this.destination);
    });
  }
}
