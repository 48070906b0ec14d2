/** Loads the Reticulum vectors and feeds their recorded random draws back to the stack. */
import assert from "node:assert/strict";
import { fromHex, type Random, toHex } from "../../../spine/index.ts";
import { describeShared, sharedJson } from "../../helpers/shared.ts";

/** A vector file; each suite names the fields it reads. */
export interface VectorFile<Case> {
  readonly cases: readonly Case[];
}

export function describeVectors<File>(name: string, body: (file: File) => void): void {
  const path = `vectors/reticulum/${name}.json`;
  describeShared(`reticulum vectors: ${name}`, [path], () => body(sharedJson<File>(path)));
}

/** Hands out the given draws in order and insists on their lengths. */
export function drawn(...hex: readonly string[]): Random {
  const draws = hex.map((text) => fromHex(text));
  return (length) => {
    const next = draws.shift();
    assert.ok(next !== undefined, "more random draws than recorded");
    assert.equal(next.length, length, "length of a random draw");
    return next;
  };
}

export function assertHex(actual: Uint8Array | undefined, expected: string | null | undefined): void {
  assert.equal(actual === undefined ? actual : toHex(actual), expected ?? undefined);
}
