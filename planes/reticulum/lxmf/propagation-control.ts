/**
 * The destination `lxmf.propagation.control`: statistics of a propagation node and orders about its peers, for the node's
 * own identity and those its operator names (spec/reticulum.md section 21.6). Spoken by `lxmd --status`, `--sync` and `--unpeer`.
 */
import { toHex } from "../../../spine/index.ts";
import { Destination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { Identity } from "../stack/identity.ts";
import { Double, type Packable } from "../stack/msgpack.ts";
import { SINGLE } from "../stack/name.ts";
import { MAX_HOPS } from "../stack/packet.ts";
import type { RequestArrival } from "../stack/request.ts";
import { readPropagationAppData } from "./app-data.ts";
import type { LxmfHost } from "./host.ts";
import { REFUSAL } from "./propagation.ts";
import type { Peer, PropagationPeers } from "./propagation-peer.ts";

export interface ControlOptions {
  readonly identity: Identity;
  /** Identity hashes in hex of others who may ask. */
  readonly controllers: readonly string[];
  readonly peers: PropagationPeers;
  /** What the node itself can tell, in the order of the answer. */
  readonly about: () => ReadonlyMap<string, Packable>;
}

export class PropagationControl {
  readonly destination: Destination;
  readonly #host: LxmfHost;
  readonly #options: ControlOptions;
  constructor(host: LxmfHost, options: ControlOptions) {
    const { identity, controllers } = options;
    this.#host = host;
    this.#options = options;
    const name = { appName: "lxmf", aspects: ["propagation", "control"] };
    this.destination = new Destination({ type: SINGLE, ...name, identity });
    const allow = new Set([identity.hex, ...controllers]);
    const { requests } = this.destination;
    requests.register({ path: "/pn/get/stats", allow, handle: (_, respond) => respond(this.#stats()) });
    const orders: Readonly<Record<string, (peer: Peer) => void>> = {
      "/pn/peer/sync": (peer) => options.peers.syncNow(peer),
      "/pn/peer/unpeer": (peer) => options.peers.drop(peer),
    };
    for (const [path, obey] of Object.entries(orders)) {
      requests.register({ path, allow, handle: (arrival, respond) => respond(this.#order(arrival, obey)) });
    }
    host.act(() => host.endpoint.register(this.destination));
  }
  #order({ data }: RequestArrival, obey: (peer: Peer) => void): Packable {
    if (!(data instanceof Uint8Array) || data.length !== ADDRESS_BYTES) return REFUSAL.invalidData;
    const peer = this.#options.peers.get(toHex(data));
    if (peer === undefined) return REFUSAL.notFound;
    obey(peer);
    return true;
  }
  #stats(): Packable {
    const { peers, about } = this.#options;
    const all = peers.all;
    const fixed = all.filter((peer) => peer.fixed).length;
    return new Map<Packable, Packable>([
      ...about(),
      ["static_peers", fixed],
      ["discovered_peers", all.length - fixed],
      ["total_peers", all.length],
      ["max_peers", peers.maxPeers],
      ["peers", new Map(all.map((peer): [Packable, Packable] => [peer.hash, this.#peer(peer)]))],
    ]);
  }
  #peer(peer: Peer): Packable {
    const { endpoint } = this.#host;
    const told = readPropagationAppData(peer.appData);
    const states: readonly Peer["state"][] = ["idle", "linking", "offering", "sending", "key"];
    return new Map<Packable, Packable>([
      ["type", peer.fixed ? "static" : "discovered"],
      ["state", states.indexOf(peer.state)],
      ["alive", told !== undefined && peer.failures === 0],
      ["name", told?.name ?? null],
      ["last_heard", told === undefined ? 0 : new Double(peer.heardAt)],
      ["next_sync_attempt", new Double(peer.nextSyncAt)],
      ["last_sync_attempt", new Double(peer.lastSyncAt)],
      ["sync_backoff", peer.failures * 720],
      ["peering_timebase", told === undefined ? 0 : told.at],
      ["ler", 0],
      ["str", 0],
      ["transfer_limit", told?.transferLimitKb ?? null],
      ["sync_limit", told?.syncLimitKb ?? null],
      ["target_stamp_cost", told?.stampCost ?? null],
      ["stamp_cost_flexibility", told?.stampFlexibility ?? null],
      ["peering_cost", told?.peeringCost ?? null],
      ["peering_key", peer.key === undefined ? null : (told?.peeringCost ?? null)],
      ["network_distance", endpoint.path(peer.hash)?.hops ?? MAX_HOPS],
      ["rx_bytes", peer.incomingBytes],
      ["tx_bytes", peer.outgoingBytes],
      ["acceptance_rate", peer.offered === 0 ? 0 : new Double(peer.outgoing / peer.offered)],
      [
        "messages",
        new Map<Packable, Packable>([
          ["offered", peer.offered],
          ["outgoing", peer.outgoing],
          ["incoming", peer.incoming],
          ["unhandled", peer.unhandled.size],
        ]),
      ],
    ]);
  }
  close(): void {
    this.#host.endpoint.deregister(this.destination);
  }
}
