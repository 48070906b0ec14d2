/** Samples a run at even times: the series of the result, and what a replay shows. */
import type { Replay, ReplayFrame, Series } from "../result.ts";
import { EPOCH_MS } from "../world.ts";
import type { Setup } from "./setup.ts";

type Column = keyof Series;
const COLUMNS: readonly Column[] = ["at_ms", "reach", "queued_bytes", "sent_bytes", "airtime_ms", "links_up"];
/** Times as many samples at the begin of a run that may stop early. */
const FINEST = 64;
/** Numbers kept for replays in all; above it fewer frames are kept. */
const MAX_REPLAY_CELLS = 4_000_000;

export class Sampler {
  readonly #setup: Setup;
  readonly #series: Record<Column, number[]>;
  readonly #frames: ReplayFrame[] = [];
  #everyMs: number;
  readonly #most: number;
  #keepEvery = 1;
  #turns = 0;
  readonly #records: boolean;

  constructor(setup: Setup, samples: number, records: boolean) {
    this.#setup = setup;
    this.#records = records;
    if (records) setup.meter.recordPairs();
    this.#series = Object.fromEntries(COLUMNS.map((name) => [name, []])) as never;
    this.#most = 2 * samples;
    // Nobody knows when a run ends that stops early: often at first, half as often whenever there are twice as many.
    this.#everyMs = setup.file.durationMs / (setup.file.stopEarly ? FINEST * samples : samples);
    this.#next(0);
  }
  #next(atMs: number): void {
    if (atMs > this.#setup.file.durationMs) return;
    this.#setup.world.clock.schedule(EPOCH_MS + atMs, () => {
      this.take();
      if (this.#series.at_ms.length >= this.#most) this.#thin();
      this.#next(atMs + this.#everyMs);
    });
  }
  #thin(): void {
    this.#everyMs *= 2;
    for (const name of COLUMNS) this.#series[name] = this.#series[name].filter((_, i) => i % 2 === 0);
    const kept = this.#frames.filter((_, i) => i % 2 === 0);
    this.#frames.splice(0, this.#frames.length, ...kept);
  }

  take(): void {
    const { world, tracker } = this.#setup;
    const networks = [...world.networks.values()];
    let queued = 0;
    for (const peer of world.peers) queued += peer.queued.bytes;
    const links = networks.flatMap((network) => (this.#records ? [...network.links()] : []));
    let up = links.length;
    if (!this.#records) for (const network of networks) for (const _ of network.links()) up++;
    const row: Record<Column, number> = {
      at_ms: Math.round(world.elapsedMs),
      reach: tracker.reach,
      queued_bytes: queued,
      sent_bytes: world.bytes,
      airtime_ms: networks.reduce((sum, network) => sum + (network.airtimeMs?.() ?? 0), 0),
      links_up: up,
    };
    for (const name of COLUMNS) this.#series[name].push(row[name]);
    if (this.#records && this.#turns++ % this.#keepEvery === 0) this.#record(links);
  }

  #record(links: readonly (readonly [number, number])[]): void {
    const { world, places, meter } = this.#setup;
    const at = world.peers.map(({ index }) => places.at(index, world.elapsedMs));
    this.#frames.push({
      at_ms: Math.round(world.elapsedMs),
      x: at.map(({ x }) => Math.round(x)),
      y: at.map(({ y }) => Math.round(y)),
      stored: world.peers.map(({ disk }) => disk.leaves.length),
      running: world.peers.map(({ running }) => (running ? 1 : 0)),
      links,
      sends: meter.takePairs(),
    });
    const cells = this.#frames.length * (4 * world.peers.length + 2 * links.length);
    if (cells <= MAX_REPLAY_CELLS) return;
    this.#keepEvery *= 2;
    const kept = this.#frames.filter((_, i) => i % 2 === 0);
    this.#frames.splice(0, this.#frames.length, ...kept);
  }

  series(): Series {
    return this.#series;
  }
  replay(): Replay | null {
    if (!this.#records) return null;
    return { nodes: [...this.#setup.names.all], frames: this.#frames, thinned: this.#keepEvery > 1 };
  }
}
