/**
 * What one link sends over a slow wire: frames that come together go together, cut into messages of one packet, each of
 * which waits for its turn on the shared air and for the proof of those before. What is urgent does not wait for the rest of longer frames: there is a
 * lane for it, one for the rest, and revocations go as packets of their own, beside the channel. Owned by `carry-link.ts`.
 */
import {
  ByteReader,
  ByteWriter,
  CONTROL_TIER,
  concatBytes,
  type Millis,
  SpineError,
  type Tier,
} from "../../../spine/index.ts";
import { SendLine } from "../../send-line.ts";
import { isEvidence } from "./spellings.ts";

/** Kind of a message that is a whole frame. */
const FRAME = 1;
/** Waiting callers per lane. */
const MAX_WAITING_SENDS = 1_024;
/** Beside the payload of a channel message: headers, initialisation vector, authentication code, padding. */
const PACKET_OVERHEAD_BYTES = 84;
/** Flags of a part: its lane, and whether it is the last of its frame. */
const LAST = 0x80;
const LANES = 2;
/** The air had no room for a part of a frame that was begun: it is asked again after this. */
const RETRY_MS = 1_000;
/** Frames that come within so long go together, up to so many bytes. */
const GATHER_MS = 50;
const MAX_TOGETHER_BYTES = 2_048;
/** Packets beside the channel: on their way at once, and tries each before the link is given up. */
const MAX_PACKETS = 16;
const MAX_TRIES = 8;
const PACKET_RETRY_MS = 1_000;
const MAX_PACKET_RETRY_MS = 900_000;

export interface SlowHooks {
  /** Asks for a turn on the air. "taken": `transmit` is run when it comes; "later": no room; "dropped": not carried. */
  readonly turn: (bytes: number, tier: Tier, transmit: () => void, evidence: boolean) => "taken" | "later" | "dropped";
  readonly whole: (frame: Uint8Array) => void;
  readonly part: (payload: Uint8Array) => void;
  /** Messages sent and not proved. */
  readonly unproved: () => number;
  /** Bytes that one message carries behind its kind. */
  readonly room: () => number;
  /** Whether the wire carries what is this urgent. */
  readonly carries: (tier: Tier) => boolean;
  readonly later: (inMs: Millis, task: () => void) => void;
  /** Sends a packet beside the channel; `proved` is called once. */
  readonly packet: (message: Uint8Array, proved: (arrived: boolean) => void) => void;
  /** Packets do not arrive: the link is to end. */
  readonly broken: () => void;
}

/** A frame, and whether nobody needs it any more: asked again until it is on its way. */
interface Gathered {
  readonly frame: Uint8Array;
  readonly isNeedless: () => boolean;
}

interface Lane {
  readonly line: SendLine;
  /** Frames that will go together. */
  frames: Gathered[];
  bytes: number;
  /** What is left of those under way; undefined if none are. */
  parts: Uint8Array[] | undefined;
  /** The only part is a whole frame: of that it is known whether it is still needed. */
  whole: Gathered | undefined;
  tier: Tier;
  /** Some of it proves a fork or a split view. */
  evidence: boolean;
  /** A turn was asked for. */
  asked: boolean;
}

const laneOf = (tier: Tier): number => (tier <= 4 ? 0 : 1);

