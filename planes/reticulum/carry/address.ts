/** Addresses of nodes on Reticulum: `rns:` and a destination. Used by `plane.ts` and whoever reads configuration. */
import { SpineError } from "../../../spine/index.ts";

export const PREFIX = "rns:";

/** "rns:HASH" → the 32 hex digits of a destination. Throws `peer_address`. */
export function parseReticulumAddress(address: string): string {
  const hash = address.startsWith(PREFIX) ? address.slice(PREFIX.length) : "";
  if (!/^[0-9a-f]{32}$/.test(hash)) {
    throw new SpineError("peer_address", `expected rns: and the 32 hex digits of a destination: ${address}`);
  }
  return hash;
}
