/**
 * What the air of emulated radios is used for, by purpose: looks into the packets of links before they are sealed. Used by the
 * test of a whole day, whose figures set what envelopes cost against the least that could do.
 */
import { Link } from "../../../planes/reticulum/stack/link.ts";
import { GROUP, PLAIN } from "../../../planes/reticulum/stack/name.ts";
import { CONTEXT, packetHash, parsePacket } from "../../../planes/reticulum/stack/packet.ts";
import { ByteReader, concatBytes, MAX_FRAME_BYTES, toHex } from "../../../spine/index.ts";
import type { VirtualRadio } from "../../helpers/virtual-mesh.ts";

/** "repairs": envelopes to one neighbour; "comparing": everything that finds out what lacks. */
export type Purpose =
  | "broadcasts"
  | "repairs"
  | "comparing"
  | "proofs"
  | "announces"
  | "links"
  | "keepalives"
  | "retries"
  | "questions"
  | "other";

const [DATA, ANNOUNCE, LINK_REQUEST] = [0, 1, 2];
const LINK_CONTEXTS = new Set<number>([CONTEXT.linkIdentify, CONTEXT.linkRtt, CONTEXT.linkClose]);
/** Of a channel message: type, sequence, length. */
const CHANNEL_HEADER_BYTES = 6;
const LAST_PART = 0x80;
const Kind = { hello: 0, frame: 1, part: 5, have: 6, need: 7 } as const;
/** By the first byte of a frame, packed or not. */
const REPAIR_FRAMES = new Set([5, 6, 7, 8, 0xc2, 0xc3]);
const LINK_FRAMES = new Set([1, 13]);

/** Packets of one message: what they are for is known when its last one is made. */
interface Group {
  shares: ReadonlyMap<Purpose, number> | undefined;
  /** Booked before that. */
  airMs: number;
}

export class AirAccount {
  /** Milliseconds on the air. */
  readonly used = new Map<Purpose, number>();
  readonly #purposes = new Map<string, Group>();
  readonly #seen = new WeakMap<Link, Set<string>>();
  readonly #open = new WeakMap<Link, Map<number, { readonly parts: Uint8Array[]; readonly group: Group }>>();
  readonly #original = Link.prototype.transmitProved;

  /** Watches all links until `stop`. */
  start(): void {
    const { note } = this;
    const original = this.#original;
    Link.prototype.transmitProved = function transmitProved(context, data, timeoutMs) {
      const receipt = original.call(this, context, data, timeoutMs);
      note(this, context, data, toHex(receipt.hash));
      return receipt;
    };
  }
  stop(): void {
    Link.prototype.transmitProved = this.#original;
  }
  watch(radio: VirtualRadio): void {
    const send = radio.radio.send.bind(radio.radio);
    radio.radio.send = (frame) => {
      const airMs = radio.air(frame.length);
      const group = this.#groupOf(frame);
      if (group.shares === undefined) group.airMs += airMs;
      else this.#book(group.shares, airMs);
      return send(frame);
    };
  }

  readonly note = (link: Link, context: number, data: Uint8Array, hash: string): void => {
    const seen = this.#seen.get(link) ?? new Set();
    this.#seen.set(link, seen);
    const text = `${context} ${toHex(data)}`;
    this.#purposes.set(hash, seen.has(text) ? all("retries") : this.#linkGroup(link, context, data));
    seen.add(text);
  };
  #book(shares: ReadonlyMap<Purpose, number>, airMs: number): void {
    for (const [purpose, share] of shares) this.used.set(purpose, (this.used.get(purpose) ?? 0) + share * airMs);
  }

  #linkGroup(link: Link, context: number, data: Uint8Array): Group {
    const message = context === CONTEXT.channel ? data.subarray(CHANNEL_HEADER_BYTES) : data;
    const content = message.subarray(1);
    switch (message[0]) {
      case Kind.hello:
        return all("links");
      case Kind.frame:
        return all(purposeOf(content));
      case Kind.part:
        return this.#partGroup(link, content);
      case Kind.have:
      case Kind.need:
        return all("comparing");
      default:
        return all("other");
    }
  }
  /** The frames of a message share its air by their bytes. */
  #partGroup(link: Link, content: Uint8Array): Group {
    const flags = content[0] as number;
    const lanes = this.#open.get(link) ?? new Map<number, { parts: Uint8Array[]; group: Group }>();
    this.#open.set(link, lanes);
    const lane = flags & ~LAST_PART;
    const { parts, group } = lanes.get(lane) ?? { parts: [], group: { shares: undefined, airMs: 0 } };
    parts.push(content.slice(1));
    lanes.set(lane, { parts, group });
    if ((flags & LAST_PART) === 0) return group;
    lanes.delete(lane);
    const shares = new Map<Purpose, number>();
    const reader = new ByteReader(concatBytes(...parts));
    const bytes = reader.remaining;
    while (reader.remaining > 0) {
      const before = reader.remaining;
      const purpose = purposeOf(reader.block(MAX_FRAME_BYTES));
      shares.set(purpose, (shares.get(purpose) ?? 0) + (before - reader.remaining) / bytes);
    }
    group.shares = shares;
    this.#book(shares, group.airMs);
    return group;
  }

  #groupOf(frame: Uint8Array): Group {
    const packet = parsePacket(frame);
    const { packetType, context, destinationType } = packet;
    if (packetType === ANNOUNCE) return all("announces");
    if (packetType === LINK_REQUEST) return all("links");
    if (packetType !== DATA) return all(context === CONTEXT.linkRequestProof ? "links" : "proofs");
    if (destinationType === GROUP) return all("broadcasts");
    if (destinationType === PLAIN) return all("questions");
    if (context === CONTEXT.keepalive) return all("keepalives");
    if (LINK_CONTEXTS.has(context)) return all("links");
    const hash = toHex(packetHash(packet.raw));
    const known = this.#purposes.get(hash);
    this.#purposes.delete(hash);
    return known ?? all("other");
  }
}

function all(purpose: Purpose): Group {
  return { shares: new Map([[purpose, 1]]), airMs: 0 };
}
function purposeOf(frame: Uint8Array): Purpose {
  const first = frame[0] as number;
  if (LINK_FRAMES.has(first)) return "links";
  return REPAIR_FRAMES.has(first) ? "repairs" : "comparing";
}
