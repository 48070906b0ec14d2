/**
 * `F1` fragments of messages larger than a packet, in upstream's form (10-byte header) and the parent's (14 bytes).
 * One fragment does not show which form it has: the peer's hello or configuration does. spec/spine.md section 16.4.
 */
import { ByteReader, ByteWriter, toHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { Millis } from "./ports.ts";

/** "short": id 4, index 2, total 2. "long": id 8, total 2, index 2. Big-endian. */
export type FragmentForm = "short" | "long";

export const FRAGMENT_HEADER_BYTES: Readonly<Record<FragmentForm, number>> = { short: 10, long: 14 };
const ID_BYTES: Readonly<Record<FragmentForm, number>> = { short: 4, long: 8 };
const MAX_FRAGMENTS = 65_535;
/** Largest message put together again, bytes. */
export const MAX_FRAGMENTED_BYTES = 262_144;
const MAGIC_0 = 0x46;
const MAGIC_1 = 0x31;

export function isFragment(bytes: Uint8Array): boolean {
  return bytes[0] === MAGIC_0 && bytes[1] === MAGIC_1;
}

/**
 * Cuts a message into packets of at most `mtu` bytes, or leaves it whole if it fits. `id` names the message: 4 or 8
 * bytes, fresh for each. Throws `frame_size` if it would need more fragments than can be counted.
 */
export function fragmentMessage(message: Uint8Array, id: Uint8Array, mtu: number, form: FragmentForm): Uint8Array[] {
  if (message.length <= mtu) return [message];
  const room = mtu - FRAGMENT_HEADER_BYTES[form];
  if (id.length !== ID_BYTES[form] || room < 1) throw new SpineError("internal", `fragments of ${mtu} bytes`);
  const total = Math.ceil(message.length / room);
  if (total > MAX_FRAGMENTS || message.length > MAX_FRAGMENTED_BYTES)
    throw new SpineError("frame_size", `message of ${message.length} bytes for packets of ${mtu}`);
  return Array.from({ length: total }, (_, index) => {
    const writer = new ByteWriter(mtu).u8(MAGIC_0).u8(MAGIC_1).bytes(id);
    if (form === "short") writer.u16(index).u16(total);
    else writer.u16(total).u16(index);
    return writer.bytes(message.subarray(index * room, (index + 1) * room)).finish();
  });
}

export interface Fragment {
  readonly id: Uint8Array;
  readonly index: number;
  /** At least 1, more than `index`. */
  readonly total: number;
  readonly payload: Uint8Array;
}

/** Throws `frame_syntax`. */
export function openFragment(bytes: Uint8Array, form: FragmentForm): Fragment {
  if (!isFragment(bytes)) throw new SpineError("frame_syntax", "no F1 magic");
  const reader = new ByteReader(bytes.subarray(2));
  const id: Uint8Array = reader.bytes(ID_BYTES[form]);
  const [first, second] = [reader.u16(), reader.u16()];
  const [index, total] = form === "short" ? [first, second] : [second, first];
  if (index >= total) throw new SpineError("frame_syntax", `fragment ${index} of ${total}`);
  return { id, index, total, payload: reader.bytes(reader.remaining) };
}

export interface ReassemblerLimits {
  /** Messages under way; the one begun first gives way. */
  readonly messages: number;
  /** Bytes held of all of them. */
  readonly bytes: number;
  /** A message is given up this long after its first fragment. */
  readonly ageMs: Millis;
}

export const REASSEMBLER_LIMITS: ReassemblerLimits = { messages: 64, bytes: 1_048_576, ageMs: 300_000 };

interface Pending {
  readonly total: number;
  /** By index: a total is a claim, never an allocation. */
  readonly parts: Map<number, Uint8Array>;
  readonly startedAt: Millis;
  bytes: number;
}

/** Puts fragments together, by sender and id. Nothing is believed of a message before it is whole and verified. */
export class Reassembler {
  readonly #form: FragmentForm;
  readonly #limits: ReassemblerLimits;
  readonly #pending: Map<string, Pending> = new Map();
  #bytes = 0;
  /** Messages given up: too old, crowded out, or contradicting themselves. */
  dropped: number = 0;

  constructor(form: FragmentForm, limits: ReassemblerLimits = REASSEMBLER_LIMITS) {
    this.#form = form;
    this.#limits = limits;
  }
  get pending(): number {
    return this.#pending.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** The whole message once its last fragment came, undefined before. Throws `frame_syntax`. */
  add(sender: string, packet: Uint8Array, now: Millis): Uint8Array | undefined {
    this.expire(now);
    const { id, index, total, payload } = openFragment(packet, this.#form);
    const key = `${sender}/${toHex(id)}`;
    const pending: Pending = this.#pending.get(key) ?? this.#begin(key, total, now);
    if (pending.total !== total) {
      this.#drop(key, pending);
      throw new SpineError("frame_syntax", "fragments of one message disagree on their number");
    }
    if (pending.parts.has(index)) return undefined;
    pending.parts.set(index, new Uint8Array(payload));
    pending.bytes += payload.length;
    this.#bytes += payload.length;
    if (pending.parts.size === total) return this.#finish(key, pending);
    if (pending.bytes > MAX_FRAGMENTED_BYTES) this.#drop(key, pending);
    this.#makeRoom();
    return undefined;
  }

  expire(now: Millis): void {
    for (const [key, pending] of this.#pending) {
      // A clock set back must not keep a message for ever.
      if (now - pending.startedAt < this.#limits.ageMs && now >= pending.startedAt) return;
      this.#drop(key, pending);
    }
  }

  #begin(key: string, total: number, startedAt: Millis): Pending {
    const pending: Pending = { total, parts: new Map(), startedAt, bytes: 0 };
    this.#pending.set(key, pending);
    return pending;
  }

  #finish(key: string, pending: Pending): Uint8Array {
    this.#pending.delete(key);
    this.#bytes -= pending.bytes;
    const message = new Uint8Array(pending.bytes);
    let at = 0;
    for (let index = 0; index < pending.total; index++) {
      const part = pending.parts.get(index) as Uint8Array;
      message.set(part, at);
      at += part.length;
    }
    return message;
  }

  #drop(key: string, pending: Pending): void {
    if (!this.#pending.delete(key)) return;
    this.#bytes -= pending.bytes;
    this.dropped++;
  }

  #makeRoom(): void {
    for (const [key, pending] of this.#pending) {
      if (this.#pending.size <= this.#limits.messages && this.#bytes <= this.#limits.bytes) return;
      this.#drop(key, pending);
    }
  }
}
