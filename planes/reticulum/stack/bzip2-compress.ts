/**
 * A bzip2 compressor for what goes over slow links (spec/reticulum.md section 14): one Huffman table per block, rotations
 * sorted by prefix doubling, so that no input makes it slow. About 1 MB/s; `bzip2.ts` is the other direction.
 */
import { BLOCK_MAGIC, CRC_TABLE, END_MAGIC, GROUP_SYMBOLS } from "./bzip2.ts";

const BLOCK_BYTES = 899_980;
const MAX_RUN = 255;
const RUN_HEAD = 4;
const MAX_CODE_BITS = 17;
const RUN_A = 0;
const RUN_B = 1;

class BitWriter {
  #out = new Uint8Array(4096);
  #length = 0;
  #held = 0;
  #heldBits = 0;
  /** 1 to 24 bits, most significant first. */
  bits(value: number, count: number): void {
    this.#held = (this.#held << count) | value;
    this.#heldBits += count;
    while (this.#heldBits >= 8) {
      this.#heldBits -= 8;
      this.#byte((this.#held >>> this.#heldBits) & 255);
    }
    this.#held &= (1 << this.#heldBits) - 1;
  }
  word(value: number): void {
    this.bits(value >>> 16, 16);
    this.bits(value & 0xffff, 16);
  }
  finish(): Uint8Array {
    if (this.#heldBits > 0) this.bits(0, 8 - this.#heldBits);
    return this.#out.slice(0, this.#length);
  }
  #byte(value: number): void {
    if (this.#length === this.#out.length) {
      const larger = new Uint8Array(2 * this.#out.length);
      larger.set(this.#out);
      this.#out = larger;
    }
    this.#out[this.#length++] = value;
  }
}

interface Block {
  /** Runs of four and more shortened. */
  readonly bytes: Uint8Array;
  readonly crc: number;
  /** Where the next block begins in the input. */
  readonly next: number;
}

function takeBlock(input: Uint8Array, from: number): Block {
  const bytes = new Uint8Array(Math.min(BLOCK_BYTES, Math.ceil((input.length - from) * 1.25)) + RUN_HEAD + 1);
  let crc = 0xffffffff;
  let length = 0;
  let at = from;
  while (at < input.length && length < BLOCK_BYTES) {
    const byte = input[at] as number;
    let run = 1;
    while (run < MAX_RUN && input[at + run] === byte) run++;
    for (let i = 0; i < run; i++) crc = (crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ byte] as number);
    for (let i = 0; i < Math.min(run, RUN_HEAD); i++) bytes[length++] = byte;
    if (run >= RUN_HEAD) bytes[length++] = run - RUN_HEAD;
    at += run;
  }
  return { bytes: bytes.subarray(0, length), crc: ~crc >>> 0, next: at };
}

/** The rotations of the block in order, by start. */
function sortRotations(block: Uint8Array): Int32Array {
  const n = block.length;
  const order = new Int32Array(n);
  let shifted = new Int32Array(n);
  let rank = Int32Array.from(block);
  let next = new Int32Array(n);
  const count = new Int32Array(Math.max(256, n) + 1);
  const sortByRank = (source: Int32Array | undefined, classes: number): void => {
    count.fill(0, 0, classes + 1);
    for (let i = 0; i < n; i++) count[(rank[i] as number) + 1] = (count[(rank[i] as number) + 1] as number) + 1;
    for (let c = 0; c < classes; c++) count[c + 1] = (count[c + 1] as number) + (count[c] as number);
    for (let i = 0; i < n; i++) {
      const start = source === undefined ? i : (source[i] as number);
      const slot = rank[start] as number;
      const place = count[slot] as number;
      count[slot] = place + 1;
      order[place] = start;
    }
  };
  sortByRank(undefined, 256);
  let classes = 0;
  for (let width = 0; width === 0 || (classes < n && width < n); width = width === 0 ? 1 : 2 * width) {
    if (width > 0) {
      for (let i = 0; i < n; i++) {
        const start = (order[i] as number) - width;
        shifted[i] = start < 0 ? start + n : start;
      }
      const swap = shifted;
      shifted = new Int32Array(0);
      sortByRank(swap, classes);
      shifted = swap;
    }
    // Equal neighbours share a class.
    let last = -1;
    let previous = -1;
    classes = 0;
    for (let i = 0; i < n; i++) {
      const start = order[i] as number;
      const first = rank[start] as number;
      const second = width === 0 ? 0 : (rank[(start + width) % n] as number);
      if (first !== last || second !== previous) classes++;
      last = first;
      previous = second;
      next[start] = classes - 1;
    }
    [rank, next] = [next, rank];
  }
  return order;
}

/** Move to front, then zero runs in bijective base two. The last symbol is the end of the block. */
function toSymbols(block: Uint8Array, order: Int32Array): { symbols: Uint16Array; used: boolean[]; origin: number } {
  const n = block.length;
  const used = new Array<boolean>(256).fill(false);
  for (const byte of block) used[byte] = true;
  const front = used.flatMap((is, byte) => (is ? [byte] : []));
  const end = front.length + 1;
  const symbols = new Uint16Array(n + 2);
  let length = 0;
  let origin = 0;
  let run = 0;
  const flush = (): void => {
    for (; run > 0; run = (run - 1) >> 1) symbols[length++] = run & 1 ? RUN_A : RUN_B;
  };
  for (let i = 0; i < n; i++) {
    const start = order[i] as number;
    if (start === 0) origin = i;
    const byte = block[start === 0 ? n - 1 : start - 1] as number;
    const place = front.indexOf(byte);
    if (place === 0) run++;
    else {
      flush();
      front.splice(place, 1);
      front.unshift(byte);
      symbols[length++] = place + 1;
    }
  }
  flush();
  symbols[length++] = end;
  return { symbols: symbols.subarray(0, length), used, origin };
}

/** Huffman code lengths, at most 17 bits: too deep a tree is built again from flattened weights. */
function codeLengths(symbols: Uint16Array, size: number): Uint8Array {
  const weights = new Float64Array(size).fill(1);
  for (const symbol of symbols) weights[symbol] = (weights[symbol] as number) + 1;
  for (;;) {
    const lengths = treeDepths(weights);
    if (lengths.every((bits) => bits <= MAX_CODE_BITS)) return lengths;
    for (let i = 0; i < size; i++) weights[i] = 1 + Math.floor((weights[i] as number) / 2);
  }
}

function treeDepths(weights: Float64Array): Uint8Array {
  const size = weights.length;
  const parent = new Int32Array(2 * size).fill(-1);
  let open = Array.from(weights, (weight, node) => ({ weight, node })).sort((a, b) => b.weight - a.weight);
  const merged: { weight: number; node: number }[] = [];
  let made = size;
  let taken = 0;
  // Merged nodes appear in order of weight, so two queues do for a heap.
  const smallest = (): { weight: number; node: number } => {
    const leaf = open.at(-1);
    const inner = merged[taken];
    if (inner === undefined || (leaf !== undefined && leaf.weight <= inner.weight)) {
      open.pop();
      return leaf as { weight: number; node: number };
    }
    taken++;
    return inner;
  };
  while (open.length + merged.length - taken > 1) {
    const a = smallest();
    const b = smallest();
    parent[a.node] = made;
    parent[b.node] = made;
    merged.push({ weight: a.weight + b.weight, node: made++ });
  }
  open = [];
  const depths = new Uint8Array(size);
  for (let leaf = 0; leaf < size; leaf++) {
    let depth = 0;
    for (let node = parent[leaf] as number; node >= 0; node = parent[node] as number) depth++;
    depths[leaf] = Math.max(1, depth);
  }
  return depths;
}

function canonicalCodes(lengths: Uint8Array): Uint32Array {
  const codes = new Uint32Array(lengths.length);
  let code = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) if (lengths[symbol] === bits) codes[symbol] = code++;
    code <<= 1;
  }
  return codes;
}

