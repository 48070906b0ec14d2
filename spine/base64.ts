/** Strict base64 (RFC 4648 section 4): padded, no line breaks, unused bits zero. Signed notes and proofs are written in it. */

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUE_OF: ReadonlyMap<string, number> = new Map([...ALPHABET].map((character, value) => [character, value]));

export function toBase64(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const rest = bytes.length - i;
    const bits = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += `${ALPHABET[bits >> 18]}${ALPHABET[(bits >> 12) & 63]}`;
    out += rest > 1 ? ALPHABET[(bits >> 6) & 63] : "=";
    out += rest > 2 ? ALPHABET[bits & 63] : "=";
  }
  return out;
}

/** Undefined unless the text is the one spelling `toBase64` writes. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  for (let i = 0, at = 0; i < text.length; i += 4, at += 3) {
    const isLast = i + 4 === text.length;
    let bits = 0;
    for (let j = 0; j < 4; j++) {
      const value = isLast && j >= 4 - padding ? 0 : VALUE_OF.get(text[i + j] as string);
      if (value === undefined) return undefined;
      bits = (bits << 6) | value;
    }
    if (isLast && (bits & ((1 << (8 * padding)) - 1)) !== 0) return undefined;
    for (let j = 0; j < 3 && at + j < out.length; j++) out[at + j] = (bits >> (16 - 8 * j)) & 255;
  }
  return out;
}
