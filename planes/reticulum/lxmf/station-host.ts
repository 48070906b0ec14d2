/** Runs the LXMF parts on a station with real time. Used by the daemon and the interop tests. */
import type { Station } from "../station.ts";
import type { LxmfHost } from "./host.ts";
import type { Stamps } from "./stamp-pool.ts";

export interface StationHostOptions {
  readonly stamps: Stamps;
  /** State changed that a restart should find. */
  readonly changed: () => void;
  /** Resolves when what changed so far is on disk. */
  readonly persisted: () => Promise<void>;
}

export function stationHost(station: Station, options: StationHostOptions): LxmfHost {
  return {
    endpoint: station.endpoint,
    stamps: options.stamps,
    act: (task) => station.act(task),
    unixMs: () => Date.now(),
    changed: options.changed,
    persisted: options.persisted,
  };
}
