/** What a link offers to the resources, requests and channel that run over it. Implemented by `link.ts`. */
import type { Millis } from "../../../spine/index.ts";
import type { StackContext } from "./context.ts";
import type { Receipt } from "./receipt.ts";
import type { Token } from "./token.ts";

export interface LinkPort {
  /** 16 bytes. */
  readonly id: Uint8Array;
  readonly context: StackContext;
  readonly token: Token;
  readonly mtu: number;
  readonly mdu: number;
  readonly rttMs: Millis;
  /** Bits per second of the wire below. */
  readonly bitrate: number;
  /** Bits per second seen while the link was set up: the first guess. */
  readonly handshakeRate: number;
  /** Sends one DATA packet; encrypted unless `clear`. Returns the packet. */
  transmit(context: number, data: Uint8Array, clear?: "clear"): Uint8Array;
  /** Sends a PROOF packet with clear data. */
  transmitProof(context: number, data: Uint8Array): void;
  /** Sends an encrypted packet that the peer proves. */
  transmitProved(context: number, data: Uint8Array, timeoutMs: Millis): Receipt;
  close(): void;
}
