/**
 * Range-based set reconciliation over heads: two nodes with thousands of issuers find the few they differ in with a
 * kilobyte. Items are ordered by recency (whole seconds, not milliseconds: they fit any decoder), then by id.
 * A hint only: what is fetched afterwards is verified on its own. Format: WIRE.md 7. Measurements: spec/logs-and-planes.md 1.3.
 */
import { ByteReader, ByteWriter, compareBytes, fromHex } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import type { Sha256Hex } from "./ports.ts";

export interface Item {
  /** Seconds since the Unix epoch: part of the signed head, hence equal on both sides. */
  readonly at: number;
  /** 32 bytes: SHA-256 that names issuer, seq and hash. */
  readonly id: Uint8Array;
}

export interface Round {
  /** What to send back; undefined = nothing more to ask. */
  readonly reply: Uint8Array | undefined;
  /** Indexes of own items that the peer lacks. */
  readonly peerLacks: readonly number[];
  /** How many items the peer has and we lack; it learns which from the reply. */
  readonly lacking: number;
}

const SPLIT = 16;
const LIST_BELOW = 32;
const SKIP = 0;
const FINGERPRINT = 1;
const LIST = 2;
const NEED = 3;
/** The same with the first bytes of each id, for narrow links: enough to tell items apart, and what follows is verified anyway. */
const SHORT_LIST = 4;
const SHORT_NEED = 5;
const ID_BYTES = 32;
const SHORT_ID_BYTES = 8;
const MAX_PARTS = 4096;
const FINGERPRINT_BYTES = 16;
/** A reply is cut beyond this: the rest is asked for as one range. Bounds bytes and hashing per message. */
const MAX_REPLY_BYTES = 131_072;

