/** Liveness of an active link: keepalives, staleness, the final timeout (spec/reticulum.md section 12.3). Used by `link.ts`. */
import type { Millis } from "../../../spine/index.ts";

const MIN_INTERVAL_MS = 5000;
const MAX_INTERVAL_MS = 360_000;
const RTT_FACTOR = 360 / 1.75;
const STALE_FACTOR = 2;
const STALE_GRACE_MS = 5000;
const STALE_RTT_FACTOR = 4;

/** How long a link may be silent before a keepalive is due, ms. */
export function keepaliveInterval(rttMs: Millis): Millis {
  return Math.min(Math.max(rttMs * RTT_FACTOR, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
}

export function staleTime(rttMs: Millis): Millis {
  return STALE_FACTOR * keepaliveInterval(rttMs);
}

/** How long a stale link waits for any sign of life, ms. */
export function staleGrace(rttMs: Millis): Millis {
  return rttMs * STALE_RTT_FACTOR + STALE_GRACE_MS;
}

/** The reference looks at its receipts once a second, so it never gives up earlier either. */
const MIN_TRAFFIC_TIMEOUT_MS = 1000;

/** Waiting for a proof: six round trips; where one takes longer than the packet's own airtime that is enough. */
export function trafficTimeout(link: { rttMs: Millis; mtu: number; handshakeRate: number }): Millis {
  return Math.max(link.rttMs * 6, MIN_TRAFFIC_TIMEOUT_MS) + (link.mtu * 8 * 1000) / link.handshakeRate;
}

/** What an initiator sends and a responder answers: one clear byte each. */
export const KEEPALIVE_REQUEST = 0xff;
export const KEEPALIVE_REPLY = 0xfe;

/** When something last came, went, and was payload; when the last keepalive was sent. */
export interface LinkActivity {
  readonly inboundAt: Millis;
  readonly outboundAt: Millis;
  readonly dataAt: Millis;
  readonly keepaliveAt: Millis;
}
