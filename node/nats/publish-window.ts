/** What is under way to the cluster: so many at once, and how far everything is done with, without a gap. For `feed.ts`. */
export class PublishWindow {
  readonly #size: number;
  readonly #advance: (next: number) => void;
  readonly #ahead = new Set<number>();
  #next: number;
  #open = 0;
  #wake: (() => void) | null = null;

  /** `advance` is told the index before which all are done. */
  constructor(size: number, first: number, advance: (next: number) => void) {
    this.#size = size;
    this.#next = first;
    this.#advance = advance;
  }

  get next(): number {
    return this.#next;
  }

  done(index: number): void {
    this.#ahead.add(index);
    const before = this.#next;
    while (this.#ahead.delete(this.#next)) this.#next++;
    if (this.#next > before) this.#advance(this.#next);
  }

  get isFull(): boolean {
    return this.#open >= this.#size;
  }
  begin(): void {
    this.#open++;
  }
  end(): void {
    this.#open--;
    this.#wake?.();
  }

  /** Resolves when another may begin. */
  async room(): Promise<void> {
    while (this.isFull) await this.#change();
  }
  /** Resolves when nothing is under way. */
  async drained(): Promise<void> {
    while (this.#open > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }
}
