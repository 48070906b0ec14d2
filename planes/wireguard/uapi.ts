/**
 * The text protocol of WireGuard's control socket, pure: requests as text, replies as checked values.
 * wireguard.com/xplatform. Numbers, keys and addresses are refused unless they are spelled as the protocol says.
 */
import { SpineError } from "../../spine/index.ts";
import type { PeerChange, PeerState } from "./device.ts";
import { formatEndpoint, formatNetwork, networkText, parseEndpoint, parseNetwork } from "./ip.ts";

/** A reply of so many peers is about 310 bytes each. */
export const MAX_REPLY_BYTES = 4 * 1_024 * 1_024;
export const MAX_DEVICE_PEERS = 4_096;
const MAX_ALLOWED_IPS = 256;
const KEY = /^[0-9a-f]{64}$/;
const NO_KEY = "0".repeat(64);

/** What `get=1` says. The private key is a secret: derive and drop. */
export interface UapiState {
  readonly privateKey: string | null;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: readonly PeerState[];
}

export const GET_REQUEST = "get=1\n\n";

function key(text: string, what: string): string {
  if (!KEY.test(text)) throw new SpineError("uapi_syntax", `${what} is not a key`);
  return text;
}

/** `set=1` for the interface itself; 32 bytes of key, port 0 to 65535. */
export function deviceRequest(settings: { readonly privateKey: string; readonly listenPort: number }): string {
  const port = whole(String(settings.listenPort), 65_535, "listen_port");
  return `set=1\nprivate_key=${key(settings.privateKey, "private_key")}\nlisten_port=${port}\n\n`;
}

/** `set=1` for one peer. Throws `uapi_syntax` or `enclave_address` for what must not reach the socket. */
export function peerRequest(change: PeerChange): string {
  const lines = ["set=1", `public_key=${key(change.publicKey, "public_key")}`];
  if (change.type === "remove") return [...lines, "remove=true", "", ""].join("\n");
  if (change.endpoint !== null) {
    const endpoint = parseEndpoint(change.endpoint);
    if (endpoint === undefined) throw new SpineError("uapi_syntax", "endpoint is not ADDRESS:PORT");
    lines.push(`endpoint=${formatEndpoint(endpoint)}`);
  }
  lines.push(`persistent_keepalive_interval=${whole(String(change.keepaliveSeconds), 65_535, "keepalive")}`);
  lines.push("replace_allowed_ips=true");
  if (change.allowedIp !== null) lines.push(`allowed_ip=${formatNetwork(parseNetwork(change.allowedIp))}`);
  return [...lines, "", ""].join("\n");
}

function whole(text: string, most: number, what: string): number {
  if (!/^(0|[1-9]\d{0,15})$/.test(text) || Number(text) > most) {
    throw new SpineError("uapi_syntax", `${what} is not a number up to ${most}`);
  }
  return Number(text);
}

/** Lines of a complete reply without its end. Throws `uapi_syntax`, or `enclave_device` with the errno it reports. */
function replyLines(text: string): string[] {
  if (text.length > MAX_REPLY_BYTES) throw new SpineError("uapi_syntax", `a reply of ${text.length} bytes`);
  const end = /(?:^|\n)errno=(-?\d{1,9})\n\n$/.exec(text);
  if (end === null) throw new SpineError("uapi_syntax", "the reply does not end with errno and an empty line");
  if (Number(end[1]) !== 0)
    throw new SpineError("enclave_device", `the interface refused the request: errno ${end[1]}`);
  const body = text.slice(0, end.index);
  return body === "" ? [] : body.split("\n");
}

/** True once `text` holds a whole reply. */
export function isWholeReply(text: string): boolean {
  return text.endsWith("\n\n");
}

/** The reply to a `set=1`: success says only that it was understood. */
export function readSetReply(text: string): void {
  if (replyLines(text).length > 0) throw new SpineError("uapi_syntax", "a set was answered with values");
}

type Draft = Omit<{ -readonly [K in keyof PeerState]: PeerState[K] }, "allowedIps"> & { readonly allowedIps: string[] };

/** The reply to `get=1`. */
export function readGetReply(text: string): UapiState {
  const device = { privateKey: null as string | null, listenPort: 0, fwmark: 0 };
  const peers = new Map<string, Draft>();
  let peer: Draft | undefined;
  for (const line of replyLines(text)) {
    const at = line.indexOf("=");
    if (at < 1) throw new SpineError("uapi_syntax", "a line is not NAME=VALUE");
    const [name, value] = [line.slice(0, at), line.slice(at + 1)];
    if (name === "public_key") {
      if (peers.has(value)) throw new SpineError("uapi_syntax", "a peer is listed twice");
      if (peers.size >= MAX_DEVICE_PEERS) throw new SpineError("uapi_syntax", `more than ${MAX_DEVICE_PEERS} peers`);
      peer = emptyPeer(key(value, name));
      peers.set(value, peer);
    } else if (peer === undefined) deviceField(device, name, value);
    else peerField(peer, name, value);
  }
  return { ...device, peers: [...peers.values()] };
}

function emptyPeer(publicKey: string): Draft {
  return {
    publicKey,
    allowedIps: [],
    endpoint: null,
    keepaliveSeconds: 0,
    handshakeAtMs: 0,
    rxBytes: 0,
    txBytes: 0,
  };
}

function deviceField(
  device: { privateKey: string | null; listenPort: number; fwmark: number },
  name: string,
  value: string,
): void {
  switch (name) {
    case "private_key":
      device.privateKey = key(value, name) === NO_KEY ? null : value;
      return;
    case "listen_port":
      device.listenPort = whole(value, 65_535, name);
      return;
    case "fwmark":
      device.fwmark = whole(value, 2 ** 32 - 1, name);
      return;
    default:
      throw new SpineError("uapi_syntax", `unknown interface field ${name.slice(0, 40)}`);
  }
}

function peerField(peer: Draft, name: string, value: string): void {
  switch (name) {
    case "allowed_ip":
      if (peer.allowedIps.length >= MAX_ALLOWED_IPS) throw new SpineError("uapi_syntax", "too many allowed ips");
      peer.allowedIps.push(networkText(value));
      return;
    case "endpoint":
      peer.endpoint = endpointOf(value);
      return;
    case "persistent_keepalive_interval":
      peer.keepaliveSeconds = whole(value, 65_535, name);
      return;
    case "last_handshake_time_sec":
      peer.handshakeAtMs = whole(value, 253_402_300_799, name) * 1_000 + (peer.handshakeAtMs % 1_000);
      return;
    case "last_handshake_time_nsec":
      peer.handshakeAtMs += Math.floor(whole(value, 999_999_999, name) / 1e6);
      return;
    case "rx_bytes":
      peer.rxBytes = whole(value, Number.MAX_SAFE_INTEGER, name);
      return;
    case "tx_bytes":
      peer.txBytes = whole(value, Number.MAX_SAFE_INTEGER, name);
      return;
    case "preshared_key":
      key(value, name);
      return;
    case "protocol_version":
      if (value !== "1") throw new SpineError("uapi_syntax", `protocol version ${value.slice(0, 10)}`);
      return;
    default:
      throw new SpineError("uapi_syntax", `unknown peer field ${name.slice(0, 40)}`);
  }
}

/** The address with its port; a zone of a link-local address is dropped, for people and comparison. */
function endpointOf(value: string): string {
  const endpoint = parseEndpoint(value.replace(/%[\w.-]{1,16}\]/, "]"));
  if (endpoint === undefined) throw new SpineError("uapi_syntax", "endpoint is not ADDRESS:PORT");
  return formatEndpoint(endpoint);
}
