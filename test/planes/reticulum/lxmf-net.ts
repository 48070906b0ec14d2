/** LXMF routers and propagation nodes on the virtual network. Used by the LXMF tests. */
import { setImmediate as breathe } from "node:timers/promises";
import type { LxmfHost } from "../../../planes/reticulum/lxmf/host.ts";
import type { ReceivedMessage } from "../../../planes/reticulum/lxmf/inbox.ts";
import { PropagationNode, type PropagationNodeOptions } from "../../../planes/reticulum/lxmf/propagation-node.ts";
import { MemoryFiles, PropagationStore, type StoreOptions } from "../../../planes/reticulum/lxmf/propagation-store.ts";
import { LxmfRouter, type RouterOptions } from "../../../planes/reticulum/lxmf/router.ts";
import { InlineStamps } from "../../../planes/reticulum/lxmf/stamp-pool.ts";
import type { Identity } from "../../../planes/reticulum/stack/identity.ts";
import type { Millis } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import type { Net, NetNode } from "./net.ts";

export function hostOf(net: Net, node: NetNode): LxmfHost {
  return {
    endpoint: node.endpoint,
    stamps: new InlineStamps(seededRandom(`${node.name}/stamps`)),
    act: (task) => net.act(node, task),
    unixMs: () => net.now,
    changed: () => undefined,
    persisted: async () => undefined,
  };
}

export interface Mailbox {
  readonly node: NetNode;
  readonly router: LxmfRouter;
  readonly inbox: ReceivedMessage[];
}

export function mailbox(net: Net, node: NetNode, options: Partial<RouterOptions> = {}): Mailbox {
  const inbox: ReceivedMessage[] = [];
  const router = new LxmfRouter(hostOf(net, node), {
    identity: node.destination.identity as Identity,
    onMessage: (message) => inbox.push(message),
    ...options,
  });
  return { node, router, inbox };
}

export async function postOffice(
  net: Net,
  node: NetNode,
  options: Partial<PropagationNodeOptions> = {},
  limits: StoreOptions = { maxBytes: 1_000_000 },
  files = new MemoryFiles(),
): Promise<{ readonly office: PropagationNode; readonly store: PropagationStore; readonly files: MemoryFiles }> {
  const store = await PropagationStore.open(files, limits);
  const identity = node.destination.identity as Identity;
  const office = new PropagationNode(hostOf(net, node), { identity, store, stampCost: 13, peeringCost: 4, ...options });
  return { office, store, files };
}

/** Runs virtual time and lets promises settle, until `done` or for `forMs`. */
export async function settle(net: Net, forMs: Millis, done: () => boolean = () => false): Promise<boolean> {
  const until = net.now + forMs;
  while (net.now < until && !done()) {
    net.run(Math.min(100, until - net.now), done);
    for (let i = 0; i < 3; i++) await breathe();
  }
  return done();
}
