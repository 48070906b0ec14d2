/** Messages as text or QR code on paper (spec/reticulum.md section 21.7). */
import { concatBytes, type Random, SpineError } from "../../../spine/index.ts";
import type { Destination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { PublicIdentity } from "../stack/identity.ts";
import { type LxMessage, openMessage, packMessage } from "./message.ts";

/** What a QR code of the common size holds, bytes. */
export const PAPER_MDU = 2210;
const SCHEME = "lxm://";
const MAX_URI_CHARACTERS = 4096;

/** `lxm://…`, readable by the recipient only. Throws `payload_size`. */
export function paperUri(message: LxMessage, recipient: PublicIdentity, random: Random, ratchet?: Uint8Array): string {
  const sealed = recipient.encrypt(packMessage(message).subarray(ADDRESS_BYTES), random, ratchet);
  const bytes = concatBytes(message.destination, sealed);
  if (bytes.length > PAPER_MDU)
    throw new SpineError("payload_size", `${bytes.length} bytes, a paper holds ${PAPER_MDU}`);
  return `${SCHEME}${Buffer.from(bytes).toString("base64url")}`;
}

/** The message in a URI, opened with the keys of `destination`. Throws `frame_syntax` or `api_input` (not for us). */
export function openPaper(uri: string, destination: Destination): LxMessage {
  const text = uri.trim();
  if (text.length > MAX_URI_CHARACTERS || !/^lxm:\/\/[A-Za-z0-9_-]+=*$/i.test(text)) {
    throw new SpineError("frame_syntax", "not an lxm:// message");
  }
  const bytes = new Uint8Array(Buffer.from(text.slice(SCHEME.length), "base64url"));
  const to = bytes.subarray(0, ADDRESS_BYTES);
  const plain = Buffer.from(destination.hash).equals(to)
    ? destination.decrypt(bytes.subarray(ADDRESS_BYTES))
    : undefined;
  if (plain === undefined) throw new SpineError("api_input", "the message is for somebody else");
  return openMessage(concatBytes(to, plain));
}
