/** The first 64 bits of a hash as two numbers: what the tables that every packet passes are keyed by. */

export interface HashKey {
  /** Never zero: that marks an empty slot of a table. */
  readonly high: number;
  readonly low: number;
}

export function keyOf(hash: Uint8Array): HashKey {
  return { high: word(hash, 0) || 1, low: word(hash, 4) };
}

/** Of a hash as text, one character a byte. */
export function keyOfText(hash: string): HashKey {
  return { high: wordOfText(hash, 0) || 1, low: wordOfText(hash, 4) };
}

function word(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16);
  return (high | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

function wordOfText(text: string, at: number): number {
  const high = (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16);
  return (high | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3)) >>> 0;
}
