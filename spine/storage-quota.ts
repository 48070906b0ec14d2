/**
 * How much of others is stored: per issuer, per peer, and nothing at all while the disk is nearly full (rules 3, 14).
 * Own envelopes, fork proofs and facts that act are never refused here. Created by `context.ts`; asked by sync and intake.
 */
import type { ErrorCode } from "./errors.ts";
import type { HaveRange } from "./have.ts";
import type { Issuer, Millis } from "./ports.ts";
import { BoundedMap, TokenBucket } from "./quota.ts";
import type { Link, MeshLimits } from "./state.ts";

const DAY_SECONDS = 86_400;
/** Peers whose use is remembered; a new connection does not start anew. */
const MAX_PEERS = 10_000;

export class StorageQuota {
  readonly #limits: MeshLimits;
  readonly #issuers: BoundedMap<Issuer, TokenBucket>;
  readonly #peers = new BoundedMap<string, TokenBucket>(MAX_PEERS);
  /** False while the disk is nearly full. */
  room: boolean = true;

  constructor(limits: MeshLimits) {
    this.#limits = limits;
    this.#issuers = new BoundedMap(limits.issuers);
  }

  /** Why nothing more of this issuer is taken from this peer, or on no link, now; undefined = it is. */
  refusal(issuer: Issuer, ranges: readonly HaveRange[], link: Link | null, now: Millis): ErrorCode | undefined {
    if (!this.room) return "store_low";
    return this.readyAt(issuer, ranges, link, now) > now ? "quota_exceeded" : undefined;
  }

  /** When something may be taken again; `now` if at once, infinite until retention makes room. */
  readyAt(issuer: Issuer, ranges: readonly HaveRange[], link: Link | null, now: Millis): Millis {
    const { envelopesPerIssuer, issuerBytesPerDay, peerBytesPerDay } = this.#limits;
    if (envelopesPerIssuer > 0 && countOf(ranges) >= envelopesPerIssuer) return Number.POSITIVE_INFINITY;
    const issuerAt = issuerBytesPerDay > 0 ? (this.#issuers.get(issuer)?.readyAt(1, now) ?? now) : now;
    const peerAt = peerBytesPerDay > 0 && link !== null ? (this.#peers.get(peerOf(link))?.readyAt(1, now) ?? now) : now;
    return Math.max(issuerAt, peerAt);
  }

  /** Stored: charged to the issuer and to who brought it, into debt if need be. */
  charge(issuer: Issuer, link: Link | null, bytes: number, now: Millis): void {
    const { issuerBytesPerDay, peerBytesPerDay } = this.#limits;
    if (issuerBytesPerDay > 0) bucketOf(this.#issuers, issuer, issuerBytesPerDay, now).charge(bytes, now);
    if (peerBytesPerDay > 0 && link !== null)
      bucketOf(this.#peers, peerOf(link), peerBytesPerDay, now).charge(bytes, now);
  }
}

function peerOf(link: Link): string {
  return link.issuer ?? link.id;
}

function bucketOf(buckets: BoundedMap<string, TokenBucket>, name: string, perDay: number, now: Millis): TokenBucket {
  const known = buckets.get(name);
  if (known !== undefined) return known;
  const bucket = new TokenBucket(perDay / DAY_SECONDS, perDay, now);
  buckets.set(name, bucket);
  return bucket;
}

function countOf(ranges: readonly HaveRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}
