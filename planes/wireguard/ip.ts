/** IP addresses and networks as numbers: one spelling, containment, overlap. Pure; used by the whole plane. */
import { isIPv4, isIPv6 } from "node:net";
import { BoundedMap, SpineError } from "../../spine/index.ts";

export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface Network extends Address {
  /** Leading bits; `value` has no bits below them. */
  readonly prefix: number;
}

const BITS = { 4: 32, 6: 128 } as const;

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function sixOf(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const four = fourOf(dotted[2] as string);
    return sixOf(`${dotted[1]}${(four >> 16n).toString(16)}:${(four & 0xffffn).toString(16)}`);
  }
  const [head = "", tail] = text.split("::");
  const [left, right] = [groups(head), groups(tail ?? "")];
  const gap = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: gap }, () => 0), ...right];
  return all.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

function fourOf(text: string): bigint {
  return text.split(".").reduce((value, byte) => (value << 8n) | BigInt(Number(byte)), 0n);
}

/** The same few addresses are read at every look at the interface. */
const addresses = new BoundedMap<string, Address>(8_192);
const networks = new BoundedMap<string, Network>(8_192);

/** Throws `enclave_address`; zones and IPv4 inside IPv6 are refused. */
export function parseAddress(text: string): Address {
  const known = addresses.get(text);
  if (known !== undefined) return known;
  const address = readAddress(text);
  addresses.set(text, address);
  return address;
}

function readAddress(text: string): Address {
  if (isIPv4(text)) return { family: 4, value: fourOf(text) };
  if (isIPv6(text) && !text.includes("%")) {
    const value = sixOf(text);
    if (value >> 32n !== 0xffffn) return { family: 6, value };
  }
  throw new SpineError("enclave_address", `"${text.slice(0, 60)}" is not an IP address`);
}

/** The one spelling: RFC 5952 for IPv6. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join(".");
  const parts = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let [best, bestLength] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (parts[i + length] === "0") length++;
    if (length > bestLength) [best, bestLength] = [i, length];
  }
  if (best < 0) return parts.join(":");
  return `${parts.slice(0, best).join(":")}::${parts.slice(best + bestLength).join(":")}`;
}

/** ADDRESS/PREFIX, or a bare address as a network of one. Throws `enclave_address`, also for bits below the prefix. */
export function parseNetwork(text: string): Network {
  const network = parseLooseNetwork(text);
  if (network.value !== masked(network)) {
    throw new SpineError("enclave_address", `${text} has bits set below its prefix`);
  }
  return network;
}

/** As `parseNetwork`, but bits below the prefix are dropped: an interface's own address with its prefix. */
export function networkOf(text: string): Network {
  const known = networks.get(text);
  if (known !== undefined) return known;
  const network = parseLooseNetwork(text);
  const own = { ...network, value: masked(network) };
  networks.set(text, own);
  return own;
}

/** `networkOf` in its one spelling. */
export function networkText(text: string): string {
  // What WireGuard prints for nearly every peer is that spelling already.
  return text.endsWith("/32") && isIPv4(text.slice(0, -3)) ? text : formatNetwork(networkOf(text));
}

function parseLooseNetwork(text: string): Network {
  const [host = "", prefixText, more] = text.split("/");
  const address = parseAddress(host);
  const bits = BITS[address.family];
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  const written = prefixText === undefined || /^\d{1,3}$/.test(prefixText);
  if (!written || prefix > bits || more !== undefined) {
    throw new SpineError("enclave_address", `"${text.slice(0, 60)}" is not a network`);
  }
  return { ...address, prefix };
}

function masked({ family, value, prefix }: Network): bigint {
  const below = BigInt(BITS[family] - prefix);
  return (value >> below) << below;
}

export function formatNetwork(network: Network): string {
  return `${formatAddress(network)}/${network.prefix}`;
}

/** True for /32 and /128. */
export function isSingle({ family, prefix }: Network): boolean {
  return prefix === BITS[family];
}

export function contains(network: Network, address: Address): boolean {
  if (network.family !== address.family) return false;
  const below = BigInt(BITS[network.family] - network.prefix);
  return address.value >> below === network.value >> below;
}

export function overlaps(a: Network, b: Network): boolean {
  return a.prefix <= b.prefix ? contains(a, b) : contains(b, a);
}

/** ADDRESS/32 or /128: what one peer may use. */
export function singleOf(address: Address): string {
  return `${formatAddress(address)}/${BITS[address.family]}`;
}

const FOUR_PREFIX_LEAST = 8;
const SIX_PREFIX_LEAST = 32;

/**
 * Throws `enclave_address` unless `network` can be an enclave's: not a default route or as wide as one, no loopback,
 * multicast or link-local range, and clear of `local`, the networks of the host's other interfaces.
 */
export function checkEnclaveNetwork(network: Network, local: readonly Network[]): void {
  const least = network.family === 4 ? FOUR_PREFIX_LEAST : SIX_PREFIX_LEAST;
  const text = formatNetwork(network);
  if (network.prefix < least) throw new SpineError("enclave_address", `${text} is as wide as a default route`);
  for (const reserved of [
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "0.0.0.0/8",
    "::/8",
    "fe80::/10",
    "ff00::/8",
  ]) {
    if (overlaps(network, parseNetwork(reserved))) {
      throw new SpineError("enclave_address", `${text} overlaps ${reserved}, which is no network for peers`);
    }
  }
  const clash = local.find((one) => overlaps(one, network));
  if (clash !== undefined) {
    throw new SpineError("enclave_address", `${text} overlaps the local network ${formatNetwork(clash)}`);
  }
}

/** HOST:PORT or [IPV6]:PORT with a numeric host in its one spelling; undefined if it is anything else. */
export function parseEndpoint(text: string): { readonly host: string; readonly port: number } | undefined {
  const found = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text);
  if (found === null) return undefined;
  const port = Number(found[3]);
  if (port < 1 || port > 65_535) return undefined;
  try {
    const address = parseAddress(found[1] ?? (found[2] as string));
    if ((address.family === 6) !== (found[1] !== undefined)) return undefined;
    return { host: formatAddress(address), port };
  } catch {
    return undefined;
  }
}

export function formatEndpoint({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
