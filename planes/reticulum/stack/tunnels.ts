/**
 * Tunnels: connections that come back under another id keep their paths (spec/reticulum.md section 20). A connecting
 * side names itself; the listening side gives the paths back. Used by `transport.ts`.
 */
import { concatBytes, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { sha256 } from "./crypto.ts";
import { IDENTITY_KEY_BYTES, PublicIdentity } from "./identity.ts";

const HASH_BYTES = 32;
const RANDOM_BYTES = 16;
const SIGNED_BYTES = IDENTITY_KEY_BYTES + HASH_BYTES + RANDOM_BYTES;
const SIGNATURE_BYTES = 64;
const MAX_TUNNELS = 256;

/** The tunnel's id (32 bytes) that a synthesis packet's data proves. Throws `frame_syntax` or `signature_invalid`. */
export function openTunnelSynthesis(data: Uint8Array): Uint8Array {
  if (data.length !== SIGNED_BYTES + SIGNATURE_BYTES) {
    throw new SpineError("frame_syntax", `tunnel synthesis of ${data.length} bytes`);
  }
  const identity = new PublicIdentity(data.subarray(0, IDENTITY_KEY_BYTES));
  if (!identity.verify(data.subarray(0, SIGNED_BYTES), data.subarray(SIGNED_BYTES))) {
    throw new SpineError("signature_invalid", "tunnel synthesis");
  }
  return sha256(concatBytes(data.subarray(0, IDENTITY_KEY_BYTES + HASH_BYTES)));
}

/** Which wire each tunnel runs over now. Bounded: the tunnel opened longest ago is forgotten. */
export class Tunnels {
  readonly #wireByTunnel = new Map<string, { readonly wireId: string; readonly since: Millis }>();
  readonly #tunnelByWire = new Map<string, string>();
  /** Tunnel ids in hex and the wires they run over. */
  entries(): readonly (readonly [string, string])[] {
    return [...this.#wireByTunnel].map(([id, { wireId }]) => [id, wireId] as const);
  }
  get size(): number {
    return this.#wireByTunnel.size;
  }
  /** Returns the shelf name of the tunnel and the wire it ran over before, if that is another. */
  open(id: Uint8Array, wireId: string, now: Millis): { readonly shelf: string; readonly before: string | undefined } {
    const tunnel = toHex(id);
    const before = this.#wireByTunnel.get(tunnel)?.wireId;
    if (before !== undefined) this.#tunnelByWire.delete(before);
    const other = this.#tunnelByWire.get(wireId);
    if (other !== undefined) this.#wireByTunnel.delete(other);
    this.#wireByTunnel.delete(tunnel);
    const [oldest] = this.#wireByTunnel;
    if (this.#wireByTunnel.size >= MAX_TUNNELS && oldest !== undefined) this.close(oldest[1].wireId);
    this.#wireByTunnel.set(tunnel, { wireId, since: now });
    this.#tunnelByWire.set(wireId, tunnel);
    return { shelf: shelfOf(tunnel), before: before === wireId ? undefined : before };
  }
  /** The shelf for the paths of a wire that goes down, when a tunnel ran over it. */
  close(wireId: string): string | undefined {
    const tunnel = this.#tunnelByWire.get(wireId);
    if (tunnel === undefined) return undefined;
    this.#tunnelByWire.delete(wireId);
    this.#wireByTunnel.delete(tunnel);
    return shelfOf(tunnel);
  }
  /** The shelf on which the paths of this wire belong over a restart. */
  shelf(wireId: string): string | undefined {
    const tunnel = this.#tunnelByWire.get(wireId);
    return tunnel === undefined ? undefined : shelfOf(tunnel);
  }
}

function shelfOf(tunnel: string): string {
  return `tunnel/${tunnel}`;
}
