/** A bzip2 decompressor with an output bound, for resources and stream chunks (spec/reticulum.md sections 14 and 15). */
import { SpineError } from "../../../spine/index.ts";

/** Two times 24 bits. */
export const BLOCK_MAGIC = [0x314159, 0x265359] as const;
export const END_MAGIC = [0x177245, 0x385090] as const;
/** Symbols that one selector covers. */
export const GROUP_SYMBOLS = 50;
const MAX_CODE_BITS = 20;
const LEVEL_BYTES = 100_000;

export const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

function corrupt(what: string): SpineError {
  return new SpineError("frame_syntax", `bzip2: ${what}`);
}

class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #heldBits = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  /** 1 to 24 bits, most significant first. */
  bits(count: number): number {
    while (this.#heldBits < count) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw corrupt("ends early");
      this.#held = ((this.#held << 8) | byte) >>> 0;
      this.#heldBits += 8;
    }
    this.#heldBits -= count;
    const value = (this.#held >>> this.#heldBits) & ((1 << count) - 1);
    this.#held &= (1 << this.#heldBits) - 1;
    return value;
  }
  bit(): number {
    return this.bits(1);
  }
}

/** Canonical Huffman decoding by code length. */
interface CodeTable {
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
  readonly shortest: number;
  readonly longest: number;
}

function buildTable(lengths: Uint8Array): CodeTable {
  const count = new Int32Array(MAX_CODE_BITS + 2);
  let shortest = MAX_CODE_BITS;
  let longest = 1;
  for (const length of lengths) {
    count[length] = (count[length] as number) + 1;
    if (length < shortest) shortest = length;
    if (length > longest) longest = length;
  }
  const symbols = new Uint16Array(lengths.length);
  let filled = 0;
  for (let length = shortest; length <= longest; length++) {
    for (let s = 0; s < lengths.length; s++) if (lengths[s] === length) symbols[filled++] = s;
  }
  const limit = new Int32Array(MAX_CODE_BITS + 2);
  const base = new Int32Array(MAX_CODE_BITS + 2);
  let code = 0;
  let first = 0;
  for (let length = shortest; length <= longest; length++) {
    base[length] = first - code;
    code += count[length] as number;
    first += count[length] as number;
    limit[length] = code - 1;
    code <<= 1;
  }
  return { limit, base, symbols, shortest, longest };
}

function readSymbol(input: BitReader, table: CodeTable): number {
  let length = table.shortest;
  let code = input.bits(length);
  while (code > (table.limit[length] as number)) {
    if (++length > table.longest) throw corrupt("bad code");
    code = (code << 1) | input.bit();
  }
  return table.symbols[code + (table.base[length] as number)] as number;
}

function readAlphabet(input: BitReader): Uint8Array {
  const used = input.bits(16);
  const alphabet: number[] = [];
  for (let high = 0; high < 16; high++) {
    if ((used & (0x8000 >> high)) === 0) continue;
    const row = input.bits(16);
    for (let low = 0; low < 16; low++) if ((row & (0x8000 >> low)) !== 0) alphabet.push(high * 16 + low);
  }
  if (alphabet.length === 0) throw corrupt("empty alphabet");
  return Uint8Array.from(alphabet);
}

function readSelectors(input: BitReader, groups: number): Uint8Array {
  const selectors = new Uint8Array(input.bits(15));
  if (selectors.length === 0) throw corrupt("no selectors");
  const order = Array.from({ length: groups }, (_, i) => i);
  for (let i = 0; i < selectors.length; i++) {
    let depth = 0;
    while (input.bit() === 1) if (++depth >= groups) throw corrupt("bad selector");
    const [chosen] = order.splice(depth, 1) as [number];
    order.unshift(chosen);
    selectors[i] = chosen;
  }
  return selectors;
}

function readTable(input: BitReader, symbols: number): CodeTable {
  const lengths = new Uint8Array(symbols);
  let length = input.bits(5);
  for (let s = 0; s < symbols; s++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_BITS) throw corrupt("bad code length");
      if (input.bit() === 0) break;
      length += input.bit() === 0 ? 1 : -1;
    }
    lengths[s] = length;
  }
  return buildTable(lengths);
}

