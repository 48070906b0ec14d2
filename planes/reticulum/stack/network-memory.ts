/**
 * What of the network outlives a connection or a restart: paths whose wire is away, tunnels, the emission time of our own
 * announces (spec/reticulum.md sections 7, 9 and 20). Used by `endpoint.ts`.
 */
import type { Millis } from "../../../spine/index.ts";
import type { Wire } from "./context.ts";
import type { KnownDestinations } from "./known.ts";
import { PathShelves } from "./path-shelf.ts";
import type { PathEntry, PathTable } from "./path-table.ts";
import { packTables, unpackTables } from "./table-file.ts";
import { openTunnelSynthesis, Tunnels } from "./tunnels.ts";

export interface MemoryPorts {
  readonly known: KnownDestinations;
  readonly paths: PathTable;
  readonly wires: ReadonlyMap<string, Wire>;
  now(): Millis;
  /** The wall clock. */
  unixMs(): Millis;
}

export class NetworkMemory {
  readonly tunnels = new Tunnels();
  readonly shelves = new PathShelves();
  readonly #ports: MemoryPorts;
  #emission: { readonly unixMs: Millis; readonly at: Millis } | undefined;
  constructor(ports: MemoryPorts) {
    this.#ports = ports;
  }
  /** Paths that were known when the wire went away are known again. */
  attached(wire: Wire): void {
    this.#unshelve(`wire/${wire.id}`, wire.id);
  }
  /** Paths leave the table with their wire. */
  detached(wireId: string, wire: Wire | undefined): void {
    const shelf = this.tunnels.close(wireId) ?? (wire?.transient === true ? undefined : `wire/${wireId}`);
    const gone = this.#ports.paths.dropWire(wireId);
    if (shelf !== undefined) this.shelves.put(shelf, gone, this.#ports.now());
  }
  /** The other side of a connection names itself: paths over its last one are valid again. Throws when it does not prove it. */
  tunnel(data: Uint8Array, wire: Wire): void {
    const now = this.#ports.now();
    const { shelf, before } = this.tunnels.open(openTunnelSynthesis(data), wire.id, now);
    if (before !== undefined) this.shelves.put(shelf, this.#ports.paths.dropWire(before), now);
    this.#unshelve(shelf, wire.id);
  }
  #unshelve(shelf: string, wireId: string): void {
    const now = this.#ports.now();
    const paths = this.shelves.take(shelf, now);
    if (paths !== undefined) this.#ports.paths.restore(paths, wireId, now);
  }
  /** The time put into announces: it never goes back, or those who heard an earlier one would ignore the next. */
  emissionMs(): Millis {
    const now = this.#ports.now();
    const last = this.#emission;
    const unixMs = Math.max(this.#ports.unixMs(), last === undefined ? 0 : last.unixMs + (now - last.at));
    this.#emission = { unixMs, at: now };
    return unixMs;
  }
  save(): Uint8Array {
    const { known, paths, wires } = this.#ports;
    const groups = new Map<string, Map<string, PathEntry>>();
    for (const [name, shelved] of this.shelves.entries()) groups.set(name, new Map(shelved));
    for (const [key, path] of paths.entries()) {
      const transient = wires.get(path.wireId)?.transient === true;
      const name = this.tunnels.shelf(path.wireId) ?? (transient ? undefined : `wire/${path.wireId}`);
      if (name === undefined) continue;
      const group = groups.get(name) ?? new Map<string, PathEntry>();
      groups.set(name, group.set(key, path));
    }
    const emissionMs = this.#emission === undefined ? 0 : this.emissionMs();
    return packTables(
      { known: known.save(), groups: [...groups], emissionMs },
      this.#ports.now(),
      this.#ports.unixMs(),
    );
  }
  /** Before wires are attached. Throws `frame_syntax`. */
  load(file: Uint8Array): void {
    const now = this.#ports.now();
    const { known, groups, emissionMs } = unpackTables(file, now, this.#ports.unixMs());
    this.#ports.known.load(known, now);
    for (const [name, paths] of groups) this.shelves.put(name, paths, now);
    this.#emission = { unixMs: emissionMs, at: now };
  }
}