function writeTable(out: BitWriter, lengths: Uint8Array): void {
  let current = lengths[0] as number;
  out.bits(current, 5);
  for (const bits of lengths) {
    for (; current < bits; current++) out.bits(0b10, 2);
    for (; current > bits; current--) out.bits(0b11, 2);
    out.bits(0, 1);
  }
}

function writeBlock(out: BitWriter, { bytes, crc }: Block): void {
  const { symbols, used, origin } = toSymbols(bytes, sortRotations(bytes));
  const alphabet = used.filter((is) => is).length + 2;
  const lengths = codeLengths(symbols, alphabet);
  const codes = canonicalCodes(lengths);
  for (const part of BLOCK_MAGIC) out.bits(part, 24);
  out.word(crc);
  out.bits(0, 1);
  out.bits(origin, 24);
  const rows = Array.from({ length: 16 }, (_, row) => used.slice(16 * row, 16 * row + 16));
  for (const row of rows) out.bits(row.includes(true) ? 1 : 0, 1);
  for (const row of rows) if (row.includes(true)) for (const is of row) out.bits(is ? 1 : 0, 1);
  // The format wants two tables at least; the second is never selected.
  const selectors = Math.ceil(symbols.length / GROUP_SYMBOLS);
  out.bits(2, 3);
  out.bits(selectors, 15);
  for (let i = 0; i < selectors; i++) out.bits(0, 1);
  writeTable(out, lengths);
  writeTable(out, lengths);
  for (const symbol of symbols) out.bits(codes[symbol] as number, lengths[symbol] as number);
}

/** A whole bzip2 file. */
export function bzip2(input: Uint8Array): Uint8Array {
  const out = new BitWriter();
  for (const letter of [0x42, 0x5a, 0x68, 0x39]) out.bits(letter, 8);
  let combined = 0;
  for (let at = 0; at < input.length; ) {
    const block = takeBlock(input, at);
    writeBlock(out, block);
    combined = (((combined << 1) | (combined >>> 31)) ^ block.crc) >>> 0;
    at = block.next;
  }
  for (const part of END_MAGIC) out.bits(part, 24);
  out.word(combined);
  return out.finish();
}
