/** The reliable, ordered message channel of a link (spec/reticulum.md section 15). Used by `link.ts` and `buffer.ts`. */
import { type Millis, SpineError } from "../../../spine/index.ts";
import {
  ENVELOPE_BYTES,
  type Envelope,
  FIRST_RESERVED_TYPE,
  packEnvelope,
  STREAM_TYPE,
  unpackEnvelope,
} from "./envelope.ts";
import type { LinkPort } from "./link-port.ts";
import { CONTEXT } from "./packet.ts";

const MAX_TRIES = 5;
const RECEIVE_WINDOW = 48;
const SEQUENCES = 65_536;
/** The reference uses 25; a busy peer process is silent for longer than that. */
const MIN_TIMEOUT_MS = 50;
const MAX_QUEUED = 1024;
/** How long a link that takes no packet is left alone. */
const CONGESTED_MS = 200;
/** Loss lowers the highest window too, while it is further above the lowest. */
const WINDOW_FLEXIBILITY = 4;
const MAX_PAYLOAD_BYTES = 65_535;
/** Round trip below which a class of window opens, ms; the class needs `CLASS_ROUNDS` rounds. */
const FAST_RTT_MS = 180;
const MEDIUM_RTT_MS = 750;
export const SLOW_RTT_MS = 1450;
const CLASS_ROUNDS = 10;

export interface ChannelState {
  readonly window: number;
  readonly windowMin: number;
  readonly windowMax: number;
  readonly windowFlexibility: number;
  /** Messages delivered on end within the round trip of each class. */
  readonly fastRounds: number;
  readonly mediumRounds: number;
  /** Next sequence number to send, and to deliver. */
  readonly sendNext: number;
  readonly receiveNext: number;
  /** Messages sent but not proved; messages held back for an earlier one. */
  readonly outstanding: number;
  readonly held: number;
}

/** Returning true means that the message was theirs: handlers after it are not asked. */
export type ChannelHandler = (type: number, payload: Uint8Array) => boolean | undefined;

interface Sent {
  readonly envelope: Envelope;
  tries: number;
}

