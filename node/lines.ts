/** Splits a byte stream into lines with a bounded length. Used by the verbs that read cases and by the API's bodies. */
import { SpineError, utf8Text } from "../spine/index.ts";

/** Longest line kept, bytes; the rest of a longer one is skipped. */
export const MAX_LINE_BYTES = 4_194_304;

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Without the line break; null when it was longer than MAX_LINE_BYTES. */
  readonly bytes: Uint8Array | null;
}

/** Throws `api_input` for a line that was too long and `json_syntax` when it is not UTF-8. */
export function lineText(line: Line): string {
  return utf8Text(lineBytes(line));
}

export function lineBytes(line: Line): Uint8Array {
  if (line.bytes === null)
    throw new SpineError("api_input", `line ${line.number} is longer than ${MAX_LINE_BYTES} bytes`);
  return line.bytes;
}

/**
 * Yields the complete lines of each chunk together, as soon as they are there, so that a caller can work in batches
 * without waiting for more input. A last line without line break counts; an empty rest after one does not.
 */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Line[]> {
  let parts: Uint8Array[] = [];
  let partBytes = 0;
  let tooLong = false;
  let number = 0;
  const finish = (last: Uint8Array): Line => {
    number++;
    const length = partBytes + last.length;
    const bytes =
      tooLong || length > MAX_LINE_BYTES ? null : parts.length === 0 ? last : Buffer.concat([...parts, last]);
    parts = [];
    partBytes = 0;
    tooLong = false;
    return { number, bytes };
  };
  for await (const chunk of chunks) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      lines.push(finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    if (rest.length > 0 && !tooLong) {
      partBytes += rest.length;
      if (partBytes > MAX_LINE_BYTES) {
        tooLong = true;
        parts = [];
      } else parts.push(rest);
    }
    if (lines.length > 0) yield lines;
  }
  if (partBytes > 0) yield [finish(new Uint8Array(0))];
}

/** Pieces of at most `size` of a list. */
export function* slices<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}
