/** The part of a store check that walks every envelope: blocks, links, signatures, states. Called by `check.ts`. */
import {
  asSpineError,
  type Envelope,
  EnvelopeState,
  fromHex,
  type HaveRange,
  ISSUER_PREFIX,
  type Issuer,
  splitRecord,
} from "../spine/index.ts";
import { type Block, blockOffsets, decodeBlock, decodeStates } from "./block.ts";
import type { CheckLedger } from "./check-report.ts";
import { blockKey, leafKey, locationKey, numberKey, Prefix, prefixRange, readBlockKey } from "./keys.ts";
import { decodeLocation, encodeLocation, encodeName, encodePointer, hashBytes, locationBuffer } from "./values.ts";

/** What one issuer's blocks hold, as walking them showed. */
export interface StoredChain {
  readonly issuerNo: number;
  readonly issuer: Issuer;
  /** Ascending; neighbours that join by their hashes are one range. */
  readonly ranges: HaveRange[];
}

/** Walks all blocks in key order; resolves with the chains found, by issuer number. */
export async function checkBlocks(ledger: CheckLedger, names: Map<number, Issuer>): Promise<Map<number, StoredChain>> {
  const chains = new Map<number, StoredChain>();
  for await (const [key, value] of ledger.entries(prefixRange(Prefix.block))) {
    const opened = await openBlock(ledger, names, key, value);
    if (opened === undefined) {
      await ledger.quarantine(key, value);
      continue;
    }
    const { block, envelopes, issuer } = opened;
    const chain = chains.get(block.issuerNo) ?? { issuerNo: block.issuerNo, issuer, ranges: [] };
    chains.set(block.issuerNo, chain);
    for (const envelope of envelopes) extend(ledger, chain, envelope);
    await checkLocations(ledger, issuer, block, envelopes);
    await checkStates(ledger, issuer, block, envelopes);
  }
  await ledger.settleClaims();
  return chains;
}

/** Undefined, with a finding, if the block cannot be used. */
async function openBlock(ledger: CheckLedger, names: Map<number, Issuer>, key: Uint8Array, value: Uint8Array) {
  let issuer: Issuer | null = null;
  let seq: number | null = null;
  try {
    const { issuerNo, firstSeq } = readBlockKey(key);
    seq = firstSeq;
    issuer = names.get(issuerNo) ?? null;
    const block = decodeBlock(key, value, issuerNo, firstSeq);
    const offsets = blockOffsets(block);
    const envelopes: Envelope[] = [];
    for (let i = 0; i < block.count; i++) {
      seq = firstSeq + i;
      const envelope = openEnvelope(ledger, block, offsets, i);
      if (issuer === null) issuer = await recoverName(ledger, names, issuerNo, envelope.issuer);
      if (envelope.issuer !== issuer || envelope.seq !== seq) {
        ledger.find("envelope_invalid", issuer, seq, `holds seq ${envelope.seq} of ${envelope.issuer}`);
        return undefined;
      }
      envelopes.push(envelope);
      ledger.count();
    }
    return issuer === null ? undefined : { block, envelopes, issuer };
  } catch (caught) {
    const error = asSpineError(caught);
    if (ledger.options.signal?.aborted === true) throw caught;
    const code = error.code === "store_corrupt" ? "entry_damaged" : "envelope_invalid";
    ledger.find(code, issuer, seq, error.message);
    return undefined;
  }
}

function openEnvelope(ledger: CheckLedger, block: Block, offsets: Uint32Array, index: number): Envelope {
  const { openSigningBytes, sha256Hex } = ledger.options;
  const record = splitRecord(block.records, offsets[index] as number, offsets[index + 1] as number);
  return openSigningBytes(record.signingBytes, record.signature, sha256Hex);
}

