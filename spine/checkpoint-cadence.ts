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

/** Answers by schema; a mesh has few of them. */
const known: Map<string, boolean> = new Map();
const MAX_KNOWN = 256;

/** Leaves that wait for the next real one: checkpoints, co-signatures, heartbeats and attestations. */
export function isQuietLeaf(factSchema: string): boolean {
  const answered = known.get(factSchema);
  if (answered !== undefined) return answered;
  const answer = judgeLeaf(factSchema);
  if (known.size < MAX_KNOWN) known.set(factSchema, answer);
  return answer;
}

/** Whether any of them asks for a checkpoint. */
export function hasRealLeaf(envelopes: readonly { readonly factSchema: string }[]): boolean {
  return envelopes.some(({ factSchema }) => !isQuietLeaf(factSchema));
}

function judgeLeaf(factSchema: string): boolean {
  const kind = factKind(factSchema)?.kind ?? "";
  return QUIET_KINDS.has(kind) || kind.endsWith("attestation");
}

export function leafAppended(cadence: CheckpointCadence, factSchema: string, now: Millis): CheckpointCadence {
  return isQuietLeaf(factSchema) ? cadence : realLeafAppended(cadence, now);
}

export function realLeafAppended(cadence: CheckpointCadence, now: Millis): CheckpointCadence {
  return cadence.pendingSince === null ? { ...cadence, pendingSince: now } : cadence;
}

/** Every leaf up to now is in it. */
export function checkpointMade(now: Millis): CheckpointCadence {
  return { lastAt: now, pendingSince: null };
}

/** Call on every wake: a clock that was set back then delays a checkpoint by one interval, not by the whole step. */
export function clockSeen(cadence: CheckpointCadence, now: Millis): CheckpointCadence {
  const { lastAt, pendingSince } = cadence;
  if ((lastAt ?? now) <= now && (pendingSince ?? now) <= now) return cadence;
  return {
    lastAt: lastAt === null ? null : Math.min(lastAt, now),
    pendingSince: pendingSince === null ? null : Math.min(pendingSince, now),
  };
}

/** When the next checkpoint is due, or null when nothing asks for one. */
export function checkpointDue(cadence: CheckpointCadence): Millis | null {
  if (cadence.pendingSince === null) return null;
  const gathered = cadence.pendingSince + CHECKPOINT_GATHER_MS;
  return cadence.lastAt === null ? gathered : Math.max(gathered, cadence.lastAt + CHECKPOINT_INTERVAL_MS);
}
