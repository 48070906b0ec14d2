/**
 * LXMF of one life of a radio node, in virtual time: the router that leaves urgent envelopes for absent peers with the
 * network's propagation node and fetches its own, and that node itself where it runs. As the daemon's `mail.ts` does it.
 */
import { reticulum } from "../../planes/index.ts";
import type { Clock, Millis } from "../../spine/index.ts";

/** After the start, when the first announces were said. */
const FIRST_MS = 30_000;
const FETCH_MS = 1_800_000;
const ANNOUNCE_MS = 3_600_000;
/** Between announces of one node. */
const SPACING_MS = 20_000;
const STORE_BYTES = 1_000_000;
/** Least that the reference accepts: stamps are made on the spot. */
const STAMP_COST = 13;

/** What survives a life. */
export interface MailDisk {
  readonly files: reticulum.MemoryFiles;
  router: Uint8Array | undefined;
}

export interface MailOptions {
  readonly clock: Clock;
  readonly station: reticulum.Station;
  readonly identity: reticulum.Identity;
  readonly disk: MailDisk;
  /** The propagation node's `lxmf.propagation` address. */
  readonly office: Uint8Array;
  /** It is this one. */
  readonly isOffice: boolean;
  readonly unixMs: () => Millis;
  readonly random: (length: number) => Uint8Array;
  readonly chance: () => number;
  /** An envelope or a head came by mail. */
  readonly take: (content: Uint8Array) => void;
  readonly failed: (error: unknown) => void;
}

/** The address of the propagation node that an identity runs. */
export function officeOf(identity: reticulum.Identity): Uint8Array {
  const { SINGLE, Destination } = reticulum;
  return new Destination({ type: SINGLE, appName: "lxmf", aspects: ["propagation"], identity }).hash;
}

export class RadioMail {
  readonly drop: reticulum.MailDrop;
  readonly #options: MailOptions;
  readonly #router: reticulum.LxmfRouter;
  #office: reticulum.PropagationNode | undefined;
  #closed = false;

  constructor(options: MailOptions) {
    this.#options = options;
    const { identity, station, disk, office, isOffice } = options;
    this.#router = new reticulum.LxmfRouter(this.#host(), {
      identity,
      propagationNode: office,
      onMessage: ({ message }) => {
        if (reticulum.isSpelling(message.content)) options.take(message.content);
      },
    });
    if (disk.router !== undefined) this.#router.load(disk.router);
    this.drop = reticulum.mailDrop(station, this.#router);
    if (isOffice) this.#open().catch(options.failed);
    this.#every(FIRST_MS, ANNOUNCE_MS, () => this.#announce());
    if (!isOffice) this.#every(FIRST_MS + 3 * SPACING_MS, FETCH_MS, () => this.#fetch());
  }
  counters(): Readonly<Record<string, number>> {
    const kept: Record<string, number> = {};
    for (const [name, count] of this.#router.counters) kept[`mail_${name}`] = count;
    if (this.#office !== undefined) kept["mail_kept"] = this.#office.counters.get("stored") ?? 0;
    return kept;
  }
  /** Power is lost; what was saved is loaded by the next life. */
  close(): void {
    this.#closed = true;
    this.#router.close();
    this.#office?.close();
  }

  #host(): reticulum.LxmfHost {
    const { station, unixMs, random, disk } = this.#options;
    const save = async (): Promise<void> => {
      disk.router = this.#router.save();
    };
    return {
      endpoint: station.endpoint,
      stamps: new reticulum.InlineStamps(random),
      act: (task) => station.act(task),
      unixMs,
      changed: () => this.#later(0, () => void save()),
      persisted: save,
    };
  }
  async #open(): Promise<void> {
    const { disk, identity } = this.#options;
    const store = await reticulum.PropagationStore.open(disk.files, { maxBytes: STORE_BYTES });
    if (this.#closed) return;
    const local = { destination: this.#router.destination, take: (packed: Uint8Array) => this.#router.take(packed) };
    this.#office = new reticulum.PropagationNode(this.#host(), {
      ...{ identity, store, local, stampCost: STAMP_COST, autoPeer: false },
    });
  }
  #announce(): void {
    this.#router.announce();
    this.#later(SPACING_MS, () => this.#office?.announce());
  }
  /** Without an announce of the node there is no key to link with: asked for, and tried again next time. */
  #fetch(): void {
    const { station, office } = this.#options;
    if (station.endpoint.known.get(office) === undefined) station.act(() => station.endpoint.searchPath(office));
    else this.#router.client.fetch().catch(() => undefined);
  }

  #later(inMs: Millis, task: () => void): void {
    const { clock } = this.#options;
    clock.schedule(clock.now() + inMs, () => {
      if (!this.#closed) task();
    });
  }
  /** Give or take a tenth, so that nodes that started together do not speak together. */
  #every(firstMs: Millis, everyMs: Millis, task: () => void): void {
    this.#later(firstMs * (0.9 + this.#options.chance() / 5), () => {
      task();
      this.#every(everyMs, everyMs, task);
    });
  }
}
