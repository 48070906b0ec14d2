/** Asserts which coded error a call ends in. */
import assert from "node:assert/strict";
import { type ErrorCode, SpineError } from "../../spine/index.ts";

/** The SpineError code that `run` throws, or "ok"; any other error fails the test. */
export function outcome(run: () => unknown): ErrorCode | "ok" {
  try {
    run();
    return "ok";
  } catch (error) {
    assert.ok(error instanceof SpineError, `foreign error: ${error instanceof Error ? error.stack : String(error)}`);
    return error.code;
  }
}

/** Fails unless `run` throws a SpineError of this code, with a message that matches. */
export function throwsCode(run: () => unknown, code: ErrorCode, message?: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof SpineError, String(error));
    assert.equal(error.code, code);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });
}

/** As `throwsCode`, of a promise. */
export async function rejectsCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof SpineError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}
