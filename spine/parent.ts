/**
 * The parent implementation's sync messages, and the range rule of the marketplace's. spec/spine.md sections 8.1 and
 * 8.2. Called by planes whose peers speak JSON instead of our frames.
 */
import { utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { foreignIssuer } from "./identity.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./lossless.ts";
import { parentText } from "./parent-form.ts";
import type { Issuer } from "./ports.ts";
import { SYNC_REQUEST_SCHEMA, SYNC_RESPONSE_SCHEMA } from "./tags.ts";

export interface ParentSyncRequest {
  readonly type: "sync-request";
  readonly issuer: Issuer;
  /** Both ends included; the parent counts from 0. */
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly maxBytes: number;
}

export interface ParentSyncResponse {
  readonly type: "sync-response";
  readonly issuer: Issuer;
  readonly fromSeq: number;
  /** Unopened: pass each to `openEnvelopeValue`. */
  readonly envelopes: readonly Json[];
  /** True also when the responder merely has a hole: compare with the target. */
  readonly done: boolean;
}

export type ParentSyncMessage = ParentSyncRequest | ParentSyncResponse;

export const PARENT_DEFAULT_MAX_BYTES = 1_048_576;
/** Most envelopes in one response. */
export const PARENT_MAX_ENVELOPES = 256;
/** Largest message that is parsed: the parent's own limit of an unpacked message, bytes. */
export const PARENT_MAX_MESSAGE_BYTES = 2_000_000;
/** Longest range of one marketplace request. */
export const MARKETPLACE_MAX_RANGE = 100;

const PREFIX = /^clawdstrike\./;

/** Compact JSON with sorted keys and ASCII escapes, as the parent writes it. */
export function encodeParentSync(message: ParentSyncMessage): Uint8Array {
  const { issuer, fromSeq } = message;
  const object: JsonObject =
    message.type === "sync-request"
      ? {
          schema: SYNC_REQUEST_SCHEMA,
          issuer,
          from_seq: fromSeq,
          to_seq: message.toSeq,
          max_bytes: message.maxBytes,
        }
      : {
          schema: SYNC_RESPONSE_SCHEMA,
          issuer,
          from_seq: fromSeq,
          envelopes: message.envelopes,
          done: message.done,
        };
  return utf8(parentText(object));
}

function seqField(object: JsonObject, key: string): number {
  const value: Json | undefined = object[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new SpineError("range_invalid", `${key} is not an integer from 0 to 2^53 − 1`);
  return value;
}

function issuerField(object: JsonObject): Issuer {
  const value: Json | undefined = object["issuer"];
  return foreignIssuer(typeof value === "string" ? value : "");
}

/**
 * Reads either message, of either prefix, in any spelling; unknown fields are ignored, as the parent ignores them.
 * Throws the json codes, `frame_size`, `frame_unexpected` (another schema), `issuer_syntax` or `range_invalid`.
 */
export function decodeParentSync(input: string | Uint8Array): ParentSyncMessage {
  if (input.length > PARENT_MAX_MESSAGE_BYTES)
    throw new SpineError("frame_size", `sync message of ${input.length} bytes, limit ${PARENT_MAX_MESSAGE_BYTES}`);
  const value: Json = parseJson(input);
  const schema: Json | undefined = isJsonObject(value) ? value["schema"] : undefined;
  if (!isJsonObject(value) || typeof schema !== "string")
    throw new SpineError("frame_unexpected", "a sync message is a JSON object with a schema");
  const name: string = schema.replace(PREFIX, "aegis.");
  if (name === SYNC_REQUEST_SCHEMA) {
    const fromSeq = seqField(value, "from_seq");
    const toSeq = seqField(value, "to_seq");
    if (toSeq < fromSeq) throw new SpineError("range_invalid", `to_seq ${toSeq} lies before from_seq ${fromSeq}`);
    const maxBytes = value["max_bytes"] === undefined ? PARENT_DEFAULT_MAX_BYTES : seqField(value, "max_bytes");
    return { type: "sync-request", issuer: issuerField(value), fromSeq, toSeq, maxBytes };
  }
  if (name !== SYNC_RESPONSE_SCHEMA)
    throw new SpineError("frame_unexpected", `schema ${JSON.stringify(schema.slice(0, 100))}`);
  const envelopes: Json | undefined = value["envelopes"];
  if (!Array.isArray(envelopes) || envelopes.length > PARENT_MAX_ENVELOPES)
    throw new SpineError("range_invalid", `envelopes is not a list of at most ${PARENT_MAX_ENVELOPES}`);
  const done: Json = value["done"] === undefined ? true : (value["done"] as Json);
  if (typeof done !== "boolean") throw new SpineError("range_invalid", "done is neither true nor false");
  const list = envelopes as readonly Json[];
  return {
    type: "sync-response",
    issuer: issuerField(value),
    fromSeq: seqField(value, "from_seq"),
    envelopes: list,
    done,
  };
}

/** The marketplace's range rule, both ends included; throws `range_invalid` with upstream's wording. */
export function checkMarketplaceRange(fromSeq: number, toSeq: number): void {
  if (fromSeq < 1) throw new SpineError("range_invalid", "from_seq must be >= 1");
  if (toSeq < fromSeq) throw new SpineError("range_invalid", "to_seq must be >= from_seq");
  const length = toSeq - fromSeq + 1;
  if (length > MARKETPLACE_MAX_RANGE)
    throw new SpineError("range_invalid", `sync range too large (${length}), max is ${MARKETPLACE_MAX_RANGE}`);
}
