/** Small expectations the contract suites share. */
import assert from "node:assert/strict";
import { type ErrorCode, SpineError } from "../../spine/index.ts";

export const never: AbortSignal = new AbortController().signal;

/** Expects a rejection with one of `codes`. */
export async function rejectsWith(promise: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof SpineError, `expected a SpineError, got ${String(error)}`);
    assert.ok(codes.includes(error.code), `expected ${codes.join(" or ")}, got ${error.code}: ${error.message}`);
    return true;
  });
}

/** True when the promise is settled within `ms`. */
export async function settlesSoon(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = await Promise.race([
    promise.then(
      () => true,
      () => true,
    ),
    late,
  ]);
  clearTimeout(timer);
  return settled;
}
