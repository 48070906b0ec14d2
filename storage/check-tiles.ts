/**
 * The part of a store check that recomputes the log's tree from its leaves: tiles that are kept, and the roots of the
 * tree heads that the node's own log signed. Called by `check.ts`.
 */
import { asSpineError, equalBytes, splitRecord, TILE_WIDTH, TileBuilder } from "../spine/index.ts";
import { blockOffsets, decodeBlock } from "./block.ts";
import type { StoredChain } from "./check-blocks.ts";
import type { CheckLedger, SignedTreeHead } from "./check-report.ts";
import { blockKey, HASH_BYTES, Prefix, prefixRange, readBlockKey, readLeafKey, readTileKey, tileKey } from "./keys.ts";
import { seal } from "./seal.ts";
import { tileEnd, treeHasher } from "./tree-hasher.ts";
import { decodeLeaves, decodeTile } from "./values.ts";

/** Stops at the first gap of the leaves, which `checkLog` reports: what lies behind cannot be hashed. */
export async function checkTiles(ledger: CheckLedger, chains: ReadonlyMap<number, StoredChain>): Promise<void> {
  const heads = signedHeads(ledger, chains);
  const builder = new TileBuilder(treeHasher);
  const kept = (await keptTiles(ledger)) * TILE_WIDTH;
  let head = await nextHead(heads);
  for await (const [key, value] of ledger.entries(prefixRange(Prefix.leaves))) {
    ledger.options.signal?.throwIfAborted();
    const hashes = readLeaves(key, value, builder.size);
    if (hashes === undefined) break;
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      builder.append(treeHasher.leaf(hashes.subarray(at, at + HASH_BYTES)));
      while (head !== undefined && head.size <= builder.size) {
        checkRoot(ledger, head, builder);
        head = await nextHead(heads);
      }
      if (builder.size % TILE_WIDTH === 0) await compareTiles(ledger, builder, kept);
    }
  }
  for (; head !== undefined; head = await nextHead(heads)) checkRoot(ledger, head, builder);
  await heads.return(undefined);
  await checkExtra(ledger, builder.size);
}

function readLeaves(key: Uint8Array, value: Uint8Array, size: number): Uint8Array | undefined {
  try {
    return readLeafKey(key) === size ? decodeLeaves(key, value) : undefined;
  } catch {
    return undefined;
  }
}

async function keptTiles(ledger: CheckLedger): Promise<number> {
  for await (const [key] of ledger.entries({ gte: tileKey(0, 0), lt: tileKey(1, 0), reverse: true, limit: 1 })) {
    return key.length === tileKey(0, 0).length ? readTileKey(key).index + 1 : 0;
  }
  return 0;
}

async function compareTiles(ledger: CheckLedger, builder: TileBuilder, kept: number): Promise<void> {
  const full = builder.fullTiles();
  for (const { level, index, bytes } of full) {
    // Tiles follow behind the leaves: those not written yet are made when they are needed.
    if (tileEnd(level, index) > kept) continue;
    const key = tileKey(level, index);
    const problem = tileProblem(key, await ledger.get(key), bytes);
    if (problem === undefined) continue;
    ledger.find("tile_wrong", null, null, `tile ${level}/${index} ${problem}`);
    await ledger.put(key, seal(key, bytes));
  }
  builder.tilesStored(full.length);
}

function tileProblem(key: Uint8Array, value: Uint8Array | undefined, expected: Uint8Array): string | undefined {
  if (value === undefined) return "is missing";
  try {
    return equalBytes(decodeTile(key, value), expected) ? undefined : "is not what its leaves hash to";
  } catch (caught) {
    return asSpineError(caught).message;
  }
}

function checkRoot(ledger: CheckLedger, head: SignedTreeHead & { readonly seq: number }, builder: TileBuilder): void {
  if (head.size === builder.size && equalBytes(head.root, builder.root())) return;
  const issuer = ledger.options.log?.issuer ?? null;
  const found =
    head.size === builder.size ? "another root than the leaves have" : `${head.size} leaves of ${builder.size}`;
  ledger.find("root_wrong", issuer, head.seq, `the checkpoint states ${found}`);
}

/** Tiles of leaves that do not exist. */
async function checkExtra(ledger: CheckLedger, size: number): Promise<void> {
  for await (const [key, value] of ledger.entries(prefixRange(Prefix.tile))) {
    let extra = true;
    try {
      const { level, index } = readTileKey(key);
      extra = tileEnd(level, index) > size;
    } catch {
      // No tile has such a key.
    }
    if (!extra) continue;
    ledger.find("tile_wrong", null, null, "a tile that no leaves belong to");
    await ledger.quarantine(key, value);
  }
}

async function nextHead(heads: AsyncGenerator<SignedTreeHead & { readonly seq: number }>) {
  const { value, done } = await heads.next();
  return done ? undefined : value;
}

/** Tree heads that the node's own log signed, as its chain holds them: their sizes only grow. */
async function* signedHeads(ledger: CheckLedger, chains: ReadonlyMap<number, StoredChain>) {
  const { log } = ledger.options;
  const chain = [...chains.values()].find(({ issuer }) => issuer === log?.issuer);
  if (log === undefined || chain === undefined) return;
  const range = { gte: blockKey(Prefix.block, chain.issuerNo, 0), lt: blockKey(Prefix.block, chain.issuerNo + 1, 0) };
  for await (const [key, value] of ledger.entries(range)) {
    // Damaged blocks were found before.
    const heads: (SignedTreeHead & { readonly seq: number })[] = [];
    try {
      const { firstSeq } = readBlockKey(key);
      const block = decodeBlock(key, value, chain.issuerNo, firstSeq);
      const offsets = blockOffsets(block);
      for (let i = 0; i < block.count; i++) {
        const { signingBytes } = splitRecord(block.records, offsets[i] as number, offsets[i + 1] as number);
        const head = log.treeHeadOf(signingBytes);
        if (head !== undefined) heads.push({ ...head, seq: firstSeq + i });
      }
    } catch {
      continue;
    }
    yield* heads;
  }
}
