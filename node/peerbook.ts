/** `peers.json`: addresses of peers added at run time, kept over restarts. Used by the daemon and the `peers` verbs. */
import { readFile } from "node:fs/promises";
import { wireguard } from "../planes/index.ts";
import { type Issuer, SpineError } from "../spine/index.ts";
import { errorCodeOf, writeFileAtomic } from "./files.ts";
import { sha256Hex } from "./hash.ts";

/** Peers at most (spec/spine.md section 16.7). */
export const MAX_PEERS = 512;
const MAX_ADDRESS_BYTES = 512;
export const PEERBOOK_SCHEMA = "spine.peerbook.v1";

/** Throws `peer_address` unless it looks like a multiaddr or a URL; the plane that takes it checks the rest. */
export function checkAddress(address: string): string {
  if (address.length > MAX_ADDRESS_BYTES || !/^(\/[a-z0-9]+\/|[a-z][a-z0-9+.-]*:)[\x21-\x7e]+$/.test(address)) {
    throw new SpineError("peer_address", `"${address.slice(0, 100)}" is not a peer address`);
  }
  return address;
}

/** Which plane an address is dialled on. A card or an issuer id belongs to the enclave's list. */
export function planeOf(address: string): "libp2p" | "nats" | "reticulum" | "wireguard" {
  if (/^(spine-peer:|aegis:ed25519:)/.test(address)) return "wireguard";
  if (address.startsWith("nats:")) return "nats";
  return address.startsWith("rns:") ? "reticulum" : "libp2p";
}

/** The issuer a card names; undefined for anything else. */
export function cardIssuer(address: string): Issuer | undefined {
  if (!address.startsWith(wireguard.CARD_PREFIX)) return undefined;
  try {
    return wireguard.openCard(address, sha256Hex).issuer;
  } catch {
    return undefined;
  }
}

/** Reads `{"schema":"spine.peerbook.v1","peers":["ADDRESS",…]}`. Throws `peer_address` or `config_invalid`. */
export function parsePeerbook(text: string, path: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpineError("config_invalid", `${path}: not JSON`, { cause });
  }
  const book = value as { schema?: unknown; peers?: unknown } | null;
  if (typeof book !== "object" || book?.schema !== PEERBOOK_SCHEMA || !Array.isArray(book.peers)) {
    throw new SpineError("config_invalid", `${path}: not a peerbook (schema ${PEERBOOK_SCHEMA})`);
  }
  if (book.peers.length > MAX_PEERS) throw new SpineError("quota_exceeded", `${path}: more than ${MAX_PEERS} peers`);
  return book.peers.map((address: unknown) => checkAddress(String(address)));
}

export function peerbookText(peers: readonly string[]): string {
  return `${JSON.stringify({ schema: PEERBOOK_SCHEMA, peers }, null, 2)}\n`;
}

/** Empty when the file does not exist. */
export async function readPeerbook(path: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (errorCodeOf(cause) === "ENOENT") return [];
    throw new SpineError("store_failed", `cannot read ${path}`, { cause });
  }
  return parsePeerbook(text, path);
}

/** Adds and removes in one atomic step; returns the new list. Throws `quota_exceeded` above MAX_PEERS. */
export async function changePeerbook(
  path: string,
  change: { add?: readonly string[]; remove?: (address: string) => boolean },
): Promise<readonly string[]> {
  const kept = (await readPeerbook(path)).filter((address) => change.remove?.(address) !== true);
  const peers = [...new Set([...kept, ...(change.add ?? []).map(checkAddress)])];
  if (peers.length > MAX_PEERS) throw new SpineError("quota_exceeded", `the peerbook holds at most ${MAX_PEERS} peers`);
  await writeFileAtomic(path, peerbookText(peers), { mode: 0o600, exclusive: false });
  return peers;
}
