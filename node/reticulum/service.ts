/** What the API and the `rns` verbs need of the Reticulum plane; shapes with snake_case fields are the JSON users see. */
import type { ErrorCode } from "../../spine/index.ts";

export interface RnsInterface {
  readonly name: string;
  readonly type: string;
  readonly online: boolean;
  /** Peers behind the interface: clients of a server, peers of AutoInterface, else 0 or 1. */
  readonly peers: number;
  /** Bits per second, as configured or reckoned. */
  readonly bitrate: number;
  readonly received_packets: number;
  readonly received_bytes: number;
  readonly sent_packets: number;
  readonly sent_bytes: number;
  readonly dropped_frames: number;
  readonly reconnects: number;
  /** Why it is offline, when it is. */
  readonly last_error: { readonly code: ErrorCode; readonly message: string } | null;
  /** Telemetry of an RNode, network devices of an AutoInterface. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface RnsStatus {
  readonly running: boolean;
  /** Identity hash, 32 hex digits; null before the first start made one. */
  readonly identity: string | null;
  readonly uptime_seconds: number;
  readonly destinations: readonly { readonly name: string; readonly hash: string }[];
  readonly interfaces: readonly RnsInterface[];
  readonly links: number;
  readonly paths: number;
  readonly known_destinations: number;
  /** What a forwarding node keeps; null when this one does not forward. */
  readonly transport: RnsTransport | null;
  /** Null when LXMF is not enabled. */
  readonly lxmf: RnsMail | null;
  /** Packets, drops with their reasons. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface RnsTransport {
  /** Links of others that run through this node. */
  readonly links: number;
  /** Packets whose proof is waited for. */
  readonly reverse: number;
  /** Announces to be passed on, now and when the share of their interface allows. */
  readonly announces: number;
  readonly queued_announces: number;
  readonly held_announces: number;
  readonly searches: number;
  readonly tunnels: number;
}

export interface RnsOutgoing {
  /** Message hash, 64 hex digits. */
  readonly id: string;
  readonly to: string;
  readonly method: string;
  readonly state: string;
  readonly attempts: number;
  /** RFC 3339. */
  readonly since: string;
}

export interface RnsMail {
  /** `lxmf.delivery` address. */
  readonly address: string;
  readonly queue: readonly RnsOutgoing[];
  /** Messages sent, delivered, failed, received, refused … since the start. */
  readonly counters: Readonly<Record<string, number>>;
  /** Null when this node keeps no messages for others. */
  readonly propagation: {
    readonly address: string;
    readonly messages: number;
    readonly bytes: number;
    readonly peers: readonly { readonly address: string; readonly unhandled: number; readonly failures: number }[];
    readonly counters: Readonly<Record<string, number>>;
  } | null;
}

export interface RnsPath {
  readonly destination: string;
  readonly hops: number;
  /** Transport node, or the destination itself. */
  readonly via: string;
  readonly interface: string;
  readonly expires_seconds: number;
  readonly responsive: boolean;
}

export interface PathOptions {
  readonly destination: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface MailOptions {
  readonly to: string;
  readonly title: string;
  readonly content: string;
  readonly method: "direct" | "opportunistic" | "propagated";
}

export interface RnsFetched {
  /** Messages the propagation node had for us. */
  readonly offered: number;
  /** Of these, taken now; the others were here already. */
  readonly received: number;
}

export interface RnsAnnounced {
  /** Destinations announced. */
  readonly announced: readonly { readonly name: string; readonly hash: string }[];
  /** Names of interfaces it went out through. */
  readonly interfaces: readonly string[];
}

export interface ProbeOptions {
  /** 32 hex digits. */
  readonly destination: string;
  /** Payload, bytes. */
  readonly sizeBytes: number;
  /** For the path and again for the proof, ms. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type ProbeResult =
  | {
      readonly ok: true;
      readonly destination: string;
      readonly hops: number;
      readonly interface: string;
      readonly bytes: number;
      readonly rtt_ms: number;
      /** Of the proof, when the interface measures it. */
      readonly rssi_dbm: number | null;
      readonly snr_db: number | null;
    }
  | { readonly ok: false; readonly destination: string; readonly code: ErrorCode; readonly message: string };

export interface RnsService {
  status(): Promise<RnsStatus>;
  announce(options: { readonly appData?: Uint8Array | undefined }): Promise<RnsAnnounced>;
  probe(options: ProbeOptions): Promise<ProbeResult>;
  /** Known paths, nearest first. */
  paths(): Promise<readonly RnsPath[]>;
  /** Asks the network for a path. Rejects with `path_unknown`. */
  findPath(options: PathOptions): Promise<RnsPath>;
  /** Forgets a path; false when there was none. */
  dropPath(destination: string): Promise<boolean>;
  /** Takes a message to be sent; resolved = it is kept on disk until its end. Throws `plane_not_started` without LXMF. */
  sendMail(options: MailOptions): Promise<RnsOutgoing>;
  /** Takes what the propagation node holds for us. Rejects with `propagation_refused`, `path_unknown`, `link_unknown` or `request_timeout`. */
  fetchMail(signal?: AbortSignal): Promise<RnsFetched>;
}

/** Largest payload of a probe: one packet to a SINGLE destination, bytes. */
export const MAX_PROBE_BYTES = 383;
export const MAX_PROBE_MS = 300_000;
/** Longest text that an announce carries, bytes. */
export const MAX_APP_DATA_BYTES = 285;
/** Longest text of an LXMF message, bytes: what receivers take over a link. */
export const MAX_MESSAGE_BYTES = 512_000;
