/** Checks of path and query parameters: unknown names, identifiers and numbers are refused with their name. */
import { destinationHex, type EnvelopeHash, type Issuer, SpineError } from "../../spine/index.ts";

/** The named parameters; throws `api_input` for any other, which would else be silently without effect. */
export function readQuery(url: string, allowed: readonly string[]): Partial<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, value] of new URL(url, "http://node").searchParams) {
    if (!allowed.includes(name)) {
      const known = allowed.length === 0 ? "none" : allowed.join(", ");
      throw new SpineError("api_input", `unknown query parameter "${name.slice(0, 40)}"; known: ${known}`);
    }
    if (name in found) throw new SpineError("api_input", `query parameter "${name}" given twice`);
    found[name] = value;
  }
  return found;
}

/** A whole number within bounds; `fallback` when absent. */
export function readNumber(
  name: string,
  text: string | undefined,
  bounds: { least: number; most: number; fallback: number },
): number {
  if (text === undefined) return bounds.fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < bounds.least || value > bounds.most) {
    throw new SpineError("api_input", `${name} must be a whole number from ${bounds.least} to ${bounds.most}`);
  }
  return value;
}

export function readIssuer(text: string): Issuer {
  if (!/^aegis:ed25519:[0-9a-f]{64}$/.test(text)) {
    throw new SpineError("issuer_syntax", `"${text.slice(0, 90)}" is not an issuer`);
  }
  return text;
}

/** A Reticulum destination in 32 hex digits. Throws `api_input`. */
export function readDestination(text: string): string {
  const hex = destinationHex(text.replace(/^rns:/, ""));
  if (hex === undefined) throw new SpineError("api_input", "expected a destination of 32 hex digits");
  return hex;
}

/** With or without `0x`, any case (spec/spine.md section 3, normalize_hash_hex). */
export function readHash(text: string): EnvelopeHash {
  const digits = text.trim().replace(/^0[xX]/, "");
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) throw new SpineError("hex_syntax", "invalid envelope_hash");
  return `0x${digits.toLowerCase()}`;
}
