/** What need not be asked for now: ranges that are asked for or being verified, and issuers ahead of the clock. For `sync.ts`. */
import type { Span } from "./have.ts";
import type { Issuer, Millis } from "./ports.ts";
import type { Request } from "./state.ts";

/** Ranges on their way, per issuer, over all links. */
export class Coming {
  readonly #requests = new Map<Issuer, Set<Request>>();
  readonly #verifying = new Map<Issuer, Set<Span>>();

  ask(request: Request): void {
    addTo(this.#requests, request.issuer, request);
  }
  close(request: Request): void {
    removeFrom(this.#requests, request.issuer, request);
  }
  /** Received; `verified` must follow with the same object. */
  verify(issuer: Issuer, span: Span): void {
    addTo(this.#verifying, issuer, span);
  }
  verified(issuer: Issuer, span: Span): void {
    removeFrom(this.#verifying, issuer, span);
  }
  /** In no order; may touch, never overlap. */
  spans(issuer: Issuer): Span[] {
    const out: Span[] = [...(this.#verifying.get(issuer) ?? [])];
    for (const { next, to } of this.#requests.get(issuer) ?? []) if (next <= to) out.push({ from: next, to });
    return out;
  }
}

/** Issuers held back by the clock rule, and until when. */
export class ClockHold {
  readonly #until = new Map<Issuer, Millis>();
  /** Earliest time at which one is due. */
  next: Millis = Number.POSITIVE_INFINITY;

  hold(issuer: Issuer, until: Millis): void {
    this.#until.set(issuer, until);
    this.next = Math.min(this.next, until);
  }
  /** Takes out those that are due. Walks all of them only when one is. */
  release(now: Millis): Issuer[] {
    if (this.next > now) return [];
    const due: Issuer[] = [];
    this.next = Number.POSITIVE_INFINITY;
    for (const [issuer, until] of this.#until) {
      if (until > now) {
        this.next = Math.min(this.next, until);
      } else {
        this.#until.delete(issuer);
        due.push(issuer);
      }
    }
    return due;
  }
}

function addTo<V>(sets: Map<Issuer, Set<V>>, issuer: Issuer, value: V): void {
  const set = sets.get(issuer) ?? new Set<V>();
  sets.set(issuer, set.add(value));
}

function removeFrom<V>(sets: Map<Issuer, Set<V>>, issuer: Issuer, value: V): void {
  const set = sets.get(issuer);
  set?.delete(value);
  if (set?.size === 0) sets.delete(issuer);
}
