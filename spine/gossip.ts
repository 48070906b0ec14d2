/**
 * What may be heard on the gossip topic: one envelope or one head announcement, in canonical JSON or in the parent's
 * form, so that no statement has endless spellings (rules 1). spec/spine.md sections 8.1 and 15.
 */
import { utf8Text } from "./bytes.ts";
import { type Envelope, envelopeText } from "./envelope.ts";
import { SpineError } from "./errors.ts";
import { type Head, headText, openHeadValue } from "./head.ts";
import { isJsonObject, type Json, parseJson } from "./lossless.ts";
import { MAX_ENVELOPE_INPUT, openEnvelopeValue } from "./open.ts";
import { isParentForm } from "./parent-form.ts";
import type { Sha256Hex } from "./ports.ts";
import { HEAD_SCHEMA } from "./tags.ts";
import { readWholeEnvelope } from "./whole-envelope.ts";

export type GossipMessage =
  | { readonly type: "envelope"; readonly envelope: Envelope }
  | { readonly type: "head"; readonly head: Head };

/**
 * Opens a message by its schema. Throws what `openEnvelope` and `openHead` throw, and `json_not_canonical` for any
 * spelling but the two. Does not verify the signature.
 */
export function openGossip(bytes: Uint8Array, sha256Hex: Sha256Hex): GossipMessage {
  if (bytes.length > MAX_ENVELOPE_INPUT)
    throw new SpineError("envelope_size", `message of ${bytes.length} bytes, limit ${MAX_ENVELOPE_INPUT}`);
  const usual = readWholeEnvelope(bytes, sha256Hex);
  if (usual !== undefined) return { type: "envelope", envelope: usual };
  const text: string = utf8Text(bytes);
  const value: Json = parseJson(text);
  let message: GossipMessage;
  let canonical: string;
  if (isJsonObject(value) && value["schema"] === HEAD_SCHEMA) {
    message = { type: "head", head: openHeadValue(value) };
    canonical = headText(message.head);
  } else {
    message = { type: "envelope", envelope: openEnvelopeValue(value, sha256Hex) };
    canonical = envelopeText(message.envelope);
  }
  if (text !== canonical && !isParentForm(text))
    throw new SpineError("json_not_canonical", `a ${message.type} neither in canonical nor in the parent's spelling`);
  return message;
}
