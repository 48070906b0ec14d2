/**
 * Every domain-separation tag and signed byte layout, in one file, so that a reader can see at a glance that no two
 * kinds of signature can be confused. A key signs only what is listed here.
 *
 * | what                | bytes signed                                                                 | key      |
 * |---------------------|------------------------------------------------------------------------------|----------|
 * | envelope            | canonical JSON object; its `schema` is ENVELOPE_SCHEMA                        | issuer   |
 * | head announcement   | canonical JSON object without `signature`; its `schema` is HEAD_SCHEMA        | issuer   |
 * | capability token    | canonical JSON object without `signature`; it has a `token_id` and no `schema`| issuer   |
 * | revocation, recovery| canonical JSON of the fact without `recovery.signature`; its own `schema`     | recovery |
 * | succession          | canonical JSON of the fact without its two signatures; its own `schema`       | recovery and successor |
 * | rotation            | canonical JSON of the fact without its two signatures; its own `schema`       | old and new issuer     |
 * | hello               | HELLO_TAG, 0x00, then two length-prefixed transport bindings (`peering.ts`)   | issuer   |
 * | checkpoint          | WITNESS_TAG, 0x00, 32-byte checkpoint hash                                    | witness  |
 * | checkpoint request  | WITNESS_REQUEST_TAG, 0x00, 32-byte checkpoint hash                            | log      |
 * | tree head note      | note text: origin, size, root, one a line (`tree-head.ts`)                    | log      |
 * | note co-signature   | COSIGNATURE_HEADER, "time", seconds, note text (`cosignature.ts`)             | witness  |
 *
 * Objects begin with `{`, tags with a letter: no tagged message is ever valid canonical JSON. An origin, which opens a
 * note text, is a host name and path in our logs and never a tag (`checkOrigin`).
 */
import { concatBytes, utf8 } from "./bytes.ts";

export const ENVELOPE_SCHEMA = "aegis.spine.envelope.v1";
export const HEAD_SCHEMA = "aegis.spine.head_announcement.v1";
export const SYNC_REQUEST_SCHEMA = "aegis.spine.sync_request.v1";
export const SYNC_RESPONSE_SCHEMA = "aegis.spine.sync_response.v1";
export const ISSUER_PREFIX = "aegis:ed25519:";
/** Gossip topic of the parent implementation and of this one (spec/spine.md section 15). */
export const GOSSIP_TOPIC = "/aegis/spine/1.0.0";
/** Protocol name of the sync stream on transports that name protocols. */
export const SYNC_PROTOCOL = "/spine/sync/1.0.0";
export const HELLO_TAG = "aegis.spine.hello.v1";
/** Opens what is hashed, never signed, to commit to a recovery key or to the next key (`genesis.ts`). */
export const KEY_COMMITMENT_TAG = "aegis.spine.key_commitment.v1";
export const CHECKPOINT_STATEMENT_SCHEMA = "aegis.spine.checkpoint_statement.v1";
export const WITNESS_SIGNATURE_SCHEMA = "aegis.spine.witness_signature.v1";
export const PORTABLE_PROOF_SCHEMA = "clawdstrike-portable-proof-v1";
export const WITNESS_TAG = "AegisNetCheckpointHashV1";
export const WITNESS_REQUEST_TAG = "aegis.spine.witness_request.v1";
export const COSIGNATURE_HEADER = "cosignature/v1";

/** Signed by the issuer to own a link: both ends' transport bindings, sender first. Each binding is at most 255 bytes. */
export function helloMessage(sender: Uint8Array, receiver: Uint8Array): Uint8Array {
  return concatBytes(
    utf8(HELLO_TAG),
    Uint8Array.of(0, sender.length),
    sender,
    Uint8Array.of(receiver.length),
    receiver,
  );
}

/** Signed by a witness over a log's checkpoint: 57 bytes, the parent implementation's layout (spec/spine.md 9.2). */
export function witnessMessage(checkpointHash: Uint8Array): Uint8Array {
  return concatBytes(utf8(WITNESS_TAG), Uint8Array.of(0), checkpointHash);
}

/** Signed by a log to show a witness that the request for this checkpoint is its own. */
export function witnessRequestMessage(checkpointHash: Uint8Array): Uint8Array {
  return concatBytes(utf8(WITNESS_REQUEST_TAG), Uint8Array.of(0), checkpointHash);
}
