/** Where a node keeps what: one directory, mode 0700, with fixed names. Used by every verb and by the daemon. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

export interface NodeDir {
  readonly path: string;
  /** Signs envelopes and heads; whoever holds it is this node. */
  readonly issuerKey: string;
  /** Takes over from the issuer key by `spine rotate`; the genesis commits to it. */
  readonly nextKey: string;
  /** Public half of the recovery key, whose secret only the operator keeps. */
  readonly recoveryPublic: string;
  /** Transport identity of the libp2p plane. */
  readonly libp2pKey: string;
  /** Identity on Reticulum networks. */
  readonly reticulumKey: string;
  /** Transport key of the WireGuard plane, and what it remembers of its peers' bindings. */
  readonly wireguardKey: string;
  readonly enclave: string;
  /** Seed of the NATS plane's link key. */
  readonly natsKey: string;
  /** Ratchets and known destinations of the Reticulum plane. */
  readonly reticulum: string;
  /** Signs the checkpoints of this node's transparency log. */
  readonly logKey: string;
  /** Newest checkpoint shown to anyone: outside the store and its backups (rules 7). */
  readonly logHighWater: string;
  /** What this node last co-signed for each log, as digests: outside the store and its backups. */
  readonly witnessMarks: string;
  /** Bearer token of the loopback API. */
  readonly apiToken: string;
  readonly config: string;
  /** Whose word counts, as the operator wrote it. */
  readonly trust: string;
  /** The trust in effect: written by `spine trust` and the daemon only. */
  readonly trustAccepted: string;
  readonly store: string;
  /** Newest own (seq, hash): outside the store and its backups (rules 7). */
  readonly highWater: string;
  /** Raised when another node signed with this node's key: nothing is signed while it is there. */
  readonly ownKeyAlarm: string;
  /** What opens the commitments of guard receipts: this host only. */
  readonly guardOpenings: string;
  /** Incidents found while no daemon ran. */
  readonly incidentNotes: string;
  /** Peers added at run time. */
  readonly peerbook: string;
  /** Addresses the libp2p plane has learnt. */
  readonly peerStore: string;
  /** Where the running daemon can be reached; absent or stale when none runs. */
  readonly daemonInfo: string;
  /** Default place of the API socket. */
  readonly socket: string;
}

export function nodeDir(path: string): NodeDir {
  const root = resolve(path);
  return {
    path: root,
    issuerKey: join(root, "issuer.key"),
    nextKey: join(root, "next.key"),
    recoveryPublic: join(root, "recovery.pub"),
    libp2pKey: join(root, "libp2p.key"),
    reticulumKey: join(root, "reticulum.key"),
    wireguardKey: join(root, "wireguard.key"),
    enclave: join(root, "enclave.json"),
    natsKey: join(root, "nats.key"),
    reticulum: join(root, "reticulum"),
    logKey: join(root, "log.key"),
    logHighWater: join(root, "log-high-water"),
    witnessMarks: join(root, "witness-marks"),
    apiToken: join(root, "api-token"),
    config: join(root, "config.yaml"),
    trust: join(root, "trust.yaml"),
    trustAccepted: join(root, "trust.accepted"),
    store: join(root, "store"),
    highWater: join(root, "high-water"),
    ownKeyAlarm: join(root, "own-key-alarm"),
    guardOpenings: join(root, "guard-openings"),
    incidentNotes: join(root, "incidents.jsonl"),
    peerbook: join(root, "peers.json"),
    peerStore: join(root, "peer-store"),
    daemonInfo: join(root, "daemon.json"),
    socket: join(root, "api.sock"),
  };
}

/** `--dir`, else `SPINE_DIR`, else `~/.spine`. */
export function resolveDir(flag: string | undefined, env: NodeJS.ProcessEnv): NodeDir {
  return nodeDir(flag ?? (env["SPINE_DIR"] || join(homedir(), ".spine")));
}
