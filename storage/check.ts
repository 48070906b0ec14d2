/**
 * `spine store check`: walks a whole store, reports what does not agree, and on demand rebuilds what can be derived.
 * Works on a closed directory or, read-only, beside the open store that owns the engine.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { asSpineError, SpineError } from "../spine/index.ts";
import { checkBlocks } from "./check-blocks.ts";
import { checkHeads, checkListings, checkLog, checkRecords, readNames, readPruneMarks } from "./check-indexes.ts";
import { CheckLedger, type CheckOptions, type CheckReport, type Finding } from "./check-report.ts";
import { type Engine, engineError, holdLock, openEngine, salvageEngine } from "./level-engine.ts";
import { migrate, restoreFormat } from "./migrate.ts";
import { findDamagedTables, setAside } from "./tables.ts";

/**
 * Checks a directory that no store has open. Damage to LevelDB's own files rejects with `store_corrupt`; with
 * `repair`, damaged tables are moved into the folder `damaged` first and LevelDB salvages the rest: what they held is
 * then reported as missing. Rejects also with `store_locked`, `store_version`, `store_failed` or the signal's reason;
 * damage to contents is in the report instead.
 */
export async function checkStore(directory: string, options: CheckOptions): Promise<CheckReport> {
  const repair = options.repair === true;
  await setDamagedTablesAside(directory, options);
  const engine = await openForCheck(directory, repair);
  try {
    const lostFormat = options.repair === true && (await restoreFormat(engine));
    await migrate(engine);
    const report = await checkEngine(engine, options);
    if (!lostFormat) return report;
    const finding: Finding = { code: "entry_damaged", issuer: null, seq: null, detail: "no format number" };
    return { ...report, findings: [finding, ...report.findings], repaired: report.repaired + 1 };
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

/** Holds the lock meanwhile: the files of a running store come and go. */
async function setDamagedTablesAside(directory: string, { repair, signal }: CheckOptions): Promise<void> {
  if (!(await stat(join(directory, "CURRENT")).then(Boolean, () => false))) return;
  {
    await using lock = await holdLock(directory);
    const damaged = lock === undefined ? [] : await findDamagedTables(directory, signal);
    if (damaged.length === 0) return;
    if (repair !== true) throw new SpineError("store_corrupt", `${directory}: damaged tables ${damaged.join(", ")}`);
    await setAside(directory, damaged);
  }
  await salvageEngine(directory);
}

async function openForCheck(directory: string, repair: boolean): Promise<Engine> {
  try {
    return await openEngine(directory, repair);
  } catch (caught) {
    if (!repair || asSpineError(caught).code !== "store_corrupt") throw caught;
    await salvageEngine(directory);
    return openEngine(directory, true);
  }
}
