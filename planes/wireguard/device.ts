/**
 * A WireGuard interface as the keeper sees it: read it, change one peer, bring it up, take it away. Implemented by the
 * privileged helper's client and, without a network, by `memory-device.ts`. Keys are lower-case hex of 32 bytes.
 */

export interface PeerState {
  readonly publicKey: string;
  /** Such as 10.77.0.2/32, in one spelling. */
  readonly allowedIps: readonly string[];
  /** Where its packets come from now; null while unknown. */
  readonly endpoint: string | null;
  readonly keepaliveSeconds: number;
  /** Milliseconds since the epoch; 0 = never. */
  readonly handshakeAtMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface DeviceState {
  /** Derived from the private key; null while none is set. */
  readonly publicKey: string | null;
  readonly listenPort: number;
  readonly peers: readonly PeerState[];
}

/** One request each: the control protocol has no transactions. */
export type PeerChange =
  | { readonly type: "remove"; readonly publicKey: string }
  | {
      readonly type: "put";
      readonly publicKey: string;
      /** Its one address, ADDRESS/32 or /128; null = it may shake hands and send nothing. */
      readonly allowedIp: string | null;
      /** The key of the same peer from which the address is moved on purpose; any other holder makes the change refused. */
      readonly takesFrom: string | null;
      /** null = leave what is known: peers roam. */
      readonly endpoint: string | null;
      /** 0 = off. */
      readonly keepaliveSeconds: number;
    };

export interface DeviceSettings {
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  /** The node's own address with the enclave's prefix, such as 10.77.0.1/24. */
  readonly address: string;
  /** UDP. */
  readonly listenPort: number;
  readonly mtuBytes: number;
}

/** All reject with `enclave_helper` (no helper), `enclave_device` (no interface) or `enclave_refused` (its rules). */
export interface Device {
  /** False: adopted; nothing but `get` works. */
  readonly owned: boolean;
  /** Makes the interface if it is not there, and gives it key, port, address and MTU. Peers are left alone. Idempotent. */
  up(settings: DeviceSettings, signal: AbortSignal): Promise<void>;
  get(signal: AbortSignal): Promise<DeviceState>;
  /** Taken is not done: read back. */
  set(change: PeerChange, signal: AbortSignal): Promise<void>;
  /** Removes an owned interface. */
  down(signal: AbortSignal): Promise<void>;
  /** Told when the interface or the helper is known to be gone. */
  onGone(listener: () => void): void;
  /** Lets go of the interface without removing it. */
  close(): Promise<void>;
}