/** A sorted set of items with prefix sums, so that any range's fingerprint costs one hash. */
export class ItemSet {
  readonly #items: readonly Item[];
  /** Running sum of ids modulo 2^256, as sixteen 16-bit limbs per position. */
  readonly #sums: Float64Array;
  readonly #sha256Hex: Sha256Hex;
  /** `order[i]` is the caller's index of the i-th item in sorted order. */
  readonly order: readonly number[];
  /** Lists of it name items by their first bytes. */
  readonly short: boolean;
  constructor(items: readonly Item[], sha256Hex: Sha256Hex, short: boolean = false) {
    this.short = short;
    this.#sha256Hex = sha256Hex;
    this.order = items.map((_, i) => i).sort((a, b) => compareItems(items[a] as Item, items[b] as Item));
    this.#items = this.order.map((i) => items[i] as Item);
    this.#sums = new Float64Array((items.length + 1) * 16);
    this.#items.forEach((item, i) => {
      let carry = 0;
      for (let limb = 15; limb >= 0; limb--) {
        const word = (item.id[2 * limb] as number) * 256 + (item.id[2 * limb + 1] as number);
        const sum = (this.#sums[i * 16 + limb] as number) + word + carry;
        this.#sums[(i + 1) * 16 + limb] = sum % 65_536;
        carry = sum >= 65_536 ? 1 : 0;
      }
    });
  }
  get size(): number {
    return this.#items.length;
  }
  item(index: number): Item {
    return this.#items[index] as Item;
  }
  /** First index whose item is not below the bound. */
  indexOf(bound: Item): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareItems(this.#items[middle] as Item, bound) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  fingerprint(from: number, to: number): Uint8Array {
    const writer = new ByteWriter(48);
    const limbs = new Array<number>(16);
    let borrow = 0;
    for (let limb = 15; limb >= 0; limb--) {
      const difference = (this.#sums[to * 16 + limb] as number) - (this.#sums[from * 16 + limb] as number) - borrow;
      borrow = difference < 0 ? 1 : 0;
      limbs[limb] = difference < 0 ? difference + 65_536 : difference;
    }
    for (const limb of limbs) writer.u16(limb);
    return fromHex(this.#sha256Hex(writer.varint(to - from).finish()), 32).subarray(0, FINGERPRINT_BYTES);
  }
}

function compareItems(a: Item, b: Item): number {
  return a.at === b.at ? compareBytes(a.id, b.id) : a.at - b.at;
}

/** The end of all ranges: above every item. */
const TOP: Item = { at: Number.MAX_SAFE_INTEGER, id: new Uint8Array(0) };

/** The shortest bound that separates two neighbours. */
function boundBetween(below: Item, above: Item): Item {
  if (below.at !== above.at) return { at: above.at, id: new Uint8Array(0) };
  let shared = 0;
  while (below.id[shared] === above.id[shared] && shared < 31) shared++;
  return { at: above.at, id: above.id.subarray(0, shared + 1) };
}

class MessageWriter {
  readonly #writer = new ByteWriter(512);
  #last = 0;
  #skipped: Item | undefined;
  #asks = false;
  #part(bound: Item, mode: number): ByteWriter {
    const at = bound === TOP ? 0 : bound.at - this.#last + 1;
    this.#last = bound === TOP ? 0 : bound.at;
    return this.#writer.varint(at).block(bound.id).u8(mode);
  }
  skip(bound: Item): void {
    this.#skipped = bound;
  }
  /** Returns the writer for the part's payload. */
  ask(bound: Item, mode: number): ByteWriter {
    if (this.#skipped !== undefined) this.#part(this.#skipped, SKIP);
    this.#skipped = undefined;
    this.#asks = true;
    return this.#part(bound, mode);
  }
  get length(): number {
    return this.#writer.length;
  }
  finish(): Uint8Array | undefined {
    return this.#asks ? this.#writer.finish() : undefined;
  }
}

/** Describes items from..to of the set: a list if few, else fingerprints of sixteen parts. */
function describe(set: ItemSet, from: number, to: number, bound: Item, out: MessageWriter): void {
  if (to - from < LIST_BELOW) {
    const writer = out.ask(bound, set.short ? SHORT_LIST : LIST).varint(to - from);
    const idBytes = set.short ? SHORT_ID_BYTES : ID_BYTES;
    for (let i = from; i < to; i++) writer.bytes(set.item(i).id.subarray(0, idBytes));
    return;
  }
  let start = from;
  for (let part = 1; part <= SPLIT; part++) {
    const end = from + Math.floor(((to - from) * part) / SPLIT);
    const upper = part === SPLIT ? bound : boundBetween(set.item(end - 1), set.item(end));
    out.ask(upper, FINGERPRINT).bytes(set.fingerprint(start, end));
    start = end;
  }
}

/** The first message: the whole set. */
export function beginReconcile(set: ItemSet): Uint8Array {
  const out = new MessageWriter();
  describe(set, 0, set.size, TOP, out);
  return out.finish() as Uint8Array;
}

/** A first message of a few bytes, for links where both usually hold the same: the whole set as one fingerprint. */
export function beginWithFingerprint(set: ItemSet): Uint8Array {
  const out = new MessageWriter();
  out.ask(TOP, FINGERPRINT).bytes(set.fingerprint(0, set.size));
  return out.finish() as Uint8Array;
}

/** Answers any message; both sides use it until there is no reply. Throws `frame_syntax` on malformed input. */
export function continueReconcile(set: ItemSet, message: Uint8Array): Round {
  const reader = new ByteReader(message);
  const out = new MessageWriter();
  const peerLacks: number[] = [];
  let lacking = 0;
  let last: Item = { at: 0, id: new Uint8Array(0) };
  let lower = 0;
  for (let parts = 0; reader.remaining > 0; parts++) {
    if (parts >= MAX_PARTS) throw new SpineError("frame_syntax", "too many ranges to reconcile");
    const step = reader.varint();
    const id = reader.block(32);
    if (last === TOP) throw new SpineError("frame_syntax", "a range above the top");
    if (step === 0 && id.length > 0) throw new SpineError("frame_syntax", "the top has no id");
    const bound: Item = step === 0 ? TOP : { at: last.at + step - 1, id };
    if (bound !== TOP && bound.at >= TOP.at) throw new SpineError("frame_syntax", "a bound beyond all times");
    if (parts > 0 && compareItems(last, bound) >= 0) throw new SpineError("frame_syntax", "bounds must ascend");
    last = bound;
    const upper = set.indexOf(bound);
    if (out.length > MAX_REPLY_BYTES) {
      out.ask(TOP, FINGERPRINT).bytes(set.fingerprint(lower, set.size));
      return { reply: out.finish(), peerLacks, lacking };
    }
    const mode = reader.u8();
    if (mode === SKIP) {
      out.skip(bound);
    } else if (mode === FINGERPRINT) {
      const same = compareBytes(reader.bytes(FINGERPRINT_BYTES), set.fingerprint(lower, upper)) === 0;
      if (same) out.skip(bound);
      else describe(set, lower, upper, bound, out);
    } else if (mode === LIST || mode === NEED || mode === SHORT_LIST || mode === SHORT_NEED) {
      const isNeed = mode === NEED || mode === SHORT_NEED;
      const short = mode === SHORT_LIST || mode === SHORT_NEED;
      const idBytes = short ? SHORT_ID_BYTES : ID_BYTES;
      const theirs = new Map<string, Uint8Array>();
      const count = reader.varint();
      if (count >= LIST_BELOW) throw new SpineError("frame_syntax", `a list of ${count} items`);
      for (let left = count; left > 0; left--) {
        const listed = reader.bytes(idBytes);
        theirs.set(listed.join(), listed);
      }
      for (let i = lower; i < upper; i++) {
        const listed = theirs.delete(set.item(i).id.subarray(0, idBytes).join());
        if (listed === isNeed) peerLacks.push(set.order[i] as number);
      }
      if (isNeed || theirs.size === 0) {
        out.skip(bound);
      } else {
        lacking += theirs.size;
        const writer = out.ask(bound, short ? SHORT_NEED : NEED).varint(theirs.size);
        for (const needed of theirs.values()) writer.bytes(needed);
      }
    } else {
      throw new SpineError("frame_syntax", `unknown reconcile mode ${mode}`);
    }
    lower = upper;
  }
  return { reply: out.finish(), peerLacks, lacking };
}