/** A lost name stands in every envelope of its issuer. */
async function recoverName(ledger: CheckLedger, names: Map<number, Issuer>, issuerNo: number, issuer: Issuer) {
  ledger.find("issuer_unknown", issuer, null, `issuer number ${issuerNo} has no name`);
  const key = numberKey(Prefix.name, issuerNo);
  await ledger.put(key, encodeName(key, issuer));
  names.set(issuerNo, issuer);
  return issuer;
}

function extend(ledger: CheckLedger, chain: StoredChain, { issuer, seq, prev, hash }: Envelope): void {
  const last = chain.ranges.at(-1);
  if (last !== undefined && seq <= last.to) {
    ledger.find("block_overlap", issuer, seq, "stored twice");
    return;
  }
  if (last === undefined || seq !== last.to + 1) {
    chain.ranges.push({ from: seq, to: seq, prev, last: hash });
    return;
  }
  if (prev !== last.last) ledger.find("link_broken", issuer, seq, `links to ${prev}, stored before it is ${last.last}`);
  chain.ranges[chain.ranges.length - 1] = { ...last, to: seq, last: hash };
}

async function checkLocations(ledger: CheckLedger, issuer: Issuer, block: Block, envelopes: readonly Envelope[]) {
  const keys = envelopes.map(({ hash }) => locationKey(hashBytes(hash)));
  const values = await ledger.getMany(keys);
  for (const [i, { seq, hash }] of envelopes.entries()) {
    const leaf = block.firstLeaf + i;
    const key = keys[i] as Uint8Array;
    const wrong = locationFault(key, values[i], block.issuerNo, seq, leaf);
    if (wrong === undefined) continue;
    ledger.find("location_wrong", issuer, seq, `${wrong} for ${hash}`);
    const fresh = locationBuffer();
    encodeLocation(key, fresh, block.issuerNo, seq, leaf);
    await ledger.put(key, fresh);
  }
}

function locationFault(key: Uint8Array, value: Uint8Array | undefined, issuerNo: number, seq: number, leaf: number) {
  if (value === undefined) return "no location";
  try {
    const found = decodeLocation(key, value);
    if (found.issuerNo === issuerNo && found.seq === seq && found.leafIndex === leaf) return undefined;
    return `location ${found.issuerNo}/${found.seq} leaf ${found.leafIndex}`;
  } catch {
    return "damaged location";
  }
}

async function checkStates(ledger: CheckLedger, issuer: Issuer, block: Block, envelopes: readonly Envelope[]) {
  const states = await presentStates(ledger, issuer, block);
  const pointerKey = leafKey(Prefix.unverified, block.firstLeaf);
  const pointed = (await ledger.get(pointerKey)) !== undefined;
  if (states.includes(EnvelopeState.chain) && !pointed) {
    ledger.find("unverified_wrong", issuer, block.firstSeq, "unverified envelopes are not listed");
    await ledger.put(pointerKey, encodePointer(pointerKey, block.issuerNo, block.firstSeq));
  }
  for (const [i, envelope] of envelopes.entries()) {
    if (states[i] !== EnvelopeState.signature) continue;
    const claim = { key: publicKey(issuer), message: envelope.signingBytes, signature: envelope.signature };
    await ledger.claim(claim, issuer, envelope.seq);
  }
}

async function presentStates(ledger: CheckLedger, issuer: Issuer, block: Block): Promise<Uint8Array> {
  const key = blockKey(Prefix.states, block.issuerNo, block.firstSeq);
  const value = await ledger.get(key);
  if (value === undefined) return block.states;
  try {
    return decodeStates(key, value, block.count);
  } catch (caught) {
    ledger.find("entry_damaged", issuer, block.firstSeq, asSpineError(caught).message);
    await ledger.quarantine(key, value);
    return block.states;
  }
}

/** 32 bytes; an issuer that is no key gives a key that verifies nothing. */
function publicKey(issuer: Issuer): Uint8Array {
  try {
    return fromHex(issuer.slice(ISSUER_PREFIX.length), 32);
  } catch {
    return new Uint8Array(32);
  }
}
