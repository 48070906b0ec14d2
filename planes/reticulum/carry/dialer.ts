/**
 * Gets links to peers of the Reticulum plane: asks for the path, opens the link, tries again with growing pauses.
 * Owned by `plane.ts`, which judges what comes of it.
 */
import { fromHex, type Millis, SpineError } from "../../../spine/index.ts";
import { backoffMs } from "../../backoff.ts";
import type { Link } from "../stack/link.ts";
import type { Station } from "../station.ts";
import type { ReticulumLimits, ReticulumLog } from "./options.ts";

/** A stranger that was only heard of is given up after so many tries. */
const STRANGER_TRIES = 4;
const MAX_DIALS = 256;

interface Dial {
  readonly kept: boolean;
  attempt: number;
  cancelTimer: (() => void) | undefined;
  opening: boolean;
}

export interface DialerHooks {
  readonly isLinked: (peer: string) => boolean;
  readonly isBanned: (peer: string) => boolean;
  /** Whether links are made over this wire. */
  readonly mayLink: (wire: string) => boolean;
  /** The link is established; `failed` is to be called if nothing comes of it. */
  readonly opened: (peer: string, link: Link) => void;
  /** In [0, 1). */
  readonly chance: () => number;
  readonly counts: { dials: number; dials_failed: number };
  readonly log: ReticulumLog | undefined;
}

export class Dialer {
  readonly #station: Station;
  readonly #limits: ReticulumLimits;
  readonly #hooks: DialerHooks;
  readonly #dials = new Map<string, Dial>();
  #stopped = false;

  constructor(station: Station, limits: ReticulumLimits, hooks: DialerHooks) {
    this.#station = station;
    this.#limits = limits;
    this.#hooks = hooks;
  }
  get size(): number {
    return this.#dials.size;
  }
  isDialling(peer: string): boolean {
    return this.#dials.get(peer)?.opening === true;
  }

  /** Dials now; `kept` peers are dialled again until `forget`, others a few times. */
  dial(peer: string, kept: boolean): void {
    const known = this.#dials.get(peer);
    if (this.#stopped || (known === undefined && this.#dials.size >= MAX_DIALS && !kept)) return;
    if (known === undefined || (kept && !known.kept)) {
      known?.cancelTimer?.();
      this.#dials.set(peer, { kept, attempt: 0, cancelTimer: undefined, opening: false });
    }
    this.#soon(peer, 0);
  }
  forget(peer: string): void {
    this.#dials.get(peer)?.cancelTimer?.();
    this.#dials.delete(peer);
  }
  /** A link to the peer went down, or could not be made. */
  again(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined) return;
    dial.opening = false;
    if (!dial.kept && dial.attempt >= STRANGER_TRIES) return this.forget(peer);
    const { redialMinMs: minMs, redialMaxMs: maxMs } = this.#limits;
    this.#soon(peer, backoffMs(dial.attempt++, { minMs, maxMs }, this.#hooks.chance));
  }
  /** The peer is linked: the next loss starts with a short pause. */
  linked(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined) return;
    dial.cancelTimer?.();
    dial.cancelTimer = undefined;
    dial.attempt = 0;
    dial.opening = false;
  }
  /** A path to the peer was heard of: whoever waits for it goes on at once. */
  heard(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial !== undefined && !dial.opening) this.#soon(peer, 0);
  }
  stop(): void {
    this.#stopped = true;
    for (const { cancelTimer } of this.#dials.values()) cancelTimer?.();
    this.#dials.clear();
  }

  #soon(peer: string, delayMs: Millis): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined || this.#stopped) return;
    dial.cancelTimer?.();
    const { clock } = this.#station;
    dial.cancelTimer = clock.schedule(clock.now() + delayMs, () => {
      dial.cancelTimer = undefined;
      if (this.#dials.get(peer) === dial) this.#try(peer, dial);
    });
  }

  #try(peer: string, dial: Dial): void {
    const { isLinked, isBanned, counts, log } = this.#hooks;
    if (dial.opening || isLinked(peer)) return;
    if (isBanned(peer)) return this.again(peer);
    const { endpoint } = this.#station;
    const hash = fromHex(peer);
    try {
      const wire = endpoint.path(hash)?.wireId;
      if (wire !== undefined && !this.#hooks.mayLink(wire)) return this.again(peer);
      const link = this.#station.act(() => {
        if (endpoint.known.get(hash) !== undefined && endpoint.hasPath(hash)) return endpoint.openLink(hash);
        endpoint.searchPath(hash);
        return undefined;
      });
      if (link === undefined) return this.again(peer);
      counts.dials++;
      dial.opening = true;
      link.onEstablished = () => this.#hooks.opened(peer, link);
      link.onClosed = () => {
        counts.dials_failed++;
        log?.("reticulum peer not reached", { peer });
        this.again(peer);
      };
    } catch (caught) {
      counts.dials_failed++;
      log?.("reticulum peer not dialled", { peer, code: caught instanceof SpineError ? caught.code : "internal" });
      this.again(peer);
    }
  }
}
