/**
 * Finds envelopes by what their facts say (spec/spine.md 9.4 and 11): policies, run receipts, receipt verifications, node
 * attestations, bundles and their revocations. Follows the leaves in the background; a derived index that starts over
 * when its rows are gone. An entry is kept per writer, so that nobody overwrites another's.
 */
import {
  boundDestination,
  type EnvelopeHash,
  factKind,
  factOf,
  type Issuer,
  isEnvelopeHash,
  isIssuer,
  isJsonObject,
  type Json,
  type JsonObject,
  openSigningBytes,
  parseIssuer,
  type Row,
  RowTable,
  toHex,
  utf8,
  utf8Text,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex } from "../hash.ts";

export type IndexedKind =
  | "policy"
  | "policy_version"
  | "run_receipt"
  | "receipt_verification"
  | "node_attestation"
  | "reticulum_destination"
  | "policy_attestation"
  | "policy_revocation";

export interface IndexEntry {
  readonly issuer: Issuer;
  readonly hash: EnvelopeHash;
}

export interface FactIndexOptions {
  readonly store: Store;
  readonly commitRows: (rows: readonly Row[]) => Promise<void>;
}

const LEAVES_PER_STEP = 256;
/** Longest indexed value, characters. */
const MAX_TOKEN = 256;
/** Entries of one key that are read. */
export const MAX_ENTRIES = 100;
/** Another name with each kind that is added: what was indexed before is looked at again. */
const CURSOR = "cursor/2";

/** `0x` and lower case, as hashes are compared; undefined for what is no hash. */
export function normalHash(text: Json | undefined): string | undefined {
  if (typeof text !== "string") return undefined;
  const hash = `0x${text
    .trim()
    .replace(/^0[xX]/, "")
    .toLowerCase()}`;
  return isEnvelopeHash(hash) ? hash : undefined;
}

function token(value: Json | undefined): string | undefined {
  const text = typeof value === "number" ? String(value) : value;
  return typeof text === "string" && /^[A-Za-z0-9._-]+$/.test(text) && text.length <= MAX_TOKEN ? text : undefined;
}

/** What a fact is found by. A node attests itself only: another's word on it is no entry. */
export function indexKeys(issuer: Issuer, fact: JsonObject): readonly (readonly [IndexedKind, string])[] {
  const kind = factKind(String(fact["schema"]))?.kind ?? String(fact["schema"]);
  const found: [IndexedKind, string | undefined][] = [];
  if (kind === "policy") {
    found.push(["policy", normalHash(fact["policy_hash"])]);
    const version = fact["version"] ?? fact["policy_version"];
    found.push(["policy_version", token(version)]);
  } else if (/(?:^|\.)run_receipt(?:\.|$)/.test(kind)) {
    found.push(["run_receipt", token(fact["run_id"])]);
  } else if (kind === "receipt_verification") {
    found.push(["receipt_verification", normalHash(fact["target_envelope_hash"])]);
  } else if (kind === "node_attestation") {
    const node = fact["node_id"];
    if (typeof node === "string" && isIssuer(node) && node === issuer)
      found.push(["node_attestation", toHex(parseIssuer(node))]);
    found.push(["reticulum_destination", boundDestination(issuer, fact)]);
  } else if (kind === "policy_attestation" || kind === "policy_revocation" || kind === "revocation") {
    const bundle = normalHash(fact["bundle_hash"]);
    found.push([kind === "policy_attestation" ? kind : "policy_revocation", bundle]);
  }
  return found.filter((pair): pair is [IndexedKind, string] => pair[1] !== undefined);
}

export class FactIndex {
  readonly #options: FactIndexOptions;
  #next: number | undefined;
  #working: Promise<unknown> = Promise.resolve();
  constructor(options: FactIndexOptions) {
    this.#options = options;
  }

  /** Leaves indexed so far; 0 before the first call. */
  get indexed(): number {
    return this.#next ?? 0;
  }

  /** Indexes every leaf on disk below `size`, as far as the signal lets it. */
  advance(size: number, signal: AbortSignal): Promise<void> {
    const work = this.#working.then(() => this.#advance(size, signal));
    this.#working = work.catch(() => {});
    return work;
  }

  async #advance(size: number, signal: AbortSignal): Promise<void> {
    const { store, commitRows } = this.#options;
    const cursor = this.#next === undefined ? await store.row(RowTable.facts, CURSOR) : undefined;
    let next: number = this.#next ?? (cursor === undefined ? 0 : Number(utf8Text(cursor)));
    this.#next = next;
    while (next < size && !signal.aborted) {
      const hashes = await store.leaves(next, Math.min(LEAVES_PER_STEP, size - next));
      if (hashes.length === 0) return;
      const rows: Row[] = [];
      for (const hash of hashes) rows.push(...(await this.#rowsOf(hash)));
      next += hashes.length;
      rows.push({ table: RowTable.facts, key: CURSOR, value: utf8(String(next)) });
      await commitRows(rows);
      this.#next = next;
    }
  }

  async #rowsOf(hash: EnvelopeHash): Promise<Row[]> {
    const stored = await this.#options.store.envelope(hash);
    if (stored === undefined) return [];
    const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash);
    if (!INDEXED.test(envelope.factSchema)) return [];
    const fact = factOf(envelope);
    if (!isJsonObject(fact)) return [];
    const by = toHex(parseIssuer(envelope.issuer));
    return indexKeys(envelope.issuer, fact).map(([kind, key]) => ({
      table: RowTable.facts,
      key: `${kind}/${key}/${by}`,
      value: utf8(hash),
    }));
  }

  /** The newest entry of each writer, at most MAX_ENTRIES, in the order of their keys. */
  async find(kind: IndexedKind, key: string): Promise<readonly IndexEntry[]> {
    const found: IndexEntry[] = [];
    const prefix = `${kind}/${key}/`;
    for await (const row of this.#options.store.rows(RowTable.facts, prefix)) {
      found.push({ issuer: `aegis:ed25519:${row.key.slice(prefix.length)}`, hash: utf8Text(row.value) });
      if (found.length === MAX_ENTRIES) break;
    }
    return found;
  }
}

/** Schemas worth opening: most leaves are none of them. */
const INDEXED = /policy|receipt|attestation|revocation/;
