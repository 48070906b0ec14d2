/** Makes what a scenario's timeline and loads say happen at its virtual time. */
import { type Envelope, openSigningBytes, SpineError } from "../../spine/index.ts";
import type { SimDisk } from "../disk.ts";
import { StreamNetwork } from "../networks/stream.ts";
import type { SimPeer } from "../peer.ts";
import type { Happening, Load, LoadFact } from "../scenario-file.ts";
import { EPOCH_MS, LAN } from "../world.ts";
import { attack } from "./attacks.ts";
import { loadFact, revocationOf } from "./facts.ts";
import type { Setup } from "./setup.ts";

/** Between the loss of a machine and the start of its replacement. */
const REPLACE_MS = 1_000;

export class Timeline {
  readonly #setup: Setup;
  readonly #backups = new Map<number, SimDisk>();
  readonly #published = new Map<number, number>();

  constructor(setup: Setup) {
    this.#setup = setup;
    const { timeline, load } = setup.file;
    for (const { atMs, ...happening } of timeline) this.#at(atMs, () => this.#happen(happening as Happening));
    for (const one of load) this.#plan(one);
  }
  #at(ms: number, task: () => void): void {
    this.#setup.world.clock.schedule(EPOCH_MS + ms, task);
  }

  // ---- loads ----

  #plan(load: Load): void {
    const { rng } = this.#setup.world;
    for (const peer of this.#setup.peers(load.by)) {
      const first = load.fromMs + (load.spread ? Math.floor(rng.float() * load.everyMs) : 0);
      this.#turn(load, peer, first, 0);
    }
  }
  #turn(load: Load, peer: SimPeer, atMs: number, done: number): void {
    if (atMs > load.untilMs || (load.times > 0 && done >= load.times)) return;
    this.#at(atMs, () => {
      this.#publish(peer, load.fact, load.batch, load.padBytes);
      if (load.everyMs > 0) this.#turn(load, peer, atMs + load.everyMs, done + 1);
    });
  }
  /** A node that is down or uncertain of its own chain publishes nothing. */
  #publish(peer: SimPeer, fact: LoadFact, count: number, padBytes: number): void {
    if (!peer.running || !peer.signs) return;
    const before = this.#published.get(peer.index) ?? 0;
    this.#published.set(peer.index, before + count);
    peer.publish(Array.from({ length: count }, (_, i) => loadFact(fact, peer, before + i, padBytes)));
  }

  // ---- events ----

  #happen(what: Happening): void {
    const setup = this.#setup;
    const { world, names } = setup;
    setup.disturb();
    switch (what.type) {
      case "partition":
        world.barriers.partition(
          what.sets.map((set) => names.select(set)),
          what.network,
        );
        setup.note(null, `partition: ${what.sets.map(String).join(" | ")}`);
        return world.barriersChanged();
      case "heal":
        world.barriers.heal(what.network);
        setup.note(null, "healed");
        return world.barriersChanged();
      case "network-down":
      case "network-up": {
        const nodes = names.select(what.nodes);
        if (what.type === "network-down") world.barriers.lose(what.network, nodes);
        else world.barriers.regain(what.network, nodes);
        setup.note(null, `${what.network} ${what.type === "network-down" ? "lost" : "back"} for ${String(what.nodes)}`);
        return setup.network(what.network).barriersChanged();
      }
      case "crash":
        for (const peer of setup.peers(what.nodes)) this.#crash(peer, what.keepDisk, what.restartsAfterMs);
        return;
      case "restart":
        for (const peer of setup.peers(what.nodes)) this.#restart(peer);
        return;
      case "skew":
        for (const peer of setup.peers(what.nodes)) peer.skewMs += what.byMs;
        return setup.note(null, `clocks of ${String(what.nodes)} set by ${what.byMs} ms`);
      case "backup":
        for (const peer of setup.peers(what.nodes)) this.#backups.set(peer.index, peer.disk.copy());
        return setup.note(null, `backup of ${String(what.nodes)}`);
      case "restore":
        for (const peer of setup.peers(what.nodes)) this.#restore(peer);
        return;
      case "clone":
        return this.#clone(what);
      case "move":
        for (const index of names.select(what.nodes)) setup.places.move(index, what.to, world.elapsedMs, what.overMs);
        return;
      case "publish":
        for (const peer of setup.peers(what.by)) this.#publish(peer, what.fact, what.count, 0);
        return;
      case "revoke": {
        const [by, target] = [world.peer(names.index(what.by)), world.peer(names.index(what.target))];
        if (by.running && by.signs) by.publish([revocationOf(by, target.issuer, this.#count(by))]);
        return setup.note(by.index, `revoked ${what.target}`);
      }
      case "courier":
        return this.#carry(what);
      case "attack":
        setup.note(names.index(what.by), `attack: ${what.attack.type}`);
        return attack(setup, world.peer(names.index(what.by)), what.attack);
    }
  }
  #count(peer: SimPeer): number {
    const count = (this.#published.get(peer.index) ?? 0) + 1;
    this.#published.set(peer.index, count);
    return count;
  }

  #crash(peer: SimPeer, keepDisk: boolean, restartsAfterMs: number | null): void {
    if (!peer.running) return;
    this.#setup.note(peer.index, keepDisk ? "crashed" : "crashed and lost its disk");
    peer.crash(keepDisk);
    this.#diskChanged(peer);
    if (restartsAfterMs !== null) this.#at(this.#setup.world.elapsedMs + restartsAfterMs, () => this.#restart(peer));
  }
  #diskChanged(peer: SimPeer): void {
    this.#setup.tracker.diskChanged(peer.index, peer.disk, this.#setup.world.elapsedMs);
  }
  #restart(peer: SimPeer): void {
    if (peer.running) return;
    this.#setup.note(peer.index, "restarted");
    this.#setup.disturb();
    this.#setup.begin(peer);
  }
  #restore(peer: SimPeer): void {
    const backup = this.#backups.get(peer.index);
    if (backup === undefined)
      throw new SpineError("api_input", `${this.#setup.names.nameOf(peer.index)} has no backup yet`);
    this.#setup.note(peer.index, "replaced from a backup");
    peer.restore(backup.copy());
    this.#diskChanged(peer);
    this.#at(this.#setup.world.elapsedMs + REPLACE_MS, () => this.#restart(peer));
  }

  #clone({ of, name, network, peers }: Extract<Happening, { type: "clone" }>): void {
    const setup = this.#setup;
    const { world, names } = setup;
    const original = world.peer(names.index(of));
    names.append(name);
    const copy = world.clone(original);
    setup.places.put(copy.index, setup.places.at(original.index, world.elapsedMs));
    setup.note(copy.index, `cloned from ${of}`);
    world.invariants.liars.add(original.issuer);
    setup.liars.add(original.index).add(copy.index);
    const streams = setup.network(network);
    if (!(streams instanceof StreamNetwork)) throw new SpineError("api_input", "clones join stream networks only");
    for (const index of names.select(peers)) if (index !== original.index) streams.connect(copy.index, index, LAN);
  }

  #carry({ from, to, takesMs }: Extract<Happening, { type: "courier" }>): void {
    const setup = this.#setup;
    const [source, target] = [setup.world.peer(setup.names.index(from)), setup.world.peer(setup.names.index(to))];
    const envelopes: Envelope[] = [];
    for (const issuer of source.disk.issuers())
      for (const { from: first, to: last } of source.disk.record(issuer)?.ranges ?? [])
        for (let seq = first; seq <= last; seq++) {
          const row = source.disk.at(issuer, seq);
          if (row === undefined) continue;
          envelopes.push(openSigningBytes(row.signingBytes, row.signature, setup.world.ports.sha256Hex));
        }
    this.#at(setup.world.elapsedMs + takesMs, () => {
      if (!target.running) return;
      target.offer(envelopes, () => {});
      setup.note(target.index, `got ${envelopes.length} envelopes by courier`);
      setup.disturb();
    });
  }
}
