/** A member of a radio network: the daemon's Reticulum plane, fed and emptied as the daemon's driver does it. */
import { LinkWriter } from "../../node/index.ts";
import { type Plane, type PlaneEvent, reticulum } from "../../planes/index.ts";
import {
  type Clock,
  CONTROL_TIER,
  type Envelope,
  type LinkId,
  openGossip,
  SpineError,
  type Tier,
  type Verdict,
} from "../../spine/index.ts";
import type { LinkSender } from "../link-sender.ts";
import type { SimPeer } from "../peer.ts";
import type { World } from "../world.ts";
import { LineWatch, QueueWatch } from "./order-watch.ts";
import type { RadioNetwork } from "./radio.ts";
import { VirtualRadioInterface } from "./radio-interface.ts";
import { type MailDisk, officeOf, RadioMail } from "./radio-mail.ts";

const KEY_BYTES = 64;

interface Life {
  readonly peer: SimPeer;
  readonly plane: reticulum.ReticulumPlane;
  readonly abort: AbortController;
  /** Links that are up, and who is at their other end. */
  readonly links: Map<LinkId, number>;
  readonly line: LineWatch;
  readonly mail: RadioMail | undefined;
}

export class RadioNode {
  /** "rns:HASH". */
  readonly address: string;
  /** Addresses of the peers it is configured to link with. */
  readonly dials: string[] = [];
  readonly #network: RadioNetwork;
  readonly #world: World;
  readonly #index: number;
  readonly #identity: reticulum.Identity;
  readonly #forwards: boolean;
  readonly #clock: Clock;
  readonly #wire: VirtualRadioInterface;
  readonly #mailDisk: MailDisk = { files: new reticulum.MemoryFiles(), router: undefined };
  #life: Life | undefined;

