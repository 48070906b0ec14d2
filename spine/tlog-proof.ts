/** Offline inclusion proofs as text, `c2sp.org/tlog-proof@v1`: index, path and co-signed checkpoint in one file. */
import { fromBase64, toBase64 } from "./base64.ts";
import { utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { TREE_HASH_BYTES, type TreeHasher } from "./merkle.ts";
import { verifyInclusion } from "./merkle-verify.ts";
import { MAX_NOTE_BYTES, parseNote } from "./note.ts";
import { type CosignedHead, type QuorumPolicy, verifyCosigned } from "./policy-quorum.ts";
import type { Verifier } from "./ports.ts";
import { parseDecimal } from "./tree-head.ts";

const HEADER = "c2sp.org/tlog-proof@v1";
const MAX_PATH = 63;
/** Longest `extra` field read, bytes. */
export const MAX_EXTRA_BYTES = 65_536;

export interface TlogProof {
  /** Opaque and not authenticated; null when absent. */
  readonly extra: Uint8Array | null;
  /** 0-based leaf index. */
  readonly index: number;
  /** Sibling hashes, leaf side first. */
  readonly path: readonly Uint8Array[];
  /** The checkpoint's signed note, verbatim. */
  readonly checkpoint: string;
}

export function formatTlogProof(proof: TlogProof): string {
  const extra = proof.extra === null ? "" : `extra ${toBase64(proof.extra)}\n`;
  const path = proof.path.map((hash) => `${toBase64(hash)}\n`).join("");
  return `${HEADER}\n${extra}index ${proof.index}\n${path}\n${proof.checkpoint}`;
}

/** Throws `tlog_proof_syntax`, or `note_syntax` for the checkpoint in it. */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf("\n\n");
  const limit = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES;
  if (text.length > limit || utf8(text).length > limit || end < 0) throw bad("too long or no empty line");
  const lines = text.slice(0, end).split("\n");
  if (lines.shift() !== HEADER) throw bad("first line");
  let extra: Uint8Array | null = null;
  if (lines[0]?.startsWith("extra ")) {
    extra = fromBase64((lines.shift() as string).slice(6)) ?? null;
    if (extra === null || extra.length > MAX_EXTRA_BYTES) throw bad("extra is not base64 or too long");
  }
  const index = lines.shift();
  if (!index?.startsWith("index ")) throw bad("no index line");
  if (lines.length > MAX_PATH) throw bad(`${lines.length} path hashes`);
  const path = lines.map((line) => {
    const hash = fromBase64(line);
    if (hash?.length !== TREE_HASH_BYTES) throw bad("a path line is not base64 of 32 bytes");
    return hash;
  });
  const checkpoint = text.slice(end + 2);
  parseNote(checkpoint);
  return { extra, index: parseDecimal(index.slice(6), "tlog_proof_syntax"), path, checkpoint };
}

/**
 * Proves that a leaf with this hash is in a log the policy trusts, co-signed by its quorum. Rejects with the codes of
 * `verifyCosigned` and `verifyInclusion`. Times of co-signatures are returned, not judged.
 */
export async function verifyTlogProof(
  hasher: TreeHasher,
  proof: TlogProof,
  leafHash: Uint8Array,
  policy: QuorumPolicy,
  verifier: Verifier,
): Promise<CosignedHead> {
  const cosigned = await verifyCosigned(policy, parseNote(proof.checkpoint), verifier);
  const { size, root } = cosigned.head;
  verifyInclusion(hasher, { leafHash, index: proof.index, size, path: proof.path, root });
  return cosigned;
}

function bad(what: string): SpineError {
  return new SpineError("tlog_proof_syntax", what);
}
