/**
 * Proof that a log showed two views: two heads signed by its key that cannot both be true. Only the three shapes of
 * rules 9 exist; anything else is at most an unproven alarm. Carried as bytes, gossiped, stored and shown to people.
 */
import { ByteReader, ByteWriter, compareBytes, concatBytes, equalBytes, utf8, utf8Text } from "./bytes.ts";
import {
  checkpointHashText,
  parseStatement,
  readCheckpointFact,
  statementText,
  witnessRequestClaim,
} from "./checkpoint.ts";
import { claimOf, envelopeText, factOf, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { asSpineError, SpineError } from "./errors.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { formatNote, noteClaim, parseNote } from "./note.ts";
import { openEnvelope } from "./open.ts";
import type { Claim, Issuer, Sha256, Sha256Hex, Verifier } from "./ports.ts";
import { parseTreeHead } from "./tree-head.ts";
import { NoteKeyType, noteKey } from "./vkey.ts";

export type SplitViewShape =
  /** Same size, other root; in either encoding. */
  | "equal_size"
  /** Same checkpoint_seq, other statement. */
  | "equal_seq"
  /** Statement k + 1 does not name the hash of statement k. */
  | "broken_chain";

/** A head as its log signed it. */
export type SignedHead =
  /** A whole checkpoint envelope, canonical JSON. */
  | { readonly type: "envelope"; readonly text: string }
  /** A signed note; lines other than the log's own are dropped. */
  | { readonly type: "note"; readonly text: string }
  /** A statement and the log's signature on its witness request. */
  | { readonly type: "request"; readonly text: string; readonly signature: Uint8Array };

/** What a signed head says, whichever its encoding. */
export interface LogHead {
  readonly logId: Issuer;
  readonly size: number;
  readonly root: Uint8Array;
  /** Null in notes. */
  readonly chain: { readonly seq: number; readonly prev: string | null; readonly hash: string } | null;
  /** Null in statements. */
  readonly origin: string | null;
}

export interface SplitView {
  readonly logId: Issuer;
  readonly shape: SplitViewShape;
  readonly heads: readonly [SignedHead, SignedHead];
}

interface Hashes {
  readonly sha256: Sha256;
  readonly sha256Hex: Sha256Hex;
}

const VERSION = 1;
const KIND = { envelope: 1, note: 2, request: 3 } as const;

/** The way in which two heads of one log cannot both be true, or undefined. */
export function splitViewShape(a: LogHead, b: LogHead): SplitViewShape | undefined {
  if (a.logId !== b.logId) return undefined;
  // One key may sign for one log only, but two origins are not proof of two views.
  if (a.origin !== null && b.origin !== null && a.origin !== b.origin) return undefined;
  if (a.size === b.size && !equalBytes(a.root, b.root)) return "equal_size";
  if (a.chain === null || b.chain === null) return undefined;
  const [low, high] = a.chain.seq <= b.chain.seq ? [a.chain, b.chain] : [b.chain, a.chain];
  if (low.seq === high.seq) return low.hash === high.hash ? undefined : "equal_seq";
  return high.seq === low.seq + 1 && high.prev !== low.hash ? "broken_chain" : undefined;
}

/** Bytes of a head in its one spelling, what it says, and the signature to check. Throws coded errors. */
function openHead(hashes: Hashes, logId: Issuer, head: SignedHead): { bytes: Uint8Array; says: LogHead; claim: Claim } {
  const { sha256, sha256Hex } = hashes;
  if (head.type === "note") {
    const note = parseNote(head.text);
    const tree = parseTreeHead(note.text);
    const publicKey = parseIssuer(logId);
    for (const line of note.signatures) {
      const key = noteKey(sha256, line.name, NoteKeyType.ed25519, publicKey);
      const claim = equalBytes(key.keyId, line.keyId) ? noteClaim(note.text, key, line) : undefined;
      if (claim === undefined) continue;
      const bytes = utf8(formatNote({ text: note.text, signatures: [line] }));
      return { bytes, claim, says: { logId, size: tree.size, root: tree.root, chain: null, origin: tree.origin } };
    }
    throw bad("the log did not sign this note");
  }
  if (head.type === "request") {
    const statement = parseStatement(head.text);
    if (head.signature.length !== 64) throw bad("signature length");
    const claim = witnessRequestClaim(sha256, statement, head.signature);
    return {
      bytes: concatBytes(head.signature, utf8(statementText(statement))),
      claim,
      says: claimsOf(sha256, statement),
    };
  }
  const envelope = openEnvelope(head.text, sha256Hex);
  const { statement } = readCheckpointFact(factOf(envelope));
  if (envelope.issuer !== statement.logId) throw bad("a checkpoint envelope is signed by its log");
  return { bytes: utf8(envelopeText(envelope)), claim: claimOf(envelope), says: claimsOf(sha256, statement) };
}

function claimsOf(sha256: Sha256, statement: ReturnType<typeof parseStatement>): LogHead {
  const { logId, size, root, seq, prev } = statement;
  return { logId, size, root, chain: { seq, prev, hash: checkpointHashText(sha256, statement) }, origin: null };
}

/** Says what a head claims without verifying its signature; for comparing what arrives. Throws coded errors. */
export function readLogHead(hashes: Hashes, logId: Issuer, head: SignedHead): LogHead {
  return openHead(hashes, logId, head).says;
}

/** One proof has one encoding, whichever head was seen first. Throws `split_view_invalid` when the heads agree. */
export function encodeSplitView(hashes: Hashes, logId: Issuer, heads: readonly [SignedHead, SignedHead]): Uint8Array {
  const opened = heads.map((head) => ({ kind: KIND[head.type], ...openHead(hashes, logId, head) })) as [Opened, Opened];
  if (
    opened.some((head) => head.says.logId !== logId) ||
    splitViewShape(opened[0].says, opened[1].says) === undefined
  ) {
    throw bad("these heads do not contradict each other");
  }
  if (opened.some((head) => head.bytes.length > MAX_ENVELOPE_BYTES)) throw bad("head too long");
  opened.sort((a, b) => a.kind - b.kind || compareBytes(a.bytes, b.bytes));
  const writer = new ByteWriter().u8(VERSION).bytes(parseIssuer(logId));
  for (const head of opened) writer.u8(head.kind).block(head.bytes);
  return writer.finish();
}

type Opened = { kind: number } & ReturnType<typeof openHead>;

/** Decodes and judges all but the signatures, whose claims it returns. Throws `split_view_invalid`. */
export function openSplitView(hashes: Hashes, bytes: Uint8Array): { view: SplitView; claims: readonly [Claim, Claim] } {
  try {
    const { logId, heads } = decode(bytes);
    const [a, b] = [openHead(hashes, logId, heads[0]), openHead(hashes, logId, heads[1])];
    const shape = splitViewShape(a.says, b.says);
    if (shape === undefined || a.says.logId !== logId) throw bad("the heads agree or are not of this log");
    if (!equalBytes(encodeSplitView(hashes, logId, heads), bytes)) throw bad("not in its one spelling");
    return { view: { logId, shape, heads }, claims: [a.claim, b.claim] };
  } catch (caught) {
    const error = asSpineError(caught);
    if (error.code === "internal" || error.code === "split_view_invalid") throw error;
    throw new SpineError("split_view_invalid", error.message, { cause: error });
  }
}

/** Rejects with `split_view_invalid`, never with anything else, for whatever bytes. */
export async function verifySplitView(hashes: Hashes, bytes: Uint8Array, verifier: Verifier): Promise<SplitView> {
  const { view, claims } = openSplitView(hashes, bytes);
  const verdicts = await verifier.verify(claims);
  if (!claims.every((_, i) => verdicts[i] === true)) throw bad("a signature is not the log's");
  return view;
}

function decode(bytes: Uint8Array): { logId: Issuer; heads: readonly [SignedHead, SignedHead] } {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== VERSION) throw bad("unknown version");
  const logId = issuerOf(reader.bytes(32));
  const heads = [decodeHead(reader), decodeHead(reader)] as const;
  reader.end();
  return { logId, heads };
}

function decodeHead(reader: ByteReader): SignedHead {
  const kind = reader.u8();
  const body = reader.block(MAX_ENVELOPE_BYTES);
  if (kind === KIND.envelope) return { type: "envelope", text: utf8Text(body) };
  if (kind === KIND.note) return { type: "note", text: utf8Text(body) };
  if (kind !== KIND.request || body.length < 64) throw bad("unknown kind of head");
  return { type: "request", signature: body.slice(0, 64), text: utf8Text(body.subarray(64)) };
}

function bad(what: string): SpineError {
  return new SpineError("split_view_invalid", what);
}
