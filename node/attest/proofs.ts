/**
 * Proofs of the own log (spec/spine.md section 11): inclusion and consistency, checkpoints with every co-signature held,
 * portable files. What is answered as included was verified here. Called by the HTTP face and the verbs.
 */
import {
  type CheckpointStatement,
  type Envelope,
  type EnvelopeHash,
  envelopeText,
  factOf,
  formatNote,
  formatPortableProof,
  formatTlogProof,
  fromHex,
  type Issuer,
  type JsonObject,
  type LeafProof,
  type NoteSignature,
  openSigningBytes,
  parseNote,
  readCheckpointFact,
  SpineError,
  TREE_HASH_BYTES,
  toHex,
  verifyInclusion,
  type WitnessLine,
  writeWitnessLines,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex, treeHasher } from "../hash.ts";
import type { LogKeeper } from "./keeper.ts";
import type { LogTree } from "./log-tree.ts";

/** A published checkpoint with everything that is known of it. */
export interface HeldCheckpoint {
  readonly envelope: Envelope;
  readonly statement: CheckpointStatement;
  /** Co-signatures in the envelope, then those that came later; one of each witness. */
  readonly witnesses: readonly WitnessLine[];
  readonly late: readonly WitnessLine[];
  /** The C2SP note with every co-signature held. */
  readonly note: string;
}

export interface InclusionProof {
  readonly checkpoint: HeldCheckpoint;
  readonly envelopeHash: EnvelopeHash;
  readonly index: number;
  readonly path: readonly Uint8Array[];
}

const hex = (bytes: Uint8Array): string => `0x${toHex(bytes)}`;

/** Where an envelope stands in the own log under a checkpoint; undefined when it is not under it. Throws the tree's codes. */
export async function leafProof(
  store: Store,
  tree: LogTree,
  logId: Issuer,
  hash: EnvelopeHash,
  seq: number,
): Promise<LeafProof | undefined> {
  const [checkpoint, location] = await Promise.all([store.at(logId, seq), store.locate(hash)]);
  if (checkpoint === undefined || location === undefined) return undefined;
  const envelope = openSigningBytes(checkpoint.signingBytes, checkpoint.signature, sha256Hex, checkpoint.hash);
  const { size } = readCheckpointFact(factOf(envelope)).statement;
  const { leafIndex: index } = location;
  if (index >= size) return undefined;
  await tree.advance(size);
  return { hash, index, path: tree.inclusion(index, size) };
}

export class Proofs {
  readonly #store: Store;
  readonly #tree: LogTree;
  readonly #keeper: LogKeeper;
  constructor(store: Store, tree: LogTree, keeper: LogKeeper) {
    this.#store = store;
    this.#tree = tree;
    this.#keeper = keeper;
  }

  /** Size of the newest published tree; 0 before the first. */
  get size(): number {
    return this.#keeper.latest?.statement.size ?? 0;
  }

  /** Throws `api_not_found`. The log's chain holds checkpoints only: its seq is the checkpoint's. */
  async checkpoint(seq: number | "latest"): Promise<HeldCheckpoint> {
    const wanted = seq === "latest" ? (this.#keeper.latest?.statement.seq ?? 0) : seq;
    const stored = await this.#store.at(this.#keeper.logId, wanted);
    if (stored === undefined) {
      throw new SpineError("api_not_found", `checkpoint not found: ${seq === "latest" ? seq : `checkpoint/${seq}`}`);
    }
    const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash);
    const { statement, witnesses, note } = readCheckpointFact(factOf(envelope));
    const late = await this.#keeper.late(statement.seq);
    const known = new Set(witnesses.map(({ witness }) => witness));
    const fresh = late.lines.filter(({ witness }) => !known.has(witness));
    return {
      envelope,
      statement,
      witnesses: [...witnesses, ...fresh],
      late: fresh,
      note: withLines(note ?? "", late.notes),
    };
  }

  /** Checkpoints from `from` on, ascending. */
  async *checkpoints(from: number, limit: number): AsyncGenerator<HeldCheckpoint> {
    const last = this.#keeper.latest?.statement.seq ?? 0;
    for (let seq = Math.max(1, from); seq <= last && seq < from + limit; seq++) yield this.checkpoint(seq);
  }