export class SlowSender {
  readonly #hooks: SlowHooks;
  readonly #lanes: readonly Lane[] = Array.from({ length: LANES }, () => ({
    line: new SendLine(MAX_WAITING_SENDS),
    frames: [],
    bytes: 0,
    parts: undefined,
    whole: undefined,
    tier: CONTROL_TIER,
    evidence: false,
    asked: false,
  }));
  readonly #packetLine = new SendLine(MAX_WAITING_SENDS);
  #packets = 0;
  readonly #tiers = new WeakMap<Uint8Array, Tier>();
  readonly #needless = new WeakMap<Uint8Array, () => boolean>();
  /** The first frame, which says who is there, has arrived: others may overtake each other from now on. */
  #opened = false;
  #closed = false;

  constructor(hooks: SlowHooks) {
    this.#hooks = hooks;
  }

  /** A frame of which `isNeedless` says so before it is on its way is taken and forgotten. */
  async send(
    frame: Uint8Array,
    signal: AbortSignal,
    tier: Tier,
    isNeedless?: () => boolean,
  ): Promise<"at once" | "held"> {
    this.#tiers.set(frame, tier);
    if (isNeedless !== undefined) this.#needless.set(frame, isNeedless);
    if (tier === 1 && this.#opened && frame.length <= this.#hooks.room()) return this.#sendPacket(frame, signal);
    const lane = this.#lane(tier);
    if (lane.line.length === 0 && this.#take(lane, frame)) return "at once";
    await lane.line.wait(frame, signal);
    return "held";
  }

  // ---- beside the channel ----

  async #sendPacket(frame: Uint8Array, signal: AbortSignal): Promise<"at once" | "held"> {
    if (this.#packetLine.length === 0 && this.#takePacket(frame)) return "at once";
    await this.#packetLine.wait(frame, signal);
    return "held";
  }
  #takePacket(frame: Uint8Array): boolean {
    if (this.#packets >= MAX_PACKETS || this.#closed) return false;
    const message = new Uint8Array(1 + frame.length);
    message[0] = FRAME;
    message.set(frame, 1);
    this.message(message);
    return true;
  }
  /** Sends a message of one packet as a revocation, until it is proved. */
  message(message: Uint8Array): void {
    this.#packets++;
    this.#askPacket(message, 0);
  }
  #askPacket(message: Uint8Array, tries: number): void {
    if (this.#closed) return;
    const again = (inMs: Millis): void => this.#hooks.later(inMs, () => this.#askPacket(message, tries + 1));
    const transmit = (): void => {
      if (this.#closed) return;
      this.#hooks.packet(message, (arrived) => {
        if (this.#closed) return;
        if (!arrived && tries + 1 >= MAX_TRIES) return this.#hooks.broken();
        if (!arrived) return again(Math.min(MAX_PACKET_RETRY_MS, PACKET_RETRY_MS * 2 ** tries));
        this.#packets--;
        this.#packetLine.drain((frame) => this.#takePacket(frame));
      });
    };
    const answer = this.#hooks.turn(message.length + PACKET_OVERHEAD_BYTES, 1, transmit, false);
    if (answer === "later") this.#hooks.later(PACKET_RETRY_MS, () => this.#askPacket(message, tries));
  }

  // ---- on the channel ----

  #lane(tier: Tier): Lane {
    return this.#lanes[this.#opened ? laneOf(tier) : laneOf(CONTROL_TIER)] as Lane;
  }

  /** False: it has to wait. A frame that the wire does not carry is taken and forgotten. */
  #take(lane: Lane, frame: Uint8Array): boolean {
    if (lane.parts !== undefined || this.#closed) return false;
    const tier = this.#tiers.get(frame) ?? CONTROL_TIER;
    const isNeedless = this.#needless.get(frame) ?? never;
    if (!this.#hooks.carries(tier) || isNeedless()) return true;
    const first = lane.frames.length === 0;
    const together = lane.bytes + frame.length <= MAX_TOGETHER_BYTES && (tier === lane.tier || laneOf(tier) === 0);
    if (!first && !together) return false;
    lane.frames.push({ frame: frame.slice(), isNeedless });
    lane.bytes += frame.length;
    if (!first) return true;
    lane.tier = tier;
    this.#hooks.later(GATHER_MS, () => this.#begin(lane));
    return true;
  }
  #begin(lane: Lane): void {
    const needed = lane.frames.splice(0).filter(({ isNeedless }) => !isNeedless());
    lane.bytes = 0;
    const [only] = needed;
    if (this.#closed) return;
    if (only === undefined) return this.drained();
    lane.evidence = needed.some(({ frame }) => isEvidence(frame));
    const room = this.#hooks.room();
    lane.whole = needed.length === 1 && only.frame.length <= room ? only : undefined;
    const frames = needed.map(({ frame }) => frame);
    lane.parts = lane.whole === undefined ? partsOf(joined(frames), room - 1, this.#lanes.indexOf(lane)) : [only.frame];
    if (this.#ask(lane) !== "taken") this.#hooks.later(RETRY_MS, () => this.drained());
  }

  #ask(lane: Lane): "taken" | "later" | "dropped" {
    const part = lane.parts?.[0] as Uint8Array;
    // The turn may come before the call returns.
    lane.asked = true;
    const transmit = (): void => this.#transmit(lane);
    const answer = this.#hooks.turn(part.length + PACKET_OVERHEAD_BYTES, lane.tier, transmit, lane.evidence);
    if (answer !== "taken") lane.asked = false;
    return answer;
  }

  #transmit(lane: Lane): void {
    const part = lane.parts?.shift();
    lane.asked = false;
    if (part === undefined || this.#closed) return;
    if (lane.whole?.isNeedless() === true) this.#hooks.later(0, () => this.drained());
    else if (lane.whole !== undefined) this.#hooks.whole(part);
    else this.#hooks.part(part);
  }

  /** A message was proved, or time has passed: lanes go on, the most urgent first. */
  drained(): void {
    if (this.#closed || this.#hooks.unproved() > 0) return;
    for (const lane of this.#lanes) {
      if (lane.asked || lane.frames.length > 0) continue;
      if (lane.parts?.length === 0) {
        lane.parts = undefined;
        this.#opened = true;
      }
      if (lane.parts === undefined) lane.line.drain((frame) => this.#take(lane, frame));
      else if (this.#ask(lane) !== "taken") this.#hooks.later(RETRY_MS, () => this.drained());
    }
  }

  /** The link is gone. */
  fail(error: SpineError): void {
    this.#closed = true;
    this.#packetLine.fail(error);
    for (const lane of this.#lanes) {
      lane.parts = undefined;
      lane.frames = [];
      lane.line.fail(error);
    }
  }
}

function never(): boolean {
  return false;
}

/** Each with its length before it. */
function joined(frames: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter(1_024);
  for (const frame of frames) writer.block(frame);
  return writer.finish();
}

function partsOf(frame: Uint8Array, room: number, lane: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < frame.length; at += room) {
    const last = at + room >= frame.length;
    const part = new Uint8Array(1 + Math.min(room, frame.length - at));
    part[0] = lane | (last ? LAST : 0);
    part.set(frame.subarray(at, at + room), 1);
    parts.push(part);
  }
  return parts;
}

/** Puts the parts of each lane together again, and takes the frames apart that went together. */
export class PartJoiner {
  readonly #maxBytes: number;
  readonly #open: { parts: Uint8Array[]; bytes: number }[] = Array.from({ length: LANES }, () => ({
    parts: [],
    bytes: 0,
  }));
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }
  /** The frames whose last part this is. Throws `frame_syntax` for what no sender of ours makes. */
  add(payload: Uint8Array): readonly Uint8Array[] {
    const flags = payload[0] ?? LANES;
    const open = this.#open[flags & ~LAST];
    if (open === undefined || payload.length < 2 || open.bytes + payload.length - 1 > this.#maxBytes)
      throw new SpineError("frame_syntax", "a part of a frame that cannot be");
    open.parts.push(payload.slice(1));
    open.bytes += payload.length - 1;
    if ((flags & LAST) === 0) return [];
    const reader = new ByteReader(concatBytes(...open.parts));
    open.parts = [];
    open.bytes = 0;
    const frames: Uint8Array[] = [];
    while (reader.remaining > 0) frames.push(reader.block(this.#maxBytes));
    return frames;
  }
}
