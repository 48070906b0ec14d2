/**
 * Keeps an interface as it should be: sets it up, lets exactly the wanted peers in, reads back what it set, notices what
 * others changed and what vanished, and repairs it. One pass at a time; a new wish cuts a long pass short, so that a
 * removal never waits behind a hundred additions. The plane owns one.
 */
import { asSpineError, type ErrorCode, type SpineError } from "../../spine/index.ts";
import { backoffMs } from "../backoff.ts";
import type { Device, DeviceSettings, DeviceState, PeerChange } from "./device.ts";
import type { Network } from "./ip.ts";
import { PeerWatch, type WatchedPeer } from "./peer-watch.ts";
import { afterChange, guardChange, planPeers, type RefusedPeer, type WantedPeer } from "./plan.ts";

/** A wanted peer with every place it said it can be reached at. */
export type KeptPeer = Omit<WantedPeer, "endpoint"> & { readonly endpoints: readonly string[] };

export interface KeeperOptions {
  readonly device: Device;
  readonly settings: DeviceSettings;
  /** Of `settings.privateKey`, lower-case hex. */
  readonly publicKey: string;
  readonly network: Network;
  /** This node's, inside the network. */
  readonly ownAddress: string;
  readonly pollMs: number;
  /** Between the tries to set up an interface that is gone. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Wall clock: handshakes are told in it. */
  readonly now: () => number;
  readonly random: () => number;
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
  /** Told after each pass: what the interface holds, or null while it is down. */
  readonly changed: (state: DeviceState | null) => void;
}

