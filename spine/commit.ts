/**
 * What a node makes durable in one atomic step. Produced by the core, applied by a `Store`, packed so that a range
 * travels from the wire to the disk without being taken apart.
 */

import type { HaveRange } from "./have.ts";
import type { Head } from "./head.ts";
import type { EnvelopeHash, Issuer } from "./ports.ts";

/** How an envelope's authenticity is known (rules 5). */
export const EnvelopeState = {
  /** Content proven by a verified envelope above it; own signature not yet checked. */
  chain: 0,
  /** Own signature verified. */
  signature: 1,
  /** Content proven from above, but no peer could supply a valid own signature. */
  unsigned: 2,
} as const;
export type EnvelopeState = (typeof EnvelopeState)[keyof typeof EnvelopeState];

/**
 * Consecutive envelopes of one issuer, `from` to `from + hashes.length − 1`.
 * `records` is the concatenation of one record each (`record.ts`): u32 big-endian length of the signing bytes, the
 * signing bytes, the 64-byte signature.
 */
export interface Run {
  readonly issuer: Issuer;
  readonly from: number;
  readonly hashes: readonly EnvelopeHash[];
  readonly records: Uint8Array;
  /** One EnvelopeState each. */
  readonly states: Uint8Array;
}

export const Admission = {
  /** Known only by a claim or a denial; nothing is stored. */
  denied: "denied",
  /** The operator said so. */
  allowed: "allowed",
  /** A configured or approved peer proved the key in its hello. */
  proved: "proved",
  /** A trusted issuer attested it. */
  attested: "attested",
  /** This node's own key. */
  own: "own",
  /** The trust file names it; counts for as long as it does. */
  named: "named",
  /** Continues an admitted issuer by the word of its recovery key or its committed next key. */
  successor: "successor",
} as const;
export type Admission = (typeof Admission)[keyof typeof Admission];

/** The durable protocol state of one issuer; replaces the stored record as a whole. */
export interface IssuerRecord {
  readonly issuer: Issuer;
  readonly admission: Admission;
  /** Ascending, disjoint, not adjacent. */
  readonly ranges: readonly HaveRange[];
  /** Envelopes below this seq were pruned here; 0 if none. */
  readonly prunedBelow: number;
  /** Smallest forked seq proven, or null (rules 6). */
  readonly frozenAt: number | null;
}

/** Two statements of one key that name different hashes for one seq, in wire form (`equivocation.ts`). */
export interface ForkRecord {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly proof: Uint8Array;
}

/** A change of authenticity of a stored envelope. */
export interface StateChange {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly state: EnvelopeState;
  /** A verified signature that replaces the stored one, or undefined to keep it. */
  readonly signature?: Uint8Array;
}

/** Which part of a node a row belongs to. Numbers are stored: append only, never reused. */
export const RowTable = {
  /** Facts that act on who may speak and who may revoke. */
  authority: 1,
  /** The log keeper's intended and published checkpoints. */
  log: 2,
  /** One state per log witnessed here. */
  witness: 3,
  /** Policies in force, their versions, nonces of redacted targets. */
  guard: 4,
  /** Incidents published, so that none is said twice. */
  incident: 5,
  gateway: 6,
  radio: 7,
  /** That a high-water mark is kept beside the store. */
  ownChain: 8,
  /** Where facts are found by what they say; derived. */
  facts: 9,
  /** Seq of the newest checkpoint held of each log, by issuer. */
  checkpoints: 10,
} as const;
export type RowTable = (typeof RowTable)[keyof typeof RowTable];

/** A row's key, in UTF-8. */
export const MAX_ROW_KEY_BYTES = 512;
export const MAX_ROW_VALUE_BYTES = 1_048_576;

/** A small durable entry of one part of the node: replaced as a whole, removed by null. */
export interface Row {
  readonly table: RowTable;
  /** 1 to MAX_ROW_KEY_BYTES bytes; rows of a table are read in the byte order of their keys. */
  readonly key: string;
  /** At most MAX_ROW_VALUE_BYTES. */
  readonly value: Uint8Array | null;
}

/** All or nothing. Order within a commit is the order of the transparency log's leaves. */
export interface Commit {
  readonly runs: readonly Run[];
  /** Each replaces the stored head of its issuer. */
  readonly heads: readonly Head[];
  readonly issuers: readonly IssuerRecord[];
  /** Each replaces the stored proof of its issuer. */
  readonly forks: readonly ForkRecord[];
  readonly states: readonly StateChange[];
  /** Applied in order. */
  readonly rows: readonly Row[];
}

/** What a node knows at start, without any envelope. */
export interface Snapshot {
  readonly issuers: readonly IssuerRecord[];
  readonly heads: readonly Head[];
  readonly forks: readonly ForkRecord[];
  /** Number of envelopes ever committed, which is the next leaf index. */
  readonly logSize: number;
}
