/**
 * Behaviour commands of the conformance bridge: an endpoint with wires that only record, driven frame by frame, its tables
 * open to view. Used by `conformance-bridge.ts`.
 */
import { carriedAnnounce } from "../../planes/reticulum/stack/announce-table.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint, type Send } from "../../planes/reticulum/stack/endpoint.ts";
import { type HashKey, keyOf } from "../../planes/reticulum/stack/hash-key.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import { Ifac } from "../../planes/reticulum/stack/ifac.ts";
import type { LinkEntry } from "../../planes/reticulum/stack/link-table.ts";
import { GROUP, PLAIN, SINGLE } from "../../planes/reticulum/stack/name.ts";
import { CONTEXT, packetHash, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { pathRequestPacket, tunnelSynthesis } from "../../planes/reticulum/stack/path-request.ts";
import type { PathEntry } from "../../planes/reticulum/stack/path-table.ts";
import type { InterfaceMode, WirePolicy } from "../../planes/reticulum/stack/wire-policy.ts";
import { fromHex, toHex } from "../../spine/index.ts";
import { aspects, bytes, type Params, random, type Value, type WireCommand } from "./conformance-node.ts";

interface HandlerRecord {
  readonly calls: Value[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const MODES: Readonly<Record<string, InterfaceMode>> = {
  FULL: "full",
  POINT_TO_POINT: "point-to-point",
  ACCESS_POINT: "access-point",
  ROAMING: "roaming",
  BOUNDARY: "boundary",
  GATEWAY: "gateway",
  INTERNAL: "internal",
};

/** What is due waits so long for the suite's next command, which may move it. */
const COMMAND_PAUSE_MS = 50;

class Subject {
  readonly endpoint: Endpoint;
  readonly identity: Identity;
  readonly sent = new Map<string, string[]>();
  readonly deliveries = new Map<string, string[]>();
  readonly handlers: HandlerRecord[] = [];
  readonly ifacs = new Map<string, Ifac>();
  readonly defaults: Params;
  readonly #hashes = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  constructor(p: Params) {
    this.defaults = p;
    this.identity = Identity.fromPrivateKey(bytes(p, "identity_seed"));
    this.endpoint = new Endpoint({
      random,
      identity: this.identity,
      transport: p["enable_transport"] !== false,
      unixMs: () => Date.now(),
    });
  }
  act<T>(task: () => T): T {
    const box: { result?: T } = {};
    this.#perform(
      this.endpoint.act(Date.now(), () => {
        box.result = task();
      }),
    );
    return box.result as T;
  }
  /** The table keeps half of what names a packet: the other half is told by the packets themselves. */
  note(hash: Uint8Array): void {
    const { high, low } = keyOf(hash);
    this.#hashes.set(`${high}/${low}`, toHex(hash.subarray(0, 16)));
  }
  hashOf({ high, low }: HashKey): string {
    return this.#hashes.get(`${high}/${low}`) ?? "";
  }
  inject(wire: string, raw: Uint8Array): void {
    if (raw.length > 35) this.note(packetHash(raw));
    this.#perform(this.endpoint.handle(wire, raw, Date.now()));
  }
  #perform(sends: readonly Send[]): void {
    for (const { wire, frame } of sends) this.sent.get(wire)?.push(toHex(frame));
    clearTimeout(this.#timer);
    const at = this.endpoint.nextWakeAt;
    if (at === undefined) return;
    this.#timer = setTimeout(() => this.wake(), Math.max(COMMAND_PAUSE_MS, at - Date.now()));
    this.#timer.unref();
  }
  /** Until the next command that lets time pass. */
  pause<T>(task: () => T): T {
    clearTimeout(this.#timer);
    return task();
  }
  /** Runs what is due now. */
  wake(): void {
    this.#perform(this.endpoint.wake(Date.now()));
  }
  stop(): void {
    clearTimeout(this.#timer);
  }
}

const subjects = new Map<string, Subject>();

function subject(p: Params): Subject {
  const found = subjects.get(String(p["handle"]));
  if (found === undefined) throw new Error("unknown handle");
  return found;
}

function policyOf(p: Params, defaults: Params): WirePolicy {
  const value = (key: string): number | undefined => {
    const given = p[key] ?? defaults[key];
    return typeof given === "number" ? given : undefined;
  };
  const target = value("announce_rate_target");
  const cap = value("announce_cap");
  const rate =
    target === undefined
      ? null
      : {
          targetMs: target * 1000,
          grace: value("announce_rate_grace") ?? 0,
          penaltyMs: (value("announce_rate_penalty") ?? 0) * 1000,
        };
  const mode = MODES[String(p["mode"] ?? "FULL")] ?? "full";
  const announceCap = cap === undefined ? 1 : cap > 1 ? cap / 100 : cap;
  return { mode, announceRate: rate, announceCap, ingressControl: false };
}

function pathOf(s: Subject, dest: string): Value {
  const entry = s.endpoint.paths.getByHex(dest, Date.now());
  if (entry === undefined) return { found: false };
  return {
    found: true,
    timestamp: entry.touchedAt / 1000,
    hops: entry.hops,
    next_hop: toHex(entry.nextHop),
    received_from: toHex(entry.nextHop),
    expires: entry.expiresAt / 1000,
    random_blobs: entry.randomHashes,
    interface: entry.wireId,
    receiving_interface: entry.wireId,
    interface_id: entry.wireId,
  };
}

function change(s: Subject, dest: string, edit: (entry: Writable<PathEntry>) => void): Value {
  for (const [key, entry] of s.endpoint.paths.entries()) if (key === dest) edit(entry);
  return { found: true };
}

/** What the filter of the packet path drops, told apart from later reasons. */
const FILTERED = ["drop_not_for_us", "drop_hops", "drop_duplicate", "drop_malformed"] as const;

/** Feeds a packet in and tells whether the filter took it; the hops given are those already counted. */
function filtered(s: Subject, raw: Uint8Array): boolean {
  const { endpoint } = s;
  const dropped = (): number => FILTERED.reduce((sum, name) => sum + (endpoint.counters.get(name) ?? 0), 0);
  if (!s.sent.has("filter")) {
    s.sent.set("filter", []);
    s.act(() => endpoint.attach({ id: "filter", bitrate: 1e7, hardwareMtu: 500, signalsMtu: false }));
  }
  const before = dropped();
  const frame = raw.slice();
  frame[1] = Math.max(0, (frame[1] as number) - 1);
  s.inject("filter", frame);
  return dropped() > before;
}

function linkOf(s: Subject, key: string, entry: LinkEntry): { readonly [key: string]: Value } {
  const path = s.endpoint.paths.get(entry.destination, Date.now());
  return {
    found: true,
    link_id: key,
    next_hop_transport_id: path === undefined ? null : toHex(path.nextHop),
    timestamp: entry.usedAt / 1000,
    next_hop_if: entry.outWire,
    remaining_hops: entry.remainingHops,
    received_if: entry.inWire,
    hops: entry.takenHops,
    destination_hash: toHex(entry.destination),
    validated: entry.validated,
    proof_timeout: entry.proofBy / 1000,
  };
}

/** What waits to be carried on, or as an answer to a path request. */
function announceOf(s: Subject, dest: string): Value {
  const { transport } = s.endpoint;
  const waiting = transport?.announces.get(dest);
  if (transport !== undefined && waiting !== undefined) {
    const { packet, hops } = waiting;
    const raw = carriedAnnounce(packet, packet.destination, hops, transport.id, CONTEXT.none);
    return {
      found: true,
      retries: waiting.sent,
      hops,
      timestamp: waiting.addedAt / 1000,
      retransmit_timeout: waiting.dueAt / 1000,
      local_rebroadcasts: waiting.neighbours,
      block_rebroadcasts: false,
      attached_interface: null,
      packet_hash: toHex(packetHash(raw)),
    };
  }
  const answer = transport?.finder.planned(dest);
  if (answer === undefined) return { found: false };
  const times = { timestamp: answer.plannedAt / 1000, retransmit_timeout: answer.dueAt / 1000 };
  return { found: true, ...times, block_rebroadcasts: true, attached_interface: answer.wireId };
}

/** Was the frame's packet noted as taken? One that cannot even be read has no hash. */
function remembered(p: Params): Value {
  const s = subject(p);
  const raw = bytes(p, "raw");
  let hash: Uint8Array | undefined;
  try {
    const opened = s.ifacs.get(String(p["iface_id"]))?.open(raw) ?? raw;
    hash = packetHash(parsePacket(opened).raw);
  } catch {
    hash = undefined;
  }
  const before = hash !== undefined && s.endpoint.seen.has(hash);
  s.inject(String(p["iface_id"]), raw);
  const after = hash !== undefined && s.endpoint.seen.has(hash);
  return {
    hashlist_grew: after && !before,
    unpackable: hash !== undefined,
    packet_hash: hash === undefined ? null : toHex(hash),
    in_hashlist: after,
  };
}

const holds = new Map<string, Held>();

/** An endpoint on its own clock whose only wire is in a burst, so that it holds announces back; time then passes. */
class Held {
  readonly endpoint = new Endpoint({ random });
  readonly released: string[] = [];
  readonly hops = new Map<string, number>();
  #now = Date.now();
  constructor() {
    const wire = { id: "held", bitrate: 1e7, hardwareMtu: 500, signalsMtu: false, medium: "network" } as const;
    this.endpoint.act(this.#now, () => this.endpoint.attach(wire));
    this.endpoint.onAnnounce({ heard: ({ destination }) => this.released.push(toHex(destination)) });
    for (let i = 0; i < 8; i++) this.#hear(strangerAnnounce());
    this.released.length = 0;
  }
  #hear(raw: Uint8Array): void {
    this.endpoint.handle("held", raw, this.#now);
  }
  hold(raw: Uint8Array): void {
    const { destination, hops } = parsePacket(raw);
    this.hops.set(toHex(destination), hops);
    this.#hear(raw);
  }
  /** Until the next one of those asked about is released. */
  release(): void {
    const before = this.released.filter((key) => this.hops.has(key)).length;
    while (this.released.filter((key) => this.hops.has(key)).length === before) {
      const at = this.endpoint.nextWakeAt;
      if (at === undefined) return;
      this.#now = Math.max(this.#now, at);
      this.endpoint.wake(this.#now);
    }
  }
}

/** Of somebody nobody knows. */
function strangerAnnounce(): Uint8Array {
  const endpoint = new Endpoint({ random });
  endpoint.attach({ id: "w", bitrate: 1e7, hardwareMtu: 500, signalsMtu: false });
  const destination = new Destination({ type: SINGLE, appName: "stranger", aspects: [], random });
  return endpoint.act(Date.now(), () => endpoint.announce(destination))[0]?.frame as Uint8Array;
}

function holdAndRelease(p: Params): Value {
  const key = `${String(p["handle"])}/${String(p["iface_id"])}`;
  const held = holds.get(key) ?? new Held();
  holds.set(key, held);
  for (const raw of p["announces"] as readonly string[]) held.hold(fromHex(raw));
  const waiting = (): string[] => [...held.hops.keys()].filter((dest) => !held.released.includes(dest));
  const before = waiting();
  held.release();
  const after = waiting();
  const released = before.filter((dest) => !after.includes(dest));
  return { held_before: before, held_after: after, released, hops: Object.fromEntries(held.hops) };
}

export const BEHAVIOUR: Readonly<Record<string, WireCommand>> = {
  behavioral_start: (p) => {
    const s = new Subject(p);
    const handle = `b${subjects.size}`;
    subjects.set(handle, s);
    return { handle, identity_hash: s.identity.hex };
  },
  behavioral_stop: (p) => {
    subjects.get(String(p["handle"]))?.stop();
    return { stopped: subjects.delete(String(p["handle"])) };
  },
  behavioral_attach_mock_interface: (p) => {
    if (p["local_client"] === true) throw new Error("local clients of a shared instance are not implemented");
    const s = subject(p);
    const id = String(p["name"]);
    const bitrate = Number(p["bitrate"] ?? s.defaults["bitrate"] ?? 10_000_000);
    const mtu = Number(p["mtu"] ?? 500);
    const size = Number(p["ifac_size"] ?? 16);
    const named = p["ifac_netname"] !== undefined || p["ifac_netkey"] !== undefined;
    const ifac = named
      ? new Ifac({
          ...(p["ifac_netname"] === undefined ? {} : { networkName: String(p["ifac_netname"]) }),
          ...(p["ifac_netkey"] === undefined ? {} : { passphrase: String(p["ifac_netkey"]) }),
          sizeBytes: size,
        })
      : undefined;
    if (ifac !== undefined) s.ifacs.set(id, ifac);
    s.sent.set(id, []);
    const policy = policyOf(p, s.defaults);
    s.act(() => s.endpoint.attach({ id, bitrate, hardwareMtu: mtu, signalsMtu: mtu > 500, ifac, policy }));
    return { iface_id: id, ifac_size: ifac === undefined ? 0 : size };
  },
  behavioral_detach_interface: (p) => {
    const s = subject(p);
    s.act(() => s.endpoint.detach(String(p["iface_id"])));
    return { detached: true };
  },
  behavioral_ifac_mask: (p) => {
    const ifac = subject(p).ifacs.get(String(p["iface_id"]));
    if (ifac === undefined) throw new Error("the interface is open");
    return { masked: toHex(ifac.mask(bytes(p, "raw"))) };
  },
  behavioral_inject: (p) => {
    subject(p).inject(String(p["iface_id"]), bytes(p, "raw"));
    return { injected: true };
  },
  behavioral_packet_filter: (p) => {
    const s = subject(p);
    const raw = bytes(p, "raw");
    const accepted = !filtered(s, raw);
    const hash = packetHash(raw);
    // The command notes what the filter lets pass, as its own part.
    if (accepted && p["remember"] !== false) s.endpoint.seen.add(hash);
    return { accepted, remembered: accepted && s.endpoint.seen.has(hash), packet_hash: toHex(hash) };
  },
  behavioral_inbound_remembered: remembered,
  behavioral_hold_and_release_announce: holdAndRelease,
  behavioral_set_announce_timestamp: (p) => {
    const s = subject(p);
    const key = String(p["dest"]);
    const at = Number(p["retransmit_timeout"]) * 1000;
    const { transport } = s.endpoint;
    const move = (): boolean =>
      transport?.announces.reschedule(key, at) === true || transport?.finder.reschedule(key, at) === true;
    // What is overdue now goes out when the suite says so.
    return { set: at > Date.now() ? s.act(move) : s.pause(move) };
  },
  behavioral_drain_tx: (p) => ({ packets: subject(p).sent.get(String(p["iface_id"]))?.splice(0) ?? [] }),
  behavioral_read_path_table: (p) => pathOf(subject(p), String(p["dest"])),
  behavioral_set_path_timestamp: (p) =>
    change(subject(p), String(p["dest"]), (entry) => {
      entry.touchedAt = Number(p["timestamp"]) * 1000;
      entry.expiresAt = entry.touchedAt + entry.lifetimeMs;
    }),
  behavioral_set_path_expires: (p) =>
    change(subject(p), String(p["dest"]), (entry) => {
      entry.expiresAt = Number(p["expires"]) * 1000;
    }),
  behavioral_mark_path_unresponsive: (p) => {
    const { paths } = subject(p).endpoint;
    const known = paths.getByHex(String(p["dest"]), Date.now()) !== undefined;
    if (known) paths.markUnresponsive(String(p["dest"]));
    return { marked: known };
  },
  behavioral_force_cull: (p) => {
    const s = subject(p);
    s.wake();
    s.act(() => {
      s.endpoint.transport?.links.expire(Date.now());
      s.endpoint.transport?.reverse.expire(Date.now());
    });
    return { culled: true };
  },
  behavioral_read_link_table: (p) => {
    const s = subject(p);
    const table = s.endpoint.transport?.links;
    const wanted = p["link_id"];
    if (typeof wanted === "string") {
      const entry = table?.get(wanted);
      return entry === undefined ? { found: false } : linkOf(s, wanted, entry);
    }
    return { entries: [...(table?.entries() ?? [])].map(([key, entry]) => linkOf(s, key, entry)) };
  },
  behavioral_seed_link_table: (p) => {
    const s = subject(p);
    const usedAt = Date.now() - Number(p["timestamp_age_s"] ?? 0) * 1000;
    const entry: LinkEntry = {
      destination: bytes(p, "dest"),
      inWire: String(p["rcvd_iface_id"]),
      outWire: String(p["nh_iface_id"]),
      takenHops: Number(p["hops"]),
      remainingHops: Number(p["rem_hops"]),
      validated: p["validated"] !== false,
      proofBy: Date.now() + Number(p["proof_timeout_in_s"] ?? 60) * 1000,
      usedAt,
      movedAt: usedAt,
      cancelTimer: undefined,
    };
    return { seeded: s.act(() => s.endpoint.transport?.addLink(String(p["dest"]), entry)) === true };
  },
  behavioral_read_announce_table: (p) => announceOf(subject(p), String(p["dest"])),
  behavioral_read_tunnels: (p) => {
    const { tunnels } = subject(p).endpoint.memory;
    return { tunnels: tunnels.entries().map(([tunnel_id, interface_id]) => ({ tunnel_id, interface_id })) };
  },
  behavioral_synthesize_tunnel: (p) => {
    const s = subject(p);
    const id = String(p["iface_id"]);
    const tunnel = tunnelSynthesis(s.identity, id, random(16));
    s.act(() => s.endpoint.context.transmit(tunnel.packet, id));
    return { iface_id: id, tunnel_id: toHex(tunnel.id) };
  },
  behavioral_request_path: (p) => {
    const s = subject(p);
    const tag = p["tag"] === undefined ? random(16) : bytes(p, "tag");
    const request = { target: bytes(p, "dest"), transportId: s.endpoint.transport?.id, tag };
    s.act(() => s.endpoint.context.transmit(pathRequestPacket(request), String(p["iface_id"])));
    return { tag: toHex(tag) };
  },
  behavioral_register_destination: (p) => {
    const s = subject(p);
    const type = p["type"] === "plain" ? PLAIN : p["type"] === "group" ? GROUP : SINGLE;
    const identity = p["identity_seed"] === undefined ? undefined : Identity.fromPrivateKey(bytes(p, "identity_seed"));
    const destination = new Destination({
      type,
      appName: String(p["app_name"]),
      aspects: aspects(p),
      ...(identity === undefined || type === PLAIN ? {} : { identity }),
      ...(type === GROUP ? { groupKey: random(64) } : {}),
    });
    destination.proofs = p["proof_strategy"] === "all" ? "all" : "none";
    const got: string[] = [];
    s.deliveries.set(destination.hex, got);
    destination.onPacket = (data) => got.push(toHex(data));
    s.act(() => s.endpoint.register(destination));
    return { destination_hash: destination.hex };
  },
  behavioral_read_destination_deliveries: (p) => {
    const deliveries = subject(p).deliveries.get(String(p["dest"])) ?? [];
    return { count: deliveries.length, deliveries: [...deliveries] };
  },
  behavioral_register_announce_handler: (p) => {
    const s = subject(p);
    if (p["omit_aspect_filter"] === true) return { handler_id: "none", registered: false };
    const record: HandlerRecord = { calls: [] };
    s.handlers.push(record);
    const filter = p["aspect_filter"];
    s.endpoint.onAnnounce({
      ...(typeof filter === "string" ? { name: filter } : {}),
      pathResponses: p["receive_path_responses"] === true,
      heard: (announce) => {
        record.calls.push({
          destination_hash: toHex(announce.destination),
          announced_identity_hash: announce.identity.hex,
          app_data: announce.appData.length === 0 ? null : toHex(announce.appData),
          is_path_response: announce.pathResponse,
          ...(p["num_params"] === 4 ? { announce_packet_hash: toHex(packetHash(announce.packet.raw)) } : {}),
        });
        if (p["raise_on_call"] === true) throw new Error("as asked");
      },
    });
    return { handler_id: `h${s.handlers.length - 1}`, registered: true };
  },
  behavioral_read_announce_handler_calls: (p) => {
    const record = subject(p).handlers[Number(String(p["handler_id"]).slice(1))];
    return { calls: [...(record?.calls ?? [])], registered: record !== undefined };
  },
  behavioral_seed_reverse_table: (p) => {
    const s = subject(p);
    const at = Date.now() - Number(p["timestamp_age_s"] ?? 0) * 1000;
    const key = bytes(p, "key");
    s.note(key);
    s.endpoint.transport?.reverse.add(keyOf(key), String(p["rcvd_iface_id"]), String(p["outb_iface_id"]), at);
    return { seeded: true };
  },
  behavioral_read_reverse_table: (p) => {
    const s = subject(p);
    const reverse = s.endpoint.transport?.reverse;
    const row = (key: string, inWire: string, outWire: string): { readonly [key: string]: Value } => ({
      found: true,
      key,
      received_if: inWire,
      outbound_if: outWire,
    });
    const rows = [...(reverse?.entries() ?? [])].map(([key, { inWire, outWire }]) =>
      row(s.hashOf(key), inWire, outWire),
    );
    const wanted = p["dest"];
    if (typeof wanted !== "string") return { entries: rows };
    return rows.find(({ key }) => key === toHex(fromHex(wanted).subarray(0, 16))) ?? { found: false };
  },
};
