/** What a run gives: plain data that goes to tables, JSON, CSV and the HTML report. Scalars in snake case, as printed. */

/**
 * Frames and bytes of one tier (1 to 7) that a node handed to its networks, and how long its radio was on the air for them.
 * Tier 0 is what its radio's stack sent by itself, as frames on the air: announces, links, proofs, repeats.
 */
export interface TierUse {
  readonly tier: number;
  readonly frames: number;
  readonly bytes: number;
  readonly airtime_ms: number;
}

/** Of all nodes together, beside the least that would do for the facts of the tier (answers of tier 7 carry any fact). */
export interface TierResult extends TierUse {
  readonly bound_bytes: number;
  readonly bound_airtime_ms: number;
}

export interface NodeResult {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  readonly networks: readonly string[];
  readonly running: boolean;
  readonly envelopes: number;
  readonly issuers: number;
  readonly sent_bytes: number;
  readonly received_bytes: number;
  /** Its own envelopes once, where others ended with them; those of others that it ended with. */
  readonly bound_sent_bytes: number;
  readonly bound_received_bytes: number;
  readonly tiers: readonly TierUse[];
  /** Most bytes that ever waited on all its links. */
  readonly queue_peak_bytes: number;
  readonly frames_dropped: number;
  /** Radio members only. */
  readonly radio: NodeAir | null;
}

export interface NodeAir {
  readonly sent_packets: number;
  readonly airtime_ms: number;
  /** Its own envelopes once, where others ended with them. */
  readonly bound_airtime_ms: number;
  /** Most of any hour, and what is allowed of one. */
  readonly hour_peak_ms: number;
  readonly hour_allowed_ms: number;
  /** "received", "collided", "too_weak", "deaf", "lost", ... → count. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface NetworkResult {
  readonly name: string;
  readonly type: "stream" | "broker" | "radio";
  readonly members: number;
  readonly frames: number;
  readonly bytes: number;
  /** Radio only. */
  readonly airtime_ms: number;
  /**
   * Least that would do: each envelope once to every node that ended with it (bytes), once per edge of the best broadcast
   * tree (airtime).
   */
  readonly bound_bytes: number;
  readonly bound_airtime_ms: number;
}

/** From the moment an envelope was durable at its issuer to the moment it was at every node that should hold it. */
export interface Delivery {
  /** Envelopes that reached all, and that did not by the end of the run. */
  readonly complete: number;
  readonly incomplete: number;
  /** That no disk holds any more: the last one was lost. */
  readonly lost: number;
  readonly median_ms: number;
  readonly p95_ms: number;
  readonly max_ms: number;
}

/** One column per sample; rows beside `at_ms` have the same length. */
export interface Series {
  readonly at_ms: readonly number[];
  /** Share of (envelope, node) pairs held of those published so far, 0 to 1. */
  readonly reach: readonly number[];
  readonly queued_bytes: readonly number[];
  readonly sent_bytes: readonly number[];
  readonly airtime_ms: readonly number[];
  readonly links_up: readonly number[];
}

/** Only when recorded. Bounded: later samples are thinned out, marked by `thinned`. */
export interface Replay {
  readonly nodes: readonly string[];
  readonly frames: readonly ReplayFrame[];
  readonly thinned: boolean;
}
export interface ReplayFrame {
  readonly at_ms: number;
  /** Per node: x, y, envelopes stored, and 1 if it runs. */
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly stored: readonly number[];
  readonly running: readonly (0 | 1)[];
  /** Pairs of node indexes that are linked, and of those over which something went since the last sample. */
  readonly links: readonly (readonly [number, number])[];
  readonly sends: readonly (readonly [number, number])[];
}

export interface RunEvent {
  readonly at_ms: number;
  readonly node: string | null;
  readonly what: string;
}

export interface Violation {
  readonly invariant: string;
  readonly detail: string;
  /** Steps before it: a run until this step ends just before. */
  readonly step: number;
  readonly at_ms: number;
  readonly nodes: readonly string[];
  /** The last of the nodes involved, oldest first. */
  readonly events: readonly RunEvent[];
}

export interface Met {
  readonly what: string;
  readonly ok: boolean;
  /** When it was so; null if it never was. */
  readonly at_ms: number | null;
  readonly detail: string;
}

export interface RunResult {
  readonly scenario: string;
  readonly seed: number;
  /** No invariant broken, every expectation met. */
  readonly ok: boolean;
  readonly violation: Violation | null;
  readonly expectations: readonly Met[];
  /** Texts of the expectations that were not met. */
  readonly failures: readonly string[];
  readonly virtual_ms: number;
  readonly steps: number;
  readonly frames: number;
  readonly bytes: number;
  /** On all disks together. */
  readonly envelopes: number;
  /** When all that should hold everything did, for the last time; null if not at the end. */
  readonly converged_ms: number | null;
  readonly delivery: Delivery;
  readonly tiers: readonly TierResult[];
  readonly networks: readonly NetworkResult[];
  readonly nodes: readonly NodeResult[];
  readonly series: Series;
  /** Faults, attacks, crashes, freezes, revocations: what a reader of the run wants to see. Bounded. */
  readonly events: readonly RunEvent[];
  readonly replay: Replay | null;
  readonly trace_hash: string;
}
