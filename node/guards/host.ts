/**
 * Canonical host names for egress checks (spec/guards.md sections 2.4 and 8 E): URL and userinfo forms, root dot, IDNA,
 * numeric and mapped addresses all become one spelling, and special addresses are named.
 */
import { isIP } from "node:net";
import { stripInvisible } from "./text/canonical.ts";

/** `metadata`: cloud credential services. `local`: link-local. The rest says which network a literal address is in. */
export type AddressClass =
  | "name"
  | "public"
  | "private"
  | "loopback"
  | "local"
  | "metadata"
  | "unspecified"
  | "multicast";

export interface Host {
  /** Lower case, no root dot, no brackets; an address in its shortest form. */
  readonly host: string;
  readonly port: number;
  readonly class: AddressClass;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  http: 80,
  https: 443,
  ws: 80,
  wss: 443,
  ftp: 21,
  ssh: 22,
  git: 9418,
  ldap: 389,
  ldaps: 636,
  smtp: 25,
  redis: 6379,
};
const METADATA_NAMES: readonly string[] = ["metadata.google.internal", "metadata.goog", "metadata", "instance-data"];
const METADATA_ADDRESSES: readonly string[] = [
  "169.254.169.254",
  "169.254.170.2",
  "169.254.170.23",
  "100.100.100.200",
  "192.0.0.192",
  "fd00:ec2::254",
  "fd20:ce::254",
];

/**
 * Splits `[v6]:port` or `host:port`; digits after the last colon are the port, else `fallback` (default 443). For upstream
 * compatibility only: it also splits a bare `::1`. Undefined for a port above 65535.
 */
export function splitTarget(target: string, fallback = 443): { host: string; port: number } | undefined {
  const bracket = /^\[([^\]]*)\](?::(\d+))?$/.exec(target);
  const split = bracket ?? /^(.*):(\d+)$/s.exec(target);
  const host = split?.[1] ?? target;
  const port = split?.[2] === undefined ? fallback : Number(split[2]);
  return port > 65_535 ? undefined : { host, port };
}

/** One spelling for `target` (host, host:port, address or URL), or a reason code why it names no host. */
export function canonicalHost(target: string, port?: number): Host | string {
  const visible = stripInvisible(target.normalize("NFKC")).trim();
  if (visible === "") return "empty_host";
  if (visible.length > 4096) return "host_too_long";
  if (/[\x00-\x20\x7f]/.test(visible)) return "invalid_host";
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(visible)?.[1]?.toLowerCase();
  // As URL parsers do for web schemes: backslashes are slashes.
  const rest = visible.slice(scheme === undefined ? 0 : scheme.length + 3).replaceAll("\\", "/");
  const authority = rest.split(/[/?#]/, 1)[0] ?? "";
  const bare = authority.slice(authority.lastIndexOf("@") + 1);
  const split = splitAuthority(bare);
  if (split === undefined) return "invalid_host";
  const host = canonicalName(split.host);
  if (host === undefined) return "invalid_host";
  const chosen = split.port ?? port ?? (scheme === undefined ? 443 : (DEFAULT_PORTS[scheme] ?? 443));
  if (!Number.isInteger(chosen) || chosen < 0 || chosen > 65_535) return "invalid_port";
  return { host, port: chosen, class: addressClass(host) };
}

function splitAuthority(text: string): { host: string; port?: number } | undefined {
  if (text.startsWith("[")) {
    const bracket = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
    if (bracket === null) return undefined;
    return { host: `[${bracket[1]}]`, ...(bracket[2] !== undefined && { port: Number(bracket[2]) }) };
  }
  if (isIP(text) === 6) return { host: `[${text}]` };
  const parts = /^([^:]*)(?::(\d{0,5}))?$/.exec(text);
  if (parts === null) return undefined;
  return { host: parts[1] as string, ...(parts[2] && { port: Number(parts[2]) }) };
}

/** The URL standard's host parser does IDNA, percent forms and numeric addresses; then labels are checked. */
function canonicalName(text: string): string | undefined {
  const rooted = text.replace(/\.$/, "");
  if (rooted === "") return undefined;
  let name: string;
  try {
    name = new URL(`http://${rooted}/`).hostname;
  } catch {
    return undefined;
  }
  if (name.startsWith("[")) {
    const v6 = name.slice(1, -1);
    return mappedV4(v6) ?? v6;
  }
  name = name.replace(/\.$/, "");
  if (isIP(name) === 4) return name;
  if (name.length > 253) return undefined;
  const labels = name.split(".");
  return labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) ? name : undefined;
}

/** IPv4 behind `::ffff:a.b.c.d`, `64:ff9b::/96`, and the deprecated `::a.b.c.d`; the URL parser printed it in hex. */
function mappedV4(v6: string): string | undefined {
  const tail = /^(?:::ffff:|64:ff9b::|::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(v6);
  if (tail === null) return undefined;
  const high = Number.parseInt(tail[1] as string, 16);
  const low = Number.parseInt(tail[2] as string, 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

export function addressClass(host: string): AddressClass {
  if (METADATA_NAMES.includes(host) || METADATA_ADDRESSES.includes(host)) return "metadata";
  const kind = isIP(host);
  if (kind === 0) return host === "localhost" || host.endsWith(".localhost") ? "loopback" : "name";
  if (kind === 6) {
    if (host === "::1") return "loopback";
    if (host === "::") return "unspecified";
    if (/^fe[89ab]/.test(host)) return "local";
    if (/^f[cd]/.test(host)) return "private";
    return host.startsWith("ff") ? "multicast" : "public";
  }
  const [a, b] = host.split(".").map(Number) as [number, number];
  if (a === 127) return "loopback";
  if (a === 0) return "unspecified";
  if (a === 169 && b === 254) return "local";
  if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 100 && b >= 64 && b < 128))
    return "private";
  return a >= 224 && a < 240 ? "multicast" : "public";
}
