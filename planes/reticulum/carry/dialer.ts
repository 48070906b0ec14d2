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
/** Whoever was dialled so often in vain is hard to reach. */
const HARD_TRIES = 3;
/** On slow wires pauses are so much longer at first, grow up to this, and a dial that finds no air looks again after about `SLOW_WAIT_MS`. */
const SLOW_REDIAL = 30;
const SLOW_REDIAL_MAX_MS = 1_800_000;
const SLOW_WAIT_MS = 10_000;
const BACK_AFTER_TRIES = 3;
const BACK_MS = 30_000;

interface Dial {
  readonly kept: boolean;
  attempt: number;
  /** While it opens. */
  wire: string | undefined;
  cancelTimer: (() => void) | undefined;
  opening: boolean;
}

export interface DialerHooks {
  readonly isLinked: (peer: string) => boolean;
  readonly isBanned: (peer: string) => boolean;
  /** Whether a peer that was only heard of is still one to be linked with over this slow wire. */
  readonly isWanted: (peer: string, wire: string) => boolean;
  /** Milliseconds until the wire has air for a dial; undefined = no links are made over it. */
  readonly airIn: (wire: string) => Millis | undefined;
  readonly isSlow: (wire: string) => boolean;
  /** Milliseconds of air that are given away already. */
  readonly aheadMs: (wire: string) => Millis;
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

  /** It was dialled again and again in vain. */
  isHard(peer: string): boolean {
    return (this.#dials.get(peer)?.attempt ?? 0) >= HARD_TRIES;
  }

  /**
   * Dials now; `kept` peers are dialled again until `forget`, others a few times, on slow wires for as long as they are
   * wanted. There a dial that pauses goes on pausing: neighbours are heard of again and again.
   */
  dial(peer: string, kept: boolean, delayMs: Millis = 0): void {
    const known = this.#dials.get(peer);
    if (this.#stopped || (known === undefined && this.#dials.size >= MAX_DIALS && !kept)) return;
    if (known === undefined || (kept && !known.kept)) {
      known?.cancelTimer?.();
      this.#dials.set(peer, { kept, attempt: 0, wire: undefined, cancelTimer: undefined, opening: false });
    } else if (known.cancelTimer !== undefined && this.#hooks.isSlow(this.#wireTo(peer) ?? "")) return;
    this.#soon(peer, delayMs);
  }
  /** A peer was heard of on a slow wire. */
  meet(peer: string, wire: string, delayMs: Millis): void {
    if (this.#hooks.isWanted(peer, wire)) this.dial(peer, false, delayMs);
  }
  forget(peer: string): void {
    this.#dials.get(peer)?.cancelTimer?.();
    this.#dials.delete(peer);
  }
  /** A link to the peer went down, or could not be made. */
  again(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined) return;
    const slow = dial.wire === undefined ? this.#onlySlow() : this.#hooks.isSlow(dial.wire);
    dial.opening = false;
    dial.wire = undefined;
    if (!dial.kept && !slow && dial.attempt >= STRANGER_TRIES) return this.forget(peer);
    const { redialMinMs, redialMaxMs } = this.#limits;
    const maxMs = slow ? Math.max(redialMaxMs, SLOW_REDIAL_MAX_MS) : redialMaxMs;
    const minMs = slow ? Math.min(maxMs, SLOW_REDIAL * redialMinMs) : redialMinMs;
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
    dial.wire = undefined;
  }
  /**
   * A path to the peer was heard of: whoever waits for it goes on at once. On slow wires only for a peer that the operator
   * named and that did not answer for a while, and not at the moment at which everybody heard it.
   */
  heard(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined || dial.opening) return;
    if (!this.#hooks.isSlow(this.#wireTo(peer) ?? "")) this.#soon(peer, 0);
    else if (dial.kept && dial.attempt >= BACK_AFTER_TRIES) this.#soon(peer, BACK_MS * this.#hooks.chance());
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

  #wireTo(peer: string): string | undefined {
    return this.#station.endpoint.path(fromHex(peer))?.wireId;
  }
  #onlySlow(): boolean {
    const wires = [...this.#station.endpoint.wires.keys()];
    return wires.length > 0 && wires.every((wire) => this.#hooks.isSlow(wire));
  }
  /** A question for a path goes out on all wires: where all are slow, only when none has anything else to send. */
  #airForQuestion(): Millis {
    if (!this.#onlySlow()) return 0;
    const ahead = [...this.#station.endpoint.wires.keys()].map((wire) => this.#hooks.aheadMs(wire));
    const most = Math.max(...ahead);
    return most > 0 ? most + SLOW_WAIT_MS * (0.5 + this.#hooks.chance()) : 0;
  }
  /** One dial at a time on a slow wire, and none while its air is taken. */
  #airIn(wire: string): Millis | undefined {
    const inMs = this.#hooks.airIn(wire);
    if (inMs === undefined || !this.#hooks.isSlow(wire)) return inMs;
    const busy = inMs > 0 || [...this.#dials.values()].some((dial) => dial.opening && dial.wire === wire);
    return busy ? inMs + SLOW_WAIT_MS * (0.5 + this.#hooks.chance()) : 0;
  }

  #try(peer: string, dial: Dial): void {
    const { isLinked, isBanned, counts, log } = this.#hooks;
    if (dial.opening || isLinked(peer)) return;
    if (isBanned(peer)) return this.again(peer);
    const { endpoint } = this.#station;
    const hash = fromHex(peer);
    try {
      const wire = this.#wireTo(peer);
      const slow = wire !== undefined && this.#hooks.isSlow(wire);
      // Since it was chosen, others were heard of that come before it.
      if (!dial.kept && slow && !this.#hooks.isWanted(peer, wire)) return this.forget(peer);
      const airIn = wire === undefined ? this.#airForQuestion() : this.#airIn(wire);
      if (airIn === undefined) return this.again(peer);
      if (airIn > 0) return this.#soon(peer, airIn);
      const link = this.#station.act(() => {
        if (endpoint.known.get(hash) !== undefined && endpoint.hasPath(hash))
          return endpoint.openLink(hash, slow ? this.#limits.openTimeoutMs : 0);
        endpoint.searchPath(hash);
        return undefined;
      });
      if (link === undefined) return this.again(peer);
      counts.dials++;
      dial.opening = true;
      dial.wire = wire;
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