  /**
   * Path of an envelope under a checkpoint, the newest by default. Throws `api_not_found` for an envelope that is not
   * in the log, or not yet under that checkpoint; `proof_mismatch` when the log contradicts itself.
   */
  async inclusion(hash: EnvelopeHash, seq: number | "latest" = "latest"): Promise<InclusionProof> {
    const checkpoint = await this.checkpoint(seq);
    const location = await this.#store.locate(hash);
    if (location === undefined) throw new SpineError("api_not_found", "envelope_hash not in log index");
    const { size, root } = checkpoint.statement;
    const index = location.leafIndex;
    if (index >= size) throw new SpineError("api_not_found", "envelope_hash not committed by this checkpoint");
    await this.#tree.advance(size);
    const path = this.#tree.inclusion(index, size);
    const leafHash = treeHasher.leaf(fromHex(hash.slice(2), TREE_HASH_BYTES));
    verifyInclusion(treeHasher, { leafHash, index, size, path, root });
    return { checkpoint, envelopeHash: hash, index, path };
  }

  /** Canonical JSON of an envelope, undefined when it is not held. */
  async envelope(hash: EnvelopeHash): Promise<string | undefined> {
    const stored = await this.#store.envelope(hash);
    if (stored === undefined) return undefined;
    return envelopeText(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash));
  }

  /** Hash of the envelope at (issuer, seq). Throws `api_not_found`. */
  async hashAt(issuer: Issuer, seq: number): Promise<EnvelopeHash> {
    const stored = await this.#store.at(issuer, seq);
    if (stored === undefined) throw new SpineError("api_not_found", `no envelope ${seq} of ${issuer} is held`);
    return stored.hash;
  }

  /** Between two tree sizes of which the larger is published. Throws `proof_index`. */
  async consistency(first: number, second: number): Promise<JsonObject> {
    if (second > this.size) throw new SpineError("proof_index", `the newest published tree has ${this.size} leaves`);
    await this.#tree.advance(second);
    const proof = this.#tree.consistency(first, second);
    return {
      schema: "aegis.spine.proof.consistency.v1",
      log_id: this.#keeper.logId,
      first_size: first,
      second_size: second,
      first_root: hex(this.#tree.root(first)),
      second_root: hex(this.#tree.root(second)),
      proof: proof.map(hex),
    };
  }

  /** `clawdstrike-portable-proof-v1`. Throws as `inclusion` does, and `api_not_found` when the envelope was pruned. */
  async portable(hash: EnvelopeHash, seq: number | "latest" = "latest"): Promise<string> {
    const { checkpoint, index, path } = await this.inclusion(hash, seq);
    const stored = await this.#store.envelope(hash);
    if (stored === undefined) throw new SpineError("api_not_found", "the envelope itself is no longer held");
    return formatPortableProof({
      envelope: openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash),
      index,
      size: checkpoint.statement.size,
      checkpointSeq: checkpoint.statement.seq,
      path,
      checkpoint: checkpoint.envelope,
      lateWitnesses: checkpoint.late,
      unjudged: {},
    });
  }

  /** A public tile; throws `api_not_found` beyond the newest published tree. */
  async tile(level: number, index: number, width: number): Promise<Uint8Array> {
    await this.#tree.advance(this.size);
    return this.#tree.publicTile(level, index, width);
  }

  /** Leaf contents: envelope hashes from leaf `from`. */
  leaves(from: number, count: number): Promise<Uint8Array> {
    return this.#store.leafBytes(from, count);
  }
}

function withLines(note: string, more: readonly NoteSignature[]): string {
  if (more.length === 0) return note;
  const { text, signatures } = parseNote(note);
  return formatNote({ text, signatures: [...signatures, ...more] });
}

/** The answer's shape of upstream, with `included` meaning verified, the witness lines and the note beside it. */
export function inclusionJson({ checkpoint, envelopeHash, index, path }: InclusionProof): JsonObject {
  const { statement, witnesses, note } = checkpoint;
  return {
    schema: "clawdstrike.spine.proof.inclusion.v1",
    included: true,
    log_id: statement.logId,
    checkpoint_seq: statement.seq,
    tree_size: statement.size,
    log_index: index,
    envelope_hash: envelopeHash,
    merkle_root: hex(statement.root),
    audit_path: path.map(hex),
    verified: true,
    witnesses: writeWitnessLines(witnesses),
    note,
  };
}

/** `c2sp.org/tlog-proof@v1`. */
export function tlogProofText({ checkpoint, index, path }: InclusionProof): string {
  return formatTlogProof({ extra: null, index, path, checkpoint: checkpoint.note });
}

export function checkpointJson({ statement, envelope, witnesses, note }: HeldCheckpoint): JsonObject {
  return {
    checkpoint_seq: statement.seq,
    tree_size: statement.size,
    merkle_root: hex(statement.root),
    issued_at: statement.issuedAt,
    log_id: statement.logId,
    envelope_hash: envelope.hash,
    witnesses: writeWitnessLines(witnesses),
    note,
    envelope: JSON.parse(envelopeText(envelope)) as JsonObject,
  };
}
