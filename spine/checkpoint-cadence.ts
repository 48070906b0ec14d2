/**
 * When a log makes a checkpoint (rules 9): soon after a real leaf, never more often than every 5 s, and never because of
 * leaves that checkpoints themselves bring about, or more than ten nodes would drive each other without end.
 */
import { factKind } from "./fact.ts";
import type { Millis } from "./ports.ts";

/** Least time between two checkpoints of one log. */
export const CHECKPOINT_INTERVAL_MS = 5_000;
/** How long a first leaf waits for company. */
export const CHECKPOINT_GATHER_MS = 500;

/** Volatile: after a restart, begin with the time of the last checkpoint and a pending leaf if the tree grew since. */
export interface CheckpointCadence {
  /** When the last checkpoint was stated; null before the first. */
  readonly lastAt: Millis | null;
  /** When the first real leaf since then was appended; null when there is none. */
  readonly pendingSince: Millis | null;
}

const QUIET_KINDS: ReadonlySet<string> = new Set(["log_checkpoint", "witness_signature", "cosignature", "heartbeat"]);

/** Leaves that wait for the next real one: checkpoints, co-signatures, heartbeats and attestations. */
export function isQuietLeaf(factSchema: string): boolean {
  const kind = factKind(factSchema)?.kind ?? "";
  return QUIET_KINDS.has(kind) || kind.endsWith("attestation");
}

export function leafAppended(cadence: CheckpointCadence, factSchema: string, now: Millis): CheckpointCadence {
  if (cadence.pendingSince !== null || isQuietLeaf(factSchema)) return cadence;
  return { ...cadence, pendingSince: now };
}

/** Every leaf up to now is in it. */
export function checkpointMade(now: Millis): CheckpointCadence {
  return { lastAt: now, pendingSince: null };
}

/**
 * When the next checkpoint is due, or null when nothing asks for one. A clock that was set back delays it by at most
 * CHECKPOINT_INTERVAL_MS from `now`.
 */
export function checkpointDue(cadence: CheckpointCadence, now: Millis): Millis | null {
  if (cadence.pendingSince === null) return null;
  const gathered = Math.min(cadence.pendingSince, now) + CHECKPOINT_GATHER_MS;
  if (cadence.lastAt === null) return gathered;
  return Math.max(gathered, Math.min(cadence.lastAt, now) + CHECKPOINT_INTERVAL_MS);
}
