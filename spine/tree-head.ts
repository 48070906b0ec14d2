/** The body of a log checkpoint note: origin, size, root (c2sp.org/tlog-checkpoint). The public spelling of a tree head. */
import { fromBase64, toBase64 } from "./base64.ts";
import { SpineError } from "./errors.ts";
import { TREE_HASH_BYTES } from "./merkle.ts";

export interface TreeHead {
  /** Never changes in a log's life; a schema-less URL by custom. */
  readonly origin: string;
  /** Leaves, 0 to 2^53 − 1. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Further lines, opaque and signed. Ours has none. */
  readonly extensions: readonly string[];
}

export function formatTreeHead(head: TreeHead): string {
  return `${[head.origin, String(head.size), toBase64(head.root), ...head.extensions].join("\n")}\n`;
}

/** A note's text; throws `tree_head_invalid`. */
export function parseTreeHead(text: string): TreeHead {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new SpineError("tree_head_invalid", "the last line is not ended");
  const [origin, size, root, ...extensions] = lines;
  if (!origin || size === undefined || root === undefined)
    throw new SpineError("tree_head_invalid", "fewer than three lines");
  if (extensions.includes("")) throw new SpineError("tree_head_invalid", "empty extension line");
  const hash = fromBase64(root);
  if (hash?.length !== TREE_HASH_BYTES) throw new SpineError("tree_head_invalid", "root is not base64 of 32 bytes");
  return { origin, size: parseDecimal(size, "tree_head_invalid"), root: hash, extensions };
}

/**
 * An origin fit for our own log: a schema-less URL, so that a note's text can never be taken for anything else that is
 * signed (`tags.ts`). Throws `tree_head_invalid`.
 */
export function checkOrigin(origin: string): void {
  const isUrl = /^[a-z0-9][a-z0-9.-]*[a-z0-9](?::[0-9]{1,5})?(?:\/[A-Za-z0-9._~-]+)*$/.test(origin);
  if (!isUrl || origin.length > 255 || origin.startsWith("aegis.spine.")) {
    throw new SpineError("tree_head_invalid", "an origin is a host name and path, such as log.example.org/node-1");
  }
}

/** Digits without leading zeros, up to 2^53 − 1; throws `code`. */
export function parseDecimal(text: string, code: "tree_head_invalid" | "tlog_proof_syntax"): number {
  const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new SpineError(code, "not a decimal number in range");
  return value;
}
