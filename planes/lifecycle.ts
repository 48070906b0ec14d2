/** The states of a plane and what each of them refuses; every plane holds one, so that all refuse alike. */
import { SpineError } from "../spine/index.ts";

export type PlaneState = "idle" | "starting" | "running" | "stopped";

export class Lifecycle {
  #state: PlaneState = "idle";
  readonly #name: string;
  constructor(name: string) {
    this.#name = name;
  }
  get state(): PlaneState {
    return this.#state;
  }
  get running(): boolean {
    return this.#state === "running";
  }
  /** idle → starting. Throws `plane_stopped` after stop, else `plane_start_failed` on a second call. */
  begin(): void {
    if (this.#state === "stopped") throw new SpineError("plane_stopped", `plane ${this.#name} was stopped`);
    if (this.#state !== "idle") {
      throw new SpineError("plane_start_failed", `plane ${this.#name} is already ${this.#state}`);
    }
    this.#state = "starting";
  }
  /** starting → running; false if the plane was stopped meanwhile. */
  ready(): boolean {
    if (this.#state !== "starting") return false;
    this.#state = "running";
    return true;
  }
  /** Any state → stopped; false if it was stopped before. */
  end(): boolean {
    if (this.#state === "stopped") return false;
    this.#state = "stopped";
    return true;
  }
  /** Throws `plane_stopped` or `plane_not_started` unless running. */
  requireRunning(): void {
    if (this.#state === "running") return;
    if (this.#state === "stopped") throw new SpineError("plane_stopped", `plane ${this.#name} was stopped`);
    throw new SpineError("plane_not_started", `plane ${this.#name} is ${this.#state}`);
  }
}
