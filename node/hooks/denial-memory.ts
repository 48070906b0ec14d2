/** Calls that were denied a while ago, by their id; bounded, the oldest are forgotten. The hook desk and the MCP proxy use it. */

const MAX_DENIALS = 4_096;

export interface Denial {
  readonly envelopeHash: string | null;
}

export class DenialMemory {
  readonly #denials = new Map<string, Denial>();

  add(callId: string, envelopeHash: string | null): void {
    this.#denials.delete(callId);
    this.#denials.set(callId, { envelopeHash });
    const [oldest] = this.#denials.keys();
    if (this.#denials.size > MAX_DENIALS && oldest !== undefined) this.#denials.delete(oldest);
  }

  /** Forgets it: one call is reported once. */
  take(callId: string): Denial | undefined {
    const found = this.#denials.get(callId);
    this.#denials.delete(callId);
    return found;
  }
}
