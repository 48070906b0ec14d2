/**
 * Checks an audit log: every record's hash, the chain between them, their numbers, and the anchors in the node's own
 * chain, which a shortened or rewritten log cannot meet. Used by `spine gateway audit verify` and at start.
 */
import { AUDIT_GENESIS, readAuditRecord } from "./audit-record.ts";

/** What the own chain says of the log: after so many records its head was this. */
export interface AuditAnchor {
  readonly records: number;
  readonly headHash: string;
}

export interface AuditReport {
  readonly ok: boolean;
  /** Records that were read and hold. */
  readonly records: number;
  /** Number of the first record kept; above 1 when older files were rotated out. */
  readonly first: number;
  readonly last: number;
  readonly headHash: string;
  readonly anchors: number;
  /** Anchors of records before `first`, which cannot be compared any more. */
  readonly anchorsBefore: number;
  /** Zero-based line of the first bad one, blank lines counted; null if none. */
  readonly badLine: number | null;
  readonly problem: string | null;
}

/** `true` and the number of records, or `false` and the zero-based first bad line: upstream's answer. */
export function verifyLines(lines: Iterable<string>): { readonly ok: boolean; readonly at: number } {
  let prev = AUDIT_GENESIS;
  let count = 0;
  let at = 0;
  for (const line of lines) {
    if (line.trim() !== "") {
      const record = readAuditRecord(line);
      if (record === undefined || record.prevHash !== prev) return { ok: false, at };
      prev = record.hash;
      count++;
    }
    at++;
  }
  return { ok: true, at: count };
}

/** `complete`: nothing was rotated out, so the log must begin at its beginning. */
export async function verifyAudit(
  lines: AsyncIterable<string>,
  anchors: readonly AuditAnchor[],
  complete: boolean,
): Promise<AuditReport> {
  const expected = new Map(anchors.map(({ records, headHash }) => [records, headHash]));
  let [first, last, records, at] = [0, 0, 0, 0];
  let head = AUDIT_GENESIS;
  let problem: string | null = null;
  let badLine: number | null = null;
  for await (const line of lines) {
    if (line.trim() === "") {
      at++;
      continue;
    }
    const record = readAuditRecord(line);
    if (record === undefined || record.number === null) problem = "a record was changed";
    else if (records === 0) {
      first = record.number;
      if (complete && (first !== 1 || record.prevHash !== AUDIT_GENESIS)) problem = "the beginning is missing";
    } else if (record.prevHash !== head || record.number !== last + 1) problem = "records are missing or were put in";
    if (record !== undefined && problem === null) {
      const anchored = expected.get(record.number as number);
      if (anchored !== undefined && anchored !== record.hash) {
        problem = `record ${record.number} is not the one anchored in the node's own chain`;
      }
    }
    if (problem !== null || record === undefined) {
      badLine = at;
      break;
    }
    head = record.hash;
    last = record.number as number;
    records++;
    at++;
  }
  const highest = anchors.reduce((most, one) => Math.max(most, one.records), 0);
  if (problem === null && highest > last) {
    problem = `the log ends at record ${last}, but ${highest} were anchored in the node's own chain`;
  }
  return {
    ok: problem === null,
    records,
    first,
    last,
    headHash: head,
    anchors: anchors.length,
    anchorsBefore: anchors.filter((one) => one.records < first).length,
    badLine,
    problem,
  };
}
