/**
 * `GET /v1/marketplace/sync`: a curator's feed entries by `feed_seq` (spec/spine.md section 8.2). The answer has exactly
 * the fields of the strict struct, so that its readers accept it. Entries that are not held are left out.
 */
import { SpineError } from "../../spine/index.ts";
import type { NodeHandle } from "../handle.ts";
import { readIssuer } from "./query.ts";

const MAX_ENTRIES = 100;
/** Envelopes looked through at most; a curator's chain is short. */
const MAX_SCANNED = 50_000;
const FEED_ENTRY = /^(aegis|clawdstrike)\.(marketplace|spine\.fact)\.feed_entry\.v1$/;

interface FeedFact {
  readonly schema?: unknown;
  readonly feed_seq?: unknown;
}

function feedSeqOf(text: string): number | undefined {
  // Most envelopes of a chain are no feed entries: look before parsing.
  if (!text.includes('"feed_seq":')) return undefined;
  const fact = (JSON.parse(text) as { fact: FeedFact | null }).fact;
  if (typeof fact?.schema !== "string" || !FEED_ENTRY.test(fact.schema)) return undefined;
  return typeof fact.feed_seq === "number" ? fact.feed_seq : undefined;
}

/** JSON text of the answer. Throws `issuer_syntax` or `range_invalid` with the upstream's words. */
export async function marketplaceSync(
  node: NodeHandle,
  query: { issuer?: string; from_seq?: string; to_seq?: string },
): Promise<string> {
  const issuer = readIssuer(query.issuer ?? "");
  const from = Number(query.from_seq ?? Number.NaN);
  const to = Number(query.to_seq ?? Number.NaN);
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) {
    throw new SpineError("range_invalid", "from_seq and to_seq must be whole numbers");
  }
  if (from < 1) throw new SpineError("range_invalid", "from_seq must be >= 1");
  if (to < from) throw new SpineError("range_invalid", "to_seq must be >= from_seq");
  const size = to - from + 1;
  if (size > MAX_ENTRIES)
    throw new SpineError("range_invalid", `sync range too large (${size}), max is ${MAX_ENTRIES}`);
  const entries = new Map<number, string>();
  let scanned = 0;
  for await (const text of node.range(issuer, 0, Number.MAX_SAFE_INTEGER, MAX_SCANNED)) {
    scanned++;
    const feedSeq = feedSeqOf(text);
    if (feedSeq !== undefined && feedSeq >= from && feedSeq <= to && !entries.has(feedSeq)) entries.set(feedSeq, text);
    if (entries.size === size) break;
  }
  if (scanned === MAX_SCANNED && entries.size < size) {
    throw new SpineError("quota_exceeded", `the feed is not within the first ${MAX_SCANNED} envelopes`);
  }
  const envelopes = [...entries].sort(([a], [b]) => a - b).map(([, text]) => text);
  const schema = "clawdstrike.marketplace.sync_response.v1";
  return `{"schema":"${schema}","curator_issuer":"${issuer}","envelopes":[${envelopes.join(",")}]}`;
}
