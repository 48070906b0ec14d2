/**
 * Whole nodes in virtual time: the daemon's driver, the Reticulum plane and its stack over emulated radios or slow lines,
 * with a store in memory. For tests of what the radio plane promises in seconds and airtime.
 */
import { setImmediate as breathe } from "node:timers/promises";
import { Driver, type DriverEvent } from "../../node/driver.ts";
import { reticulum } from "../../planes/index.ts";
import { Rng, type SimKey, VirtualClock } from "../../sim/index.ts";
import {
  Admission,
  AuthorityLoader,
  type AuthorityTrust,
  type Clock,
  draftEnvelope,
  type Envelope,
  formatTime,
  type Issuer,
  type JsonObject,
  type MeshLimits,
  type Millis,
  NO_TRUST,
  RowTable,
  revocationFact,
  sealEnvelope,
} from "../../spine/index.ts";
import { MemoryStore } from "../../storage/index.ts";
import { keyOf } from "./mesh-harness.ts";
import { nativePorts, nativeSha256Hex } from "./sim-ports.ts";

export const START_MS: Millis = 1_800_000_000_000;
const ports = nativePorts();
const POLL_MS = 20;

export interface NodeOptions {
  readonly trust?: AuthorityTrust;
  readonly limits?: Partial<MeshLimits>;
  readonly plane?: Partial<reticulum.ReticulumPlaneOptions>;
  readonly transport?: boolean;
  /** The node is another life of this one, which was stopped: its key, its store, its address. */
  readonly after?: VirtualNode;
  /** Added to the time by this node's wall clock. */
  readonly clockErrorMs?: Millis;
}

/** A slow wire that several nodes share, one frame at a time, with loss: a serial radio without carrier sense. */
export class SlowLine {
  readonly bitrate: number;
  readonly #mesh: VirtualMesh;
  readonly #hosts = new Map<reticulum.WireHost, reticulum.LiveWire>();
  #freeAt: Millis = 0;
  /** Frames that leave are given to it; false loses them. */
  tap: ((frame: Uint8Array, from: string) => boolean) | undefined;
  bytes = 0;
  frames = 0;
  /** So much faster than it says: to get over what came before. */
  haste = 1;
  constructor(mesh: VirtualMesh, bitrate: number) {
    this.#mesh = mesh;
    this.bitrate = bitrate;
  }
  get isFree(): boolean {
    return this.#mesh.clock.now() >= this.#freeAt;
  }
  airMs(bytes: number): Millis {
    return (bytes * 8_000) / (this.bitrate * this.haste);
  }
  interface(name: string): reticulum.Interface {
    const { clock } = this.#mesh;
    const info: reticulum.Wire = {
      id: name,
      bitrate: this.bitrate,
      hardwareMtu: 500,
      signalsMtu: false,
      medium: "line",
    };
    let mine: reticulum.WireHost | undefined;
    const live: reticulum.LiveWire = {
      info,
      send: (frame) => {
        const copy = frame.slice();
        this.#freeAt = Math.max(clock.now(), this.#freeAt) + this.airMs(frame.length);
        this.bytes += frame.length;
        this.frames++;
        clock.schedule(this.#freeAt, () => {
          if (this.tap?.(copy, name) === false) return;
          for (const [host, wire] of this.#hosts) if (host !== mine) host.receive(wire, copy);
        });
        return true;
      },
    };
    return this.#mesh.wire(name, live, (host) => {
      mine = host;
      this.#hosts.set(host, live);
      return () => this.#hosts.delete(host);
    });
  }
}

export class VirtualNode {
  readonly name: string;
  readonly key: SimKey;
  readonly store: MemoryStore;
  readonly station: reticulum.Station;
  readonly plane: reticulum.ReticulumPlane;
  readonly events: DriverEvent[] = [];
  readonly deliveries: reticulum.Delivery[] = [];
  /** When each envelope was stored here, by hash. */
  readonly storedAt = new Map<string, Millis>();
  /** Hashes in the order they were stored. */
  readonly order: string[] = [];
  /** Set by `open`. */
  driver!: Driver;
  readonly #mesh: VirtualMesh;
  readonly #options: NodeOptions;
  readonly #identity: reticulum.Identity;
  #own: Envelope | undefined;

