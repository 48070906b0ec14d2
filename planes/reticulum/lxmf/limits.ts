/** Sizes of LXMF messages by carrier (spec/reticulum.md section 21.2), bytes. */
import { LXMF_OVERHEAD } from "./message.ts";

/** Content of a message that goes in one packet over a link. */
const LINK_PACKET_CONTENT = 319;
/** A whole message in one packet over a link. */
export const LINK_PACKET_BYTES = LINK_PACKET_CONTENT + LXMF_OVERHEAD;
