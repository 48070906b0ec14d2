/** The driver of an endpoint: binds interfaces, performs its sends, wakes it in time. Used by the daemon and the tests. */
import type { Millis } from "../../spine/index.ts";
import type { Interface, InterfaceStatus, LiveWire, WireHost } from "./interfaces/interface.ts";
import { Endpoint, type EndpointOptions, type Send } from "./stack/endpoint.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Monotonic, in unix milliseconds of the moment the process started. */
function monotonicNow(): Millis {
  return performance.timeOrigin + performance.now();
}

export class Station {
  readonly endpoint: Endpoint;
  readonly #interfaces: readonly Interface[];
  readonly #wires = new Map<string, LiveWire>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  #stopped = false;
  constructor(options: EndpointOptions, interfaces: readonly Interface[]) {
    this.endpoint = new Endpoint({ unixMs: () => Date.now(), ...options });
    this.#interfaces = interfaces;
  }
  /** Starts the interfaces; those whose device or peer is away keep trying. Rejects for wrong configuration. */
  async start(): Promise<void> {
    const host: WireHost = {
      up: (wire) => {
        this.#wires.set(wire.info.id, wire);
        this.act(() => this.endpoint.attach(wire.info));
      },
      down: (wire) => {
        this.#wires.delete(wire.info.id);
        this.act(() => this.endpoint.detach(wire.info.id));
      },
      receive: (wire, frame) => {
        if (!this.#stopped) this.#perform(this.endpoint.handle(wire.info.id, frame, monotonicNow()));
      },
    };
    for (const each of this.#interfaces) await each.start(host);
  }
  /** Does something with the endpoint now. Everything an application asks of it goes through here. */
  act<T>(task: () => T): T {
    const box: { result?: T } = {};
    try {
      this.#perform(
        this.endpoint.act(monotonicNow(), () => {
          box.result = task();
        }),
      );
    } catch (caught) {
      this.#perform(this.endpoint.act(monotonicNow(), () => undefined));
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
    await new Promise((resolve) => setImmediate(resolve));
    this.#stopped = true;
    await Promise.all(this.#interfaces.map((each) => each.stop()));
    clearTimeout(this.#timer);
  }
  status(): readonly InterfaceStatus[] {
    return this.#interfaces.map((each) => each.status());
  }
  #perform(sends: readonly Send[]): void {
    for (const { wire, frame } of sends) this.#wires.get(wire)?.send(frame);
    this.#schedule();
  }
  #schedule(): void {
    const at = this.endpoint.nextWakeAt ?? Number.POSITIVE_INFINITY;
    // A timer that fires early only looks again; it need not be moved for every packet.
    if (this.#stopped || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const delay = Math.min(Math.max(0, at - monotonicNow()), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.#wake(), delay);
  }
  #wake(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (!this.#stopped) this.#perform(this.endpoint.wake(monotonicNow()));
  }
}