/** Undoes Huffman, run lengths and move-to-front; returns the block's bytes in sorted order. */
function readBlock(input: BitReader, block: Uint32Array): { length: number; origin: number } {
  if (input.bit() !== 0) throw corrupt("randomised block");
  const origin = input.bits(24);
  const front = readAlphabet(input);
  const symbols = front.length + 2;
  const groups = input.bits(3);
  if (groups < 2 || groups > 6) throw corrupt("bad group count");
  const selectors = readSelectors(input, groups);
  const tables = Array.from({ length: groups }, () => readTable(input, symbols));
  const end = symbols - 1;
  let length = 0;
  let run = 0;
  let runScale = 1;
  for (let at = 0; ; at++) {
    const selector = selectors[Math.floor(at / GROUP_SYMBOLS)];
    if (selector === undefined) throw corrupt("too few selectors");
    const symbol = readSymbol(input, tables[selector] as CodeTable);
    if (symbol <= 1) {
      run += runScale << symbol;
      runScale <<= 1;
      if (run > block.length) throw corrupt("block too long");
      continue;
    }
    if (run > 0) {
      if (length + run > block.length) throw corrupt("block too long");
      block.fill(front[0] as number, length, length + run);
      length += run;
      run = 0;
      runScale = 1;
    }
    if (symbol === end) break;
    if (length >= block.length) throw corrupt("block too long");
    const byte = front[symbol - 1] as number;
    front.copyWithin(1, 0, symbol - 1);
    front[0] = byte;
    block[length++] = byte;
  }
  if (origin >= length) throw corrupt("bad origin");
  return { length, origin };
}

/** Threads the sorted block: afterwards each entry holds its byte and, above bit 8, the index of its successor. */
function threadBlock(block: Uint32Array, length: number): void {
  const starts = new Uint32Array(257);
  for (let i = 0; i < length; i++) {
    const next = ((block[i] as number) & 255) + 1;
    starts[next] = (starts[next] as number) + 1;
  }
  for (let i = 1; i < 257; i++) starts[i] = (starts[i] as number) + (starts[i - 1] as number);
  for (let i = 0; i < length; i++) {
    const byte = (block[i] as number) & 255;
    const at = starts[byte] as number;
    starts[byte] = at + 1;
    block[at] = (block[at] as number) | (i << 8);
  }
}

class Output {
  bytes: Uint8Array;
  length = 0;
  readonly #limit: number;
  constructor(hint: number, limit: number) {
    this.#limit = limit;
    this.bytes = new Uint8Array(Math.min(hint, limit));
  }
  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed > this.#limit) throw new SpineError("decompression_limit", `more than ${this.#limit} bytes`);
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.min(this.#limit, Math.max(needed, this.bytes.length * 2)));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}

/** Undoes the outer run-length coding; returns the block's checksum. */
function writeBlock(out: Output, block: Uint32Array, length: number, origin: number): number {
  let crc = 0xffffffff;
  let entry = block[(block[origin] as number) >>> 8] as number;
  let previous = -1;
  let same = 0;
  for (let i = 0; i < length; i++) {
    const byte = entry & 255;
    entry = block[entry >>> 8] as number;
    let repeat = 1;
    if (same === 4) {
      repeat = byte;
      same = 0;
    } else if (byte === previous) same++;
    else {
      same = 1;
      previous = byte;
    }
    out.reserve(repeat);
    for (let r = 0; r < repeat; r++) {
      out.bytes[out.length++] = previous;
      crc = ((crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ previous] as number)) >>> 0;
    }
  }
  return ~crc >>> 0;
}

/** Throws `frame_syntax` for damaged input and `decompression_limit` when more than `limit` bytes would come out. */
export function bunzip2(input: Uint8Array, limit: number): Uint8Array {
  const bits = new BitReader(input);
  if (bits.bits(24) !== 0x425a68) throw corrupt("no header");
  const level = bits.bits(8) - 0x30;
  if (level < 1 || level > 9) throw corrupt("bad level");
  const out = new Output(input.length * 4, limit);
  let block: Uint32Array | undefined;
  let combined = 0;
  for (;;) {
    const high = bits.bits(24);
    const low = bits.bits(24);
    const crc = bits.bits(16) * 65_536 + bits.bits(16);
    if (high === END_MAGIC[0] && low === END_MAGIC[1]) {
      if (crc !== combined) throw corrupt("checksum of the stream");
      return out.bytes.subarray(0, out.length);
    }
    if (high !== BLOCK_MAGIC[0] || low !== BLOCK_MAGIC[1]) throw corrupt("no block");
    block ??= new Uint32Array(level * LEVEL_BYTES);
    const { length, origin } = readBlock(bits, block);
    threadBlock(block, length);
    if (writeBlock(out, block, length, origin) !== crc) throw corrupt("checksum of a block");
    combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0;
  }
}
