/**
 * The genesis fact at seq 1: the hashes that commit an issuer to its recovery key and to its next key before anybody
 * can have stolen the current one (rules 7). Written by `spine init`, read by `authority.ts`.
 */
import { concatBytes, utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { checkFact } from "./fact-shape.ts";
import { parseIssuer } from "./identity.ts";
import type { Json, JsonObject } from "./lossless.ts";
import { factObject, hashField, timeField } from "./nested-signature.ts";
import type { Issuer, Millis, Sha256Hex } from "./ports.ts";
import { KEY_COMMITMENT_TAG } from "./tags.ts";
import { formatTime } from "./time.ts";

export const GENESIS_SCHEMA = "aegis.spine.fact.genesis.v1";
export const GENESIS_SEQ = 1;

/** `0x` and 64 lower-case hex digits: SHA-256 of KEY_COMMITMENT_TAG, 0x00 and the 32 bytes of a public key. */
export type KeyCommitment = string;

export interface Genesis {
  readonly issuer: Issuer;
  readonly recovery: KeyCommitment;
  readonly next: KeyCommitment;
  readonly createdAtMs: Millis;
}

export function commitToKey(publicKey: Uint8Array, sha256Hex: Sha256Hex): KeyCommitment {
  if (publicKey.length !== 32)
    throw new SpineError("public_key_invalid", `public key of ${publicKey.length} bytes, expected 32`);
  return `0x${sha256Hex(concatBytes(utf8(KEY_COMMITMENT_TAG), Uint8Array.of(0), publicKey))}`;
}

function check(genesis: Genesis, sha256Hex: Sha256Hex): Genesis {
  const own = commitToKey(parseIssuer(genesis.issuer), sha256Hex);
  // One purpose, one key (rules 1): whoever stole one of them must not hold another.
  if (new Set([own, genesis.recovery, genesis.next]).size !== 3)
    throw new SpineError("fact_invalid", "issuer key, recovery key and next key are not three keys");
  return genesis;
}

/** The fact for seq 1 of `issuer`; keys of 32 bytes, time in whole seconds. Throws `fact_invalid` for a key used twice. */
export function genesisFact(
  init: {
    readonly issuer: Issuer;
    readonly recoveryKey: Uint8Array;
    readonly nextKey: Uint8Array;
    readonly createdAt: number;
    readonly factId: string;
  },
  sha256Hex: Sha256Hex,
): JsonObject {
  const recovery = commitToKey(init.recoveryKey, sha256Hex);
  const next = commitToKey(init.nextKey, sha256Hex);
  check({ issuer: init.issuer, recovery, next, createdAtMs: init.createdAt * 1000 }, sha256Hex);
  return {
    schema: GENESIS_SCHEMA,
    fact_id: init.factId,
    recovery_key_hash: recovery,
    next_key_hash: next,
    created_at: formatTime(init.createdAt),
  };
}

/** Reads the genesis fact of an envelope of `issuer` at `seq`. Throws `fact_invalid`, also away from seq 1. */
export function readGenesis(issuer: Issuer, seq: number, fact: Json, sha256Hex: Sha256Hex): Genesis {
  if (seq !== GENESIS_SEQ) throw new SpineError("fact_invalid", `a genesis at seq ${seq}`);
  checkFact(fact);
  const object = factObject(fact);
  const recovery = hashField(object, "recovery_key_hash");
  const next = hashField(object, "next_key_hash");
  return check({ issuer, recovery, next, createdAtMs: timeField(object, "created_at") }, sha256Hex);
}
