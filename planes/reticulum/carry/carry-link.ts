/**
 * One Reticulum link that carries Spine frames. On fast wires small ones go as channel messages, larger ones as resources,
 * in order, and credit lets a slow reader hold the sender back; on slow wires `slow-sender.ts` cuts them into messages.
 * Made by `plane.ts` on both ends.
 */
import {
  ByteReader,
  ByteWriter,
  concatBytes,
  type LinkId,
  type Millis,
  PACKING_BYTES,
  SpineError,
  type Tier,
} from "../../../spine/index.ts";
import { SendLine } from "../../send-line.ts";
import type { Channel } from "../stack/channel.ts";
import type { Link } from "../stack/link.ts";
import { CONTEXT } from "../stack/packet.ts";
import { PartJoiner, type SlowHooks, SlowSender } from "./slow-sender.ts";

/** Type of our channel messages; the first byte of the payload says what it is. A resource is always a frame. */
const MESSAGE_TYPE = 0x5350;
const Kind = { hello: 0, frame: 1, credit: 2, gossip: 3, close: 4, part: 5, have: 6, need: 7 } as const;
const VERSION = 1;
const MAX_WAITING_SENDS = 1_024;
const MAX_REASON_BYTES = 100;
/** First bytes of an envelope's hash, which name it between neighbours. */
const REPAIR_NAME_BYTES = 8;
/** Gossip is dropped rather than kept while so many messages are unproved. */
const MAX_UNPROVED_GOSSIP = 64;

export interface CarryHooks {
  /** Runs something with the endpoint; everything that sends goes through it. */
  readonly act: <T>(task: () => T) => T;
  /** The peer is known and said hello: frames may go both ways. */
  readonly ready: () => void;
  readonly frame: (frame: Uint8Array, taken: () => void) => void;
  readonly gossip: (data: Uint8Array) => void;
  readonly malformed: () => void;
  /** The peer says which broadcasts it was to hear, or which of them it did not: first bytes of envelope hashes. */
  readonly repair: (what: "have" | "need", names: Uint8Array) => void;
  /** On slow wires. */
  readonly slow?: Pick<SlowHooks, "turn" | "later" | "carries"> & {
    /** How long the proof of a packet of so many bytes may take over one hop. */
    readonly proofMs: (bytes: number) => Millis;
  };
  /** Called once. */
  readonly closed: (reason: string) => void;
}

export interface CarryLimits {
  /** Largest frame. */
  readonly mtuBytes: number;
  /** Bytes that may be on their way or wait for the peer's consumer. */
  readonly windowBytes: number;
  readonly maxGossipBytes: number;
}

export class CarryLink {
  readonly id: LinkId;
  /** Hex hash of the peer's destination. */
  readonly peer: string;
  readonly link: Link;
  readonly #limits: CarryLimits;
  readonly #hooks: CarryHooks;
  readonly #channel: Channel;
  readonly #line = new SendLine(MAX_WAITING_SENDS);
  readonly #queue: Uint8Array[] = [];
  /** Bytes taken and not yet consumed by the peer. */
  #inFlight = 0;
  /** Bytes consumed here that the peer was not told of. */
  #owed = 0;
  /** Only on slow wires. */
  readonly #slow: SlowSender | undefined;
  readonly #joiner: PartJoiner;
  /** A resource is on its way: what follows waits for its end, so that order is kept. */
  #transferring = false;
  #closed = false;
  up = false;

