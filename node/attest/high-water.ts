/**
 * The log's high-water mark: the newest checkpoint that anyone may have seen, in a file outside the store and its
 * backups. A store behind it came from a backup, and its log never signs again (rules 7 and 9).
 */
import { readFile } from "node:fs/promises";
import { type CheckpointStatement, parseStatement, SpineError, statementText } from "../../spine/index.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";

export interface HighWater {
  /** Undefined where none was written. Rejects with `store_corrupt` for what cannot be read: signing waits for a person. */
  read(): Promise<CheckpointStatement | undefined>;
  /** On disk when resolved. */
  write(statement: CheckpointStatement): Promise<void>;
}

export function highWaterFile(path: string): HighWater {
  return {
    async read() {
      try {
        return parseStatement(await readFile(path, "utf8"));
      } catch (cause) {
        if (errorCodeOf(cause) === "ENOENT") return undefined;
        throw new SpineError("store_corrupt", `${path}: no checkpoint statement`, { cause });
      }
    },
    write: (statement) => writeFileAtomic(path, statementText(statement), { mode: 0o600, exclusive: false }),
  };
}

/**
 * Throws `log_conflict` unless what the store holds is at the mark or ahead of it by what was persisted and never shown.
 * A store without any checkpoint beside a mark, and one with checkpoints but no mark, are refused alike.
 */
export function checkHighWater(mark: CheckpointStatement | undefined, stored: CheckpointStatement | null): void {
  if (mark === undefined && stored === null) return;
  const problem =
    mark === undefined
      ? stored !== null && stored.seq > 1
        ? "its high-water file is missing"
        : undefined
      : stored === null || stored.seq < mark.seq
        ? `the store ends before checkpoint ${mark.seq}, which was shown`
        : stored.seq === mark.seq && !isSame(stored, mark)
          ? `checkpoint ${mark.seq} in the store is not the one shown`
          : stored.logId === mark.logId
            ? undefined
            : "the mark is of another log";
  if (problem !== undefined) throw new SpineError("log_conflict", `the log does not go on: ${problem}`);
}

function isSame(a: CheckpointStatement, b: CheckpointStatement): boolean {
  return statementText(a) === statementText(b);
}
