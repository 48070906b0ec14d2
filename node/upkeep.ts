/** What keeps a node well over years: disk room, retention, incidents. Built by the daemon beside the runtime. */
import { SpineError } from "../spine/index.ts";
import { type IncidentCause, IncidentReporter } from "./authority/incidents.ts";
import { DiskWatch } from "./disk-watch.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { keepRetention, type RetentionOptions } from "./retention.ts";
import type { Runtime } from "./runtime.ts";

const MIB = 1_048_576;

export interface UpkeepOptions {
  readonly runtime: Runtime;
  readonly log: Log;
}

/** The part of a split-view event that is told to others. */
export function splitViewCause(event: {
  readonly logId: string;
  readonly shape: string;
  readonly proofHash: string;
}): IncidentCause {
  return { kind: "split_view", log_id: event.logId, shape: event.shape, proof_hash: event.proofHash };
}

export class Upkeep {
  readonly incidents: IncidentReporter;
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #disk: DiskWatch;
  #pruned = 0;

  constructor({ runtime, log }: UpkeepOptions) {
    this.#runtime = runtime;
    this.#log = log;
    const { config, store, driver, issuer, dir, publisher } = runtime;
    this.incidents = new IncidentReporter({
      store,
      issuer,
      now: Date.now,
      commitRows: (rows) => driver.commitRows(rows),
      publish: async (fact) => {
        const [outcome] = await publisher.publish([fact]);
        if (outcome?.ok === false) throw new SpineError(outcome.code, outcome.message);
      },
      head: () => driver.mesh.ownHead?.hash ?? null,
      notes: dir.incidentNotes,
      onSaid: (kind, id) => log.warn({ kind, id }, "incident published"),
    });
    this.#disk = new DiskWatch({
      path: dir.store,
      keepFreeBytes: config.store.keepFreeMiB * MIB,
      storeLimitBytes: config.store.maxMiB * MIB,
      storeBytes: async () => (await store.usage()).bytes,
      onChange: (state, { freeBytes, storeBytes }) => {
        driver.feed({ type: "room", foreign: state !== "full" });
        const fields = { state, free_bytes: freeBytes, store_bytes: storeBytes };
        if (state === "ok") log.info(fields, "disk room");
        else log.warn(fields, "the disk gets full");
      },
    });
  }

  /** The disk is judged before any plane has brought much. */
  async start(metrics: Metrics): Promise<void> {
    const { incidents } = this;
    const runtime = this.#runtime;
    await this.#disk.look();
    runtime.background((signal) => this.#disk.run(signal));
    runtime.background((signal) => incidents.run(signal));
    runtime.background((signal) => keepRetention(this.#retention(), signal));
    metrics.observe(
      "gauge",
      "disk_free_bytes",
      "Bytes free where the store is.",
      () => this.#disk.room?.freeBytes ?? 0,
    );
    metrics.observe("gauge", "disk_full", "1 while nothing of others is stored.", () =>
      Number(this.#disk.state === "full"),
    );
    metrics.observe("counter", "pruned_envelopes_total", "Envelopes removed by retention.", () => this.#pruned);
    metrics.observe("gauge", "incidents_waiting", "Incidents not published yet.", () => incidents.waiting);
    metrics.observe("counter", "incidents_dropped_total", "Incidents beyond the bound.", () => incidents.dropped);
  }

  #retention(): RetentionOptions {
    const { store, driver, issuer, config } = this.#runtime;
    const { kinds, defaultDays, own } = config.retention;
    return {
      ...{ store, driver, issuer, own, now: Date.now },
      rules: { kinds: new Map(Object.entries(kinds)), defaultDays },
      onPruned: (name, below, removed) => {
        this.#pruned += removed;
        this.#log.info({ issuer: name, below, removed }, "envelopes pruned");
      },
    };
  }

  /** One sentence each. */
  warnings(): string[] {
    return this.#disk.warnings();
  }
}
