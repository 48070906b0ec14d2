/**
 * Have-ranges that a record has no room for: pages of 64 under their own keys, of which a commit writes those that
 * changed. A chain told in a selection may be thousands of short ranges. Used by the level store's writer, reader and check.
 */
import { type HaveRange, type IssuerRecord, SpineError } from "../spine/index.ts";
import { blockKey, numberKey, Prefix } from "./keys.ts";
import type { EngineBatch } from "./level-engine.ts";
import {
  decodeRangePage,
  encodeRangePage,
  encodeRecord,
  pagedRanges,
  RANGES_PER_PAGE,
  type StoredRecord,
} from "./values.ts";

type Put = (key: Uint8Array, value: Uint8Array) => void;
type Get = (key: Uint8Array) => Promise<Uint8Array | undefined>;

/** Page keys sort like blocks: by issuer, then by number. */
function pageKey(issuerNo: number, page: number): Uint8Array {
  return blockKey(Prefix.ranges, issuerNo, page);
}

/** Writes a record and the pages of its ranges that differ from those written before. */
export function putRecord(issuerNo: number, record: IssuerRecord, written: readonly HaveRange[], put: Put): void {
  const { ranges } = record;
  const paged = pagedRanges(ranges.length);
  const before = pagedRanges(written.length);
  for (let at = 0; at < paged; at += RANGES_PER_PAGE) {
    if (at < before && samePage(ranges, written, at)) continue;
    const key = pageKey(issuerNo, at / RANGES_PER_PAGE);
    put(key, encodeRangePage(key, ranges.slice(at, at + RANGES_PER_PAGE)));
  }
  const key = numberKey(Prefix.record, issuerNo);
  put(key, encodeRecord(key, record, paged));
}

/** What nothing changed is the same object still: ranges are never altered. */
function samePage(a: readonly HaveRange[], b: readonly HaveRange[], at: number): boolean {
  for (let i = at; i < at + RANGES_PER_PAGE; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The whole record. Rejects with `store_corrupt` when a page is missing or damaged. */
export async function readPages({ record, pages }: StoredRecord, issuerNo: number, get: Get): Promise<IssuerRecord> {
  if (pages === 0) return record;
  const ranges: HaveRange[] = [];
  for (let page = 0; page < pages; page++) {
    const key = pageKey(issuerNo, page);
    const value = await get(key);
    if (value === undefined) throw new SpineError("store_corrupt", `ranges of issuer number ${issuerNo} are missing`);
    ranges.push(...decodeRangePage(key, value));
  }
  return { ...record, ranges: [...ranges, ...record.ranges] };
}

/** Keeps, per issuer with pages, the ranges as they are on disk. */
export class RangePages {
  readonly #written = new Map<number, readonly HaveRange[]>();

  /** Pages that became too many stay where they are: the record says how many count, and later ones are written over. */
  put(issuerNo: number, record: IssuerRecord, batch: EngineBatch): void {
    putRecord(issuerNo, record, this.#written.get(issuerNo) ?? [], (key, value) => batch.put(key, value));
    if (pagedRanges(record.ranges.length) > 0) this.#written.set(issuerNo, record.ranges);
    else this.#written.delete(issuerNo);
  }
}
