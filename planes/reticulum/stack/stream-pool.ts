/**
 * Memory for the ciphertext of one resource segment, which is gone once the segment is proved. Bulk transfers would leave a
 * megabyte of garbage each otherwise, and the engine lets tens of them pile up. Used by the resource sender and receiver.
 */

/** Kept for the next segment; a segment of full size fits. */
const KEPT_BYTES = 1_114_112;
const SMALL_BYTES = 65_536;
let spare: Uint8Array | undefined;
/** What is on loan: given back twice, it could be in two hands later. */
const lent = new WeakSet<ArrayBufferLike>();

/** Exactly `length` bytes whose content is undefined. */
export function takeStream(length: number): Uint8Array {
  if (length < SMALL_BYTES || length > KEPT_BYTES) return new Uint8Array(length);
  const whole = spare ?? new Uint8Array(KEPT_BYTES);
  spare = undefined;
  lent.add(whole.buffer);
  return whole.subarray(0, length);
}

/** Nobody may read the stream any more. What was not on loan, or was given back before, is left alone. */
export function giveBackStream(stream: Uint8Array): void {
  if (lent.delete(stream.buffer)) spare = new Uint8Array(stream.buffer);
}
