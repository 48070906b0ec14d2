/**
 * `spine store check`: walks a whole store, reports what does not agree, and on demand rebuilds what can be derived.
 * Works on a closed directory or, read-only, beside the open store that owns the engine.
 */
import { asSpineError } from "../spine/index.ts";
import { checkBlocks } from "./check-blocks.ts";
import { checkHeads, checkListings, checkLog, checkRecords, readNames, readPruneMarks } from "./check-indexes.ts";
import { CheckLedger, type CheckOptions, type CheckReport } from "./check-report.ts";
import { type Engine, engineError, openEngine, salvageEngine } from "./level-engine.ts";
import { migrate } from "./migrate.ts";

/**
 * Checks a directory that no store has open. With `repair`, a directory that LevelDB itself refuses to open is
 * salvaged first. Rejects with `store_locked`, `store_version`, `store_corrupt` (not openable), `store_failed` or the
 * signal's reason; damage to contents is in the report instead.
 */
export async function checkStore(directory: string, options: CheckOptions): Promise<CheckReport> {
  const engine = await openForCheck(directory, options.repair === true);
  try {
    await migrate(engine);
    return await checkEngine(engine, options);
  } finally {
    await engine.close();
  }
}

/** Checks an open engine; the caller makes sure that nothing commits while `repair` is on. */
export async function checkEngine(engine: Engine, options: CheckOptions): Promise<CheckReport> {
  await using ledger = new CheckLedger(engine, options);
  try {
    options.signal?.throwIfAborted();
    const names = await readNames(ledger);
    const marks = await readPruneMarks(ledger);
    const chains = await checkBlocks(ledger, names);
    await checkLog(ledger, chains, marks);
    await checkRecords(ledger, chains, names);
    await checkHeads(ledger, names);
    await checkListings(ledger);
    await ledger.settleFixes();
    return ledger.report();
  } catch (caught) {
    if (options.signal?.aborted === true) throw caught;
    throw engineError(caught);
  }
}

async function openForCheck(directory: string, repair: boolean): Promise<Engine> {
  try {
    return await openEngine(directory);
  } catch (caught) {
    if (!repair || asSpineError(caught).code !== "store_corrupt") throw caught;
    await salvageEngine(directory);
    return openEngine(directory);
  }
}
