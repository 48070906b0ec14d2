/**
 * One link: handshake, liveness, data, identify, close; resources, requests and the channel hang on it
 * (spec/reticulum.md section 12). Made and fed by `endpoint.ts`.
 */
import { concatBytes, equalBytes, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { type Advertisement, FLAG } from "./advertisement.ts";
import { Channel } from "./channel.ts";
import type { StackContext, Wire } from "./context.ts";
import { type ExchangeKey, VerifyingKey } from "./crypto.ts";
import type { Destination } from "./destination.ts";
import {
  deriveLinkKey,
  encodeSignalling,
  type LinkKeys,
  type LinkRequest,
  linkMdu,
  linkRequestProof,
  openLinkProof,
} from "./handshake.ts";
import { type Identity, PublicIdentity } from "./identity.ts";
import {
  KEEPALIVE_REPLY,
  KEEPALIVE_REQUEST,
  keepaliveInterval,
  type LinkActivity,
  staleGrace,
  staleTime,
  trafficTimeout,
} from "./keepalive.ts";
import type { LinkPort } from "./link-port.ts";
import { LinkResources, type ReceivedResource } from "./link-resources.ts";
import type { CloseReason, LinkSetup, LinkState, ProofStrategy } from "./link-setup.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "./msgpack.ts";
import { LINK } from "./name.ts";
import { buildPacket, CONTEXT, DATA, NETWORK_MTU, type Packet, PROOF, packetHash } from "./packet.ts";
import { linkProof, proves } from "./proof.ts";
import { Receipt } from "./receipt.ts";
import { LinkRequests, type PendingRequest, type RequestHandlers } from "./request.ts";
import type { OutgoingResource, ResourceOptions } from "./resource-sender.ts";
import { SessionKey } from "./session-key.ts";
import type { Token } from "./token.ts";

const MAX_RECEIPTS = 1024;
const DEFAULT_MAX_RESOURCE_BYTES = 64 * 1024 * 1024;
/** Contexts whose data is not encrypted by the link. */
const CLEAR = new Set<number>([CONTEXT.resource, CONTEXT.keepalive, CONTEXT.cacheRequest]);

export class Link implements LinkPort {
  readonly id: Uint8Array;
  readonly hex: string;
  readonly role: "initiator" | "responder";
  /** The destination that was linked to. */
  readonly destinationHash: Uint8Array;
  readonly context: StackContext;
  state: LinkState = "pending";
  closeReason: CloseReason | undefined;
  mtu: number;
  rttMs: Millis = 0;
  hops: number;
  wireId: string | undefined;
  handshakeRate = 500;
  bitrate = Number.POSITIVE_INFINITY;
  /** Who the peer is: the destination's identity for the initiator, what it identified as for the responder. */
  peer: PublicIdentity | undefined;
  proofs: ProofStrategy = "none";
  /** Which incoming resources are taken; requests and responses are judged on their own. */
  acceptResource: (advertisement: Advertisement) => boolean = () => false;
  onEstablished: (() => void) | undefined;
  onClosed: ((reason: CloseReason) => void) | undefined;
  /** `prove` is for those who set `proofs` to "none" and decide later. */
  onPacket: ((data: Uint8Array, prove: () => void) => void) | undefined;
  onIdentified: ((identity: PublicIdentity) => void) | undefined;
  onResource: ((resource: ReceivedResource) => void) | undefined;
  /** After each part of a resource that comes in; share of it, 0 to 1. Must not throw. */
  onResourceProgress: ((advertisement: Advertisement, share: number) => void) | undefined;
  onResourceFailed: ((advertisement: Advertisement, reason: SpineError) => void) | undefined;
  readonly resources: LinkResources;
  #requests: LinkRequests;
  #channel: Channel | undefined;
  #session: SessionKey | undefined;
  #keys: LinkKeys | undefined;
  #identity: Identity | undefined;
  #peerKey: VerifyingKey | undefined;
  readonly #setup: LinkSetup;
  readonly #startedAt: Millis;
  readonly #receipts = new Map<string, Receipt>();
  #lastInbound: Millis;
  #lastOutbound: Millis;
  #lastKeepalive: Millis = 0;
  #lastData: Millis = 0;
  #liveness: { readonly keepaliveMs: Millis; readonly staleMs: Millis } | undefined;
  #cancelTimer: (() => void) | undefined;

  private constructor(setup: LinkSetup, handlers: RequestHandlers | undefined) {
    this.#setup = setup;
    this.context = setup.context;
    this.id = setup.id;
    this.hex = toHex(setup.id);
    this.role = setup.role;
    this.destinationHash = setup.destination;
    this.mtu = setup.mtu;
    this.hops = setup.hops;
    this.#startedAt = setup.context.now();
    this.#lastInbound = this.#startedAt;
    this.#lastOutbound = this.#startedAt;
    this.resources = new LinkResources(
      this,
      {
        accept: (advertisement) => this.#accepts(advertisement),
        received: (resource) => this.#resourceReceived(resource),
        failed: (advertisement, reason) => this.#resourceFailed(advertisement, reason),
        progress: (advertisement, share) => this.onResourceProgress?.(advertisement, share),
      },
      DEFAULT_MAX_RESOURCE_BYTES,
    );
    this.#requests = new LinkRequests(this, this.resources, handlers, () => this.peer);
    const deadline = this.#startedAt + setup.establishmentTimeoutMs;
    this.#cancelTimer = this.context.schedule(deadline, () => this.#shut("timeout"));
  }

  /** A link we ask for. The request packet was built with `keys`; `peer` is the destination's announced identity. */
  static initiate(setup: LinkSetup, keys: LinkKeys, peer: PublicIdentity): Link {
    const link = new Link(setup, undefined);
    link.#keys = keys;
    link.peer = peer;
    link.#peerKey = new VerifyingKey(peer.signingKey);
    return link;
  }

  /** A link somebody asks of us: answers with the proof. The caller asks for the key once that is on its way (`hasKey`). */
  static accept(
    setup: LinkSetup,
    request: LinkRequest,
    wire: Wire,
    destination: Destination,
    exchange: ExchangeKey,
  ): Link {
    const identity = destination.identity as Identity;
    const link = new Link(setup, destination.requests);
    link.#session = new SessionKey(() => deriveLinkKey(exchange, request.exchangeKey, request.linkId));
    link.#identity = identity;
    link.#peerKey = new VerifyingKey(request.signingKey);
    link.wireId = wire.id;
    link.bitrate = wire.bitrate;
    link.state = "handshake";
    link.proofs = destination.proofs;
    link.#emit(linkRequestProof(link.id, identity, exchange.publicKey, encodeSignalling(setup.mtu)));
    return link;
  }

  get token(): Token {
    const token = this.#session?.token;
    if (token === undefined) throw new SpineError("link_unknown", "the link is not established");
    return token;
  }
  /** Whether the session key is held: from the handshake until the link closes. */
  get hasKey(): boolean {
    return this.#session?.token !== undefined;
  }
  get establishmentTimeoutMs(): Millis {
    return this.#setup.establishmentTimeoutMs;
  }
  /** Largest clear payload of one packet, bytes. */
  get mdu(): number {
    return linkMdu(this.mtu);
  }
  get keepaliveMs(): Millis {
    return this.#liveness?.keepaliveMs ?? keepaliveInterval(this.rttMs);
  }
  /** How long the peer may be silent before the link is stale. */
  get staleMs(): Millis {
    return this.#liveness?.staleMs ?? staleTime(this.rttMs);
  }
  /** Replaces the intervals that follow from the round trip, on both ends or not at all. */
  setLiveness(keepaliveMs: Millis, staleMs: Millis): void {
    this.#liveness = { keepaliveMs, staleMs };
    if (this.state === "active") this.#watch();
  }
  /** When something last came, went, and was payload; when the last keepalive was sent. */
  get activity(): LinkActivity {
    return {
      inboundAt: this.#lastInbound,
      outboundAt: this.#lastOutbound,
      dataAt: this.#lastData,
      keepaliveAt: this.#lastKeepalive,
    };
  }
  /** Packets whose proof is awaited. */
  get unproved(): number {
    return this.#receipts.size;
  }
  get isUp(): boolean {
    return this.state === "active" || this.state === "stale";
  }

  // --- sending ---

  #emit(raw: Uint8Array): void {
    this.#lastOutbound = this.context.now();
    if (this.wireId !== undefined) this.context.transmit(raw, this.wireId, this.hops > 1);
  }
  #build(packetType: typeof DATA | typeof PROOF, context: number, data: Uint8Array): Uint8Array {
    return buildPacket({ packetType, destinationType: LINK, destination: this.id, context, data });
  }
  transmit(context: number, data: Uint8Array, clear?: "clear"): Uint8Array {
    if (this.state === "closed") return new Uint8Array(0);
    const body = clear === "clear" ? data : this.token.encrypt(data, this.context.random);
    const raw = this.#build(DATA, context, body);
    this.#emit(raw);
    return raw;
  }
  transmitProof(context: number, data: Uint8Array): void {
    const raw = this.#build(PROOF, context, data);
    this.resources.rememberProof(packetHash(raw), data);
    this.#emit(raw);
  }
  transmitProved(context: number, data: Uint8Array, timeoutMs: Millis): Receipt {
    this.#mustBeUp();
    if (this.#receipts.size >= MAX_RECEIPTS) throw new SpineError("link_congested", "too many unproved packets");
    const raw = this.#build(DATA, context, this.token.encrypt(data, this.context.random));
    const hash = packetHash(raw);
    const key = toHex(hash);
    const receipt = new Receipt(this.context, hash, timeoutMs, () => this.#receipts.delete(key));
    this.#receipts.set(key, receipt);
    this.#emit(raw);
    return receipt;
  }
  #mustBeUp(): void {
    if (!this.isUp) throw new SpineError("link_unknown", `the link is ${this.state}`);
  }
  /** Sends data of at most `mdu` bytes. Throws `payload_size`, `link_unknown` or `link_congested`. */
  send(data: Uint8Array): Receipt {
    if (data.length > this.mdu) throw new SpineError("payload_size", `${data.length} bytes, limit ${this.mdu}`);
    return this.transmitProved(CONTEXT.none, data, trafficTimeout(this));
  }
  /** Initiator only: tells the responder who we are. */
  identify(identity: Identity): void {
    this.#mustBeUp();
    if (this.role !== "initiator") throw new SpineError("internal", "only the initiator identifies");
    const signature = identity.sign(concatBytes(this.id, identity.publicKey));
    this.transmit(CONTEXT.linkIdentify, concatBytes(identity.publicKey, signature));
  }
  /** Throws `link_unknown` or `link_congested`. */
  request(path: string, data: Packable, timeoutMs?: Millis): PendingRequest {
    this.#mustBeUp();
    return this.#requests.send(path, data, timeoutMs);
  }
  /** Queues a resource; one at a time is on the air. */
  sendResource(data: Uint8Array, options: ResourceOptions = {}): OutgoingResource {
    this.#mustBeUp();
    return this.resources.send(data, options);
  }
  /** The link's channel; from the first call on, channel packets are answered. */
  channel(): Channel {
    this.#mustBeUp();
    this.#channel ??= new Channel(this);
    return this.#channel;
  }
  /** Tells the peer and ends. Does nothing on a closed link. */
  close(): void {
    if (this.isUp) this.transmit(CONTEXT.linkClose, this.id);
    this.#shut(this.role === "initiator" ? "initiator" : "destination");
  }
  /** The interface under the link is gone. */
  wireLost(): void {
    this.#shut("wire");
  }

  // --- receiving ---

  /** A packet addressed to this link, heard on `wire`. Throws coded errors for malformed contents. */
  receive(packet: Packet, wire: Wire): void {
    if (packet.packetType === PROOF && packet.context === CONTEXT.linkRequestProof) {
      this.#proved(packet, wire);
      return;
    }
    if (this.wireId !== wire.id) {
      this.context.count("drop_link_wire");
      return;
    }
    if (this.state === "closed" || !this.hasKey) return;
    if (this.role === "initiator" && packet.context === CONTEXT.keepalive && packet.data[0] === KEEPALIVE_REQUEST)
      return;
    this.#lastInbound = this.context.now();
    if (packet.context !== CONTEXT.keepalive) this.#lastData = this.#lastInbound;
    if (this.state === "stale") {
      this.state = "active";
      this.#watch();
    }
    if (packet.packetType === PROOF) this.#proof(packet);
    else if (packet.packetType === DATA) this.#data(packet);
  }

  #proof(packet: Packet): void {
    if (packet.context === CONTEXT.resourceProof) {
      this.resources.prove(packet.data);
      return;
    }
    const receipt = this.#receipts.get(toHex(packet.data.subarray(0, 32)));
    if (receipt === undefined) this.context.count("drop_proof_unknown");
    else if (proves(packet.data, receipt.hash, this.#peerKey as VerifyingKey)) receipt.deliver();
    else this.context.count("drop_proof_invalid");
  }

  /** Initiator: the responder's answer to our request. */
  #proved(packet: Packet, wire: Wire): void {
    if (this.role !== "initiator" || this.state !== "pending") return;
    const keys = this.#keys as LinkKeys;
    const proof = openLinkProof(packet.data, this.id, this.peer as PublicIdentity);
    const session = new SessionKey(() => deriveLinkKey(keys.exchange, proof.exchangeKey, this.id));
    if (session.token === undefined || proof.mtu > this.mtu || proof.mtu < NETWORK_MTU) {
      this.context.count("drop_link_refused");
      return;
    }
    this.#session = session;
    this.mtu = proof.mtu;
    this.hops = packet.hops;
    this.wireId = wire.id;
    this.bitrate = wire.bitrate;
    this.#activate(this.context.now() - this.#startedAt);
    this.transmit(CONTEXT.linkRtt, pack(new Double(this.rttMs / 1000)));
    this.#announceUp();
  }

  #activate(rttMs: Millis): void {
    this.rttMs = rttMs;
    this.state = "active";
    const now = this.context.now();
    this.#lastInbound = now;
    this.handshakeRate = (300 * 8 * 1000) / Math.max(rttMs, 1);
    this.#watch();
  }
  #announceUp(): void {
    if (this.onEstablished !== undefined) this.context.notify(this.onEstablished);
  }
  #data(packet: Packet): void {
    const plain = CLEAR.has(packet.context) ? packet.data : this.token.decrypt(packet.data);
    if (plain === undefined) {
      this.context.count("drop_undecryptable");
      return;
    }
    const { context } = packet;
    if (this.state === "handshake" && context !== CONTEXT.linkRtt && !CLEAR.has(context)) {
      // The initiator speaks, so it has our proof; its round-trip message was lost.
      this.#activate(this.context.now() - this.#startedAt);
      this.#announceUp();
    }
    if (context === CONTEXT.linkRtt) this.#rtt(plain);
    else if (context === CONTEXT.none) this.#payload(packet, plain);
    else if (context === CONTEXT.keepalive) this.#keepalive(plain);
    else if (context === CONTEXT.linkIdentify) this.#identified(plain);
    else if (context === CONTEXT.linkClose) {
      if (equalBytes(plain, this.id)) this.#shut(this.role === "initiator" ? "destination" : "initiator");
    } else if (context === CONTEXT.request) this.#requests.requestPacket(packet.raw, plain);
    else if (context === CONTEXT.response) this.#requests.responsePacket(plain);
    else if (context === CONTEXT.cacheRequest) this.resources.resendProof(plain);
    else if (context === CONTEXT.channel) this.#channelPacket(packet, plain);
    else this.resources.handle(packet, plain);
  }

  /** Responder: the initiator's last word of the handshake. */
  #rtt(plain: Uint8Array): void {
    if (this.role !== "responder" || this.state !== "handshake") return;
    const theirs = packedNumber(unpack(plain));
    if (theirs === undefined || !(theirs >= 0 && theirs < 86_400))
      throw new SpineError("frame_syntax", "link round trip");
    this.#activate(Math.max(this.context.now() - this.#startedAt, theirs * 1000));
    this.#announceUp();
  }
  #payload(packet: Packet, plain: Uint8Array): void {
    if (this.proofs === "all" || (typeof this.proofs === "function" && this.proofs(plain))) this.#prove(packet);
    const { onPacket } = this;
    if (onPacket !== undefined) this.context.notify(() => onPacket(plain, () => this.#prove(packet)));
  }
  #prove(packet: Packet): void {
    const signer = this.#identity ?? this.#keys?.signing;
    if (signer !== undefined) this.#emit(linkProof(packetHash(packet.raw), signer, this.id));
  }
  #keepalive(plain: Uint8Array): void {
    const asked = this.role === "responder" && plain[0] === KEEPALIVE_REQUEST;
    // Half an interval, so that a repeated question is answered when the first answer was lost.
    if (asked && this.context.now() - this.#lastOutbound >= this.keepaliveMs / 2) {
      this.transmit(CONTEXT.keepalive, Uint8Array.of(KEEPALIVE_REPLY), "clear");
    }
  }
  #identified(plain: Uint8Array): void {
    if (this.role !== "responder" || this.peer !== undefined || plain.length !== 128) return;
    const identity = new PublicIdentity(plain.subarray(0, 64));
    if (!identity.verify(concatBytes(this.id, identity.publicKey), plain.subarray(64))) {
      throw new SpineError("signature_invalid", "link identification");
    }
    this.peer = identity;
    const { onIdentified } = this;
    if (onIdentified !== undefined) this.context.notify(() => onIdentified(identity));
  }
  #channelPacket(packet: Packet, plain: Uint8Array): void {
    if (this.#channel === undefined) {
      this.context.count("drop_channel");
      return;
    }
    this.#prove(packet);
    this.#channel.handle(plain);
  }

  // --- resources ---

  #accepts(advertisement: Advertisement): boolean {
    const { flags, requestId } = advertisement;
    if ((flags & FLAG.request) !== 0) return this.role === "responder" && this.#requests.answers && requestId !== null;
    if ((flags & FLAG.response) !== 0) {
      if (requestId === null || !this.#requests.waits(requestId)) return false;
      this.#requests.responseStarted(requestId);
      return true;
    }
    let accepted = false;
    this.context.notify(() => {
      accepted = this.acceptResource(advertisement);
    });
    return accepted;
  }
  #resourceReceived(resource: ReceivedResource): void {
    if ((resource.flags & (FLAG.request | FLAG.response)) !== 0) {
      try {
        this.#requests.resource(resource);
      } catch {
        this.context.count("drop_malformed");
      }
      return;
    }
    const { onResource } = this;
    if (onResource !== undefined) this.context.notify(() => onResource(resource));
  }
  #resourceFailed(advertisement: Advertisement, reason: SpineError): void {
    const { flags, requestId } = advertisement;
    if ((flags & FLAG.response) !== 0 && requestId !== null) this.#requests.responseFailed(requestId, reason);
    else {
      const { onResourceFailed } = this;
      if (onResourceFailed !== undefined) this.context.notify(() => onResourceFailed(advertisement, reason));
    }
  }

  // --- liveness ---

  /** Sets the one timer to the next moment at which silence has consequences. */
  #watch(): void {
    this.#cancelTimer?.();
    const quietSince = Math.min(this.#lastInbound, this.#lastOutbound);
    const keepaliveAt = Math.max(quietSince + this.keepaliveMs, this.#lastKeepalive + this.keepaliveMs / 2);
    const staleAt = this.#lastInbound + this.staleMs;
    const at = this.role === "initiator" ? Math.min(keepaliveAt, staleAt) : staleAt;
    this.#cancelTimer = this.context.schedule(at, () => this.#silence());
  }
  #silence(): void {
    const now = this.context.now();
    if (this.state !== "active") return;
    if (now >= this.#lastInbound + this.staleMs) {
      this.state = "stale";
      if (this.role === "initiator") this.#sendKeepalive(now);
      this.#cancelTimer = this.context.schedule(now + staleGrace(this.rttMs), () => this.#expire());
      return;
    }
    const quietSince = Math.min(this.#lastInbound, this.#lastOutbound);
    const due = now >= quietSince + this.keepaliveMs && now >= this.#lastKeepalive + this.keepaliveMs / 2;
    if (this.role === "initiator" && due) this.#sendKeepalive(now);
    this.#watch();
  }
  #sendKeepalive(now: Millis): void {
    this.#lastKeepalive = now;
    this.transmit(CONTEXT.keepalive, Uint8Array.of(KEEPALIVE_REQUEST), "clear");
  }
  #expire(): void {
    if (this.state !== "stale") return;
    this.transmit(CONTEXT.linkClose, this.id);
    this.#shut("timeout");
  }
  #shut(reason: CloseReason): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.closeReason = reason;
    this.#cancelTimer?.();
    this.#setup.forget(this);
    const gone = new SpineError("link_unknown", `the link closed: ${reason}`);
    this.#channel?.shutdown();
    this.resources.failAll(gone);
    this.#requests.failAll(gone);
    for (const receipt of [...this.#receipts.values()]) receipt.fail();
    // What was said is not to be read by whoever gets hold of this process later.
    this.#session = undefined;
    this.#keys = undefined;
    const { onClosed } = this;
    if (onClosed !== undefined) this.context.notify(() => onClosed(reason));
  }
}
