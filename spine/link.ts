/** What the core knows of one connection to one peer. */
import type { Issuer } from "./ports.ts";

/** Unique within a node's lifetime; made by the plane, such as "libp2p:12D3Koo…". */
export type LinkId = string;

/** Verdict on a broadcast: "accept" passes it on, "ignore" drops it, "reject" drops it and blames the neighbour. */
export type Verdict = "accept" | "ignore" | "reject";

export interface LinkInfo {
  /** Largest frame, bytes. */
  readonly mtu: number;
  /** Bits per second, an estimate; Infinity if unlimited. */
  readonly bitrate: number;
  /** Links of lower cost are asked first. */
  readonly cost: "free" | "metered" | "radio";
  /** Transport identities (at most 255 bytes each), bound into the hello's issuer proof. */
  readonly localBinding: Uint8Array;
  readonly remoteBinding: Uint8Array;
  /** The operator named this peer. */
  readonly configured: boolean;
  /** For people: where the peer is. */
  readonly address: string;
  /** The issuer that announced the peer's transport key, where the transport knows it: no other may say hello. */
  readonly issuer?: Issuer;
}
