/**
 * One shared LoRa channel: each member runs the daemon's own Reticulum plane and stack over a virtual radio on the one
 * radio model (`planes/reticulum/ether.ts`), in virtual time.
 */
import { reticulum } from "../../planes/index.ts";
import {
  type Clock,
  COLD,
  type Envelope,
  type EnvelopeHash,
  encodeCompact,
  type LinkId,
  openSigningBytes,
  type Tier,
  type Verdict,
} from "../../spine/index.ts";
import type { Setup } from "../engine/setup.ts";
import { pairsOf } from "../engine/topology.ts";
import type { SimPeer } from "../peer.ts";
import type { NodeAir } from "../result.ts";
import type { RadioNetwork as RadioData } from "../scenario-file.ts";
import { AirLog } from "./air-log.ts";
import type { SimNetwork, Traffic } from "./network.ts";
import { PathLosses } from "./path-loss.ts";
import { RadioNode } from "./radio-node.ts";

/** Header, initialisation vector, authentication code and padding of the smallest packet on a link. */
const LINK_PACKET_BYTES = 19 + 16 + 32 + 8;

/** Slower channels leave heartbeats out (spine/radio-class.ts), and still slower ones all but urgent facts. */
const LEAST_BITRATE = 100;

export class RadioNetwork implements SimNetwork {
  readonly name: string;
  readonly type = "radio";
  readonly plane: string;
  readonly data: RadioData;
  readonly traffic: Traffic = { frames: 0, bytes: 0 };
  readonly members: readonly number[];
  readonly setup: Setup;
  readonly ether: reticulum.RadioEther;
  /** For planes and stations: gives them their turn after each of their tasks. */
  readonly clock: Clock;
  readonly #nodes = new Map<number, RadioNode>();
  readonly #airLogs = new Map<number, AirLog>();
  readonly #byAddress = new Map<string, number>();
  readonly #losses: PathLosses;
  /** Who is configured to link with whom. */
  readonly #pairs: readonly (readonly [number, number])[];
  readonly #packetMs = new Map<EnvelopeHash, number>();

