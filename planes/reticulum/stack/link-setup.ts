/** What a link is made of and the names of its states. Used by `link.ts` and by those who make and watch links. */
import type { Millis } from "../../../spine/index.ts";
import type { StackContext } from "./context.ts";
import type { Link } from "./link.ts";

export type LinkState = "pending" | "handshake" | "active" | "stale" | "closed";
export type CloseReason = "timeout" | "initiator" | "destination" | "wire";
export type ProofStrategy = "none" | "all" | ((data: Uint8Array) => boolean);

export interface LinkSetup {
  readonly context: StackContext;
  readonly id: Uint8Array;
  readonly role: "initiator" | "responder";
  readonly destination: Uint8Array;
  readonly mtu: number;
  readonly hops: number;
  readonly establishmentTimeoutMs: Millis;
  /** Takes the link out of the endpoint's table. */
  readonly forget: (link: Link) => void;
}