  constructor(network: RadioNetwork, index: number, forwards: boolean) {
    this.#network = network;
    this.#world = network.setup.world;
    this.#index = index;
    this.#forwards = forwards;
    this.#identity = reticulum.Identity.fromPrivateKey(this.#world.rng.bytes(KEY_BYTES));
    this.#clock = network.clock;
    this.#wire = new VirtualRadioInterface(network.ether, index, network.data, {
      touched: () => {
        this.#world.planesAtWork = true;
      },
      received: (bytes, from) => this.#world.meter?.received(from, index, bytes),
      tier: () => this.#life?.line.tier,
    });
    const { SINGLE } = reticulum;
    const about = { type: SINGLE, appName: "aegis", aspects: ["spine"], identity: this.#identity } as const;
    this.address = `rns:${new reticulum.Destination(about).hex}`;
  }
  linked(): Iterable<number> {
    return this.#life?.links.values() ?? [];
  }
  counters(): Readonly<Record<string, number>> {
    return { ...this.#wire.counters(), ...this.#life?.mail?.counters() };
  }
  get waitingBytes(): number {
    return this.#life?.line.waitingBytes ?? 0;
  }
  /** The address of its propagation node, if it runs one. */
  get office(): Uint8Array {
    return officeOf(this.#identity);
  }
  tierOf(frame: reticulum.AirFrame): Tier | undefined {
    return this.#wire.tierOf(frame);
  }

  start(peer: SimPeer): void {
    if (this.#life !== undefined) return;
    const world = this.#world;
    const { data, name } = this.#network;
    const random = (length: number): Uint8Array => world.rng.bytes(length);
    const station = new reticulum.Station(
      {
        random,
        clock: this.#clock,
        unixMs: () => peer.now(),
        onError: (error) => world.planeFailed(error),
        identity: this.#identity,
        transport: this.#forwards,
      },
      [this.#wire],
    );
    const line = new LineWatch(world, this.#index);
    const mail = this.#mail(peer, station);
    const plane = new reticulum.ReticulumPlane({
      name: `reticulum/${name}`,
      station,
      ownsStation: true,
      identity: this.#identity,
      discover: data.peers === null,
      peers: this.dials,
      chance: () => world.rng.float(),
      airOf: () => ({ airtimeMs: (bytes) => reticulum.packetAirtimeMs(data, bytes), duty: data.duty, watch: line }),
      ...(mail === undefined ? {} : { mail: mail.drop }),
    });
    const life: Life = { peer, plane, abort: new AbortController(), links: new Map(), line, mail };
    this.#life = life;
    world.planesAtWork = true;
    this.#consume(life).catch((error: unknown) => world.planeFailed(error));
    plane.start({ signal: life.abort.signal }).catch((error: unknown) => world.planeFailed(error));
  }
  #mail(peer: SimPeer, station: reticulum.Station): RadioMail | undefined {
    const { office, clock } = this.#network;
    if (office === undefined) return undefined;
    const world = this.#world;
    return new RadioMail({
      ...{ clock, station, identity: this.#identity, disk: this.#mailDisk },
      ...{ office: office.office, isOffice: office === this },
      unixMs: () => peer.now(),
      random: (length) => world.rng.bytes(length),
      chance: () => world.rng.float(),
      take: (content) => void this.#life?.plane.take("mail", content),
      failed: (error) => world.planeFailed(error),
    });
  }
  /** Power is lost: nothing is said any more. */
  stop(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    this.#wire.off();
    life.mail?.close();
    life.abort.abort();
    this.#world.planesAtWork = true;
    life.plane.stop().catch((error: unknown) => this.#world.planeFailed(error));
  }

  async #consume(life: Life): Promise<void> {
    for await (const event of life.plane.events()) if (this.#life === life) this.#heard(life, event);
  }
  #heard(life: Life, event: PlaneEvent): void {
    const { peer, plane } = life;
    switch (event.type) {
      case "up": {
        const remote = this.#network.indexOf(event.info.address);
        if (remote !== undefined) life.links.set(event.link, remote);
        this.#world.trace(`up ${this.#network.name} ${this.#index} ${remote}`);
        const sender = new RadioSender(this.#world, this.#index, plane, event, this.#clock);
        return peer.linkUp(event.link, event.info, this.#network, sender);
      }
      case "down":
        life.links.delete(event.link);
        this.#world.trace(`down ${this.#network.name} ${this.#index} ${event.reason}`);
        return peer.linkDown(event.link);
      case "frame":
        return peer.feed({ type: "frame", link: event.link, frame: event.frame });
      case "gossip":
        return peer.feed({ type: "gossip", link: event.link, id: event.id, data: event.data });
      case "stray":
        return this.#stray(life, event);
      case "compare":
        return peer.compare(plane.name, event.peer, event.statement);
    }
  }
  /** As the daemon's driver does it. */
  #stray({ peer, plane }: Life, { via, id, data }: Extract<PlaneEvent, { type: "stray" }>): void {
    try {
      const opened = openGossip(data, this.#world.ports.sha256Hex);
      if (opened.type === "head") {
        plane.judge(id, "ignore");
        return peer.feed({ type: "head", data });
      }
      peer.offer([opened.envelope], () => {}, {
        via,
        answered: ([outcome]) => plane.judge(id, outcome === "added" ? "accept" : "ignore"),
      });
    } catch (caught) {
      if (!(caught instanceof SpineError) || caught.code === "internal") throw caught;
      plane.judge(id, caught.blame === "sender" ? "reject" : "ignore");
    }
  }

  broadcast(data: Uint8Array, tier: Tier): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#world.planesAtWork = true;
    // A broadcast that could not be sent is no loss: heads and inventories on links say the same.
    life.plane.broadcast(data, { signal: life.abort.signal, tier }).catch(() => {});
  }
  leave(envelope: Envelope, tier: Tier): void {
    const plane = this.#life?.plane;
    if (plane?.traits.storeAndForward !== true) return;
    this.#world.planesAtWork = true;
    plane.leave?.(envelope, tier);
  }
  state(peer: string, body: Uint8Array): void {
    this.#world.planesAtWork = true;
    this.#life?.plane.state(peer, body);
  }
  hand(peer: string, envelope: Envelope, tier: Tier): void {
    this.#world.planesAtWork = true;
    this.#life?.plane.hand(peer, envelope, tier);
  }
  judge(id: string, verdict: Verdict): void {
    this.#world.planesAtWork = true;
    this.#life?.plane.judge(id, verdict);
  }
  hangUp(link: LinkId): void {
    this.#world.planesAtWork = true;
    this.#life?.plane.disconnect(link, "closed");
  }
  penalise(link: LinkId, code: string): void {
    this.#world.planesAtWork = true;
    this.#life?.plane.penalise(link, code);
  }
}

/** The daemon's writer, after which the plane is given its turn. */
class RadioSender implements LinkSender {
  readonly #world: World;
  readonly #index: number;
  readonly #writer: LinkWriter;
  readonly #watch: QueueWatch;
  constructor(
    world: World,
    index: number,
    plane: reticulum.ReticulumPlane,
    { link, info }: Extract<PlaneEvent, { type: "up" }>,
    clock: Clock,
  ) {
    this.#world = world;
    this.#index = index;
    this.#watch = new QueueWatch(world, index);
    const watched: Pick<Plane, "send"> = {
      send: (to, frame, options) => {
        this.#given(frame, options.tier ?? CONTROL_TIER);
        return plane.send(to, frame, options);
      },
    };
    this.#writer = new LinkWriter(watched, link, info, clock);
  }
  /** The writer takes what is thrown for the end of its link. */
  #given(frame: Uint8Array, tier: Tier): void {
    try {
      this.#watch.gave(frame, tier);
    } catch (violation) {
      this.#world.planeFailed(violation);
    }
  }
  get waitingBytes(): number {
    return this.#writer.waitingBytes;
  }
  get dropped(): number {
    return this.#writer.dropped;
  }
  push(frame: Uint8Array, tier: Tier): void {
    this.#world.planesAtWork = true;
    this.#world.trace(`radio ${this.#index} tier ${tier} ${frame[0]} ${frame.length}`);
    this.#watch.queued(frame, tier);
    if (!this.#writer.push(frame, tier)) this.#watch.refused(frame);
  }
  close(): void {
    this.#writer.close();
  }
}
