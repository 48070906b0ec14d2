/** A wire in memory: stations on one bus hear each other, as on a local network. For tests of what runs above stations. */
import { randomBytes } from "node:crypto";
import { reticulum } from "../../planes/index.ts";

type Host = reticulum.WireHost;

export interface BusOptions {
  readonly bitrate?: number;
  readonly hardwareMtu?: number;
  readonly medium?: "network" | "line";
}

export class MemoryBus {
  readonly #members = new Map<Host, reticulum.LiveWire>();
  readonly #options: BusOptions;
  /** Sees every frame; returning false loses it. */
  tap: ((frame: Uint8Array) => boolean) | undefined;
  constructor(options: BusOptions = {}) {
    this.#options = options;
  }

  interface(name: string): reticulum.Interface {
    const { bitrate = 10_000_000, hardwareMtu = 16_384, medium = "network" } = this.#options;
    const info: reticulum.Wire = { id: name, bitrate, hardwareMtu, signalsMtu: true, medium };
    let mine: Host | undefined;
    const live: reticulum.LiveWire = {
      info,
      send: (frame) => {
        if (this.tap?.(frame) === false) return true;
        const copy = frame.slice();
        for (const [host, wire] of this.#members)
          if (host !== mine) setImmediate(() => this.#members.has(host) && host.receive(wire, copy));
        return true;
      },
    };
    return {
      name,
      start: async (host) => {
        mine = host;
        this.#members.set(host, live);
        host.up(live);
      },
      stop: async () => {
        if (mine === undefined || !this.#members.delete(mine)) return;
        mine.down(live);
      },
      status: () => ({
        name,
        type: "memory",
        online: mine !== undefined,
        wires: 1,
        bitrate,
        framesDropped: 0,
        reconnects: 0,
        lastError: undefined,
      }),
    };
  }
}

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** A plane with a station of its own on the bus. */
export function busPlane(
  bus: MemoryBus,
  options: Partial<reticulum.ReticulumPlaneOptions> = {},
): reticulum.ReticulumPlane {
  const identity = reticulum.Identity.create(random);
  const station = new reticulum.Station({ random, identity }, [bus.interface(`bus-${identity.hex.slice(0, 8)}`)]);
  return new reticulum.ReticulumPlane({
    station,
    ownsStation: true,
    identity,
    discover: false,
    ...options,
    limits: { redialMinMs: 50, ...options.limits },
  });
}
