/** Assertions that many suites share. */
import assert from "node:assert/strict";
import { type ErrorCode, SpineError } from "../../spine/index.ts";

export async function rejectsWith(code: ErrorCode, action: () => Promise<unknown>): Promise<void> {
  await assert.rejects(action, (error: unknown) => {
    assert.ok(error instanceof SpineError, `not a SpineError: ${error}`);
    assert.equal(error.code, code, `${error.code}: ${error.message}`);
    return true;
  });
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
