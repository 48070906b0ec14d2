/** Two endpoints on a virtual ether: Bob serves a destination that Alice knows. Used by the endpoint and fault tests. */
import assert from "node:assert/strict";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import type { Endpoint } from "../../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import { utf8 } from "../../../spine/index.ts";
import { Ether, type EtherOptions, seededRandom } from "./ether.ts";

export interface Pair {
  readonly ether: Ether;
  readonly alice: Endpoint;
  readonly bob: Endpoint;
  readonly service: Destination;
}

/** Bob serves "test.service"; Alice has heard of it. */
export function pair(options: EtherOptions): Pair {
  const ether = new Ether(options);
  const alice = ether.add("alice");
  const bob = ether.add("bob");
  const identity = Identity.create(seededRandom(`${options.seed}/service`));
  const service = new Destination({ type: SINGLE, appName: "test", aspects: ["service"], identity });
  service.proofs = "all";
  ether.act(bob, () => bob.register(service));
  for (let i = 0; i < 40 && !alice.known.get(service.hash); i++) {
    ether.run(1100);
    ether.act(bob, () => bob.announce(service, { appData: utf8("hello") }));
    ether.run(100);
  }
  assert.ok(alice.known.get(service.hash), "announce heard");
  return { ether, alice, bob, service };
}

/** Opens a link from Alice to Bob, trying again when the handshake is lost. */
export function linked(p: Pair): { near: Link; far: Link } {
  let far: Link | undefined;
  p.service.onLink = (link) => {
    far = link;
  };
  for (let i = 0; i < 20; i++) {
    const near = p.ether.act(p.alice, () => p.alice.openLink(p.service.hash));
    p.ether.run(60_000, () => near.state !== "pending" && (far?.isUp === true || near.state === "closed"));
    if (near.state === "active" && far?.isUp === true && far.hex === near.hex) return { near, far };
    p.ether.act(p.alice, () => near.close());
  }
  throw new Error("no link");
}

/** The same bytes for the same length. */
export function pattern(length: number): Uint8Array {
  return seededRandom(`data/${length}`)(length);
}