  constructor(mesh: VirtualMesh, name: string, wires: readonly reticulum.Interface[], options: NodeOptions) {
    this.#mesh = mesh;
    this.#options = options;
    this.name = name;
    const { after } = options;
    this.key = after?.key ?? keyOf(1_000 + mesh.nodes.length);
    this.store = after?.store ?? new MemoryStore();
    if (after !== undefined) this.#own = after.#own;
    const random = (length: number): Uint8Array => mesh.rng.bytes(length);
    const identity = after === undefined ? reticulum.Identity.create(random) : after.#identity;
    this.#identity = identity;
    const unixMs = (): Millis => mesh.clock.now() + (options.clockErrorMs ?? 0);
    const transport = options.transport === true;
    this.station = new reticulum.Station(
      {
        ...{ random, identity, transport, clock: mesh.clock, unixMs },
        onError: (error) => mesh.errors.push(error),
      },
      wires,
    );
    this.plane = new reticulum.ReticulumPlane({
      ...{ station: this.station, ownsStation: true, identity, discover: false, chance: () => mesh.rng.float() },
      onDelivery: (delivery) => this.deliveries.push(delivery),
      ...options.plane,
    });
  }
  get issuer(): Issuer {
    return this.key.issuer;
  }
  get address(): string {
    return `rns:${this.plane.destination.hex}`;
  }

