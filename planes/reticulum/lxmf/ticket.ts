/** Tickets: a recipient's leave to send without work (spec/reticulum.md section 21.4). Used by the router. */
import { equalBytes, type Random, SpineError, toHex } from "../../../spine/index.ts";
import { Double, type Packable, packedNumber } from "../stack/msgpack.ts";
import type { LxMessage } from "./message.ts";
import { FIELD } from "./message.ts";
import { ticketStamp } from "./stamp.ts";

const TICKET_BYTES = 16;
const EXPIRY_SECONDS = 1_814_400;
const GRACE_SECONDS = 432_000;
const RENEW_SECONDS = 1_209_600;
const OFFER_INTERVAL_SECONDS = 86_400;
const MAX_PEERS = 4096;

interface Ticket {
  readonly ticket: Uint8Array;
  /** Unix seconds. */
  readonly expires: number;
}

interface Issued {
  tickets: Ticket[];
  offeredAt: number;
}

/** Bounded: the peer dealt with longest ago is forgotten. */
export class TicketBook {
  /** By peer in hex: what we gave out, newest first. */
  readonly #issued = new Map<string, Issued>();
  /** What we were given. */
  readonly #received = new Map<string, Ticket>();
  get size(): number {
    return this.#issued.size + this.#received.size;
  }
  /** The field for a message to `peer`, when a ticket is due; times are unix seconds. */
  offer(peer: Uint8Array, now: number, random: Random): Packable | undefined {
    const key = toHex(peer);
    const entry = this.#issued.get(key) ?? { tickets: [], offeredAt: Number.NEGATIVE_INFINITY };
    if (now - entry.offeredAt < OFFER_INTERVAL_SECONDS && now >= entry.offeredAt) return undefined;
    let [current] = entry.tickets;
    if (current === undefined || current.expires - now < RENEW_SECONDS) {
      current = { ticket: random(TICKET_BYTES).slice(), expires: now + EXPIRY_SECONDS };
      entry.tickets = [current, ...entry.tickets].slice(0, 2);
    }
    entry.offeredAt = now;
    keep(this.#issued, key, entry);
    return [new Double(current.expires), current.ticket];
  }
  /** Does the message's stamp come from a ticket we gave its source? */
  accepts(message: LxMessage, now: number): boolean {
    const { stamp, source, hash } = message;
    if (stamp === undefined || stamp.length !== TICKET_BYTES) return false;
    return (this.#issued.get(toHex(source))?.tickets ?? []).some(
      ({ ticket, expires }) => now < expires + GRACE_SECONDS && equalBytes(ticketStamp(ticket, hash), stamp),
    );
  }
  /** Takes the ticket out of a verified message. */
  take(message: LxMessage, now: number): void {
    const field = message.fields.get(FIELD.ticket);
    const [at, ticket] = Array.isArray(field) ? (field as readonly Packable[]) : [];
    const expires = packedNumber(at);
    if (expires === undefined || expires <= now || !(ticket instanceof Uint8Array) || ticket.length !== TICKET_BYTES) {
      return;
    }
    const limited = Math.min(expires, now + EXPIRY_SECONDS);
    keep(this.#received, toHex(message.source), { ticket: ticket.slice(), expires: limited });
  }
  /** A stamp for a message to `destination` that costs no work. */
  stampFor(destination: Uint8Array, messageHash: Uint8Array, now: number): Uint8Array | undefined {
    const entry = this.#received.get(toHex(destination));
    return entry !== undefined && entry.expires > now ? ticketStamp(entry.ticket, messageHash) : undefined;
  }
  save(): Packable {
    const ticket = ({ ticket: bytes, expires }: Ticket): Packable => [bytes, new Double(expires)];
    return [
      [...this.#issued].map(([key, { tickets, offeredAt }]) => [key, tickets.map(ticket), new Double(offeredAt)]),
      [...this.#received].map(([key, one]) => [key, ticket(one)]),
    ];
  }
  /** Throws `frame_syntax`. */
  load(saved: Packable): void {
    const [issued, received] = items(saved);
    for (const entry of items(issued)) {
      const [key, tickets, offeredAt] = items(entry);
      if (typeof key !== "string") throw new SpineError("frame_syntax", "ticket entry");
      keep(this.#issued, key, { tickets: items(tickets).map(readTicket), offeredAt: packedNumber(offeredAt) ?? 0 });
    }
    for (const entry of items(received)) {
      const [key, one] = items(entry);
      if (typeof key !== "string") throw new SpineError("frame_syntax", "ticket entry");
      keep(this.#received, key, readTicket(one));
    }
  }
}

function items(value: Packable | undefined): readonly Packable[] {
  if (!Array.isArray(value)) throw new SpineError("frame_syntax", "ticket list");
  return value as readonly Packable[];
}

function readTicket(value: Packable | undefined): Ticket {
  const [ticket, at] = items(value);
  const expires = packedNumber(at);
  if (!(ticket instanceof Uint8Array) || expires === undefined) throw new SpineError("frame_syntax", "ticket");
  return { ticket: ticket.slice(), expires };
}

function keep<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  const [oldest] = map.keys();
  if (map.size >= MAX_PEERS && oldest !== undefined) map.delete(oldest);
  map.set(key, value);
}
