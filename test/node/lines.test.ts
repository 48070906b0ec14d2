/** Splitting bytes into lines: however the stream is cut, the lines are the same. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Line, lineBytes, lineText, MAX_LINE_BYTES, splitLines } from "../../node/index.ts";

async function* pieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
    yield bytes.subarray(at, cut);
    at = cut;
  }
}

async function linesOf(chunks: AsyncIterable<Uint8Array>): Promise<Line[]> {
  const all: Line[] = [];
  for await (const lines of splitLines(chunks)) all.push(...lines);
  return all;
}

describe("lines", () => {
  it("are the same however the stream is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("a", "bc", "\n", "\r\n", "é", "\n\n")),
        fc.array(fc.nat(40)),
        async (parts, cuts) => {
          const text = parts.join("");
          const bytes = new TextEncoder().encode(text);
          const found = await linesOf(
            pieces(
              bytes,
              cuts.map((cut) => Math.min(cut, bytes.length)),
            ),
          );
          const expected = text.split("\n");
          if (expected.at(-1) === "") expected.pop();
          assert.deepEqual(
            found.map((line) => [line.number, lineText(line)]),
            expected.map((line, index) => [index + 1, line]),
          );
        },
      ),
    );
  });

  it("skip what is too long, say so, and go on with the next", async () => {
    const block = new Uint8Array(1_000_000).fill(97);
    const source = (async function* () {
      yield new TextEncoder().encode("first\n");
      for (let i = 0; i < 6; i++) yield block;
      yield new TextEncoder().encode("tail\nlast");
    })();
    const [first, long, last] = await linesOf(source);
    assert.equal(lineText(first as Line), "first");
    assert.throws(() => lineBytes(long as Line), { code: "api_input" });
    assert.equal(lineText(last as Line), "last");
    assert.ok(MAX_LINE_BYTES < 6_000_000);
  });

  it("refuse bytes that are no text only when text is asked for", async () => {
    const [line] = await linesOf(pieces(Uint8Array.of(255, 10), []));
    assert.throws(() => lineText(line as Line), { code: "json_syntax" });
    assert.deepEqual([...lineBytes(line as Line)], [255]);
  });
});
