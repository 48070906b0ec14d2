/** A virtual RNode as the interface of one life of a station after another: keeps its own account of airtime, holds packets back until its radio has sent the one before. */
import { reticulum } from "../../planes/index.ts";
import type { RadioNetwork } from "../scenario-file.ts";

/** As the RNode interface has it. */
const QUEUED_PACKETS = 64;

export class VirtualRadioInterface implements reticulum.Interface {
  readonly name: string;
  readonly #data: RadioNetwork;
  readonly #radio: reticulum.Radio;
  readonly #wire: reticulum.LiveWire;
  #host: reticulum.WireHost | undefined;
  readonly #queue: Uint8Array[] = [];
  #dropped = 0;

  /** `touched` is called before the stack is told of anything. */
  constructor(ether: reticulum.RadioEther, index: number, data: RadioNetwork, touched: () => void = () => {}) {
    this.name = data.name;
    this.#data = data;
    this.#radio = ether.join(`${index}`, (packet) => {
      touched();
      this.#host?.receive(this.#wire, packet);
    });
    this.#radio.onSent = () => {
      touched();
      this.#pump();
    };
    this.#wire = {
      info: {
        id: data.name,
        bitrate: reticulum.nominalBitrate(data),
        hardwareMtu: reticulum.RNODE_MTU,
        signalsMtu: false,
        ifac: undefined,
        medium: "line",
      },
      send: (frame) => this.#send(frame),
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
    this.#radio.off();
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

  #send(frame: Uint8Array): boolean {
    if (this.#queue.length >= QUEUED_PACKETS || frame.length > reticulum.RNODE_MTU) {
      this.#dropped++;
      return false;
    }
    this.#queue.push(frame.slice());
    this.#pump();
    return true;
  }
  #pump(): void {
    if (this.#radio.queued > 0) return;
    const frame = this.#queue.shift();
    if (frame !== undefined) this.#radio.send(frame);
  }
}
