/** Links over which messages go directly: opened once per peer, kept while used, also those a peer opened to us. Used by `router.ts`. */
import { type Millis, toHex } from "../../../spine/index.ts";
import { RemoteDestination } from "../stack/destination.ts";
import type { Identity, PublicIdentity } from "../stack/identity.ts";
import type { Link } from "../stack/link.ts";
import type { LxmfHost } from "./host.ts";
import { LINK_PACKET_BYTES } from "./limits.ts";
import type { Outgoing } from "./outgoing.ts";

const IDLE_MS = 600_000;
const MAX_RESOURCE_BYTES = 1_000_000;
const DELIVERY_NAME = "lxmf.delivery";

export interface DeliveryEvents {
  /** A whole message arrived on a link. */
  received(packed: Uint8Array): void;
  delivered(outgoing: Outgoing): void;
  /** It may be tried again. */
  missed(outgoing: Outgoing): void;
}

interface Channel {
  readonly link: Link;
  readonly waiting: Outgoing[];
  usedAt: Millis;
  identified: boolean;
  cancelTimer: (() => void) | undefined;
}

/** The `lxmf.delivery` address of an identity. */
export function deliveryHash(identity: PublicIdentity): Uint8Array {
  return new RemoteDestination(DELIVERY_NAME, identity).hash;
}

export class DeliveryLinks {
  readonly #host: LxmfHost;
  readonly #identity: Identity;
  readonly #events: DeliveryEvents;
  /** By the peer's delivery address in hex. */
  readonly #channels = new Map<string, Channel>();
  constructor(host: LxmfHost, identity: Identity, events: DeliveryEvents) {
    this.#host = host;
    this.#identity = identity;
    this.#events = events;
  }
  get size(): number {
    return this.#channels.size;
  }
  /** A link a peer opened to our delivery destination; once it identifies, answers go over it too. */
  accept(link: Link): void {
    this.#listen(link);
    link.onIdentified = (identity) => {
      const key = toHex(deliveryHash(identity));
      if (this.#channels.get(key)?.link.isUp !== true) this.#keep(key, link, []);
    };
  }
  #listen(link: Link): void {
    link.proofs = "all";
    link.onPacket = (data) => this.#events.received(data);
    link.acceptResource = ({ totalBytes }) => totalBytes <= MAX_RESOURCE_BYTES;
    link.onResource = ({ data }) => this.#events.received(data);
  }
  #keep(key: string, link: Link, waiting: Outgoing[]): Channel {
    const { context } = this.#host.endpoint;
    const channel: Channel = { link, waiting, usedAt: context.now(), identified: false, cancelTimer: undefined };
    this.#channels.set(key, channel);
    link.onClosed = () => {
      channel.cancelTimer?.();
      if (this.#channels.get(key) === channel) this.#channels.delete(key);
      for (const outgoing of channel.waiting.splice(0)) this.#events.missed(outgoing);
    };
    this.#watch(channel);
    return channel;
  }
  #watch(channel: Channel): void {
    const { context } = this.#host.endpoint;
    channel.cancelTimer = context.schedule(channel.usedAt + IDLE_MS, () => {
      if (context.now() - channel.usedAt >= IDLE_MS && channel.link.resources.outgoing.length === 0)
        channel.link.close();
      else {
        channel.usedAt = Math.max(channel.usedAt, context.now() - IDLE_MS + 60_000);
        this.#watch(channel);
      }
    });
  }
  /** Throws `path_unknown` or `link_congested`. */
  send(outgoing: Outgoing): void {
    const { destination } = outgoing.message;
    const key = toHex(destination);
    const channel = this.#channels.get(key) ?? this.#open(key, destination);
    if (channel.link.isUp) this.#transmit(channel, outgoing);
    else channel.waiting.push(outgoing);
  }
  #open(key: string, destination: Uint8Array): Channel {
    const link = this.#host.endpoint.openLink(destination);
    this.#listen(link);
    const channel = this.#keep(key, link, []);
    link.onEstablished = () => {
      for (const outgoing of channel.waiting.splice(0)) this.#transmit(channel, outgoing);
    };
    return channel;
  }
  #transmit(channel: Channel, outgoing: Outgoing): void {
    const { link } = channel;
    if (outgoing.isOver) return;
    channel.usedAt = this.#host.endpoint.context.now();
    const packed = outgoing.packed();
    const done = (): void => {
      // From now on the peer can answer over this link.
      if (link.role === "initiator" && !channel.identified && link.isUp) {
        channel.identified = true;
        link.identify(this.#identity);
      }
      this.#events.delivered(outgoing);
    };
    try {
      if (packed.length <= Math.min(link.mdu, LINK_PACKET_BYTES)) {
        const receipt = link.send(packed);
        receipt.onDelivered = done;
        receipt.onFailed = () => this.#events.missed(outgoing);
      } else {
        const resource = link.sendResource(packed);
        resource.onConcluded = () => (resource.state === "complete" ? done() : this.#events.missed(outgoing));
      }
    } catch {
      this.#events.missed(outgoing);
    }
  }
  close(): void {
    for (const { link } of [...this.#channels.values()]) link.close();
  }
}
