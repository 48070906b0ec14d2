/**
 * One live node of the conformance bridge: a station on TCP with a tap on every frame, its destinations, links and what
 * arrived for them. The command files `conformance-wire.ts`, `-links.ts`, `-transfers.ts` and `-craft.ts` act on it.
 */
import { randomBytes } from "node:crypto";
import type { Interface, LiveWire, WireHost } from "../../planes/reticulum/interfaces/interface.ts";
import { TcpServerInterface, tcpClient } from "../../planes/reticulum/interfaces/tcp.ts";
import { Buffers } from "../../planes/reticulum/stack/buffer.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { STREAM_TYPE } from "../../planes/reticulum/stack/envelope.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import { Ifac } from "../../planes/reticulum/stack/ifac.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import type { ReceivedResource } from "../../planes/reticulum/stack/link-resources.ts";
import { unpack } from "../../planes/reticulum/stack/msgpack.ts";
import { SINGLE } from "../../planes/reticulum/stack/name.ts";
import { PROOF } from "../../planes/reticulum/stack/packet.ts";
import { RatchetRing } from "../../planes/reticulum/stack/ratchet.ts";
import type { Receipt } from "../../planes/reticulum/stack/receipt.ts";
import type { OutgoingResource } from "../../planes/reticulum/stack/resource-sender.ts";
import type { InterfaceMode } from "../../planes/reticulum/stack/wire-policy.ts";
import { Station } from "../../planes/reticulum/station.ts";
import { fromHex, type Random, toHex } from "../../spine/index.ts";

export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };
export type Params = Readonly<Record<string, Value>>;
export type WireCommand = (params: Params) => Value | Promise<Value>;

export const random: Random = (length) => new Uint8Array(randomBytes(length));

export function bytes(p: Params, key: string): Uint8Array {
  return fromHex(String(p[key] ?? ""));
}
export function aspects(p: Params): string[] {
  return ((p["aspects"] ?? []) as readonly Value[]).map(String);
}

const SHORT_MODES: Readonly<Record<string, InterfaceMode>> = {
  ap: "access-point",
  ptp: "point-to-point",
  gw: "gateway",
};

/** Of the configuration's spellings. */
function interfaceMode(value: Value | undefined): InterfaceMode {
  const text = String(value ?? "full")
    .toLowerCase()
    .replaceAll("_", "-");
  return SHORT_MODES[text] ?? ((text === "accesspoint" ? "access-point" : text) as InterfaceMode);
}

/** What a listening destination got. */
export interface Listener {
  readonly destination: Destination;
  readonly identity: Identity;
  readonly ring: RatchetRing | undefined;
  readonly links: Link[];
  packets: string[];
  opportunistic: string[];
  resources: string[];
  readonly incoming: IncomingRecord[];
  readonly streams: Map<number, { data: string; eof: boolean; error: string | undefined }>;
  readonly requests: { path: string; entry: Value }[];
  latestRatchet: string | null;
}

/** One resource that was offered and taken. */
export interface IncomingRecord {
  readonly link: Link;
  readonly originalHash: string;
  readonly compressed: boolean;
  readonly hasMetadata: boolean;
  readonly parts: number;
  status: number;
  metadata: string | null;
  data: string | null;
  /** Why it failed, for whoever reads the log. */
  failure: string | null;
}

interface Frame {
  readonly seq: number;
  readonly raw: Uint8Array;
}

/** Sees a frame pass; what comes may be lost here. */
type Tap = (way: "in" | "out", frame: Uint8Array) => "lost" | undefined;

/** An interface whose frames are seen in passing. */
class Tapped implements Interface {
  readonly name: string;
  readonly #inner: Interface;
  readonly #seen: Tap;
  readonly #wraps = new Map<LiveWire, LiveWire>();
  live: LiveWire | undefined;
  /** Does something to the next frame that goes out. */
  damage: ((frame: Uint8Array) => Uint8Array) | undefined;
  constructor(inner: Interface, seen: Tap) {
    this.name = inner.name;
    this.#inner = inner;
    this.#seen = seen;
  }
  start(host: WireHost): Promise<void> {
    const wrap = (wire: LiveWire): LiveWire => {
      const known = this.#wraps.get(wire);
      if (known !== undefined) return known;
      const send = (frame: Uint8Array): boolean => {
        const { damage } = this;
        this.damage = undefined;
        const out = damage === undefined ? frame : damage(frame.slice());
        this.#seen("out", out);
        return wire.send(out);
      };
      const made = { info: wire.info, send };
      this.#wraps.set(wire, made);
      return made;
    };
    return this.#inner.start({
      up: (wire) => {
        this.live = wrap(wire);
        host.up(this.live);
      },
      down: (wire) => host.down(wrap(wire)),
      receive: (wire, frame) => {
        if (this.#seen("in", frame) !== "lost") host.receive(wrap(wire), frame);
      },
    });
  }
  stop(): Promise<void> {
    return this.#inner.stop();
  }
  status() {
    return this.#inner.status();
  }
}

