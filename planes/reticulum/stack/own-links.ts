/** The links that end at this node: a bounded table, and the acceptance of those asked of us. Used by `endpoint.ts`. */
import type { Millis } from "../../../spine/index.ts";
import { type StackContext, type Wire, wireLinkMtu } from "./context.ts";
import type { Destination } from "./destination.ts";
import type { EphemeralKeys } from "./ephemeral-keys.ts";
import { decodeSignalling, parseLinkRequest } from "./handshake.ts";
import { Link } from "./link.ts";
import { NETWORK_MTU, type Packet } from "./packet.ts";

const MAX_LINKS = 1024;
const PER_HOP_MS = 6000;
const RESPONDER_EXTRA_MS = 360_000;

export class OwnLinks {
  readonly byId = new Map<string, Link>();
  readonly #context: StackContext;
  readonly #keys: EphemeralKeys;
  readonly #closed: (link: Link) => void;
  /** `closed` is told of every link that ends. */
  constructor(context: StackContext, keys: EphemeralKeys, closed: (link: Link) => void) {
    this.#context = context;
    this.#keys = keys;
    this.#closed = closed;
  }
  get isFull(): boolean {
    return this.byId.size >= MAX_LINKS;
  }
  forget(link: Link): void {
    this.byId.delete(link.hex);
    this.#closed(link);
  }
  /** A link request, its hops counted, and the destination it names, if that is one of ours. */
  requested(packet: Packet, wire: Wire, destination: Destination | undefined): void {
    if (destination?.acceptsLinks === true) this.#accept(packet, wire, destination);
    else this.#context.count(destination === undefined ? "drop_unknown_destination" : "drop_link_refused");
  }
  #accept(packet: Packet, wire: Wire, destination: Destination): void {
    const request = parseLinkRequest(packet);
    if (this.isFull && !this.#dropHalfOpen()) return;
    const { mtu } = decodeSignalling(request.signalling);
    const establishmentTimeoutMs: Millis = PER_HOP_MS * Math.max(1, packet.hops) + RESPONDER_EXTRA_MS;
    const link = Link.accept(
      {
        context: this.#context,
        id: request.linkId,
        role: "responder",
        destination: destination.hash,
        mtu: Math.max(NETWORK_MTU, Math.min(mtu, wireLinkMtu(wire))),
        hops: packet.hops,
        establishmentTimeoutMs,
        forget: (gone) => this.forget(gone),
      },
      request,
      wire,
      destination,
      this.#keys.exchange(),
    );
    this.byId.set(link.hex, link);
    // The key is agreed while the peer checks the proof.
    this.#context.schedule(this.#context.now(), () => {
      if (link.state === "closed" || link.hasKey) return;
      this.#context.count("drop_link_refused");
      link.close();
    });
    link.onEstablished = () => destination.onLink?.(link);
  }
  /** Makes room for a link; those whose initiator never spoke again go first, so that requests alone cannot fill the table. */
  #dropHalfOpen(): boolean {
    this.#context.count("drop_table_full");
    for (const link of this.byId.values()) {
      if (link.state !== "handshake") continue;
      link.close();
      return true;
    }
    return false;
  }
}
