/**
 * A block: 1 to 64 consecutive envelopes of one issuer under one key, with consecutive leaf indices. Payload: u8
 * count, u48 first leaf index, one state each as committed, the records.
 */
import { EnvelopeState, recordOffsets, SpineError, splitRecord } from "../spine/index.ts";
import { getU32, putU32 } from "./keys.ts";
import { decodeSealed, finishSeal, PAYLOAD_AT, SEAL_BYTES, seal, unseal } from "./seal.ts";

export const BLOCK_ENVELOPES = 64;
/** A block that reached this many record bytes takes no further envelope: a lookup reads one whole block. */
export const BLOCK_TARGET_BYTES = 65_536;
const HEADER_BYTES = 7;

/** A decoded block; bytes are views into the stored value. */
export interface Block {
  readonly issuerNo: number;
  readonly firstSeq: number;
  readonly count: number;
  readonly firstLeaf: number;
  readonly states: Uint8Array;
  readonly records: Uint8Array;
}

export function encodeBlock(key: Uint8Array, firstLeaf: number, states: Uint8Array, records: Uint8Array): Uint8Array {
  const count = states.length;
  const value = new Uint8Array(SEAL_BYTES + HEADER_BYTES + count + records.length);
  value[PAYLOAD_AT] = count;
  value[PAYLOAD_AT + 1] = firstLeaf / 0x100_0000_0000;
  value[PAYLOAD_AT + 2] = firstLeaf / 0x1_0000_0000;
  putU32(value, PAYLOAD_AT + 3, firstLeaf % 0x1_0000_0000);
  value.set(states, PAYLOAD_AT + HEADER_BYTES);
  value.set(records, PAYLOAD_AT + HEADER_BYTES + count);
  return finishSeal(key, value);
}

/** Throws `store_corrupt`. The records' own lengths are checked when they are walked. */
export function decodeBlock(key: Uint8Array, value: Uint8Array, issuerNo: number, firstSeq: number): Block {
  return decodeSealed(key, value, (payload) => {
    const count = payload[0] ?? 0;
    if (count < 1 || count > BLOCK_ENVELOPES || payload.length <= HEADER_BYTES + count) {
      throw new SpineError("store_corrupt", `block of ${count} envelopes in ${payload.length} bytes`);
    }
    const firstLeaf = ((payload[1] as number) * 256 + (payload[2] as number)) * 0x1_0000_0000 + getU32(payload, 3);
    const states = payload.subarray(HEADER_BYTES, HEADER_BYTES + count);
    checkStates(states);
    return { issuerNo, firstSeq, count, firstLeaf, states, records: payload.subarray(HEADER_BYTES + count) };
  });
}

/** Value of a `states` entry: one state for each envelope of the block. */
export function encodeStates(key: Uint8Array, states: Uint8Array): Uint8Array {
  return seal(key, states);
}

export function decodeStates(key: Uint8Array, value: Uint8Array, count: number): Uint8Array {
  const states = unseal(key, value);
  if (states.length !== count) throw new SpineError("store_corrupt", `${states.length} states for ${count} envelopes`);
  checkStates(states);
  return states;
}

/** Ends (exclusive) of the blocks that `offsets` is cut into: at most 64 envelopes, and no more once the target is reached. */
export function cutBlocks(offsets: Uint32Array): readonly number[] {
  const ends: number[] = [];
  const count = offsets.length - 1;
  for (let start = 0; start < count; ) {
    let end = start + 1;
    const limit = (offsets[start] as number) + BLOCK_TARGET_BYTES;
    while (end < count && end - start < BLOCK_ENVELOPES && (offsets[end] as number) < limit) end++;
    ends.push(end);
    start = end;
  }
  return ends;
}

/** The block's part from index `start` to `end` (exclusive), as views. Throws `store_corrupt` on malformed records. */
export function sliceBlock(block: Block, start: number, end: number): Block {
  if (start === 0 && end === block.count) return block;
  const offsets = blockOffsets(block);
  return {
    ...block,
    firstSeq: block.firstSeq + start,
    count: end - start,
    firstLeaf: block.firstLeaf + start,
    states: block.states.subarray(start, end),
    records: block.records.subarray(offsets[start], offsets[end]),
  };
}

export function blockOffsets(block: Block): Uint32Array {
  try {
    return recordOffsets(block.records, block.count);
  } catch (cause) {
    throw new SpineError("store_corrupt", `block at seq ${block.firstSeq} holds malformed records`, { cause });
  }
}

/** A copy of `records` in which record `index` carries `signature`. */
export function replaceSignature(
  records: Uint8Array,
  offsets: Uint32Array,
  index: number,
  signature: Uint8Array,
): Uint8Array {
  const copy = new Uint8Array(records);
  splitRecord(copy, offsets[index] as number, offsets[index + 1] as number).signature.set(signature);
  return copy;
}

/** Index ranges (end exclusive) of consecutive `chain` states. */
export function* chainStretches(states: Uint8Array): Generator<readonly [number, number]> {
  for (let start = 0; start < states.length; start++) {
    if (states[start] !== EnvelopeState.chain) continue;
    let end = start + 1;
    while (end < states.length && states[end] === EnvelopeState.chain) end++;
    yield [start, end];
    start = end;
  }
}

function checkStates(states: Uint8Array): void {
  for (const state of states) {
    if (state > EnvelopeState.unsigned) throw new SpineError("store_corrupt", `unknown envelope state ${state}`);
  }
}