export class Channel {
  /**
   * Types that are taken; all below 0xf000 and streams when undefined. One of another type is dropped as if it had not
   * come, which ends what a peer can say until it sends something else in its place.
   */
  accepts: ((type: number) => boolean) | undefined;
  /** Room has come free after `send` refused. */
  onDrain: (() => void) | undefined;
  readonly #link: LinkPort;
  readonly #handlers = new Set<ChannelHandler>();
  readonly #queue: Envelope[] = [];
  readonly #outstanding = new Set<Sent>();
  readonly #held = new Map<number, Envelope>();
  #sendNext = 0;
  #receiveNext = 0;
  #window = 2;
  #windowMin = 2;
  #windowMax = 5;
  #flexibility = WINDOW_FLEXIBILITY;
  #fastRounds = 0;
  #mediumRounds = 0;
  #closed = false;
  constructor(link: LinkPort) {
    this.#link = link;
    if (link.rttMs > SLOW_RTT_MS) {
      this.#window = 1;
      this.#windowMin = 1;
      this.#windowMax = 1;
      this.#flexibility = 1;
    }
  }
  /** Gets messages in order, each once, after the handlers added before. Returns a function that removes it. */
  addHandler(handler: ChannelHandler): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }
  get handlers(): number {
    return this.#handlers.size;
  }
  /** Of the wire, bits per second. */
  get bitrate(): number {
    return this.#link.bitrate;
  }
  /** Largest payload, bytes. */
  get mdu(): number {
    return Math.min(this.#link.mdu - ENVELOPE_BYTES, MAX_PAYLOAD_BYTES);
  }
  /** Messages not yet proved. */
  get unproved(): number {
    return this.#queue.length + this.#outstanding.size;
  }
  /** For diagnosis: sequence numbers, the window and what waits. */
  get state(): ChannelState {
    return {
      window: this.#window,
      windowMin: this.#windowMin,
      windowMax: this.#windowMax,
      windowFlexibility: this.#flexibility,
      fastRounds: this.#fastRounds,
      mediumRounds: this.#mediumRounds,
      sendNext: this.#sendNext,
      receiveNext: this.#receiveNext,
      outstanding: this.#outstanding.size,
      held: this.#held.size,
    };
  }
  /** Whether a message sent now would leave at once. */
  get ready(): boolean {
    return this.#queue.length === 0 && this.#outstanding.size < this.#window;
  }
  /** Throws `payload_size`, `link_congested` (1024 wait), `link_unknown` (closed) or `internal` for a reserved type. */
  send(type: number, payload: Uint8Array): void {
    if (type >= FIRST_RESERVED_TYPE && type !== STREAM_TYPE) {
      throw new SpineError("internal", `channel message type 0x${type.toString(16)} is reserved`);
    }
    if (this.#closed) throw new SpineError("link_unknown", "the link is closed");
    if (payload.length > this.mdu) throw new SpineError("payload_size", `${payload.length} bytes, limit ${this.mdu}`);
    if (this.#queue.length >= MAX_QUEUED) throw new SpineError("link_congested", "too many channel messages wait");
    const envelope = { type, sequence: this.#sendNext, payload: payload.slice() };
    this.#queue.push(envelope);
    this.#sendNext = (this.#sendNext + 1) % SEQUENCES;
    try {
      this.#pump();
    } catch (caught) {
      if (this.#queue.at(-1) !== envelope) return;
      this.#queue.pop();
      this.#sendNext = envelope.sequence;
      throw caught;
    }
  }
  /** Throws when the link takes no packet now; what could not leave stays in the queue. */
  #pump(): void {
    while (!this.#closed && this.#outstanding.size < this.#window) {
      const envelope = this.#queue.shift();
      if (envelope === undefined) return;
      const sent: Sent = { envelope, tries: 0 };
      this.#outstanding.add(sent);
      try {
        this.#transmit(sent);
      } catch (caught) {
        this.#outstanding.delete(sent);
        this.#queue.unshift(envelope);
        throw caught;
      }
    }
  }
  /** The link takes no packet now, for others of its packets wait for proofs: this happens again when one of ours ends. */
  #pumpAgain(): void {
    try {
      this.#pump();
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      const { context } = this.#link;
      if (this.#outstanding.size === 0) context.schedule(context.now() + CONGESTED_MS, () => this.#pumpAgain());
    }
  }
  #transmit(sent: Sent): void {
    sent.tries++;
    const base: Millis = Math.max(2.5 * this.#link.rttMs, MIN_TIMEOUT_MS);
    const timeoutMs = 1.5 ** (sent.tries - 1) * base * (this.#outstanding.size + 1.5);
    const receipt = this.#link.transmitProved(CONTEXT.channel, packEnvelope(sent.envelope), timeoutMs);
    receipt.onDelivered = () => this.#delivered(sent);
    receipt.onFailed = () => this.#timedOut(sent);
  }
  #delivered(sent: Sent): void {
    if (!this.#outstanding.delete(sent)) return;
    const { rttMs } = this.#link;
    this.#fastRounds = rttMs <= FAST_RTT_MS ? this.#fastRounds + 1 : 0;
    this.#mediumRounds = rttMs <= MEDIUM_RTT_MS ? this.#mediumRounds + 1 : 0;
    if (this.#fastRounds >= CLASS_ROUNDS) this.#classify(16, 48);
    else if (this.#mediumRounds >= CLASS_ROUNDS) this.#classify(5, 12);
    this.#window = Math.min(this.#window + 1, this.#windowMax);
    const wasFull = this.#queue.length > 0;
    this.#pumpAgain();
    if (wasFull || this.ready) this.onDrain?.();
  }
  #classify(min: number, max: number): void {
    this.#windowMax = Math.max(this.#windowMax, max);
    this.#windowMin = Math.max(this.#windowMin, min);
    this.#window = Math.max(this.#window, this.#windowMin);
  }
  #timedOut(sent: Sent): void {
    if (this.#closed || !this.#outstanding.has(sent)) return;
    if (sent.tries >= MAX_TRIES) {
      this.#link.close();
      return;
    }
    this.#fastRounds = 0;
    this.#mediumRounds = 0;
    if (this.#window > this.#windowMin) {
      this.#window--;
      if (this.#windowMax > this.#windowMin + this.#flexibility) this.#windowMax--;
    }
    try {
      this.#transmit(sent);
    } catch (caught) {
      if (!(caught instanceof SpineError)) throw caught;
      const { context } = this.#link;
      context.schedule(context.now() + CONGESTED_MS, () => this.#timedOut(sent));
    }
  }
  /** A decrypted channel packet. The caller has proved it: a repetition must be proved too. */
  handle(plain: Uint8Array): void {
    const envelope = unpackEnvelope(plain);
    const ahead = (envelope.sequence - this.#receiveNext + SEQUENCES) % SEQUENCES;
    if (ahead > RECEIVE_WINDOW || this.#held.has(envelope.sequence) || this.accepts?.(envelope.type) === false) {
      this.#link.context.count("drop_channel");
      return;
    }
    this.#held.set(envelope.sequence, envelope);
    for (;;) {
      const next = this.#held.get(this.#receiveNext);
      if (next === undefined) return;
      this.#held.delete(this.#receiveNext);
      this.#receiveNext = (this.#receiveNext + 1) % SEQUENCES;
      this.#tell(next);
    }
  }
  #tell({ type, payload }: Envelope): void {
    for (const handler of this.#handlers) {
      let taken: boolean | undefined;
      this.#link.context.notify(() => {
        taken = handler(type, payload);
      });
      if (taken === true) return;
    }
  }
  /** The link is gone. */
  shutdown(): void {
    this.#closed = true;
    this.#handlers.clear();
    this.onDrain = undefined;
    this.#queue.length = 0;
    this.#outstanding.clear();
    this.#held.clear();
  }
}
