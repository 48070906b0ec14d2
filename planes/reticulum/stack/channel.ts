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
/** Loss lowers the highest window too, while it is further above the lowest. */
export const WINDOW_FLEXIBILITY = 4;
const MAX_PAYLOAD_BYTES = 65_535;
/** Round trip below which a class of window opens, ms; the class needs `CLASS_ROUNDS` rounds. */
const FAST_RTT_MS = 180;
const MEDIUM_RTT_MS = 750;
const SLOW_RTT_MS = 1450;
const CLASS_ROUNDS = 10;

export interface ChannelState {
  readonly window: number;
  readonly windowMin: number;
  readonly windowMax: number;
  /** Next sequence number to send, and to deliver. */
  readonly sendNext: number;
  readonly receiveNext: number;
  /** Messages sent but not proved; messages held back for an earlier one. */
  readonly outstanding: number;
  readonly held: number;
}

interface Sent {
  readonly envelope: Envelope;
  tries: number;
}

export class Channel {
  /** Messages in order, each once. */
  onMessage: ((type: number, payload: Uint8Array) => void) | undefined;
  /** Room has come free after `send` refused. */
  onDrain: (() => void) | undefined;
  readonly #link: LinkPort;
  readonly #queue: Envelope[] = [];
  readonly #outstanding = new Set<Sent>();
  readonly #held = new Map<number, Envelope>();
  #sendNext = 0;
  #receiveNext = 0;
  #window = 2;
  #windowMin = 2;
  #windowMax = 5;
  #rounds = 0;
  #closed = false;
  constructor(link: LinkPort) {
    this.#link = link;
    if (link.rttMs > SLOW_RTT_MS) {
      this.#window = 1;
      this.#windowMin = 1;
      this.#windowMax = 1;
    }
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
    this.#queue.push({ type, sequence: this.#sendNext, payload: payload.slice() });
    this.#sendNext = (this.#sendNext + 1) % SEQUENCES;
    this.#pump();
  }
  #pump(): void {
    while (!this.#closed && this.#outstanding.size < this.#window) {
      const envelope = this.#queue.shift();
      if (envelope === undefined) return;
      const sent: Sent = { envelope, tries: 0 };
      this.#outstanding.add(sent);
      this.#transmit(sent);
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
    this.#rounds++;
    const { rttMs } = this.#link;
    if (this.#rounds >= CLASS_ROUNDS && rttMs <= FAST_RTT_MS) this.#classify(16, 48);
    else if (this.#rounds >= CLASS_ROUNDS && rttMs <= MEDIUM_RTT_MS) this.#classify(5, 12);
    this.#window = Math.min(this.#window + 1, this.#windowMax);
    const wasFull = this.#queue.length > 0;
    this.#pump();
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
    this.#rounds = 0;
    if (this.#window > this.#windowMin) {
      this.#window--;
      if (this.#windowMax > this.#windowMin + WINDOW_FLEXIBILITY) this.#windowMax--;
    }
    this.#transmit(sent);
  }
  /** A decrypted channel packet. The caller has proved it: a repetition must be proved too. */
  handle(plain: Uint8Array): void {
    const envelope = unpackEnvelope(plain);
    const ahead = (envelope.sequence - this.#receiveNext + SEQUENCES) % SEQUENCES;
    if (ahead > RECEIVE_WINDOW || this.#held.has(envelope.sequence)) {
      this.#link.context.count("drop_channel");
      return;
    }
    this.#held.set(envelope.sequence, envelope);
    for (;;) {
      const next = this.#held.get(this.#receiveNext);
      if (next === undefined) return;
      this.#held.delete(this.#receiveNext);
      this.#receiveNext = (this.#receiveNext + 1) % SEQUENCES;
      const { onMessage } = this;
      if (onMessage !== undefined) this.#link.context.notify(() => onMessage(next.type, next.payload));
    }
  }
  /** The link is gone. */
  shutdown(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#outstanding.clear();
    this.#held.clear();
  }
}
