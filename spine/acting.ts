/**
 * Facts that act on who may speak (rules 5, 7, 8): read out of envelopes, fed to `authority.ts`, and kept as rows so that
 * a restart rebuilds the same authority without walking the envelopes. Used by `enforcement.ts` and by whoever opens a store.
 */
import { type Attestation, readAttestation } from "./attestation.ts";
import type { Authority } from "./authority.ts";
import { ByteReader, ByteWriter, utf8, utf8Text } from "./bytes.ts";
import { type Row, RowTable } from "./commit.ts";
import { type Envelope, factOf, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { asSpineError, SpineError } from "./errors.ts";
import { factKind } from "./fact.ts";
import { type Genesis, readGenesis } from "./genesis.ts";
import { openSigningBytes } from "./open.ts";
import type { Claim, EnvelopeHash, Issuer, Sha256Hex } from "./ports.ts";
import { BoundedMap } from "./quota.ts";
import { recordOffsets, splitRecord } from "./record.ts";
import { type Revocation, type RevocationSet, readRevocation, readRevocationSet } from "./revocation.ts";
import { type Handover, readHandover } from "./succession.ts";

export type ActingFact =
  | { readonly type: "genesis"; readonly genesis: Genesis }
  | { readonly type: "handover"; readonly handover: Handover }
  | { readonly type: "revocation"; readonly revocation: Revocation }
  | { readonly type: "attestation"; readonly attestation: Attestation }
  /** Acts on nothing: what an issuer knows to be revoked, for others to compare. */
  | { readonly type: "set"; readonly issuer: Issuer; readonly seq: number; readonly set: RevocationSet }
  /** Acts on nothing either: a log's newest one is what a peer that was away is told of. */
  | { readonly type: "checkpoint"; readonly issuer: Issuer; readonly seq: number };

/** A fact and the signatures inside it, to be verified besides the envelope's own before it acts. */
export interface Acting {
  readonly fact: ActingFact;
  readonly claims: readonly Claim[];
}

/** A fact is within an envelope; its reading spells every target out. */
const MAX_FACT_JSON_BYTES = 4 * MAX_ENVELOPE_BYTES;

type ActingKind = ActingFact["type"];

const KINDS: ReadonlyMap<string, ActingKind> = new Map([
  ["genesis", "genesis"],
  ["succession", "handover"],
  ["rotation", "handover"],
  ["revocation", "revocation"],
  ["node_attestation", "attestation"],
  ["revocation_set", "set"],
  ["log_checkpoint", "checkpoint"],
]);
/** Schemas seen lately: this is asked of every envelope. */
const MAX_SCHEMAS = 256;
const MAX_SCHEMA_LENGTH = 200;
const schemas = new BoundedMap<string, ActingKind | null>(MAX_SCHEMAS);

/** What a fact of this schema could act on, or undefined. */
export function actingKind(schema: string): ActingKind | undefined {
  const seen = schemas.get(schema);
  if (seen !== undefined) return seen ?? undefined;
  const known = factKind(schema);
  const acts = known !== undefined && known.family !== "sdr" && known.version === 1;
  const kind = acts ? KINDS.get(known.kind) : undefined;
  if (schema.length <= MAX_SCHEMA_LENGTH) schemas.set(schema, kind ?? null);
  return kind;
}

function read(envelope: Envelope, kind: ActingKind, sha256Hex: Sha256Hex): Acting | undefined {
  const { issuer, seq } = envelope;
  const fact = factOf(envelope);
  switch (kind) {
    case "genesis":
      return { fact: { type: kind, genesis: readGenesis(issuer, seq, fact, sha256Hex) }, claims: [] };
    case "handover": {
      const { handover, claims } = readHandover(fact, sha256Hex);
      return { fact: { type: kind, handover }, claims };
    }
    case "revocation": {
      const { revocation, claim } = readRevocation(issuer, seq, fact, sha256Hex);
      return { fact: { type: kind, revocation }, claims: claim === null ? [] : [claim] };
    }
    case "set":
      return { fact: { type: kind, issuer, seq, set: readRevocationSet(fact) }, claims: [] };
    case "checkpoint":
      return { fact: { type: kind, issuer, seq }, claims: [] };
    case "attestation": {
      const attestation = readAttestation(issuer, seq, fact);
      return attestation === undefined ? undefined : { fact: { type: kind, attestation }, claims: [] };
    }
  }
}

/** What an envelope's fact would act on; undefined for all others, and for one whose shape is wrong: it is kept and acts on nothing. */
export function readActing(envelope: Envelope, sha256Hex: Sha256Hex): Acting | undefined {
  const kind = actingKind(envelope.factSchema);
  if (kind === undefined) return undefined;
  try {
    return read(envelope, kind, sha256Hex);
  } catch (caught) {
    if (asSpineError(caught).code === "internal") throw caught;
    return undefined;
  }
}

/** In whose name it speaks: rows are kept under that issuer. */
export function subjectOf(fact: ActingFact): Issuer {
  switch (fact.type) {
    case "genesis":
      return fact.genesis.issuer;
    case "handover":
      return fact.handover.old;
    case "revocation":
      return fact.revocation.signer;
    case "attestation":
      return fact.attestation.attester;
    case "set":
    case "checkpoint":
      return fact.issuer;
  }
}

/** The seq in its subject's own chain; null for what a recovery or next key signed, which any envelope may carry. */
export function chainSeqOf(fact: ActingFact): number | null {
  switch (fact.type) {
    case "genesis":
      return 1;
    case "handover":
      return null;
    case "revocation":
      return fact.revocation.seq;
    case "attestation":
      return fact.attestation.seq;
    case "set":
    case "checkpoint":
      return fact.seq;
  }
}

export function feedAuthority(authority: Authority, fact: ActingFact): void {
  switch (fact.type) {
    case "genesis":
      return authority.addGenesis(fact.genesis);
    case "handover":
      return authority.addHandover(fact.handover);
    case "revocation":
      authority.addRevocation(fact.revocation);
      return;
    case "attestation":
      return authority.addAttestation(fact.attestation);
    case "set":
    case "checkpoint":
      return;
  }
}

/** A stored fact; `record` is there when it stands in no chain that this node follows (`loose-facts.ts`). */
export interface StoredFact {
  readonly fact: ActingFact;
  readonly hash: EnvelopeHash;
  readonly record: Uint8Array | null;
}

export function factRowKey(fact: ActingFact, hash: EnvelopeHash): string {
  return `${subjectOf(fact)}|${hash}`;
}

/** Layout of the value: length-prefixed JSON of the fact as read, then the envelope's record, if it is loose. */
export function factRow(fact: ActingFact, hash: EnvelopeHash, record: Uint8Array | null): Row {
  const writer = new ByteWriter(512).block(utf8(JSON.stringify(fact)));
  if (record !== null) writer.bytes(record);
  return { table: RowTable.authority, key: factRowKey(fact, hash), value: writer.finish() };
}

/** The row that says where a log's newest checkpoint stands. */
export function checkpointRow(issuer: Issuer, seq: number): Row {
  return { table: RowTable.checkpoints, key: issuer, value: new ByteWriter(8).varint(seq).finish() };
}
export function readCheckpointRow(value: Uint8Array): number {
  return new ByteReader(value).varint();
}

/** Throws `store_corrupt`. */
export function readFactRow(key: string, value: Uint8Array): StoredFact {
  try {
    const reader = new ByteReader(value);
    const fact = JSON.parse(utf8Text(reader.block(MAX_FACT_JSON_BYTES))) as ActingFact;
    const record = reader.remaining === 0 ? null : reader.bytes(reader.remaining);
    const hash = key.slice(key.indexOf("|") + 1);
    if (factRowKey(fact, hash) !== key) throw new SpineError("store_corrupt", "another key");
    return { fact, hash, record };
  } catch (cause) {
    throw new SpineError("store_corrupt", `authority row ${key.slice(0, 200)}`, { cause });
  }
}
/** The envelope of a loose fact. */
export function envelopeOfRecord(record: Uint8Array, sha256Hex: Sha256Hex): Envelope {
  recordOffsets(record, 1);
  const { signingBytes, signature } = splitRecord(record, 0, record.length);
  return openSigningBytes(signingBytes, signature, sha256Hex);
}