  constructor(setup: Setup, data: RadioData, members: readonly number[]) {
    this.setup = setup;
    this.data = data;
    this.name = data.name;
    this.plane = `reticulum/${data.name}`;
    this.members = members;
    this.#losses = new PathLosses(setup, data, members);
    const { world } = setup;
    this.clock = {
      now: () => world.now(),
      schedule: (at, task) =>
        world.clock.schedule(at, () => {
          world.planesAtWork = true;
          task();
        }),
    };
    // What radios do among themselves touches no plane until one of them takes a packet or has sent one.
    this.ether = new reticulum.RadioEther({
      clock: world.clock,
      chance: () => world.rng.float(),
      attenuationDb: (from, to) => this.#losses.between(Number(from), Number(to)),
      loss: data.loss,
      onAir: (frame) => this.#onAir(Number(frame.from.name), frame),
    });
    this.#pairs = data.peers === null ? [] : pairsOf(data.peers, members, world.rng, (name) => setup.names.index(name));
    const transport = new Set(setup.names.select(data.transport));
    for (const index of members) {
      const node = new RadioNode(this, index, transport.has(index));
      this.#nodes.set(index, node);
      this.#byAddress.set(node.address, index);
      this.#airLogs.set(index, new AirLog());
    }
    // One of two dials; where no links are made both name each other, to compare what they hold by packets.
    const isMutual = reticulum.nominalBitrate(data) < reticulum.DEFAULT_RETICULUM_LIMITS.linkBitrate;
    for (const [a, b] of this.#pairs)
      for (const [from, to] of isMutual ? [[a, b] as const, [b, a] as const] : [[a, b] as const])
        this.#nodes.get(from)?.dials.push(this.#nodes.get(to)?.address ?? "");
  }

  /** Who keeps mail for those who are away. */
  get office(): RadioNode | undefined {
    const { mailAt } = this.data;
    return mailAt === null ? undefined : this.#nodes.get(this.setup.names.index(mailAt));
  }

  #onAir(index: number, frame: reticulum.AirFrame): void {
    const { start, end, bytes: content } = frame;
    const bytes = content.length;
    this.traffic.frames++;
    this.traffic.bytes += bytes;
    const { world } = this.setup;
    world.frames++;
    world.bytes += bytes;
    world.trace(`air ${this.name} ${index} ${bytes} ${content[0]} ${content[18]} ${Math.round(end - start)}`);
    world.meter?.onAir(index, bytes, end - start, this.#nodes.get(index)?.tierOf(frame));
    const log = this.#airLogs.get(index) as AirLog;
    log.add(start, end);
    world.invariants.onAir(index, log, this.data.duty, this.#mostMs);
  }
  /** Of one packet. */
  get #mostMs(): number {
    return reticulum.packetAirtimeMs(this.data, reticulum.RNODE_MTU);
  }

  started(peer: SimPeer): void {
    const node = this.#nodes.get(peer.index);
    if (node !== undefined && peer.running) node.start(peer);
  }
  stopped(index: number): void {
    this.#nodes.get(index)?.stop();
  }
  barriersChanged(): void {
    this.#losses.changed();
  }
  broadcast(from: number, data: Uint8Array, tier: Tier): void {
    const node = this.#nodes.get(from);
    if (node === undefined) return;
    this.setup.meter.queued(from, data.length, tier);
    node.broadcast(data, tier);
  }
  leave(from: number, envelope: Envelope, tier: Tier): void {
    this.#nodes.get(from)?.leave(envelope, tier);
  }
  state(index: number, peer: string, body: Uint8Array): void {
    this.#nodes.get(index)?.state(peer, body);
  }
  hand(index: number, peer: string, envelope: Envelope, tier: Tier): void {
    this.#nodes.get(index)?.hand(peer, envelope, tier);
  }
  judged(index: number, _link: LinkId, id: string, verdict: Verdict): void {
    this.#nodes.get(index)?.judge(id, verdict);
  }
  hangUp(index: number, link: LinkId): void {
    this.#nodes.get(index)?.hangUp(link);
  }
  penalise(index: number, link: LinkId, code: string): void {
    this.#nodes.get(index)?.penalise(link, code);
  }
  indexOf(address: string): number | undefined {
    return this.#byAddress.get(address);
  }
  *links(): IterableIterator<readonly [number, number]> {
    for (const [index, node] of this.#nodes)
      for (const remote of node.linked()) if (index < remote) yield [index, remote];
  }

  /** Members in range of each other that are to link, on a channel that carries facts of every kind. */
  *joined(): IterableIterator<readonly [number, number]> {
    if (reticulum.nominalBitrate(this.data) < LEAST_BITRATE) return;
    const { txPowerDbm, peers } = this.data;
    const leastDbm = reticulum.sensitivityDbm(this.data);
    for (const [i, a] of this.members.entries())
      for (const b of this.members.slice(i + 1)) {
        const isWanted = peers === null || this.#pairs.some((pair) => pair.includes(a) && pair.includes(b));
        if (isWanted && txPowerDbm - this.#losses.between(a, b) >= leastDbm) yield [a, b];
      }
  }

  // ---- what it cost ----

  airtimeMs(): number {
    let airtimeMs = 0;
    for (const log of this.#airLogs.values()) airtimeMs += log.totalMs;
    return airtimeMs;
  }
  /** In compact form. */
  packetMs(hash: EnvelopeHash): number {
    const known = this.#packetMs.get(hash);
    if (known !== undefined) return known;
    const { world } = this.setup;
    const row = world.pool.find(hash);
    if (row === undefined) return 0;
    const envelope = openSigningBytes(row.signingBytes, row.signature, world.ports.sha256Hex);
    const bytes = (encodeCompact(envelope, COLD) ?? row.record).length + LINK_PACKET_BYTES;
    const airtimeMs = reticulum.packetAirtimeMs(this.data, bytes);
    this.#packetMs.set(hash, airtimeMs);
    return airtimeMs;
  }
  waitingBytes(index: number): number {
    return this.#nodes.get(index)?.waitingBytes ?? 0;
  }
  nodeAir(index: number): Omit<NodeAir, "bound_airtime_ms"> | null {
    const log = this.#airLogs.get(index);
    if (log === undefined) return null;
    return {
      sent_packets: log.count,
      airtime_ms: Math.round(log.totalMs),
      hour_peak_ms: Math.round(log.peakMs),
      hour_allowed_ms: Math.round(this.data.duty * 3_600_000),
      counters: this.#nodes.get(index)?.counters() ?? {},
    };
  }
}
