/**
 * What one link sends over a slow wire: each frame is cut into messages of one packet, each message waits for its turn on
 * the shared air and for the proof of those before. Urgent frames do not wait for the rest of longer ones: there is a lane
 * for revocations, one for what else is urgent, one for the rest. Owned by `carry-link.ts`.
 */
import { CONTROL_TIER, SpineError, type Tier } from "../../../spine/index.ts";
import { SendLine } from "../../send-line.ts";

/** Waiting callers per lane. */
const MAX_WAITING_SENDS = 1_024;
/** Beside the payload of a channel message: headers, initialisation vector, authentication code, padding. */
const PACKET_OVERHEAD_BYTES = 84;
/** Flags of a part: its lane, and whether it is the last of its frame. */
const LAST = 0x80;
const LANES = 3;
/** The air had no room for a part of a frame that was begun: it is asked again after this. */
export const RETRY_MS = 1_000;

export interface SlowHooks {
  /** Asks for a turn on the air. "taken": `transmit` is run when it comes; "later": no room; "dropped": not carried. */
  readonly turn: (bytes: number, tier: Tier, transmit: () => void) => "taken" | "later" | "dropped";
  readonly whole: (frame: Uint8Array) => void;
  readonly part: (payload: Uint8Array) => void;
  /** Messages sent and not proved. */
  readonly unproved: () => number;
  /** Bytes that one message carries behind its kind. */
  readonly room: () => number;
  /** Runs a task after `RETRY_MS`. */
  readonly retry: (task: () => void) => void;
}

interface Lane {
  readonly line: SendLine;
  /** What is left of the frame under way; undefined if none is. */
  parts: Uint8Array[] | undefined;
  isWhole: boolean;
  tier: Tier;
  /** A turn was asked for. */
  asked: boolean;
}

const laneOf = (tier: Tier): number => (tier === 1 ? 0 : tier <= 4 ? 1 : 2);

export class SlowSender {
  readonly #hooks: SlowHooks;
  readonly #lanes: readonly Lane[] = Array.from({ length: LANES }, () => ({
    line: new SendLine(MAX_WAITING_SENDS),
    parts: undefined,
    isWhole: false,
    tier: CONTROL_TIER,
    asked: false,
  }));
  readonly #tiers = new WeakMap<Uint8Array, Tier>();
  /** The first frame, which says who is there, has arrived: others may overtake each other from now on. */
  #opened = false;
  #closed = false;

  constructor(hooks: SlowHooks) {
    this.#hooks = hooks;
  }

  async send(frame: Uint8Array, signal: AbortSignal, tier: Tier): Promise<"at once" | "held"> {
    this.#tiers.set(frame, tier);
    const lane = this.#lane(tier);
    if (lane.line.length === 0 && this.#take(lane, frame)) return "at once";
    await lane.line.wait(frame, signal);
    return "held";
  }
  #lane(tier: Tier): Lane {
    return this.#lanes[this.#opened ? laneOf(tier) : laneOf(CONTROL_TIER)] as Lane;
  }

  /** False: no room for it now. A frame that the wire does not carry is taken and forgotten. */
  #take(lane: Lane, frame: Uint8Array): boolean {
    if (lane.parts !== undefined || this.#closed) return false;
    const room = this.#hooks.room();
    lane.isWhole = frame.length <= room;
    lane.parts = lane.isWhole ? [frame.slice()] : partsOf(frame, room - 1, this.#lanes.indexOf(lane));
    lane.tier = this.#tiers.get(frame) ?? CONTROL_TIER;
    const answer = this.#ask(lane);
    if (answer !== "taken") lane.parts = undefined;
    if (answer === "later") this.#hooks.retry(() => this.drained());
    return answer !== "later";
  }

  #ask(lane: Lane): "taken" | "later" | "dropped" {
    const part = lane.parts?.[0] as Uint8Array;
    const answer = this.#hooks.turn(part.length + PACKET_OVERHEAD_BYTES, lane.tier, () => this.#transmit(lane));
    lane.asked = answer === "taken";
    return answer;
  }

  #transmit(lane: Lane): void {
    const part = lane.parts?.shift();
    lane.asked = false;
    if (part === undefined || this.#closed) return;
    if (lane.isWhole) this.#hooks.whole(part);
    else this.#hooks.part(part);
  }

  /** A message was proved, or time has passed: lanes go on, the most urgent first. */
  drained(): void {
    if (this.#closed || this.#hooks.unproved() > 0) return;
    for (const lane of this.#lanes) {
      if (lane.asked) continue;
      if (lane.parts?.length === 0) {
        lane.parts = undefined;
        this.#opened = true;
      }
      if (lane.parts === undefined) lane.line.drain((frame) => this.#take(lane, frame));
      else if (this.#ask(lane) !== "taken") this.#hooks.retry(() => this.drained());
    }
  }

  /** The link is gone. */
  fail(error: SpineError): void {
    this.#closed = true;
    for (const lane of this.#lanes) {
      lane.parts = undefined;
      lane.line.fail(error);
    }
  }
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

/** Puts the parts of each lane together again. */
export class PartJoiner {
  readonly #maxBytes: number;
  readonly #open: { parts: Uint8Array[]; bytes: number }[] = Array.from({ length: LANES }, () => ({
    parts: [],
    bytes: 0,
  }));
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }
  /** The frame whose last part this is. Throws `frame_syntax` for what no sender of ours makes. */
  add(payload: Uint8Array): Uint8Array | undefined {
    const flags = payload[0] ?? LANES;
    const open = this.#open[flags & ~LAST];
    if (open === undefined || payload.length < 2 || open.bytes + payload.length - 1 > this.#maxBytes)
      throw new SpineError("frame_syntax", "a part of a frame that cannot be");
    open.parts.push(payload.slice(1));
    open.bytes += payload.length - 1;
    if ((flags & LAST) === 0) return undefined;
    const frame = new Uint8Array(open.bytes);
    let at = 0;
    for (const part of open.parts) {
      frame.set(part, at);
      at += part.length;
    }
    open.parts = [];
    open.bytes = 0;
    return frame;
  }
}
