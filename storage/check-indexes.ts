/** The part of a store check that compares everything derived with the blocks: log, ranges, heads, listings. Called by `check.ts`. */
import {
  asSpineError,
  EnvelopeState,
  type HaveRange,
  type Issuer,
  type IssuerRecord,
  splitRecord,
  subtractSpans,
} from "../spine/index.ts";
import { type Block, blockOffsets, decodeBlock, decodeStates } from "./block.ts";
import type { StoredChain } from "./check-blocks.ts";
import type { CheckLedger } from "./check-report.ts";
import {
  blockKey,
  HASH_BYTES,
  leafKey,
  locationKey,
  Meta,
  metaKey,
  Prefix,
  prefixRange,
  readBlockKey,
  readLeafKey,
  readLocationKey,
  readNumberKey,
  readRowKey,
} from "./keys.ts";
import { putRecord, readPages } from "./range-pages.ts";
import { seal, unseal } from "./seal.ts";
import {
  decodeFork,
  decodeHead,
  decodeLeaves,
  decodeLocation,
  decodeName,
  decodeNumber,
  decodePointer,
  decodePruneMark,
  decodeRangePage,
  decodeRecord,
  encodeNumber,
  hashText,
  type PruneMark,
  type StoredLocation,
} from "./values.ts";

type Chains = ReadonlyMap<number, StoredChain>;
type Names = ReadonlyMap<number, Issuer>;

/** Decodes every entry of one kind; what cannot be decoded is found and moved aside. */
async function* entries<T>(ledger: CheckLedger, prefix: Prefix, decode: (key: Uint8Array, value: Uint8Array) => T) {
  for await (const [key, value] of ledger.entries(prefixRange(prefix))) {
    let decoded: T;
    try {
      decoded = decode(key, value);
    } catch (caught) {
      ledger.find("entry_damaged", null, null, asSpineError(caught).message);
      await ledger.quarantine(key, value);
      continue;
    }
    yield { key, value, decoded };
  }
}

export async function readNames(ledger: CheckLedger): Promise<Map<number, Issuer>> {
  const names = new Map<number, Issuer>();
  for await (const { key, decoded } of entries(ledger, Prefix.name, decodeName)) names.set(readNumberKey(key), decoded);
  return names;
}

export async function readPruneMarks(ledger: CheckLedger): Promise<Map<number, PruneMark>> {
  const marks = new Map<number, PruneMark>();
  for await (const { key, decoded } of entries(ledger, Prefix.pruned, decodePruneMark)) {
    marks.set(readNumberKey(key), decoded);
  }
  return marks;
}

/** Leaves are gapless, each has its location, each location its leaf, and its envelope is stored or pruned. */
export async function checkLog(ledger: CheckLedger, chains: Chains, marks: ReadonlyMap<number, PruneMark>) {
  const gaps: (readonly [number, number])[] = [];
  let size = 0;
  for await (const { key, decoded } of entries(ledger, Prefix.leaves, decodeLeaves)) {
    ledger.options.signal?.throwIfAborted();
    const first = readLeafKey(key);
    if (first !== size) {
      ledger.find("leaf_wrong", null, null, `leaves ${size} to ${first - 1} are missing`);
      gaps.push([size, first]);
    }
    size = first + decoded.length / HASH_BYTES;
    await checkLeaves(ledger, chains, marks, first, decoded);
  }
  const key = metaKey(Meta.logSize);
  const value = await ledger.get(key);
  const recorded = value === undefined ? 0 : readSize(key, value);
  // A lost last entry leaves no gap behind, but the recorded size still knows of it.
  if (recorded > size) gaps.push([size, recorded]);
  if (recorded !== size) {
    ledger.find("log_size_wrong", null, null, `recorded ${recorded}, found ${size}`);
    if (recorded < size) await ledger.put(key, encodeNumber(key, size));
  }
  await checkOrphans(ledger, gaps, Math.max(size, recorded));
}

function readSize(key: Uint8Array, value: Uint8Array): number {
  try {
    return decodeNumber(key, value);
  } catch {
    return -1;
  }
}

