/**
 * A sketch of a set in a few bytes: two sketches tell which own items the other set lacks, while the sets differ in no more
 * than the sketch has room for (PinSketch: Dodis et al., "Fuzzy Extractors", section 6.3; binary BCH syndromes over
 * GF(2^32)). For wires on which a list of hashes takes hours. Used by `statement.ts`; format in WIRE.md 13.
 */
import type { ByteReader, ByteWriter } from "./bytes.ts";

/** x^32 + x^7 + x^3 + x^2 + 1. */
const MODULUS = 0x8d;
const FIELD_BITS = 32;
export const SYNDROME_BYTES = 4;

/** What tells two sets apart. */
export interface SketchDifference {
  /** Own items that the other set lacks, as they were given. */
  readonly otherLacks: readonly number[];
  /** How many items of the other set are lacking here. */
  readonly lacking: number;
}

function multiply(a: number, b: number): number {
  let product = 0;
  let factor = a;
  for (let left = b; left !== 0; left >>>= 1) {
    if ((left & 1) === 1) product ^= factor;
    const carry = factor >>> 31;
    factor = (factor << 1) ^ (carry === 1 ? MODULUS : 0);
  }
  return product >>> 0;
}

/** a^(2^32 − 2). */
function inverse(a: number): number {
  let power = a;
  let result = 1;
  for (let i = 1; i < FIELD_BITS; i++) {
    power = multiply(power, power);
    result = multiply(result, power);
  }
  return result;
}

/** Sums of odd powers of the items, which are 32-bit numbers other than 0. One more than the differences it can tell. */
export function sketchOf(items: readonly number[], syndromes: number): Uint32Array {
  const sums = new Uint32Array(syndromes);
  for (const item of items) {
    const square = multiply(item, item);
    let power = item;
    for (let i = 0; i < syndromes; i++) {
      sums[i] = (sums[i] as number) ^ power;
      power = multiply(power, square);
    }
  }
  return sums;
}

export function writeSketch(writer: ByteWriter, sketch: Uint32Array): void {
  for (const sum of sketch) writer.u32(sum);
}
export function readSketch(reader: ByteReader, syndromes: number): Uint32Array {
  return Uint32Array.from({ length: syndromes }, () => reader.u32());
}

/**
 * What own `items` and the set of which `other` is the sketch differ in; undefined when that is too much to tell. `others` is
 * the number of its items. An item is missed or made up with a probability of about 2^−32.
 */
export function differ(items: readonly number[], other: Uint32Array, others: number): SketchDifference | undefined {
  const own = sketchOf(items, other.length);
  const sums = other.map((sum, i) => sum ^ (own[i] as number));
  const locator = locatorOf(sums);
  if (locator === undefined) return undefined;
  const degree = locator.length - 1;
  const otherLacks = items.filter((item) => isRoot(locator, item));
  const lacking = degree - otherLacks.length;
  return lacking < 0 || items.length - otherLacks.length + lacking !== others ? undefined : { otherLacks, lacking };
}

/** Berlekamp and Massey: the shortest polynomial that the sums follow, or undefined if it leaves none of them to prove it. */
function locatorOf(odd: Uint32Array): readonly number[] | undefined {
  // In a field of characteristic 2 the even sums are squares.
  const sums = new Uint32Array(2 * odd.length);
  for (let i = 0; i < sums.length; i++) {
    const half = sums[(i - 1) / 2] as number;
    sums[i] = i % 2 === 0 ? (odd[i / 2] as number) : multiply(half, half);
  }
  let current = [1];
  let previous = [1];
  let length = 0;
  let shift = 1;
  let last = 1;
  for (let n = 0; n < sums.length; n++) {
    let gap = sums[n] as number;
    for (let i = 1; i <= length; i++) gap ^= multiply(current[i] ?? 0, sums[n - i] as number);
    gap >>>= 0;
    if (gap === 0) {
      shift++;
      continue;
    }
    const scale = multiply(gap, inverse(last));
    const before = current;
    current = Array.from({ length: Math.max(before.length, previous.length + shift) }, (_, i) => {
      const correction = i < shift ? 0 : multiply(scale, previous[i - shift] ?? 0);
      return ((before[i] ?? 0) ^ correction) >>> 0;
    });
    if (2 * length > n) {
      shift++;
      continue;
    }
    length = n + 1 - length;
    previous = before;
    last = gap;
    shift = 1;
  }
  while (current.at(-1) === 0) current.pop();
  return length >= odd.length || current.length !== length + 1 ? undefined : current;
}

/** Whether the item is one of those that the polynomial stands for. */
function isRoot(locator: readonly number[], item: number): boolean {
  let value = 0;
  for (const coefficient of locator) value = (multiply(value, item) ^ coefficient) >>> 0;
  return value === 0;
}