  constructor(
    names: { readonly id: LinkId; readonly peer: string },
    link: Link,
    limits: CarryLimits,
    hooks: CarryHooks,
  ) {
    this.id = names.id;
    this.peer = names.peer;
    this.link = link;
    this.#limits = limits;
    this.#hooks = hooks;
    this.#channel = link.channel();
    this.#channel.addHandler((type, payload) => {
      this.#message(type, payload);
      return true;
    });
    this.#channel.onDrain = () => (this.#slow ?? { drained: () => this.#pump() }).drained();
    const most = limits.mtuBytes + PACKING_BYTES;
    // With the length before it.
    this.#joiner = new PartJoiner(most + 4);
    if (hooks.slow !== undefined) {
      this.#slow = new SlowSender({
        ...hooks.slow,
        whole: (frame) => this.#say(Kind.frame, frame),
        part: (payload) => this.#say(Kind.part, payload),
        unproved: () => this.#channel.unproved,
        room: () => this.#channel.mdu - 1,
        packet: (message, proved) => this.#packet(message, proved),
        broken: () => this.end("packets do not arrive"),
      });
    }
    link.proofs = "none";
    link.onPacket = (data, prove) => this.#besideChannel(data, prove);
    link.resources.maxBytes = most;
    link.acceptResource = (advertisement) => this.up && advertisement.totalBytes <= most;
    link.onResource = ({ data }) => this.#arrived(data);
    link.onClosed = (reason) => this.#ended(reason);
  }
  get closed(): boolean {
    return this.#closed;
  }

  /** Says that this end knows the peer. */
  sayHello(): void {
    this.#say(Kind.hello, Uint8Array.of(VERSION));
  }

  /** Resolves when taken; says whether it had to wait. On slow wires a frame may become needless while it waits. */
  async send(
    frame: Uint8Array,
    signal: AbortSignal,
    tier: Tier,
    isNeedless?: () => boolean,
  ): Promise<"at once" | "held"> {
    if (this.#closed) throw new SpineError("link_unknown", `link ${this.id} is down`);
    if (this.#slow !== undefined) return this.#slow.send(frame, signal, tier, isNeedless);
    if (this.#line.length === 0 && this.#take(frame)) return "at once";
    await this.#line.wait(frame, signal);
    return "held";
  }

  /** False when there is no room for it or it is too large for one message. */
  gossip(data: Uint8Array): boolean {
    if (!this.up || this.#closed || data.length >= this.#channel.mdu) return false;
    if (this.#channel.unproved >= MAX_UNPROVED_GOSSIP) return false;
    this.#say(Kind.gossip, data);
    return true;
  }

  /** Says which broadcasts the peer was to hear, or which it should send again. False when the link cannot. */
  repair(what: "have" | "need", names: Uint8Array): boolean {
    if (!this.up || this.#closed || this.#slow === undefined) return false;
    this.#slow.message(concatBytes(Uint8Array.of(Kind[what]), names));
    return true;
  }
  #packet(message: Uint8Array, proved: (arrived: boolean) => void): void {
    this.#hooks.act(() => {
      try {
        const timeoutMs = (this.#hooks.slow?.proofMs(message.length) ?? 0) * Math.max(1, this.link.hops);
        const receipt = this.link.transmitProved(CONTEXT.none, message, timeoutMs);
        receipt.onDelivered = () => proved(true);
        receipt.onFailed = () => proved(false);
      } catch {
        proved(false);
      }
    });
  }
  /** What needs no order comes as packets of their own, and may come twice. */
  #besideChannel(data: Uint8Array, prove: () => void): void {
    const kind = data[0];
    if (this.#closed || !this.up) return;
    if (kind !== Kind.frame && kind !== Kind.have && kind !== Kind.need) return this.#hooks.malformed();
    this.#hooks.act(prove);
    this.#message(MESSAGE_TYPE, data);
  }

  /** Ends the link and tells the peer why. */
  end(reason: string): void {
    if (this.#closed) return;
    this.#hooks.act(() => {
      try {
        if (this.link.isUp) this.#say(Kind.close, new TextEncoder().encode(reason).slice(0, MAX_REASON_BYTES));
      } catch {
        // The channel is full: the link's own end says enough.
      }
      this.#ended(reason);
      this.link.close();
    });
  }

  #ended(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    const gone = new SpineError("link_unknown", `link ${this.id} went down: ${reason}`);
    this.#line.fail(gone);
    this.#slow?.fail(gone);
    this.#hooks.closed(reason);
  }

  #say(kind: number, payload: Uint8Array): void {
    this.#hooks.act(() => this.#channel.send(MESSAGE_TYPE, concatBytes(Uint8Array.of(kind), payload)));
  }

  // ---- sending ----

  #take(frame: Uint8Array): boolean {
    if (this.#closed) return false;
    if (this.#inFlight > 0 && this.#inFlight + frame.length > this.#limits.windowBytes) return false;
    this.#inFlight += frame.length;
    this.#queue.push(frame.slice());
    this.#pump();
    return true;
  }

  #pump(): void {
    if (this.#closed) return;
    this.#hooks.act(() => {
      for (let frame = this.#queue[0]; frame !== undefined && !this.#transferring; frame = this.#queue[0]) {
        if (frame.length < this.#channel.mdu) {
          if (!this.#channel.ready) return;
          this.#queue.shift();
          this.#say(Kind.frame, frame);
        } else {
          // What went before must have arrived: a resource overtakes messages that are sent again.
          if (this.#channel.unproved > 0) return;
          this.#queue.shift();
          this.#transfer(frame);
        }
      }
    });
  }

  #transfer(frame: Uint8Array): void {
    this.#transferring = true;
    const resource = this.link.sendResource(frame);
    resource.onConcluded = ({ state }) => {
      this.#transferring = false;
      if (state === "complete") this.#pump();
      else this.end("a transfer failed");
    };
  }

  // ---- receiving ----

  #message(type: number, payload: Uint8Array): void {
    if (this.#closed) return;
    const content = payload.subarray(1);
    if (type !== MESSAGE_TYPE || payload.length === 0) return this.#hooks.malformed();
    switch (payload[0]) {
      case Kind.hello:
        return content[0] === VERSION ? this.#hooks.ready() : this.end("another version");
      case Kind.frame:
        return this.#arrived(content);
      case Kind.credit:
        return this.#credit(content);
      case Kind.gossip:
        if (!this.up || content.length > this.#limits.maxGossipBytes) return this.#hooks.malformed();
        return this.#hooks.gossip(content);
      case Kind.part:
        return this.#joined(content);
      case Kind.have:
      case Kind.need:
        if (!this.up || content.length === 0 || content.length % REPAIR_NAME_BYTES > 0) return this.#hooks.malformed();
        return this.#hooks.repair(payload[0] === Kind.have ? "have" : "need", content);
      case Kind.close:
        return this.end("closed by the peer");
      default:
        return this.#hooks.malformed();
    }
  }

  #joined(payload: Uint8Array): void {
    try {
      for (const frame of this.#joiner.add(payload)) this.#arrived(frame);
    } catch {
      this.#hooks.malformed();
      this.end("malformed parts");
    }
  }

  #arrived(frame: Uint8Array): void {
    if (!this.up || frame.length === 0 || frame.length > this.#limits.mtuBytes + PACKING_BYTES)
      return this.#hooks.malformed();
    this.#hooks.frame(frame, () => this.#consumed(frame.length));
  }

  #consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#slow !== undefined || this.#closed || this.#owed < this.#limits.windowBytes / 4) return;
    const credit = new ByteWriter(8).varint(this.#owed).finish();
    this.#owed = 0;
    try {
      this.#say(Kind.credit, credit);
    } catch {
      // The link is closing; its end says the rest.
    }
  }

  #credit(content: Uint8Array): void {
    try {
      this.#inFlight = Math.max(0, this.#inFlight - new ByteReader(content).varint());
    } catch {
      return this.#hooks.malformed();
    }
    this.#line.drain((frame) => this.#take(frame));
  }
}
