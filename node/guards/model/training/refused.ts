/**
 * Keeps the sets that detection is measured on out of training: `refused.bin` holds hashes of their texts (of every run of
 * eight words, and of short texts whole and with any one word left out), never the texts. Whatever matches is refused.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicaliseText } from "../../text/canonical.ts";
import { PROJECT_ROOT } from "./packages.ts";

const RUN_WORDS = 8;
const HASH_BYTES = 6;
const FILE = join(PROJECT_ROOT, "node/guards/model/training/refused.bin");

/** Letters and digits only, lower case; every character of a script without spaces is a word. */
export function wordsOf(text: string): readonly string[] {
  const { text: canonical } = canonicaliseText(text, Number.MAX_SAFE_INTEGER, true);
  return canonical.match(/[\u0e00-\u0eff\u3040-\u9fff]|[\p{L}\p{N}\p{M}]+/gu) ?? [];
}

function hashOf(kind: string, words: readonly string[]): string {
  return createHash("sha256")
    .update(`${kind} ${words.join(" ")}`)
    .digest("hex")
    .slice(0, HASH_BYTES * 2);
}

/** What of a text is remembered, and looked for. */
function hashesOf(words: readonly string[]): readonly string[] {
  if (words.length < RUN_WORDS) {
    const left = words.map((_, at) => hashOf("short", words.toSpliced(at, 1)));
    return words.length < 3 ? [hashOf("short", words)] : [hashOf("short", words), ...left];
  }
  return words.slice(RUN_WORDS - 1).map((_, at) => hashOf("run", words.slice(at, at + RUN_WORDS)));
}

export class Refused {
  readonly #hashes = new Set<string>();

  static load(): Refused {
    const refused = new Refused();
    const bytes = readFileSync(FILE);
    for (let at = 0; at + HASH_BYTES <= bytes.length; at += HASH_BYTES)
      refused.#hashes.add(bytes.toString("hex", at, at + HASH_BYTES));
    return refused;
  }

  get size(): number {
    return this.#hashes.size;
  }

  add(text: string): void {
    for (const hash of hashesOf(wordsOf(text))) this.#hashes.add(hash);
  }

  /** Whether the text is, nearly is, or holds eight words in a row of a text that was added. */
  has(text: string): boolean {
    const words = wordsOf(text);
    return words.length > 0 && hashesOf(words).some((hash) => this.#hashes.has(hash));
  }

  save(): void {
    writeFileSync(FILE, Buffer.from([...this.#hashes].sort().join(""), "hex"));
  }
}
