/** The way back of proofs: which packet came from where and went whither (spec/reticulum.md section 10.5). Used by `transport.ts`. */
import type { Millis } from "../../../spine/index.ts";
import type { HashKey } from "./hash-key.ts";

const LIFETIME_MS = 480_000;
const MAX_ENTRIES = 32_768;
const MAX_WIRES = 0xffff;
const WORDS = 4;
/** Times so long before the first one can be told apart. */
const EARLIER_MS = 1_000_000_000;

export interface ReverseEntry {
  readonly inWire: string;
  readonly outWire: string;
}

/** One generation: an open-addressed table of key, numbers of the two wires, and time in seconds since the table began. */
class Generation {
  readonly words: Uint32Array;
  readonly #mask: number;
  /** Slots taken, those of entries used up included. */
  taken = 0;
  live = 0;
  constructor(slots: number) {
    this.words = new Uint32Array(WORDS * slots);
    this.#mask = slots - 1;
  }
  /** Where the entry of this key begins; -1 when there is none. */
  find({ high, low }: HashKey): number {
    const { words } = this;
    for (let slot = low & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = WORDS * slot;
      if (words[at] === high && words[at + 1] === low && words[at + 2] !== 0) return at;
      if (words[at] === 0) return -1;
    }
  }
  add({ high, low }: HashKey, wires: number, seconds: number): void {
    const { words } = this;
    let slot = low & this.#mask;
    while (words[WORDS * slot] !== 0) slot = (slot + 1) & this.#mask;
    words.set([high, low, wires, seconds], WORDS * slot);
    this.taken++;
    this.live++;
  }
  /** The slot stays taken, so that what was added after it is still found. */
  drop(at: number): void {
    this.words[at + 2] = 0;
    this.live--;
  }
  dropWhere(isGone: (wires: number, seconds: number) => boolean): void {
    const { words } = this;
    for (let at = 0; at < words.length; at += WORDS) {
      const wires = words[at + 2] as number;
      if (wires !== 0 && isGone(wires, words[at + 3] as number)) this.drop(at);
    }
  }
}

/** Two generations, so that nothing is deleted one by one: when the newer is full or old, the older is forgotten. */
export class ReverseTable {
  /** Generations forgotten before their time. */
  evictions = 0;
  readonly #names: (string | undefined)[] = [undefined];
  readonly #numbers = new Map<string, number>();
  #current: Generation | undefined;
  #previous: Generation | undefined;
  #since: Millis = 0;
  #began: Millis | undefined;
  get size(): number {
    return (this.#current?.live ?? 0) + (this.#previous?.live ?? 0);
  }
  #number(wire: string): number {
    let number = this.#numbers.get(wire);
    if (number === undefined) {
      // Wires come and go under new names: after so many, one start from nothing costs a few proofs.
      if (this.#names.length >= MAX_WIRES) this.#clear();
      number = this.#names.push(wire) - 1;
      this.#numbers.set(wire, number);
    }
    return number;
  }
  #clear(): void {
    this.#names.length = 1;
    this.#numbers.clear();
    this.#current = undefined;
    this.#previous = undefined;
  }
  #seconds(now: Millis): number {
    this.#began ??= now - EARLIER_MS;
    return Math.max(0, Math.round((now - this.#began) / 1000));
  }
  /** `key`: of the packet hash. */
  add(key: HashKey, inWire: string, outWire: string, now: Millis): void {
    const isFull = (this.#current?.taken ?? 0) >= MAX_ENTRIES / 2;
    if (this.#current === undefined || isFull || now - this.#since >= LIFETIME_MS) this.#rotate(now);
    const into = this.#number(inWire);
    this.#current ??= new Generation(MAX_ENTRIES);
    this.#current.add(key, (into << 16) | this.#number(outWire), this.#seconds(now));
  }
  #rotate(now: Millis): void {
    if ((this.#previous?.live ?? 0) > 0 && now - this.#since < LIFETIME_MS) this.evictions++;
    this.#previous = now - this.#since < 2 * LIFETIME_MS ? this.#current : undefined;
    this.#current = undefined;
    this.#since = now;
  }
  /** The wire the packet came from; the entry is used up when the proof came from where the packet went. */
  take(key: HashKey, fromWire: string, now: Millis): string | undefined {
    for (const generation of [this.#current, this.#previous]) {
      const at = generation?.find(key) ?? -1;
      if (generation === undefined || at < 0) continue;
      const wires = generation.words[at + 2] as number;
      const seconds = generation.words[at + 3] as number;
      if (this.#names[wires & 0xffff] !== fromWire) return undefined;
      generation.drop(at);
      return (this.#seconds(now) - seconds) * 1000 < LIFETIME_MS ? this.#names[wires >>> 16] : undefined;
    }
    return undefined;
  }
  get(key: HashKey): ReverseEntry | undefined {
    for (const generation of [this.#current, this.#previous]) {
      const at = generation?.find(key) ?? -1;
      if (generation !== undefined && at >= 0) return this.#entry(generation.words[at + 2] as number);
    }
    return undefined;
  }
  /** The oldest generation first. */
  entries(): readonly (readonly [HashKey, ReverseEntry])[] {
    const all: (readonly [HashKey, ReverseEntry])[] = [];
    for (const generation of [this.#previous, this.#current]) {
      const words = generation?.words ?? new Uint32Array(0);
      for (let at = 0; at < words.length; at += WORDS) {
        const entry = this.#entry(words[at + 2] as number);
        if (entry !== undefined) all.push([{ high: words[at] as number, low: words[at + 1] as number }, entry]);
      }
    }
    return all;
  }
  #entry(wires: number): ReverseEntry | undefined {
    const inWire = this.#names[wires >>> 16];
    const outWire = this.#names[wires & 0xffff];
    return inWire === undefined || outWire === undefined ? undefined : { inWire, outWire };
  }
  expire(now: Millis): void {
    if (now - this.#since >= LIFETIME_MS) this.#rotate(now);
    const seconds = this.#seconds(now);
    for (const generation of [this.#previous, this.#current]) {
      generation?.dropWhere((_, at) => (seconds - at) * 1000 >= LIFETIME_MS);
    }
  }
  dropWire(wireId: string): void {
    const number = this.#numbers.get(wireId);
    if (number === undefined) return;
    for (const generation of [this.#current, this.#previous]) {
      generation?.dropWhere((wires) => wires >>> 16 === number || (wires & 0xffff) === number);
    }
    this.#numbers.delete(wireId);
    this.#names[number] = undefined;
  }
}
