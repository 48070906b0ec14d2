/**
 * The links of the enclave: one TCP connection per peer, inside the tunnel, from own address to the peer's. Of two nodes
 * the one whose issuer id sorts lower dials. Who a connection is from is said by the interface's table of addresses.
 */
import { connect, type Socket } from "node:net";
import { type ErrorCode, fromHex, type Issuer, type LinkId, SpineError } from "../../spine/index.ts";
import { backoffMs } from "../backoff.ts";
import type { EventQueue } from "../event-queue.ts";
import { LinkInbox } from "../link-inbox.ts";
import type { EnclaveLimits } from "./options.ts";
import { TunnelStream } from "./tunnel-stream.ts";

export const LINK_PREFIX = "wireguard:";
/** A link that lived shorter than this counts as a failed attempt. */
const SETTLED_MS = 10_000;

/** A peer as the interface holds it now. */
export interface TunnelPeer {
  readonly issuer: Issuer;
  /** The key that the interface lets use the address, hex: what the link is bound to. */
  readonly publicKey: string;
  readonly address: string;
  readonly port: number;
}

interface Link {
  readonly id: LinkId;
  readonly peer: TunnelPeer;
  readonly stream: TunnelStream;
  readonly upAt: number;
  readonly inbox: LinkInbox;
}

interface Dial {
  peer: TunnelPeer;
  attempt: number;
  timer: NodeJS.Timeout | null;
  socket: Socket | null;
  /** The try under way was given up for another at once. */
  again: boolean;
}

export interface LinkCounts {
  frames_sent: number;
  frames_received: number;
  bytes_sent: number;
  bytes_received: number;
  sends_held: number;
  links_opened: number;
  dials: number;
  dials_failed: number;
  strangers_refused: number;
}

export interface TunnelLinksOptions {
  readonly issuer: Issuer;
  readonly ownAddress: string;
  readonly queue: EventQueue;
  readonly limits: EnclaveLimits;
  readonly now: () => number;
  readonly random: () => number;
  readonly counts: LinkCounts;
  /** Of this node now, hex. */
  readonly ownKey: () => string | null;
  /** Of the tunnel, bytes: the length of prefaces. */
  readonly paddingBytes: () => number;
  readonly peerAt: (address: string) => TunnelPeer | undefined;
  readonly bannedUntil: (issuer: Issuer) => number;
  readonly fault: (issuer: Issuer, code: ErrorCode) => void;
  /** Small packets pass and full ones do not. */
  readonly blackHole: (issuer: Issuer) => void;
}

export class TunnelLinks {
  readonly #options: TunnelLinksOptions;
  readonly #byId = new Map<LinkId, Link>();
  readonly #byIssuer = new Map<Issuer, Link>();
  /** Connections without a preface yet. */
  readonly #pending = new Map<Issuer, TunnelStream>();
  readonly #dials = new Map<Issuer, Dial>();
  #number = 0;
  #closed = false;
  constructor(options: TunnelLinksOptions) {
    this.#options = options;
  }
  get size(): number {
    return this.#byId.size;
  }
  linkOf(issuer: Issuer): LinkId | null {
    return this.#byIssuer.get(issuer)?.id ?? null;
  }