async function checkLeaves(
  ledger: CheckLedger,
  chains: Chains,
  marks: ReadonlyMap<number, PruneMark>,
  first: number,
  hashes: Uint8Array,
): Promise<void> {
  const keys: Uint8Array[] = [];
  for (let at = 0; at < hashes.length; at += HASH_BYTES) keys.push(locationKey(hashes.subarray(at, at + HASH_BYTES)));
  const values = await ledger.getMany(keys);
  for (const [i, key] of keys.entries()) {
    const value = values[i];
    const location = value === undefined ? undefined : readLocation(key, value);
    const hash = hashText(key, 1);
    if (location === undefined) {
      ledger.find("location_wrong", null, null, `leaf ${first + i} (${hash}) has no sound location`);
    } else if (location.leafIndex !== first + i) {
      ledger.find("leaf_wrong", null, location.seq, `leaf ${first + i} is located at ${location.leafIndex}`);
    } else if (!isStored(chains.get(location.issuerNo), location.seq)) {
      if (location.seq >= (marks.get(location.issuerNo)?.below ?? 0)) {
        const issuer = chains.get(location.issuerNo)?.issuer ?? null;
        ledger.find("envelope_missing", issuer, location.seq, `${hash} is neither stored nor pruned`);
      }
    }
  }
}

function readLocation(key: Uint8Array, value: Uint8Array): StoredLocation | undefined {
  try {
    return decodeLocation(key, value);
  } catch {
    return undefined;
  }
}

function isStored(chain: StoredChain | undefined, seq: number): boolean {
  return chain?.ranges.some(({ from, to }) => from <= seq && seq <= to) ?? false;
}

/** Locations beyond the log are orphans; those within a gap of the leaves rebuild it. */
async function checkOrphans(ledger: CheckLedger, gaps: readonly (readonly [number, number])[], size: number) {
  for await (const { key, decoded } of entries(ledger, Prefix.location, decodeLocation)) {
    const { leafIndex, seq } = decoded;
    if (gaps.some(([start, end]) => start <= leafIndex && leafIndex < end)) {
      const leaf = leafKey(Prefix.leaves, leafIndex);
      await ledger.put(leaf, seal(leaf, readLocationKey(key)));
    } else if (leafIndex >= size) {
      ledger.find("location_wrong", null, seq, `${hashText(key, 1)} is located beyond the log, at ${leafIndex}`);
    }
  }
}

export async function checkRecords(ledger: CheckLedger, chains: Chains, names: Names): Promise<void> {
  const forks = new Map<number, number>();
  for await (const { key, decoded } of entries(ledger, Prefix.fork, (k, v) => decodeFork(k, v, nameOf(names, k)))) {
    forks.set(readNumberKey(key), decoded.seq);
  }
  const seen = new Set<number>();
  const read = (k: Uint8Array, v: Uint8Array) => decodeRecord(k, v, nameOf(names, k));
  for await (const { key, decoded } of entries(ledger, Prefix.record, read)) {
    const no = readNumberKey(key);
    seen.add(no);
    const stored = chains.get(no)?.ranges ?? [];
    // With a damaged page the record says less than is stored.
    const record = await readPages(decoded, no, (page) => ledger.get(page)).catch(() => decoded.record);
    if (agrees(stored, record)) continue;
    ledger.find("range_wrong", record.issuer, null, `recorded ${text(record.ranges)}, stored ${text(stored)}`);
    // Unclipped: only a range that begins where a stored one does has a known lower edge.
    await rewrite(ledger, no, { ...record, ranges: stored });
  }
  for (const [no, chain] of chains) {
    if (seen.has(no)) continue;
    ledger.find("range_wrong", chain.issuer, null, `no record of the stored ${text(chain.ranges)}`);
    // Closed until somebody admits the issuer again, and as frozen as its fork proof says.
    const frozenAt = forks.get(no) ?? null;
    const record: IssuerRecord = { ...chain, admission: "denied", prunedBelow: 0, frozenAt };
    await rewrite(ledger, no, record);
  }
  for await (const _ of entries(ledger, Prefix.ranges, decodeRangePage)) ledger.options.signal?.throwIfAborted();
}

async function rewrite(ledger: CheckLedger, issuerNo: number, record: IssuerRecord): Promise<void> {
  const parts: [Uint8Array, Uint8Array][] = [];
  putRecord(issuerNo, record, [], (key, value) => parts.push([key, value]));
  for (const [key, value] of parts) await ledger.put(key, value);
}

function nameOf(names: Names, key: Uint8Array): Issuer {
  return names.get(readNumberKey(key)) ?? `issuer number ${readNumberKey(key)}`;
}

/** Ranges at or above `below`: what retention will remove later is no longer recorded. */
function clip(ranges: readonly HaveRange[], below: number): readonly HaveRange[] {
  return ranges.filter(({ to }) => to >= below).map((range) => ({ ...range, from: Math.max(range.from, below) }));
}