const REQUEST_MS = 10_000;
/** While a peer changes its key the interface is looked at more often. */
const ROTATION_POLL_MS = 200;
/** And for some time after a new wish, until everybody was heard: links wait for the first handshake. */
const GREETING_POLL_MS = 250;
const GREETING_MS = 60_000;

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #counts = {
    passes: 0,
    changes_applied: 0,
    changes_refused: 0,
    changes_unconfirmed: 0,
    drift_repaired: 0,
    recoveries: 0,
    device_failures: 0,
  };
  readonly #watch: PeerWatch;
  #settings: DeviceSettings;
  #publicKey: string;
  #wanted: readonly KeptPeer[] = [];
  #wantedAt = 0;
  /** The pass that comes has a new wish to fulfil, and nothing else made it due. */
  #wished = false;
  #version = 0;
  /** Of the wish that the interface was last seen to fulfil. */
  #confirmed = -1;
  #settingsDue = true;
  #state: DeviceState | null = null;
  #refused: readonly RefusedPeer[] = [];
  #failure: SpineError | null = null;
  #failures = 0;
  #everUp = false;
  /** Endpoint last given, by key. */
  readonly #given = new Map<string, string>();
  #timer: NodeJS.Timeout | null = null;
  #pass: Promise<void> | null = null;
  #again = false;
  readonly #stopping = new AbortController();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#publicKey = options.publicKey;
    this.#watch = new PeerWatch(options.now);
    options.device.onGone(() => {
      this.#settingsDue = true;
      this.#down(null);
      this.#kick();
    });
  }

  get state(): DeviceState | null {
    return this.#state;
  }
  /** Why the interface is down or was not changed; null while all is well. */
  get failure(): SpineError | null {
    return this.#failure;
  }
  get refused(): readonly RefusedPeer[] {
    return this.#refused;
  }
  get mtuBytes(): number {
    return this.#settings.mtuBytes;
  }
  /** Everything wished for was read back from the interface. */
  get settled(): boolean {
    return this.#confirmed === this.#version && this.#state !== null;
  }
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counts, endpoint_changes: this.#watch.endpointChanges, peers_refused: this.#refused.length };
  }
  peers(): readonly WatchedPeer[] {
    return this.#watch.peers();
  }

  /** The first pass. Throws what no retry can mend (`enclave_address`, `enclave_refused`); else it goes on trying. */
  async start(): Promise<void> {
    await this.#run();
    if (this.#state !== null) return this.#schedule();
    if (this.#failure?.code === "enclave_address" || this.#failure?.code === "enclave_refused") throw this.#failure;
    this.#schedule();
  }
  /** Replaces the wish; acted upon at once. Peers earlier in the list win over later ones. */
  want(peers: readonly KeptPeer[]): void {
    this.#wanted = peers;
    this.#wantedAt = this.#options.now();
    this.#version++;
    this.#wished = true;
    this.#kick();
  }
  /** Another key or MTU for the interface; its peers stay. */
  change(
    settings: Partial<Pick<DeviceSettings, "privateKey" | "mtuBytes">>,
    publicKey: string = this.#publicKey,
  ): void {
    this.#settings = { ...this.#settings, ...settings };
    this.#publicKey = publicKey;
    this.#settingsDue = true;
    this.#version++;
    this.#kick();
  }
  /** Looks again now. */
  look(): void {
    this.#kick();
  }
  /** Takes an owned interface away, lets go of an adopted one. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stopping.abort(new Error("stopped"));
    await this.#pass;
    const { device } = this.#options;
    if (device.owned) await device.down(AbortSignal.timeout(REQUEST_MS)).catch(() => undefined);
    await device.close();
  }

  #kick(): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#pass !== null) {
      this.#again = true;
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    void this.#run().then(() => this.#schedule());
  }

  #run(): Promise<void> {
    this.#pass ??= this.#passes().finally(() => {
      this.#pass = null;
    });
    return this.#pass;
  }
  async #passes(): Promise<void> {
    do {
      this.#again = false;
      await this.#once();
    } while (this.#again && !this.#stopping.signal.aborted);
  }

  #schedule(): void {
    if (this.#stopping.signal.aborted || this.#pass !== null) return;
    const { pollMs, retryMinMs, retryMaxMs, random } = this.#options;
    const rotating = this.#wanted.some(({ nextKey }) => nextKey !== null);
    const greeting =
      this.#options.now() - this.#wantedAt < GREETING_MS &&
      this.#watch.peers().some(({ health }) => health === "never");
    const regular = Math.min(pollMs, rotating ? ROTATION_POLL_MS : greeting ? GREETING_POLL_MS : pollMs);
    const retry = backoffMs(Math.max(0, this.#failures - 1), { minMs: retryMinMs, maxMs: retryMaxMs }, random);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#kick(), this.#failures > 0 ? retry : regular);
  }

  async #once(): Promise<void> {
    this.#counts.passes++;
    try {
      await this.#fulfil();
    } catch (caught) {
      const error = asSpineError(caught, "enclave_device");
      if (this.#stopping.signal.aborted) return;
      this.#counts.device_failures++;
      this.#settingsDue = true;
      this.#down(error);
    }
  }

  #down(error: SpineError | null): void {
    const { log, changed } = this.#options;
    if (error !== null) {
      if (this.#failure?.code !== error.code) log("enclave down", { code: error.code, reason: error.message });
      this.#failure = error;
      this.#failures++;
    }
    this.#confirmed = -1;
    if (this.#state === null) return;
    this.#state = null;
    changed(null);
  }

  async #fulfil(): Promise<void> {
    const { device, log } = this.#options;
    const signal = (): AbortSignal => AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(REQUEST_MS)]);
    const version = this.#version;
    if (device.owned && this.#settingsDue) {
      this.#wished = false;
      this.#settingsDue = false;
      await device.up(this.#settings, signal());
      if (this.#state === null && this.#everUp) {
        this.#counts.recoveries++;
        log("enclave interface set up again", { recoveries: this.#counts.recoveries });
      }
      if (this.#state === null) this.#given.clear();
    }
    // A new wish is planned on what was seen last: the helper checks each change against the interface all the same.
    let actual = (this.#wished ? this.#state : null) ?? (await device.get(signal()));
    this.#wished = false;
    if (device.owned && actual.publicKey !== this.#publicKey) {
      this.#counts.drift_repaired++;
      log("the interface had another key", {});
      await device.up(this.#settings, signal());
      actual = await device.get(signal());
    }
    this.#everUp = true;
    if (!device.owned) return this.#confirm(version, actual, null);
    const plan = this.#plan(actual);
    this.#refused = plan.refused;
    if (plan.changes.length > 0) {
      if (this.#confirmed === version) this.#noteDrift(plan.changes, actual);
      const failure = await this.#apply(plan.changes, actual, version, signal);
      actual = await device.get(signal());
      if (this.#version !== version) {
        this.#again = true;
        return this.#seen(actual);
      }
      const left = this.#plan(actual).changes;
      if (left.length > 0) {
        this.#counts.changes_unconfirmed += left.length;
        this.#failures++;
        log("the interface does not hold what was set", { changes: left.length });
        this.#failure = failure ?? unconfirmed(left.length);
        this.#confirmed = -1;
        return this.#seen(actual);
      }
    }
    this.#confirm(version, actual, null);
  }

  #plan(actual: DeviceState) {
    const { network, ownAddress } = this.#options;
    const wanted = this.#wanted.map(({ endpoints, ...peer }): WantedPeer => {
      const endpoint = this.#watch.endpointFor(peer.publicKey, endpoints);
      if (this.#watch.takeRetry(peer.publicKey)) this.#given.delete(peer.publicKey);
      return { ...peer, endpoint };
    });
    return planPeers({ wanted, actual, network, ownAddress, ownKeys: [this.#publicKey], given: this.#given });
  }

  /** Applies one by one; a refused change stops no other. Returns what went wrong last. */
  async #apply(
    changes: readonly PeerChange[],
    before: DeviceState,
    version: number,
    signal: () => AbortSignal,
  ): Promise<SpineError | null> {
    const { device, network, log } = this.#options;
    let state = before;
    let failure: SpineError | null = null;
    for (const change of changes) {
      if (this.#version !== version) return failure;
      try {
        guardChange(change, state, network);
        await device.set(change, signal());
        state = afterChange(state, change);
        this.#counts.changes_applied++;
        if (change.type === "put" && change.endpoint !== null) this.#given.set(change.publicKey, change.endpoint);
        if (change.type === "remove") this.#given.delete(change.publicKey);
      } catch (caught) {
        failure = asSpineError(caught, "enclave_device");
        if (!MENDABLE.has(failure.code)) throw failure;
        this.#counts.changes_refused++;
        log("peer change refused", { peer: change.publicKey.slice(0, 8), reason: failure.message });
      }
    }
    return failure;
  }

  #noteDrift(changes: readonly PeerChange[], actual: DeviceState): void {
    // An endpoint that is tried anew is our own doing.
    const drift = changes.filter(
      (change) => change.type === "remove" || change.endpoint === null || !this.#watch.retried(change.publicKey),
    );
    const foreign = drift.filter((change) => !(change.type === "put" && change.takesFrom !== null));
    if (foreign.length === 0) return;
    this.#counts.drift_repaired += foreign.length;
    // Links hear of it before it is repaired: an address that was in other hands is no longer who it was.
    this.#state = actual;
    this.#options.changed(actual);
    this.#options.log("the interface was changed by somebody else: repaired", { changes: foreign.length });
  }

  #confirm(version: number, actual: DeviceState, failure: SpineError | null): void {
    this.#confirmed = version;
    this.#failure = failure;
    this.#failures = 0;
    this.#seen(actual);
  }
  #seen(actual: DeviceState): void {
    if (this.#stopping.signal.aborted) return;
    this.#state = actual;
    this.#watch.observe(actual);
    this.#options.changed(actual);
  }
}

/** Codes that speak of one change, not of the interface. */
const MENDABLE: ReadonlySet<ErrorCode> = new Set(["enclave_address", "enclave_refused", "uapi_syntax"]);

function unconfirmed(count: number): SpineError {
  return asSpineError(new Error(`${count} changes were taken and not done`), "enclave_device");
}