  /**
   * Who may be linked now. Links of others are cut at once; `keys` says which keys are each issuer's, so that a link
   * outlives a change of key but not a change of hands.
   */
  settle(peers: readonly TunnelPeer[], keys: (issuer: Issuer) => readonly string[]): void {
    const present = new Map(peers.map((peer) => [peer.issuer, peer]));
    for (const { peer, stream } of [...this.#byId.values()]) {
      const now = present.get(peer.issuer);
      const same = now !== undefined && now.address === peer.address && keys(peer.issuer).includes(now.publicKey);
      if (!same) stream.cut("no longer a peer of the enclave");
    }
    for (const [issuer, stream] of [...this.#pending]) if (!present.has(issuer)) stream.cut("no longer a peer");
    for (const issuer of [...this.#dials.keys()]) if (!present.has(issuer)) this.#forget(issuer);
    for (const peer of peers) {
      if (!this.#dialsTo(peer.issuer)) continue;
      const dial = this.#dials.get(peer.issuer);
      if (dial !== undefined) dial.peer = peer;
      else this.#dials.set(peer.issuer, { peer, attempt: 0, timer: null, socket: null, again: false });
      if (dial === undefined) this.nudge(peer.issuer);
    }
  }
  /** Dials now, if that is our part and no link is up; a try under way, whose packets went nowhere, is begun anew. */
  nudge(issuer: Issuer): void {
    const dial = this.#dials.get(issuer);
    if (dial === undefined || this.#busy(issuer)) return;
    dial.attempt = 0;
    if (dial.socket === null) this.#schedule(dial, 0);
    else {
      dial.again = true;
      dial.socket.destroy();
    }
  }

  /** A connection to our address. Whoever is no peer is hung up on. */
  accept(socket: Socket): void {
    const { counts, peerAt, bannedUntil, limits } = this.#options;
    socket.on("error", () => undefined);
    const peer = peerAt((socket.remoteAddress ?? "").replace(/^::ffff:/, ""));
    const welcome = peer !== undefined && !this.#closed && bannedUntil(peer.issuer) === 0;
    if (!welcome || this.#dialsTo(peer.issuer) || this.#pending.size >= limits.maxPending) {
      counts.strangers_refused++;
      socket.destroy();
      return;
    }
    this.#adopt(socket, peer);
  }

  /** Rejects with `link_unknown`, `frame_size`, `link_congested` or the signal's reason. */
  async send(id: LinkId, frame: Uint8Array, signal: AbortSignal): Promise<void> {
    const { limits, counts } = this.#options;
    const link = this.#byId.get(id);
    if (link === undefined) throw new SpineError("link_unknown", `no link ${id}`);
    if (frame.length < 1 || frame.length > limits.mtuBytes) {
      throw new SpineError("frame_size", `frame of ${frame.length} bytes, limit ${limits.mtuBytes}`);
    }
    if ((await link.stream.send(frame, signal)) === "held") counts.sends_held++;
    counts.frames_sent++;
    counts.bytes_sent += frame.length;
  }

  close(issuer: Issuer, reason: string): void {
    this.#byIssuer.get(issuer)?.stream.close(reason);
    this.#pending.get(issuer)?.cut(reason);
  }
  /** The tunnel is gone: nothing may leave outside it. */
  cutAll(reason: string): void {
    for (const issuer of [...this.#dials.keys()]) this.#forget(issuer);
    for (const stream of [...this.#pending.values()]) stream.cut(reason);
    for (const { stream } of [...this.#byId.values()]) stream.cut(reason);
  }
  /** Says something on every link, so that the tunnel shakes hands under a new key now and not at the next keep-alive. */
  poke(): void {
    for (const { stream } of this.#byId.values()) stream.poke();
  }
  tick(): void {
    for (const stream of [...this.#pending.values()]) stream.tick();
    for (const { stream } of [...this.#byId.values()]) stream.tick();
  }
  /** Closes all and takes no more. */
  end(): void {
    this.#closed = true;
    for (const issuer of [...this.#dials.keys()]) this.#forget(issuer);
    for (const stream of [...this.#pending.values()]) stream.cut("stopped");
    for (const { stream } of [...this.#byId.values()]) stream.close("stopped");
  }

  #dialsTo(issuer: Issuer): boolean {
    return this.#options.issuer < issuer;
  }
  #busy(issuer: Issuer): boolean {
    return this.#byIssuer.has(issuer) || this.#pending.has(issuer);
  }
  #forget(issuer: Issuer): void {
    const dial = this.#dials.get(issuer);
    if (dial?.timer) clearTimeout(dial.timer);
    dial?.socket?.destroy();
    this.#dials.delete(issuer);
  }
  #schedule(dial: Dial, delayMs: number): void {
    if (dial.timer !== null) clearTimeout(dial.timer);
    dial.timer = setTimeout(() => {
      dial.timer = null;
      this.#dial(dial);
    }, delayMs);
  }
  #retry(dial: Dial): void {
    if (this.#dials.get(dial.peer.issuer) !== dial || this.#closed) return;
    const { redialMinMs, redialMaxMs } = this.#options.limits;
    this.#schedule(dial, backoffMs(dial.attempt, { minMs: redialMinMs, maxMs: redialMaxMs }, this.#options.random));
    dial.attempt++;
  }

  #dial(dial: Dial): void {
    const { counts, limits, ownAddress, bannedUntil, now } = this.#options;
    const { issuer, address, port } = dial.peer;
    if (this.#dials.get(issuer) !== dial || this.#busy(issuer) || this.#closed) return;
    const banned = bannedUntil(issuer);
    if (banned > 0) return this.#schedule(dial, Math.max(1_000, Math.min(banned - now(), 2 ** 31 - 1)));
    counts.dials++;
    // From our tunnel address: while the interface is gone this fails, and nothing goes out in the clear.
    const socket = connect({ host: address, port, localAddress: ownAddress });
    dial.socket = socket;
    let connected = false;
    const deadline = setTimeout(() => socket.destroy(), limits.dialMs);
    socket.on("error", () => undefined);
    socket.once("connect", () => {
      clearTimeout(deadline);
      connected = true;
      dial.socket = null;
      if (this.#dials.get(issuer) !== dial) socket.destroy();
      else this.#adopt(socket, dial.peer);
    });
    socket.once("close", () => {
      clearTimeout(deadline);
      if (connected) return;
      dial.socket = null;
      counts.dials_failed++;
      if (!dial.again) return this.#retry(dial);
      dial.again = false;
      if (this.#dials.get(issuer) === dial) this.#schedule(dial, 0);
    });
  }

  #adopt(socket: Socket, peer: TunnelPeer): void {
    const { limits, now, paddingBytes } = this.#options;
    const { issuer } = peer;
    this.#pending.get(issuer)?.cut("replaced");
    let link: Link | null = null;
    const stream = new TunnelStream(socket, paddingBytes(), limits, now, {
      opened: () => {
        this.#pending.delete(issuer);
        link = this.#up(stream, peer);
      },
      frame: (frame) => {
        if (link !== null) this.#received(link, frame);
      },
      closed: (reason, fault) => this.#gone(stream, link, peer, reason, fault),
    });
    this.#pending.set(issuer, stream);
  }

  #up(stream: TunnelStream, peer: TunnelPeer): Link {
    const { limits, counts, queue, now, ownKey } = this.#options;
    const { issuer } = peer;
    // Only one side dials: it does so again when it has lost the connection we still hold.
    this.#byIssuer.get(issuer)?.stream.cut("replaced");
    const id = `${LINK_PREFIX}${issuer}/${++this.#number}`;
    const link: Link = { id, peer, stream, inbox: new LinkInbox(id, stream, queue, limits), upAt: now() };
    this.#byId.set(id, link);
    this.#byIssuer.set(issuer, link);
    counts.links_opened++;
    queue.push({
      type: "up",
      link: id,
      info: {
        mtu: limits.mtuBytes,
        bitrate: Number.POSITIVE_INFINITY,
        cost: "free",
        localBinding: fromHex(ownKey() ?? "00", 32),
        remoteBinding: fromHex(peer.publicKey, 32),
        configured: true,
        address: `${peer.address}:${peer.port}`,
        issuer,
      },
    });
    return link;
  }

  #received(link: Link, frame: Uint8Array): void {
    const { counts } = this.#options;
    counts.frames_received++;
    counts.bytes_received += frame.length;
    link.inbox.take(frame);
  }

  #gone(stream: TunnelStream, link: Link | null, peer: TunnelPeer, reason: string, fault: ErrorCode | null): void {
    const { queue, now, blackHole } = this.#options;
    const { issuer } = peer;
    if (this.#pending.get(issuer) === stream) this.#pending.delete(issuer);
    if (link !== null) {
      this.#byId.delete(link.id);
      if (this.#byIssuer.get(issuer) === link) this.#byIssuer.delete(issuer);
      queue.push({ type: "down", link: link.id, reason });
    }
    if (fault !== null) this.#options.fault(issuer, fault);
    if (reason === "no full packet passes") blackHole(issuer);
    const dial = this.#dials.get(issuer);
    if (dial === undefined || dial.timer !== null || dial.socket !== null || reason === "replaced") return;
    if (link !== null && now() - link.upAt >= SETTLED_MS) dial.attempt = 0;
    this.#retry(dial);
  }
}
