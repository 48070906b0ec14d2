/** What one radio really sent, counted apart from the stack's own accounts: total, and the most of any hour. */

const HOUR_MS = 3_600_000;

export class AirLog {
  readonly #sent: { readonly start: number; readonly end: number }[] = [];
  #first = 0;
  /** Of the transmissions that ended within the last hour. */
  #hourMs = 0;
  totalMs = 0;
  peakMs = 0;
  count = 0;

  add(start: number, end: number): void {
    this.count++;
    this.totalMs += end - start;
    this.#hourMs += end - start;
    this.#sent.push({ start, end });
    for (let oldest = this.#sent[this.#first]; oldest !== undefined && oldest.end <= end - HOUR_MS; ) {
      this.#hourMs -= oldest.end - oldest.start;
      this.#first++;
      oldest = this.#sent[this.#first];
    }
    if (this.#first > 1_024 && this.#first * 2 > this.#sent.length) {
      this.#sent.splice(0, this.#first);
      this.#first = 0;
    }
    this.peakMs = Math.max(this.peakMs, this.#hourMs);
  }
  /** Milliseconds on the air in the hour before the end of the last transmission. */
  get hourMs(): number {
    return this.#hourMs;
  }
}
