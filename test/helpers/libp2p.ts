/** Libp2p planes for tests: random keys, a loopback port of the system's choice, short redial delays. */
import { randomBytes } from "node:crypto";
import { type Libp2pLimits, type Libp2pOptions, Libp2pPlane } from "../../planes/index.ts";

export const never: AbortSignal = new AbortController().signal;

export function libp2pPlane(options: Partial<Libp2pOptions> = {}, limits: Partial<Libp2pLimits> = {}): Libp2pPlane {
  return new Libp2pPlane({
    privateKeySeed: new Uint8Array(randomBytes(32)),
    listen: ["/ip4/127.0.0.1/tcp/0"],
    ...options,
    limits: { redialMinMs: 200, ...limits },
  });
}

/** Peer id of a running plane, from its own address. */
export function peerIdOf(plane: Libp2pPlane): string {
  return (plane.addresses()[0] as string).split("/p2p/").at(-1) as string;
}
