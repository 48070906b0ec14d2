/**
 * The interface without a network: behaves as wireguard-go does where it matters (an address given to one peer is taken
 * from another in silence, removing an unknown peer succeeds). Tests and the simulator of faults use it.
 */
import { SpineError, toHex } from "../../spine/index.ts";
import type { Device, DeviceSettings, DeviceState, PeerChange, PeerState } from "./device.ts";
import { afterChange } from "./plan.ts";
import { publicKeyOf } from "./transport-key.ts";

export class MemoryDevice implements Device {
  readonly owned: boolean;
  /** Every change taken, for tests. */
  readonly changes: PeerChange[] = [];
  /** Called before a change is taken; what it throws is the answer. "lost" = answered, not done. */
  onSet: (change: PeerChange) => "lost" | undefined = () => undefined;
  /** Milliseconds since the epoch that every peer's handshake is said to have. */
  handshakeAtMs = 0;
  settings: DeviceSettings | null = null;
  ups = 0;
  #peers: readonly PeerState[] = [];
  #up: boolean;
  readonly #gone: (() => void)[] = [];

  constructor(options: { readonly owned?: boolean; readonly peers?: readonly PeerState[] } = {}) {
    this.owned = options.owned ?? true;
    this.#peers = options.peers ?? [];
    this.#up = !this.owned;
  }

  async up(settings: DeviceSettings): Promise<void> {
    if (!this.owned) throw new SpineError("enclave_refused", "the interface is adopted and only read");
    if (!this.#up) this.ups++;
    this.#up = true;
    this.settings = settings;
  }
  async get(): Promise<DeviceState> {
    this.#need();
    const key = this.settings === null ? null : toHex(publicKeyOf(this.settings.privateKey));
    const peers = this.#peers.map((peer) => ({
      ...peer,
      handshakeAtMs: Math.max(peer.handshakeAtMs, this.handshakeAtMs),
    }));
    return { publicKey: key, listenPort: this.settings?.listenPort ?? 0, peers };
  }
  async set(change: PeerChange): Promise<void> {
    if (!this.owned) throw new SpineError("enclave_refused", "the interface is adopted and only read");
    this.#need();
    this.changes.push(change);
    if (this.onSet(change) === "lost") return;
    this.#peers = afterChange({ publicKey: null, listenPort: 0, peers: this.#peers }, change).peers;
  }
  async down(): Promise<void> {
    this.vanish();
  }
  onGone(listener: () => void): void {
    this.#gone.push(listener);
  }
  async close(): Promise<void> {}

  /** As when the interface is deleted or its process killed: everything it held is lost. */
  vanish(): void {
    this.#up = false;
    this.#peers = [];
    this.settings = null;
    for (const listener of this.#gone) listener();
  }
  /** As another program would: behind the keeper's back. */
  meddle(change: (peers: readonly PeerState[]) => readonly PeerState[]): void {
    this.#peers = change(this.#peers);
  }
  #need(): void {
    if (!this.#up) throw new SpineError("enclave_device", "no such interface");
  }
}