export class WireNode {
  /** It forwards for others, as servers do unless told not to. */
  readonly transport: boolean;
  readonly station: Station;
  readonly identity = Identity.create(random);
  readonly listeners = new Map<string, Listener>();
  readonly outLinks = new Map<string, Link>();
  readonly buffers = new Map<string, Buffers>();
  readonly receipts = new Map<string, Receipt>();
  readonly outgoing = new Map<string, OutgoingResource>();
  readonly channelMessages = new Map<string, string[]>();
  readonly keepalives = new Map<string, string>();
  readonly received: Frame[] = [];
  /** Frames that went out, newest last. */
  readonly sent: Uint8Array[] = [];
  readonly ifac: Ifac | undefined;
  readonly fixedMtu: number | undefined;
  /** Links (hex) whose proofs are lost on the way to us. */
  readonly refusedProofs = new Set<string>();
  txBytes = 0;
  #sentDropped = 0;
  #seq = 0;
  readonly #server: TcpServerInterface | undefined;
  readonly #tap: Tapped;
  constructor(p: Params, role: "server" | "client") {
    const networkName = String(p["network_name"] ?? "");
    const passphrase = String(p["passphrase"] ?? "");
    const ifacSize = p["ifac_size"] === undefined ? 16 : Math.max(1, Math.floor(Number(p["ifac_size"]) / 8));
    const access = {
      ...(networkName === "" ? {} : { networkName }),
      ...(passphrase === "" ? {} : { passphrase }),
    };
    const closed = networkName !== "" || passphrase !== "";
    this.ifac = closed ? new Ifac({ ...access, sizeBytes: ifacSize }) : undefined;
    this.fixedMtu = p["fixed_mtu"] === undefined ? undefined : Number(p["fixed_mtu"]);
    const options = {
      name: "wire",
      host: "127.0.0.1",
      port: Number(p["target_port"] ?? 0),
      ...access,
      ...(closed ? { accessCodeBytes: ifacSize } : {}),
      ...(this.fixedMtu === undefined ? {} : { fixedMtu: this.fixedMtu }),
      ...(p["bitrate"] === undefined ? {} : { bitrate: Number(p["bitrate"]) }),
      policy: { mode: interfaceMode(p["mode"]) },
    };
    this.#server = role === "server" ? new TcpServerInterface(options) : undefined;
    this.transport = role === "server" && p["enable_transport"] !== false;
    const explicitProofs = p["use_implicit_proof"] === false;
    this.#tap = new Tapped(this.#server ?? tcpClient(options), (way, frame) => this.#seen(way, frame));
    const onError = (error: unknown) => process.stderr.write(`${error}\n`);
    const { identity } = this;
    const transport = this.transport;
    this.station = new Station({ random, identity, transport, explicitProofs, onError }, [this.#tap]);
  }
  #seen(way: "in" | "out", frame: Uint8Array): "lost" | undefined {
    if (way === "in") {
      this.received.push({ seq: ++this.#seq, raw: frame.slice() });
      const isProof = this.refusedProofs.size > 0 && ((frame[0] as number) & 3) === PROOF;
      if (isProof && this.refusedProofs.has(toHex(frame.subarray(2, 18)))) return "lost";
    } else {
      this.txBytes += frame.length;
      this.sent.push(frame.slice());
    }
    if (this.received.length > 4096) this.received.splice(0, 1024);
    if (this.sent.length > 4096) this.#sentDropped += this.sent.splice(0, 1024).length;
    return undefined;
  }
  /** Frames sent so far, those no longer held included. */
  get sentCount(): number {
    return this.#sentDropped + this.sent.length;
  }
  sentSince(count: number): Uint8Array[] {
    return this.sent.slice(Math.max(0, count - this.#sentDropped));
  }
  /** The link's streams, and its recorder of the suite's own channel messages. */
  buffersOf(link: Link): Buffers {
    const known = this.buffers.get(link.hex);
    if (known !== undefined) return known;
    const channel = link.channel();
    channel.accepts = (type) => type === CHANNEL_TYPE || type === STREAM_TYPE;
    const buffers = new Buffers(channel);
    const messages: string[] = [];
    this.buffers.set(link.hex, buffers);
    this.channelMessages.set(link.hex, messages);
    buffers.onMessage = (type, payload) => {
      if (type === CHANNEL_TYPE) messages.push(toHex(payload));
    };
    return buffers;
  }
  /** A packet straight to the peer. */
  sendRaw(raw: Uint8Array): void {
    this.#tap.live?.send(this.ifac?.mask(raw) ?? raw);
  }
  /** A frame as if the peer had sent it. */
  hear(frame: Uint8Array): void {
    const { endpoint } = this.station;
    const [wire] = endpoint.wires.keys();
    endpoint.handle(wire as string, frame, performance.timeOrigin + performance.now());
  }
  damageNext(damage: (frame: Uint8Array) => Uint8Array): void {
    this.#tap.damage = damage;
  }
  get port(): number {
    return this.#server?.port ?? 0;
  }
  get lastSeq(): number {
    return this.#seq;
  }
  act<T>(task: () => T): T {
    return this.station.act(task);
  }
  link(hex: string): Link {
    const own = this.outLinks.get(hex);
    if (own !== undefined) return own;
    for (const { links } of this.listeners.values()) {
      const found = links.find((one) => one.hex === hex);
      if (found !== undefined) return found;
    }
    throw new Error(`ValueError: Unknown link_id: ${hex}`);
  }
  listener(p: Params): Listener {
    const found = this.listeners.get(String(p["destination_hash"]));
    if (found === undefined) throw new Error(`ValueError: no listener for ${String(p["destination_hash"])}`);
    return found;
  }
  listenerOf(link: Link): Listener {
    const found = [...this.listeners.values()].find(({ links }) => links.includes(link));
    if (found === undefined) throw new Error("ValueError: not an inbound link of any listener");
    return found;
  }

  /** Registers a destination that records everything. */
  listen(p: Params): Listener {
    const identity = Identity.create(random);
    const ring = p["enable_ratchets"] === true ? new RatchetRing(identity) : undefined;
    const destination = new Destination({
      type: SINGLE,
      appName: String(p["app_name"]),
      aspects: aspects(p),
      identity,
      ...(ring === undefined ? {} : { ratchets: ring }),
    });
    const listener: Listener = {
      destination,
      identity,
      ring,
      links: [],
      packets: [],
      opportunistic: [],
      resources: [],
      incoming: [],
      streams: new Map(),
      requests: [],
      latestRatchet: null,
    };
    if (p["proof_strategy"] === "all") destination.proofs = "all";
    destination.onPacket = (data) => listener.opportunistic.push(toHex(data));
    destination.onLink = (link) => this.#accepted(listener, link, p);
    this.listeners.set(destination.hex, listener);
    this.act(() => this.station.endpoint.register(destination));
    return listener;
  }
  #accepted(listener: Listener, link: Link, p: Params): void {
    const strategy = String(p["resource_strategy"] ?? "all");
    listener.links.push(link);
    link.onPacket = (data) => listener.packets.push(toHex(data));
    link.acceptResource = (advertisement) => {
      const wanted = strategy === "all" || (strategy === "app" && advertisement.totalBytes <= 4096);
      if (wanted) {
        listener.incoming.push({
          link,
          originalHash: toHex(advertisement.originalHash),
          compressed: (advertisement.flags & 2) !== 0,
          hasMetadata: (advertisement.flags & 32) !== 0,
          parts: advertisement.parts,
          status: 3,
          metadata: null,
          data: null,
          failure: null,
        });
      }
      return wanted;
    };
    link.onResource = (resource) => this.#took(listener, resource);
    link.onResourceFailed = (advertisement, reason) => {
      const record = listener.incoming.find((one) => one.originalHash === toHex(advertisement.originalHash));
      const corrupt = reason.code === "decompression_limit" || /mismatch|damaged|decrypt/.test(reason.message);
      if (record === undefined) return;
      record.status = corrupt ? 8 : 7;
      record.failure = reason.message;
    };
    if (p["open_channel"] === false) return;
    const buffers = this.buffersOf(link);
    for (const id of [0, ...((p["buffer_stream_ids"] ?? []) as readonly number[])]) {
      const got: { data: string; eof: boolean; error: string | undefined } = { data: "", eof: false, error: undefined };
      listener.streams.set(id, got);
      const take = (data: Uint8Array, eof: boolean) => {
        got.data += toHex(data);
        got.eof ||= eof;
      };
      buffers.read(id, take, (reason) => {
        got.error = reason.message;
      });
    }
  }
  #took(listener: Listener, { data, metadata, hash }: ReceivedResource): void {
    listener.resources.push(toHex(data));
    const record = listener.incoming.find((one) => one.originalHash === toHex(hash));
    if (record === undefined) return;
    record.status = 6;
    record.data = toHex(data);
    const told = metadata === undefined ? null : unpack(metadata);
    record.metadata = told instanceof Uint8Array ? toHex(told) : null;
  }
}

/** The message type of the suite's own channel messages. */
export const CHANNEL_TYPE = 0x0101;

const nodes = new Map<string, WireNode>();

export function nodeOf(p: Params): WireNode {
  const found = nodes.get(String(p["handle"]));
  if (found === undefined) throw new Error(`ValueError: Unknown handle: ${String(p["handle"])}`);
  return found;
}
export function addNode(node: WireNode): string {
  const handle = toHex(random(8));
  nodes.set(handle, node);
  return handle;
}
export async function stopNode(handle: string): Promise<boolean> {
  const node = nodes.get(handle);
  nodes.delete(handle);
  await node?.station.stop();
  return node !== undefined;
}
export async function stopAllNodes(): Promise<void> {
  for (const handle of [...nodes.keys()]) await stopNode(handle);
}

/** Polls; false at the deadline. */
export async function until(done: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!done()) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}
