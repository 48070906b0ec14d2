/**
 * An interface through the `wg` tool: how the kernel's own WireGuard is read and changed without a netlink library, and
 * how any interface is read when it is adopted. `wg show NAME dump` is tab-separated and stable (wg(8)).
 */
import { fromBase64, fromHex, SpineError, toBase64, toHex } from "../../spine/index.ts";
import { runTool } from "./command.ts";
import type { DeviceState, PeerChange, PeerState } from "./device.ts";
import { formatEndpoint, formatNetwork, networkText, parseEndpoint, parseNetwork } from "./ip.ts";
import { MAX_DEVICE_PEERS } from "./uapi.ts";

function keyOf(text: string | undefined): string {
  const bytes = fromBase64(text ?? "");
  if (bytes?.length !== 32) throw new SpineError("uapi_syntax", "wg printed something else than a key");
  return toHex(bytes);
}
function count(text: string | undefined): number {
  const value = text === "off" ? 0 : Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new SpineError("uapi_syntax", "wg printed something else than a number");
  return value;
}
function endpointOf(text: string | undefined): string | null {
  if (text === "(none)") return null;
  const endpoint = parseEndpoint((text ?? "").replace(/%[\w.-]{1,16}\]/, "]"));
  if (endpoint === undefined) throw new SpineError("uapi_syntax", "wg printed something else than an endpoint");
  return formatEndpoint(endpoint);
}

/** Reads `wg show NAME dump`. The private key in it is not kept. Throws `uapi_syntax`. */
export function readDump(text: string): DeviceState {
  const [first = "", ...rest] = text.split("\n").filter((line) => line !== "");
  const [, publicKey, port, , ...spare] = first.split("\t");
  if (port === undefined || spare.length > 0) throw new SpineError("uapi_syntax", "wg printed no interface");
  if (rest.length > MAX_DEVICE_PEERS) throw new SpineError("uapi_syntax", `more than ${MAX_DEVICE_PEERS} peers`);
  const peers = rest.map((line): PeerState => {
    const fields = line.split("\t");
    if (fields.length !== 8) throw new SpineError("uapi_syntax", "wg printed a peer with other fields");
    const [key, , endpoint, allowed, handshake, rx, tx, keepalive] = fields;
    const ips = allowed === "(none)" ? [] : (allowed as string).split(",");
    return {
      publicKey: keyOf(key),
      allowedIps: ips.map((ip) => networkText(ip)),
      endpoint: endpointOf(endpoint),
      keepaliveSeconds: count(keepalive),
      handshakeAtMs: count(handshake) * 1_000,
      rxBytes: count(rx),
      txBytes: count(tx),
    };
  });
  return { publicKey: publicKey === "(none)" ? null : keyOf(publicKey), listenPort: count(port), peers };
}

/** Arguments of `wg` for one change. */
export function wgArguments(interfaceName: string, change: PeerChange): readonly string[] {
  const peer = ["set", interfaceName, "peer", toBase64(fromHex(change.publicKey, 32))];
  if (change.type === "remove") return [...peer, "remove"];
  const { endpoint, keepaliveSeconds, allowedIp } = change;
  return [
    ...peer,
    ...(endpoint === null ? [] : ["endpoint", endpoint]),
    "persistent-keepalive",
    String(keepaliveSeconds),
    "allowed-ips",
    allowedIp === null ? "" : formatNetwork(parseNetwork(allowedIp)),
  ];
}

export async function wgRead(interfaceName: string): Promise<DeviceState> {
  return readDump(await runTool("wg", ["show", interfaceName, "dump"]));
}
export async function wgSetPeer(interfaceName: string, change: PeerChange): Promise<void> {
  await runTool("wg", wgArguments(interfaceName, change));
}
export async function wgSetKey(interfaceName: string, privateKey: Uint8Array, listenPort: number): Promise<void> {
  const args = ["set", interfaceName, "listen-port", String(listenPort), "private-key", "/dev/stdin"];
  await runTool("wg", args, `${toBase64(privateKey)}\n`);
}