  async open(): Promise<void> {
    const { trust = NO_TRUST, limits, clockErrorMs = 0 } = this.#options;
    if (this.#options.after === undefined) await this.store.open();
    const base = this.#mesh.clock;
    const clock: Clock = {
      now: () => base.now() + clockErrorMs,
      schedule: (at, task) => base.schedule(at - clockErrorMs, task),
    };
    const loader = new AuthorityLoader(trust);
    for await (const { key, value } of this.store.rows(RowTable.authority)) loader.add(key, value);
    this.driver = new Driver({
      store: this.store,
      snapshot: await this.store.load(),
      authority: loader,
      signer: { issuer: this.issuer, sign: (message) => this.key.sign(message) },
      verifier: {
        verify: async (batch) => batch.map(ports.verify),
        verifyInline: (batch) => batch.map(ports.verify),
      },
      sha256Hex: nativeSha256Hex,
      clock,
      open: false,
      ...(limits === undefined ? {} : { limits }),
      commitDelayMs: 0,
      onEvent: (event) => this.#event(event),
    });
    this.driver.feed({ type: "trust", trust });
  }
  #event(event: DriverEvent): void {
    this.events.push(event);
    if (event.type === "fatal") this.#mesh.errors.push(event.error);
    if (event.type !== "stored") return;
    for (const hash of event.run.hashes) {
      this.storedAt.set(hash, this.#mesh.clock.now());
      this.order.push(hash);
    }
  }
  /** Ends this life: what it had in mind is gone, what it stored is not. */
  async stop(): Promise<void> {
    await this.plane.stop();
    await this.driver.stop();
  }
  async start(): Promise<void> {
    await this.plane.start({ signal: new AbortController().signal });
    this.driver.attach(this.plane);
  }
  allow(...nodes: readonly { readonly issuer: Issuer }[]): void {
    for (const { issuer } of nodes) this.driver.feed({ type: "admit", issuer, admission: Admission.allowed });
  }

  /** Signs the next own envelope; it is on disk when `settle` returns. */
  publish(fact: JsonObject): Envelope {
    const before = this.#own;
    const seconds = Math.floor((this.#mesh.clock.now() + (this.#options.clockErrorMs ?? 0)) / 1000);
    const draft = draftEnvelope(
      {
        issuer: this.issuer,
        seq: (before?.seq ?? 0) + 1,
        prev: before?.hash ?? null,
        issuedAt: formatTime(Math.max(seconds, before === undefined ? 0 : Math.floor(before.issuedAtMs / 1000))),
        fact,
      },
      nativeSha256Hex,
    );
    const envelope = sealEnvelope(draft, this.key.sign(draft.signingBytes));
    this.#own = envelope;
    void this.driver.local([envelope]);
    return envelope;
  }
  revoke(of: Issuer, id = "rev_1"): Envelope {
    const issuedAt = Math.floor(this.#mesh.clock.now() / 1000);
    const targets = [{ scope: "node", value: of, fromSeq: 1 }] as const;
    return this.publish(revocationFact({ factId: id, targets, reason: "stolen", issuedAt }));
  }
  note(n: number, kind = "run"): Envelope {
    return this.publish({ schema: `clawdstrike.spine.fact.${kind}.v1`, fact_id: `${kind}_${n}`, n });
  }
  has(envelope: Envelope): boolean {
    return this.storedAt.has(envelope.hash);
  }
}

export class VirtualMesh {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly nodes: VirtualNode[] = [];
  readonly errors: unknown[] = [];
  readonly #virtual: VirtualClock | undefined;
  /** `clock` is real time, for runs by hand; virtual if omitted. */
  constructor(seed: number, clock?: Clock) {
    this.rng = new Rng(seed);
    this.#virtual = clock === undefined ? new VirtualClock(START_MS) : undefined;
    this.clock = clock ?? (this.#virtual as VirtualClock);
  }

  /** An interface around a wire that is up from start to stop. */
  wire(name: string, live: reticulum.LiveWire, join: (host: reticulum.WireHost) => () => void): reticulum.Interface {
    let leave: (() => void) | undefined;
    let mine: reticulum.WireHost | undefined;
    return {
      name,
      start: async (host) => {
        mine = host;
        leave = join(host);
        host.up(live);
      },
      stop: async () => {
        leave?.();
        leave = undefined;
        mine?.down(live);
      },
      status: () => ({
        ...{ name, type: "virtual", online: leave !== undefined, wires: 1, bitrate: live.info.bitrate },
        ...{ framesDropped: 0, reconnects: 0, lastError: undefined },
      }),
    };
  }

  /** A radio on an ether. */
  radio(ether: reticulum.RadioEther, name: string, settings: reticulum.RadioSettings): VirtualRadio {
    return new VirtualRadio(this, ether, name, settings);
  }

  async node(name: string, wires: readonly reticulum.Interface[], options: NodeOptions = {}): Promise<VirtualNode> {
    const node = new VirtualNode(this, name, wires, options);
    this.nodes.push(node);
    await node.open();
    return node;
  }

  /** Runs until `done` or for `forMs`; true when done. Fails on any defect of a node. */
  async run(forMs: Millis, done: () => boolean = () => false): Promise<boolean> {
    const until = this.clock.now() + forMs;
    await this.settle();
    while (!done()) {
      if (this.#virtual === undefined) {
        if (this.clock.now() >= until) return done();
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      } else if (!this.#virtual.step(until)) return done();
      await this.settle();
    }
    return true;
  }
  /** Lets what is under way settle: promises and commits. */
  async settle(): Promise<void> {
    await breathe();
    while (this.nodes.some(({ driver }) => driver.committer.waitingBytes > 0)) await breathe();
    if (this.errors.length > 0) throw this.errors[0];
  }
  async stop(): Promise<void> {
    for (const node of this.nodes) await node.stop();
  }
}

export class VirtualRadio {
  readonly radio: reticulum.Radio;
  readonly settings: reticulum.RadioSettings;
  readonly interface: reticulum.Interface;
  constructor(mesh: VirtualMesh, ether: reticulum.RadioEther, name: string, settings: reticulum.RadioSettings) {
    this.settings = settings;
    let host: reticulum.WireHost | undefined;
    const live: reticulum.LiveWire = {
      info: {
        id: name,
        bitrate: reticulum.nominalBitrate(settings),
        hardwareMtu: 508,
        signalsMtu: false,
        medium: "line",
      },
      send: (frame) => this.radio.send(frame.slice()),
    };
    this.radio = ether.join(name, (packet) => host?.receive(live, packet));
    this.interface = mesh.wire(name, live, (joined) => {
      host = joined;
      this.on();
      return () => {
        host = undefined;
        this.radio.off();
      };
    });
  }
  on(): void {
    this.radio.settings = this.settings;
  }
  /** Neither hears nor sends; the host does not know. */
  off(): void {
    this.radio.off();
  }
  get air(): (bytes: number) => Millis {
    return (bytes) => reticulum.packetAirtimeMs(this.settings, bytes);
  }
}
