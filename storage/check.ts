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
import { checkTiles } from "./check-tiles.ts";
import { type Engine, engineError, holdLock, openEngine, salvageEngine } from "./level-engine.ts";
import { migrate, restoreFormat } from "./migrate.ts";
import { findTables, setAside, type TableState } from "./tables.ts";

/**
 * Checks a directory that no store has open. Damage to LevelDB's own files rejects with `store_corrupt`; with
 * `repair`, damaged tables are moved into the folder `damaged` first and LevelDB salvages the rest: what they held is
 * then reported as missing. Rejects also with `store_locked`, `store_version`, `store_failed` or the signal's reason;
 * damage to contents is in the report instead.
 */
export async function checkStore(directory: string, options: CheckOptions): Promise<CheckReport> {
  const aside = [...(await salvageWithout(directory, "damaged", options))];
  try {
    return withFindings(await openAndCheck(directory, options), aside);
  } catch (caught) {
    // Tables without an end matter only if LevelDB misses them.
    if (options.repair !== true || asSpineError(caught).code !== "store_corrupt") throw caught;
    aside.push(...(await salvageWithout(directory, "incomplete", options)));
    if (aside.length === 0) throw caught;
    return withFindings(await openAndCheck(directory, options), aside);
  }
}

/** The report with one more finding for each table moved aside. */
function withFindings(report: CheckReport, tables: readonly string[]): CheckReport {
  const moved = tables.map(
    (name): Finding => ({ code: "table_damaged", issuer: null, seq: null, detail: `${name} was moved aside` }),
  );
  return { ...report, findings: [...moved, ...report.findings], repaired: report.repaired + moved.length };
}

async function openAndCheck(directory: string, options: CheckOptions): Promise<CheckReport> {
  const engine = await openForCheck(directory, options.repair === true);
  try {
    const lostFormat = options.repair === true && (await restoreFormat(engine));
    await migrate(engine);
    const report = await checkEngine(engine, options);
    if (!lostFormat) return report;
    const finding: Finding = { code: "entry_damaged", issuer: null, seq: null, detail: "no format number" };
    return { ...report, findings: [finding, ...report.findings], repaired: report.repaired + 1 };
  } catch (caught) {
    if (options.signal?.aborted === true) throw caught;
    throw engineError(caught, directory);
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
    await checkTiles(ledger, chains);
    await ledger.settleFixes();
    return ledger.report();
  } catch (caught) {
    if (options.signal?.aborted === true) throw caught;
    throw engineError(caught);
  }
}

/**
 * Moves tables of that state aside and lets LevelDB rebuild its directory without them; resolves with their names. Holds
 * the lock meanwhile: the files of a running store come and go.
 */
async function salvageWithout(
  directory: string,
  state: TableState,
  { repair, signal }: CheckOptions,
): Promise<readonly string[]> {
  if (!(await stat(join(directory, "CURRENT")).then(Boolean, () => false))) return [];
  let bad: readonly string[] = [];
  {
    await using lock = await holdLock(directory);
    if (lock !== undefined) bad = await findTables(directory, state, signal);
    if (bad.length === 0) return bad;
    if (repair !== true) throw new SpineError("store_corrupt", `${directory}: ${state} tables ${bad.join(", ")}`);
    await setAside(directory, bad);
  }
  await salvageEngine(directory);
  return bad;
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
