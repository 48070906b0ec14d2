/**
 * A virtual RNode as the interface of one life of a station after another: keeps its own account of airtime, holds packets
 * back until its radio has sent the one before.
 */
import { reticulum } from "../../planes/index.ts";
import type { Tier } from "../../spine/index.ts";
import type { RadioNetwork } from "../scenario-file.ts";

/** As the RNode interface has it. */
const QUEUED_PACKETS = 64;

export interface RadioHooks {
  /** Called before the stack is told of anything. */
  readonly touched: () => void;
  /** A packet was received well, from the member of this index. */
  readonly received: (bytes: number, from: number) => void;
  /** Of the packet that the stack sends just now; undefined: its own. */
  readonly tier: () => Tier | undefined;
}

interface Packet {
  readonly frame: Uint8Array;
  readonly tier: Tier | undefined;
  readonly first: boolean;
}

export class VirtualRadioInterface implements reticulum.Interface {
  readonly name: string;
  readonly #data: RadioNetwork;
  readonly #radio: reticulum.Radio;
  readonly #wire: reticulum.LiveWire;
  #host: reticulum.WireHost | undefined;
  readonly #hooks: RadioHooks;
  readonly #queue: Packet[] = [];
  /** Given to the radio and not yet on the air; the one that was last. */
  readonly #given: Packet[] = [];
  #onAir: { readonly sequence: number; readonly packet: Packet | undefined } | undefined;
  #dropped = 0;

  constructor(ether: reticulum.RadioEther, index: number, data: RadioNetwork, hooks: RadioHooks) {
    this.name = data.name;
    this.#data = data;
    this.#hooks = hooks;
    this.#radio = ether.join(`${index}`, (packet, _rssi, _snr, from) => {
      hooks.touched();
      hooks.received(packet.length, Number(from.name));
      this.#host?.receive(this.#wire, packet);
    });
    this.#radio.onSent = () => {
      hooks.touched();
      const waited = this.#queue.length;
      this.#pump();
      if (waited > 0 && this.#queue.length === 0) this.#host?.drained?.(this.#wire);
    };
    const queue = this.#queue;
    this.#wire = {
      info: {
        id: data.name,
        bitrate: reticulum.nominalBitrate(data),
        hardwareMtu: reticulum.RNODE_MTU,
        signalsMtu: false,
        ifac: undefined,
        medium: "line",
      },
      send: (frame, first = false) => this.#send(frame, first),
      get waiting() {
        return queue.length;
      },
    };
  }
  async start(host: reticulum.WireHost): Promise<void> {
    const { frequencyHz, bandwidthHz, spreadingFactor, codingRate, txPowerDbm, duty } = this.#data;
    const airtimeLong = duty < 1 ? duty : 0;
    this.#radio.settings = {
      ...{ frequencyHz, bandwidthHz, spreadingFactor, codingRate, txPowerDbm },
      ...{ airtimeShort: 0, airtimeLong },
    };
    this.#host = host;
    host.up(this.#wire);
  }
  async stop(): Promise<void> {
    this.off();
  }
  off(): void {
    this.#host = undefined;
    this.#queue.length = 0;
    this.#given.length = 0;
    this.#radio.off();
  }
  /** Of a frame that its radio puts on the air just now: long packets take two. */
  tierOf({ sequence }: reticulum.AirFrame): Tier | undefined {
    if (this.#onAir?.sequence !== sequence) this.#onAir = { sequence, packet: this.#given.shift() };
    return this.#onAir.packet?.tier;
  }
  counters(): Readonly<Record<string, number>> {
    const own: Record<string, number> = this.#dropped > 0 ? { interface_dropped: this.#dropped } : {};
    for (const [name, count] of this.#radio.counters) own[name] = count;
    return own;
  }
  status(): reticulum.InterfaceStatus {
    return {
      name: this.name,
      type: "rnode",
      online: this.#host !== undefined,
      wires: 1,
      bitrate: this.#wire.info.bitrate,
      framesDropped: this.#dropped,
      reconnects: 0,
      lastError: undefined,
    };
  }

  #send(frame: Uint8Array, first: boolean): boolean {
    if (this.#queue.length >= QUEUED_PACKETS || frame.length > reticulum.RNODE_MTU) {
      this.#dropped++;
      return false;
    }
    const packet = { frame: frame.slice(), tier: this.#hooks.tier(), first };
    // As the RNode interface does it: behind those that went first before it.
    const at = first ? this.#queue.findIndex((waiting) => !waiting.first) : -1;
    this.#queue.splice(at < 0 ? this.#queue.length : at, 0, packet);
    this.#pump();
    return true;
  }
  #pump(): void {
    if (this.#radio.queued > 0) return;
    const packet = this.#queue.shift();
    if (packet !== undefined && this.#radio.send(packet.frame)) this.#given.push(packet);
  }
}
