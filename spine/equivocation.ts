/**
 * Fork proofs: two signed statements of one key that name different hashes for one seq (rules 6). An envelope n
 * states the hash at n and, by `prev`, at n − 1 (null = nothing before); a head states the hash at its seq.
 */
import { ByteReader, ByteWriter, compareBytes } from "./bytes.ts";
import { claimOf, type Envelope, MAX_ENVELOPE_BYTES } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { type Head, headClaim, readHead, writeHead } from "./head.ts";
import { issuerOf, parseIssuer } from "./identity.ts";
import { openSigningBytes } from "./open.ts";
import type { Claim, EnvelopeHash, Issuer, Sha256Hex } from "./ports.ts";

export type Statement =
  | { readonly kind: "head"; readonly head: Head }
  | { readonly kind: "envelope"; readonly envelope: Envelope };

export interface ForkProof {
  readonly issuer: Issuer;
  readonly seq: number;
  /** In order of their wire bytes, so that two nodes with the same pair hold the same proof. */
  readonly statements: readonly [Statement, Statement];
}

const HEAD_KIND = 1;
const ENVELOPE_KIND = 2;

function issuerOfStatement(statement: Statement): Issuer {
  return statement.kind === "head" ? statement.head.issuer : statement.envelope.issuer;
}

/** The hash a statement names for `seq`: null = "nothing there", undefined = it says nothing about that seq. */
export function statedHash(statement: Statement, seq: number): EnvelopeHash | null | undefined {
  if (statement.kind === "head") return statement.head.seq === seq ? statement.head.hash : undefined;
  if (statement.envelope.seq === seq) return statement.envelope.hash;
  return statement.envelope.seq === seq + 1 ? statement.envelope.prev : undefined;
}

export function claimOfStatement(statement: Statement): Claim {
  return statement.kind === "head" ? headClaim(statement.head) : claimOf(statement.envelope);
}

function writeStatement(statement: Statement): Uint8Array {
  const writer = new ByteWriter(256);
  if (statement.kind === "head") {
    writeHead(writer.u8(HEAD_KIND), statement.head);
  } else {
    writer.u8(ENVELOPE_KIND).block(statement.envelope.signingBytes).bytes(statement.envelope.signature);
  }
  return writer.finish();
}

function readStatement(reader: ByteReader, sha256Hex: Sha256Hex): Statement {
  const kind = reader.u8();
  if (kind === HEAD_KIND) return { kind: "head", head: readHead(reader) };
  if (kind !== ENVELOPE_KIND) throw new SpineError("fork_proof_invalid", `unknown statement kind ${kind}`);
  const signingBytes = reader.block(MAX_ENVELOPE_BYTES);
  return { kind: "envelope", envelope: openSigningBytes(signingBytes, reader.bytes(64), sha256Hex) };
}

/** Builds a proof; throws `fork_proof_invalid` unless the two differ about `seq` and share the key. Signatures are not checked here. */
export function proveFork(seq: number, a: Statement, b: Statement): ForkProof {
  const [one, other] = [statedHash(a, seq), statedHash(b, seq)];
  if (issuerOfStatement(a) !== issuerOfStatement(b) || one === undefined || other === undefined || one === other) {
    throw new SpineError("fork_proof_invalid", `the statements do not contradict each other at seq ${seq}`);
  }
  const inOrder = compareBytes(writeStatement(a), writeStatement(b)) <= 0;
  return { issuer: issuerOfStatement(a), seq, statements: inOrder ? [a, b] : [b, a] };
}

/** Layout: issuer key (32), seq (varint), then each statement: u8 kind and a head, or a length-prefixed signing text and signature. */
export function encodeFork(proof: ForkProof): Uint8Array {
  const writer = new ByteWriter(512).bytes(parseIssuer(proof.issuer)).varint(proof.seq);
  for (const statement of proof.statements) writer.bytes(writeStatement(statement));
  return writer.finish();
}

/** Checks everything but the two signatures, whose claims are `claimOfStatement` of each. */
export function decodeFork(bytes: Uint8Array, sha256Hex: Sha256Hex): ForkProof {
  const reader = new ByteReader(bytes);
  const issuer = issuerOf(reader.bytes(32));
  const seq = reader.varint();
  const a = readStatement(reader, sha256Hex);
  const b = readStatement(reader, sha256Hex);
  reader.end();
  const proof = proveFork(seq, a, b);
  if (proof.issuer !== issuer || proof.statements[0] !== a) {
    throw new SpineError("fork_proof_invalid", "the proof names another issuer or is not in canonical order");
  }
  return proof;
}
