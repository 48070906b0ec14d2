/** Announces as the endpoint lives with them: sends its own, learns from those of others (spec/reticulum.md sections 7 and 9.1). */
import { type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { type Announce, announceData, announceRandomHash, checkAnnounce, readAnnounce } from "./announce.ts";
import type { StackContext, Wire } from "./context.ts";
import type { Destination } from "./destination.ts";
import { Ingress } from "./ingress.ts";
import type { KnownDestinations } from "./known.ts";
import { nameHash, SINGLE } from "./name.ts";
import { ANNOUNCE, buildPacket, CONTEXT, MAX_HOPS, NETWORK_MTU, type Packet } from "./packet.ts";
import type { CachedAnnounce, PathTable } from "./path-table.ts";

export interface AnnounceEvent extends Announce {
  /** 1 = heard directly. */
  readonly hops: number;
  readonly wire: string;
  readonly pathResponse: boolean;
  /** As it came, its hops counted; a view that is valid during the call. */
  readonly packet: Packet;
}

export interface AnnounceHandler {
  /** Dotted name without identity; all announces when omitted. */
  readonly name?: string;
  readonly pathResponses?: boolean;
  readonly heard: (announce: AnnounceEvent) => void;
}

export interface AnnounceOptions {
  readonly appData?: Uint8Array | undefined;
  /** On this wire only. */
  readonly wire?: string;
  readonly pathResponse?: boolean;
}

function defaultAppData({ appData }: Destination): Uint8Array | undefined {
  return typeof appData === "function" ? appData() : appData;
}

/** The packet; a due ratchet is rotated and saved first. Throws `payload_size`, or `internal` for what is not announced. */
export function announcePacket(
  context: StackContext,
  destination: Destination,
  options: AnnounceOptions,
  unixMs: Millis,
): Uint8Array {
  const { identity } = destination;
  if (destination.type !== SINGLE || destination.direction !== "in" || identity === undefined) {
    throw new SpineError("internal", "only SINGLE destinations of our own are announced");
  }
  const ratchet = destination.ratchets?.rotate(context.now(), context.random);
  const data = announceData({
    identity,
    destination: destination.hash,
    nameHash: destination.nameHash,
    randomHash: announceRandomHash(context.random(5), unixMs),
    ratchet,
    appData: options.appData ?? defaultAppData(destination),
  });
  const raw = buildPacket({
    packetType: ANNOUNCE,
    destinationType: SINGLE,
    destination: destination.hash,
    data,
    contextFlag: ratchet !== undefined,
    context: options.pathResponse === true ? CONTEXT.pathResponse : CONTEXT.none,
  });
  if (raw.length > NETWORK_MTU) throw new SpineError("payload_size", `announce of ${raw.length} bytes`);
  return raw;
}

/** What the endpoint adds to the life of an announce. */
export interface AnnouncePorts {
  /** The wall clock, unix ms. */
  unixMs(): Millis;
  /** Any announce of a transport node, before it is judged. */
  repeated(packet: Packet): void;
  /** Was a path to this destination (hex) asked for? Its announce is not held back. */
  isWanted(key: string): boolean;
  /** Learned from, and not yet told to the handlers. */
  accepted(packet: Packet, announce: Announce, cached: CachedAnnounce, wire: Wire): void;
}

/** What is heard: checked, learned, told to the handlers. */
export class Announces {
  readonly #context: StackContext;
  readonly #known: KnownDestinations;
  readonly #paths: PathTable;
  readonly #ports: AnnouncePorts;
  readonly #ingress = new Map<string, Ingress>();
  readonly #handlers = new Set<AnnounceHandler & { readonly nameHash: string | undefined }>();
  constructor(context: StackContext, known: KnownDestinations, paths: PathTable, ports: AnnouncePorts) {
    this.#context = context;
    this.#known = known;
    this.#paths = paths;
    this.#ports = ports;
  }
  attach(wire: Wire): void {
    this.#ingress.get(wire.id)?.clear();
    this.#ingress.set(wire.id, new Ingress(this.#context, wire, (packet) => this.#judge(packet, wire, "released")));
  }
  detach(wireId: string): void {
    this.#ingress.get(wireId)?.clear();
    this.#ingress.delete(wireId);
  }
  /** False while path requests come in a burst. */
  takesRequest(wireId: string): boolean {
    return this.#ingress.get(wireId)?.takesRequest() !== false;
  }
  /** False when a wire has sent as many path requests as it may. */
  sendsRequest(wireId: string): boolean {
    return this.#ingress.get(wireId)?.sendsRequest() !== false;
  }
  /** Announces held back, all wires together. */
  get held(): number {
    let sum = 0;
    for (const ingress of this.#ingress.values()) sum += ingress.held;
    return sum;
  }
  /** Returns a function that removes the handler. */
  listen(handler: AnnounceHandler): () => void {
    const name = handler.name === undefined ? undefined : toHex(nameHash(handler.name));
    const entry = { ...handler, nameHash: name };
    this.#handlers.add(entry);
    return () => this.#handlers.delete(entry);
  }
  /** An announce packet, its hops already counted. What brings nothing new is dropped before its signature costs anything. */
  heard(packet: Packet, wire: Wire): void {
    this.#ingress.get(wire.id)?.noteAnnounce();
    this.#judge(packet, wire, "heard");
  }
  #judge(packet: Packet, wire: Wire, from: "heard" | "released"): void {
    const context = this.#context;
    const now = context.now();
    let announce: Announce;
    try {
      announce = readAnnounce(packet);
      if (packet.transportId !== undefined) this.#ports.repeated(packet);
      const gravity = wire.policy?.gravity ?? 0;
      if (packet.hops > MAX_HOPS || !this.#paths.accepts(announce, packet.hops, now, this.#ports.unixMs(), gravity)) {
        if (packet.hops <= MAX_HOPS && this.#paths.isSibling(announce)) this.#learnSibling(packet, announce, wire);
        else context.count("drop_announce_stale");
        return;
      }
      if (from === "heard" && this.#holds(packet, wire)) return;
      checkAnnounce(packet, announce);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      context.count("drop_announce_invalid");
      return;
    }
    if (!this.#known.learn(announce, now)) {
      context.count("drop_announce_key_changed");
      return;
    }
    const cached = { data: packet.data.slice(), contextFlag: packet.contextFlag };
    const nextHop = packet.transportId ?? packet.destination;
    this.#paths.learn({ announce, hops: packet.hops, nextHop, wire, cached }, now);
    context.count("announces_accepted");
    this.#ports.accepted(packet, announce, cached, wire);
    const pathResponse = packet.context === CONTEXT.pathResponse;
    this.#tell({ ...announce, hops: packet.hops, wire: wire.id, pathResponse, packet });
  }
  /** The way to the destination stays, and nothing is carried on; its app_data and ratchet are the new ones. */
  #learnSibling(packet: Packet, announce: Announce, wire: Wire): void {
    checkAnnounce(packet, announce);
    this.#paths.noteSibling(announce);
    if (!this.#known.learn(announce, this.#context.now())) {
      this.#context.count("drop_announce_key_changed");
      return;
    }
    const pathResponse = packet.context === CONTEXT.pathResponse;
    this.#tell({ ...announce, hops: packet.hops, wire: wire.id, pathResponse, packet });
  }
  #holds(packet: Packet, wire: Wire): boolean {
    const ingress = this.#ingress.get(wire.id);
    if (ingress === undefined || this.#known.get(packet.destination) !== undefined) return false;
    const key = toHex(packet.destination);
    return !this.#ports.isWanted(key) && ingress.holds(key, packet);
  }
  #tell(event: AnnounceEvent): void {
    const name = toHex(event.nameHash);
    for (const handler of this.#handlers) {
      if (event.pathResponse && handler.pathResponses !== true) continue;
      if (handler.nameHash === undefined || handler.nameHash === name) this.#context.notify(() => handler.heard(event));
    }
  }
}
