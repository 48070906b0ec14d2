/**
 * Answers path requests from what was heard and searches paths for others (spec/reticulum.md section 9.2). Requests for
 * destinations of our own are answered by the endpoint. Used by `transport.ts`.
 */
import { equalBytes, type Millis, toHex } from "../../../spine/index.ts";
import { carriedAnnounce } from "./announce-table.ts";
import type { StackContext, Wire } from "./context.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import { CONTEXT } from "./packet.ts";
import { type PathRequest, pathRequestPacket } from "./path-request.ts";
import type { CachedAnnounce, PathEntry } from "./path-table.ts";
import { modeOf, searchesOn } from "./wire-policy.ts";

const GRACE_MS = 400;
const ROAMING_EXTRA_MS = 1500;
const SEARCH_MS = 15_000;
const MAX_SEARCHES = 4096;
const MAX_ANSWERS = 4096;

interface Search {
  readonly wires: Set<string>;
  readonly until: Millis;
}

/** An answer on its way. */
export interface PlannedAnswer {
  readonly target: Uint8Array;
  readonly wireId: string;
  readonly plannedAt: Millis;
  readonly dueAt: Millis;
}

interface Planned extends PlannedAnswer {
  dueAt: Millis;
  cancelTimer: () => void;
}

export interface FinderPorts {
  readonly wires: ReadonlyMap<string, Wire>;
  readonly transportId: Uint8Array;
  path(key: string): PathEntry | undefined;
  /** Announces that wait for their share of a wire. */
  queuedOn(wireId: string): number;
  /** May another path request go out? */
  sendsRequest(wireId: string): boolean;
}

export class PathFinder {
  readonly #context: StackContext;
  readonly #ports: FinderPorts;
  readonly #searches = new Map<string, Search>();
  /** One answer for a destination at a time on a wire: all there hear it. */
  readonly #planned = new Map<string, Planned>();
  constructor(context: StackContext, ports: FinderPorts) {
    this.#context = context;
    this.#ports = ports;
  }
  get searches(): number {
    return this.#searches.size;
  }
  /** By destination hash in hex: the answer planned last. */
  planned(key: string): PlannedAnswer | undefined {
    return [...this.#planned.values()].filter(({ target }) => toHex(target) === key).at(-1);
  }
  /** Moves the answers for a destination; false when none is planned. */
  reschedule(key: string, at: Millis): boolean {
    const answers = [...this.#planned].filter(([, { target }]) => toHex(target) === key);
    for (const [id, answer] of answers) this.#plan(id, answer, at);
    return answers.length > 0;
  }
  /** A new request for a destination that is not ours. */
  request(request: PathRequest, wire: Wire): void {
    const key = toHex(request.target);
    const path = this.#ports.path(key);
    if (path?.announce === undefined) this.#search(key, request, wire);
    else this.#answer(key, request, wire, path);
  }
  #answer(key: string, request: PathRequest, wire: Wire, path: PathEntry): void {
    const roaming = modeOf(wire) === "roaming";
    const silent =
      (roaming && path.wireId === wire.id) ||
      (request.transportId !== undefined && equalBytes(path.nextHop, request.transportId)) ||
      this.#planned.size >= MAX_ANSWERS ||
      this.#planned.has(`${key}${wire.id}`);
    if (silent) {
      this.#context.count("drop_path_request");
      return;
    }
    const now = this.#context.now();
    const at = now + GRACE_MS + (roaming ? ROAMING_EXTRA_MS : 0);
    const answer: Planned = {
      target: request.target,
      wireId: wire.id,
      plannedAt: now,
      dueAt: at,
      cancelTimer: () => undefined,
    };
    this.#plan(`${key}${wire.id}`, answer, at);
  }
  #plan(id: string, answer: Planned, at: Millis): void {
    answer.cancelTimer();
    answer.dueAt = at;
    this.#planned.set(id, answer);
    answer.cancelTimer = this.#context.schedule(at, () => {
      this.#planned.delete(id);
      const key = toHex(answer.target);
      const current = this.#ports.path(key);
      if (current?.announce !== undefined)
        this.#respond(key, current.announce, answer.target, current.hops, answer.wireId);
    });
  }
  #respond(key: string, cached: CachedAnnounce, destination: Uint8Array, hops: number, wireId: string): void {
    const { transportId } = this.#ports;
    const raw = carriedAnnounce(cached, destination, hops, transportId, CONTEXT.pathResponse);
    this.#context.transmit(raw, wireId);
    this.#context.count("path_answers");
    this.#searches.delete(key);
  }
  /** Asks on where the interface's mode wants it; the answer will go to all who asked meanwhile. */
  #search(key: string, request: PathRequest, wire: Wire): void {
    const now = this.#context.now();
    for (const [old, search] of this.#searches) {
      if (search.until > now) break;
      this.#searches.delete(old);
    }
    const running = this.#searches.get(key);
    if (running !== undefined) {
      running.wires.add(wire.id);
      return;
    }
    const { wires, transportId } = this.#ports;
    const targets = [...wires.values()].filter(
      (out) => out.id !== wire.id && searchesOn(wire, out) && this.#ports.queuedOn(out.id) === 0,
    );
    if (targets.length === 0) {
      this.#context.count("drop_path_request");
      return;
    }
    if (this.#searches.size >= MAX_SEARCHES) {
      this.#context.count("drop_table_full");
      return;
    }
    this.#searches.set(key, { wires: new Set([wire.id]), until: now + SEARCH_MS });
    const raw = pathRequestPacket({ target: request.target, transportId, tag: request.tag });
    for (const out of targets) if (this.#ports.sendsRequest(out.id)) this.#context.transmit(raw, out.id);
    this.#context.count("path_searches");
  }
  /** An accepted announce, its hops counted: those who searched for it get it at once. */
  found(key: string, destination: Uint8Array, cached: CachedAnnounce, hops: number): void {
    const search = this.#searches.get(key);
    if (search === undefined) return;
    this.#searches.delete(key);
    if (search.until <= this.#context.now()) return;
    for (const wireId of search.wires) this.#respond(key, cached, destination, hops, wireId);
  }
  /** Is a path to this destination being searched? Its announce is then never held back. */
  isSearching(key: string): boolean {
    return (this.#searches.get(key)?.until ?? 0) > this.#context.now();
  }
  /** A request of our own, for the wires it shall go out on. */
  ask(target: Uint8Array): Uint8Array {
    const tag = this.#context.random(ADDRESS_BYTES);
    return pathRequestPacket({ target, transportId: this.#ports.transportId, tag });
  }
}
