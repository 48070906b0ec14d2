/**
 * Fuzzing of a decoder: random bytes, and seeds with bytes changed, cut, doubled and spliced. Whatever comes in, only
 * a SpineError may come out. `SPINE_FUZZ_RUNS` sets the number of inputs per decoder; the long form is 1,000,000.
 */
import assert from "node:assert/strict";
import { type ErrorCode, SpineError, toHex } from "../../spine/index.ts";

/** What became of the inputs: how many were decoded, and how often each code was thrown. */
export interface FuzzReport {
  readonly decoded: number;
  readonly refused: ReadonlyMap<ErrorCode, number>;
}

const SHORT_RUNS = 3000;
/** Bytes that grammars and length fields care about. */
const SPICE = Uint8Array.from('"\\{}[],:0123456789.eE+-u \n\u007f'.split("").map((c) => c.charCodeAt(0)));

/** The number of inputs per decoder asked for by the environment. */
export function fuzzRuns(): number {
  return Number(process.env["SPINE_FUZZ_RUNS"] ?? SHORT_RUNS);
}

/** A small reproducible generator (xorshift32); the seed is printed with every failure. */
export function randomSource(seed: number): (limit: number) => number {
  let state = seed | 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function randomBytes(random: (limit: number) => number): Uint8Array {
  return Uint8Array.from({ length: random(random(8) === 0 ? 400 : 40) }, () => random(256));
}

function mutated(seed: Uint8Array, other: Uint8Array, random: (limit: number) => number): Uint8Array {
  let bytes: Uint8Array = seed.slice();
  for (let changes = 1 + random(4); changes > 0 && bytes.length > 0; changes--) {
    const at = random(bytes.length);
    switch (random(7)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = SPICE[random(SPICE.length)] as number;
        break;
      case 2:
        bytes[at] = (bytes[at] as number) ^ (1 << random(8));
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1 + random(4))]);
        break;
      case 5:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          SPICE[random(SPICE.length)] as number,
          ...bytes.subarray(at),
        ]);
        break;
      default:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...other.subarray(random(other.length + 1))]);
    }
  }
  return bytes;
}

/**
 * Feeds `runs` inputs to `decode`. Fails when it throws anything but a SpineError, throws `internal`, or refuses a seed
 * itself. `decode` gets a fresh array each time.
 */
export function fuzzDecoder(
  name: string,
  decode: (bytes: Uint8Array) => unknown,
  seeds: readonly Uint8Array[],
  runs: number = fuzzRuns(),
  seed: number = runs,
): FuzzReport {
  const random = randomSource(seed);
  const refused = new Map<ErrorCode, number>();
  let decoded = 0;
  for (const good of seeds) decode(good.slice());
  for (let run = 0; run < runs; run++) {
    const good = seeds.length === 0 ? undefined : seeds[random(seeds.length)];
    const bytes =
      good === undefined || random(10) === 0
        ? randomBytes(random)
        : mutated(good, seeds[random(seeds.length)] as Uint8Array, random);
    const input: string = toHex(bytes);
    try {
      decode(bytes);
      decoded++;
    } catch (error) {
      const where = `${name}, seed ${seed}, run ${run}, input ${input}`;
      if (!(error instanceof SpineError)) throw new Error(`foreign error in ${where}`, { cause: error });
      assert.notEqual(error.code, "internal", where);
      refused.set(error.code, (refused.get(error.code) ?? 0) + 1);
    }
  }
  return { decoded, refused };
}