/** Above its mark the record says what is stored; below it what stays, which retention may not have reached yet. */
function agrees(stored: readonly HaveRange[], { ranges, prunedBelow }: IssuerRecord): boolean {
  if (!sameRanges(clip(stored, prunedBelow), clip(ranges, prunedBelow))) return false;
  const under = (all: readonly HaveRange[]) =>
    all.flatMap(({ from, to }) => (from < prunedBelow ? [{ from, to: Math.min(to, prunedBelow - 1) }] : []));
  return subtractSpans(under(ranges), under(stored)).length === 0;
}

function sameRanges(stored: readonly HaveRange[], recorded: readonly HaveRange[]): boolean {
  return (
    stored.length === recorded.length &&
    stored.every((range, i) => {
      const other = recorded[i];
      return other?.from === range.from && other.to === range.to && other.last === range.last;
    })
  );
}

function text(ranges: readonly HaveRange[]): string {
  const more = ranges.length > 64 ? ` and ${ranges.length - 64} more` : "";
  const some = ranges.slice(0, 64).map(({ from, to }) => `${from}..${to}`);
  return some.length === 0 ? "nothing" : some.join(" ") + more;
}

export async function checkHeads(ledger: CheckLedger, names: Names): Promise<void> {
  for await (const { key, decoded } of entries(ledger, Prefix.head, (k, v) => decodeHead(k, v, nameOf(names, k)))) {
    const stored = await storedHash(ledger, readNumberKey(key), decoded.seq);
    if (stored !== undefined && stored !== decoded.hash) {
      ledger.find("head_wrong", decoded.issuer, decoded.seq, `head names ${decoded.hash}, stored is ${stored}`);
    }
  }
}

async function storedHash(ledger: CheckLedger, issuerNo: number, seq: number): Promise<string | undefined> {
  const range = { gte: blockKey(Prefix.block, issuerNo, 0), lte: blockKey(Prefix.block, issuerNo, seq) };
  for await (const [key, value] of ledger.entries({ ...range, reverse: true, limit: 1 })) {
    try {
      const block = decodeBlock(key, value, issuerNo, readBlockKey(key).firstSeq);
      const index = seq - block.firstSeq;
      if (index >= block.count) return undefined;
      const offsets = blockOffsets(block);
      const record = splitRecord(block.records, offsets[index] as number, offsets[index + 1] as number);
      return `0x${ledger.options.sha256Hex(record.signingBytes)}`;
    } catch {
      return undefined;
    }
  }
  return undefined;
}

/** Listings that point nowhere: changed states and unverified blocks whose block is gone. Rows need only be sound. */
export async function checkListings(ledger: CheckLedger): Promise<void> {
  for await (const { key, value } of entries(ledger, Prefix.states, readBlockKey)) {
    const { issuerNo, firstSeq } = readBlockKey(key);
    if ((await ledger.get(blockKey(Prefix.block, issuerNo, firstSeq))) !== undefined) continue;
    ledger.find("states_orphan", null, firstSeq, `states of issuer number ${issuerNo} without their block`);
    await ledger.quarantine(key, value);
  }
  for await (const { key, decoded } of entries(ledger, Prefix.unverified, decodePointer)) {
    const { issuerNo, firstSeq } = decoded;
    if (await holdsChain(ledger, issuerNo, firstSeq, readLeafKey(key))) continue;
    ledger.find(
      "unverified_wrong",
      null,
      firstSeq,
      `a listed block of issuer number ${issuerNo} holds nothing unverified`,
    );
    await ledger.remove(key);
  }
  for await (const _ of entries(ledger, Prefix.row, (key, value) => [readRowKey(key), unseal(key, value)])) {
    ledger.options.signal?.throwIfAborted();
  }
}

async function holdsChain(ledger: CheckLedger, issuerNo: number, firstSeq: number, leaf: number): Promise<boolean> {
  const key = blockKey(Prefix.block, issuerNo, firstSeq);
  const value = await ledger.get(key);
  if (value === undefined) return false;
  try {
    const block = decodeBlock(key, value, issuerNo, firstSeq);
    const states = await presentStates(ledger, block);
    return block.firstLeaf === leaf && states.includes(EnvelopeState.chain);
  } catch {
    return false;
  }
}

/** Damaged states count as never changed: `checkListings` moved them aside. */
async function presentStates(ledger: CheckLedger, block: Block): Promise<Uint8Array> {
  const key = blockKey(Prefix.states, block.issuerNo, block.firstSeq);
  const value = await ledger.get(key);
  try {
    return value === undefined ? block.states : decodeStates(key, value, block.count);
  } catch {
    return block.states;
  }
}
