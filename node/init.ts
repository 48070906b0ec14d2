/** Creates a node directory: keys, token, configuration, store folder. Called by `spine init` and `spine run --init`. */
import { randomBytes } from "node:crypto";
import { access, mkdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Issuer, SpineError } from "../spine/index.ts";
import { STAGING } from "./authority/backup-format.ts";
import { createIssuerKey, createRecoveryKey, ensureNextKey } from "./authority/identity.ts";
import type { NodeDir } from "./dir.ts";
import { setAside, syncDir, writeFileAtomic } from "./files.ts";
import { createKeyFile, createTokenFile, readKeyFile, readTokenFile } from "./keyfile.ts";

export interface InitOptions {
  /** For people; the host name if omitted. */
  readonly name?: string | undefined;
  /** Admit every issuer: for a lab, said in status. */
  readonly open: boolean;
  /** Sets the old identity aside (renamed, never deleted) and makes a new one. */
  readonly forceNew: boolean;
  /** Also a recovery key and a next key, to which seq 1 will commit. */
  readonly recovery?: boolean;
}

export interface InitResult {
  readonly issuer: Issuer;
  /** Names of files made by this call. */
  readonly created: readonly string[];
  /** The recovery key's secret: kept nowhere, to be shown once. */
  readonly recoverySeed?: Uint8Array;
}

export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The commented configuration a new node starts with: libp2p on all interfaces, issuers closed, API on its socket. */
export function initialConfig(name: string, open: boolean): string {
  return `# Settings of this Spine node; \`spine config schema\` lists all of them.
name: ${JSON.stringify(name)}
issuers:
  # true admits every issuer: for a lab only. Closed, name issuers here or use \`spine issuer allow\`.
  open: ${open}
  allow: []
planes:
  libp2p:
    enabled: true
    listen:
      - /ip4/0.0.0.0/tcp/4801
    # Addresses of nodes to stay connected to, such as /ip4/192.0.2.1/tcp/4801/p2p/PEER_ID
    peers: []
    # Finds nodes on the local network.
    mdns: true
# The API stays on the socket api.sock in this directory. For loopback TCP with the token in api-token:
# api:
#   listen: 127.0.0.1:4800
log:
  level: info
`;
}

async function ensureDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new SpineError("store_failed", `cannot make the directory ${path}`, { cause });
  }
  const info = await stat(path);
  if ((info.mode & 0o022) !== 0) {
    throw new SpineError("key_permissions", `others can write to ${path}; run chmod 700 on it`);
  }
}

/**
 * The issuer key is written last, so its presence means a whole directory; a run that was cut short is completed by
 * the next. Throws `key_exists` when the directory has an issuer key and `forceNew` is false.
 */
export async function initDir(dir: NodeDir, options: InitOptions): Promise<InitResult> {
  await ensureDir(dir.path);
  if (await fileExists(join(dir.path, STAGING))) {
    throw new SpineError("restore_target", `a restore into ${dir.path} was cut short; run it again`);
  }
  if (await fileExists(dir.issuerKey)) {
    if (!options.forceNew) throw new SpineError("key_exists", `${dir.issuerKey} exists already`);
    // The high-water mark speaks of the old identity's chain.
    const { nextKey, recoveryPublic, natsKey } = dir;
    const { issuerKey, libp2pKey, reticulumKey, reticulum, wireguardKey, enclave, highWater, ownKeyAlarm } = dir;
    for (const path of [
      issuerKey,
      nextKey,
      recoveryPublic,
      libp2pKey,
      natsKey,
      reticulumKey,
      reticulum,
      wireguardKey,
      enclave,
      highWater,
      ownKeyAlarm,
    ])
      await setAside(path);
    await syncDir(dir.path);
  }
  const created: string[] = [];
  const make = async (path: string, write: () => Promise<unknown>, check?: () => Promise<unknown>): Promise<void> => {
    if (await fileExists(path)) {
      await check?.();
      return;
    }
    await write();
    created.push(path.slice(dir.path.length + 1));
  };
  await make(
    dir.apiToken,
    () => createTokenFile(dir.apiToken),
    () => readTokenFile(dir.apiToken),
  );
  await make(
    dir.libp2pKey,
    () => createKeyFile(dir.libp2pKey, "libp2p"),
    () => readKeyFile(dir.libp2pKey, "libp2p"),
  );
  const config = initialConfig((options.name ?? hostname()).slice(0, 64), options.open);
  await make(dir.config, () => writeFileAtomic(dir.config, config, { mode: 0o600, exclusive: true }));
  await mkdir(dir.store, { recursive: true, mode: 0o700 });
  let recoverySeed: Uint8Array | undefined;
  if (options.recovery === true) {
    await ensureNextKey(dir);
    recoverySeed = await createRecoveryKey(dir);
    created.push("next.key", "recovery.pub");
  }
  const issuer = await createIssuerKey(dir, randomBytes(32));
  created.push("issuer.key");
  return recoverySeed === undefined ? { issuer, created } : { issuer, created, recoverySeed };
}
