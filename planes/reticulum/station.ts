/** The driver of an endpoint: binds interfaces, performs its sends, wakes it in time. Used by the daemon and the tests. */
import type { Clock, Millis } from "../../spine/index.ts";
import { steadyClock } from "../steady-clock.ts";
import type { Interface, InterfaceStatus, LiveWire, WireHost } from "./interfaces/interface.ts";
import { Endpoint, type EndpointOptions, type Send } from "./stack/endpoint.ts";

/** Packets and bytes of one interface since the start. */
export interface Traffic {
  receivedPackets: number;
  receivedBytes: number;
  sentPackets: number;
  sentBytes: number;
}

export interface StationInterface extends InterfaceStatus {
  readonly traffic: Readonly<Traffic>;
}

/** What is done with a frame: dropped, as the air would have lost it; sent; sent before what else waits. */
export type Emission = "drop" | "in order" | "first";

interface Attached {
  readonly live: LiveWire;
  readonly traffic: Traffic;
}

export interface StationOptions extends EndpointOptions {
  /** Told of each wire that came up or went away. */
  readonly onWire?: (wire: string, up: boolean) => void;
  /** Monotonic; real time if omitted. Virtual time makes the interfaces answer for their own. */
  readonly clock?: Clock;
}

export class Station {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly #interfaces: readonly Interface[];
  readonly #traffic = new Map<string, Traffic>();
  readonly #wires = new Map<string, Attached>();
  readonly #onWire: (wire: string, up: boolean) => void;
  /** Asked before a frame is given to a wire. */
  emission: ((wire: string, bytes: number) => Emission) | undefined;
  /** Told of each frame given to a wire: for airtime. */
  onSent: ((wire: string, bytes: number) => void) | undefined;
  /** Told when a wire that was busy has room again. */
  onDrained: ((wire: string) => void) | undefined;
  #cancelTimer: (() => void) | undefined;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  #stopped = false;
  constructor(options: StationOptions, interfaces: readonly Interface[]) {
    const { onWire, clock, ...rest } = options;
    this.clock = clock ?? steadyClock;
    this.endpoint = new Endpoint({ unixMs: () => Date.now(), ...rest });
    this.#interfaces = interfaces;
    this.#onWire = onWire ?? (() => undefined);
  }
  /** Starts the interfaces; those whose device or peer is away keep trying. Rejects for wrong configuration. */
  async start(): Promise<void> {
    for (const each of this.#interfaces) await each.start(this.#hostOf(each));
  }
  #hostOf({ name }: Interface): WireHost {
    const traffic: Traffic = { receivedPackets: 0, receivedBytes: 0, sentPackets: 0, sentBytes: 0 };
    this.#traffic.set(name, traffic);
    return {
      up: (live) => {
        this.#wires.set(live.info.id, { live, traffic });
        this.act(() => this.endpoint.attach(live.info));
        this.#onWire(live.info.id, true);
      },
      down: ({ info }) => {
        this.#wires.delete(info.id);
        this.act(() => this.endpoint.detach(info.id));
        this.#onWire(info.id, false);
      },
      receive: ({ info }, frame) => {
        if (this.#stopped) return;
        traffic.receivedPackets++;
        traffic.receivedBytes += frame.length;
        this.#perform(this.endpoint.handle(info.id, frame, this.clock.now()));
      },
      drained: ({ info }) => this.onDrained?.(info.id),
    };
  }
  /** Frames wait in front of a device that others keep busy. */
  isBusy(wire: string): boolean {
    return (this.#wires.get(wire)?.live.waiting ?? 0) > 0;
  }
  /** Does something with the endpoint now. Everything an application asks of it goes through here. */
  act<T>(task: () => T): T {
    const box: { result?: T } = {};
    try {
      this.#perform(
        this.endpoint.act(this.clock.now(), () => {
          box.result = task();
        }),
      );
    } catch (caught) {
      this.#perform(this.endpoint.act(this.clock.now(), () => undefined));
      throw caught;
    }
    return box.result as T;
  }
  /** Closes all links, then the interfaces; idempotent. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.act(() => {
      for (const link of [...this.endpoint.links.values()]) link.close();
    });
    if (this.clock === steadyClock) await new Promise((resolve) => setImmediate(resolve));
    this.#stopped = true;
    await Promise.all(this.#interfaces.map((each) => each.stop()));
    this.#cancelTimer?.();
  }
  status(): readonly StationInterface[] {
    const none: Traffic = { receivedPackets: 0, receivedBytes: 0, sentPackets: 0, sentBytes: 0 };
    return this.#interfaces.map((each) => ({
      ...each.status(),
      traffic: { ...(this.#traffic.get(each.name) ?? none) },
    }));
  }
  #perform(sends: readonly Send[]): void {
    for (const { wire, frame } of sends) {
      const attached = this.#wires.get(wire);
      const emission = this.emission?.(wire, frame.length) ?? "in order";
      if (attached === undefined || emission === "drop") continue;
      if (!attached.live.send(frame, emission === "first")) continue;
      attached.traffic.sentPackets++;
      attached.traffic.sentBytes += frame.length;
      this.onSent?.(wire, frame.length);
    }
    this.#schedule();
  }
  #schedule(): void {
    const at = this.endpoint.nextWakeAt ?? Number.POSITIVE_INFINITY;
    // A timer that fires early only looks again; it need not be moved for every packet.
    if (this.#stopped || at >= this.#timerAt) return;
    this.#cancelTimer?.();
    this.#timerAt = at;
    this.#cancelTimer = this.clock.schedule(at, () => this.#wake());
  }
  #wake(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (!this.#stopped) this.#perform(this.endpoint.wake(this.clock.now()));
  }
}
