/** How a node treats one of its interfaces: mode, announce limits, path search (spec/reticulum.md sections 8, 9.2 and 18). */
import type { Millis } from "../../../spine/index.ts";

export type InterfaceMode =
  | "full"
  | "point-to-point"
  | "access-point"
  | "roaming"
  | "boundary"
  | "gateway"
  | "internal";

/** How often one destination's announces are carried on; more are learned from, but not re-sent. */
export interface AnnounceRate {
  readonly targetMs: Millis;
  /** Violations forgiven. */
  readonly grace: number;
  readonly penaltyMs: Millis;
}

export interface WirePolicy {
  /** "full" by default. */
  readonly mode?: InterfaceMode;
  /** Share of the bitrate that re-sent announces may take, above 0 to 1; 0.02 by default. */
  readonly announceCap?: number;
  /** Null = no limit. 3600 s, grace 5, penalty 0 by default. */
  readonly announceRate?: AnnounceRate | null;
  /** Holds back bursts of announces for unknown destinations; on by default, except on radio and serial lines. */
  readonly ingressControl?: boolean;
  /** Path requests sent per second, own and those of others; no limit by default. What is beyond is not sent. */
  readonly pathRequestHz?: number;
  /** On an internal interface: whether announces heard on others go out; yes by default, boundaries excepted. */
  readonly announcesFromInternal?: boolean;
  /** On a boundary interface: whether its announces also go out on internal ones; no by default. */
  readonly announcesToInternal?: boolean;
  /** Search paths for others also when the mode does not ask for it. */
  readonly searchPaths?: boolean;
  /** Among announces of the same emission and length the interface of higher gravity wins; 0 by default. */
  readonly gravity?: number;
}

const DEFAULT_ANNOUNCE_CAP = 0.02;
const DEFAULT_ANNOUNCE_RATE: AnnounceRate = { targetMs: 3_600_000, grace: 5, penaltyMs: 0 };
const PATH_EXPIRY_MS = 604_800_000;
const ACCESS_POINT_EXPIRY_MS = 86_400_000;
const ROAMING_EXPIRY_MS = 21_600_000;

/** Anything with a policy, such as a wire. */
export interface Governed {
  readonly policy?: WirePolicy | undefined;
}

export function modeOf(wire: Governed): InterfaceMode {
  return wire.policy?.mode ?? "full";
}

export function announceCapOf(wire: Governed): number {
  return wire.policy?.announceCap ?? DEFAULT_ANNOUNCE_CAP;
}

/** Undefined when there is no limit. */
export function announceRateOf(wire: Governed): AnnounceRate | undefined {
  const rate = wire.policy?.announceRate;
  return rate === null ? undefined : (rate ?? DEFAULT_ANNOUNCE_RATE);
}

/** How long an unused path learned on this wire lasts. */
export function pathLifetimeMs(wire: Governed | undefined): Millis {
  const mode = wire === undefined ? "full" : modeOf(wire);
  if (mode === "access-point") return ACCESS_POINT_EXPIRY_MS;
  return mode === "roaming" ? ROAMING_EXPIRY_MS : PATH_EXPIRY_MS;
}

/** May an announce heard on `from` (or made here) go out on `out`? */
export function carriesAnnounce(out: Governed, from: Governed | "local" | undefined): boolean {
  const mode = modeOf(out);
  if (mode === "access-point") return false;
  if (from === "local") return true;
  const source = from === undefined ? undefined : modeOf(from);
  if (source === undefined) return mode === "full" || mode === "point-to-point" || mode === "gateway";
  if (source === "internal") return out.policy?.announcesFromInternal !== false;
  if (mode === "roaming") return source !== "roaming" && source !== "boundary";
  if (mode === "boundary") return source !== "roaming";
  if (mode === "internal" && source === "boundary") return (from as Governed).policy?.announcesToInternal === true;
  return true;
}

/** Are announces that pass through this wire held to its cap? */
export function isCapped(wire: Governed): boolean {
  const mode = modeOf(wire);
  return mode === "full" || mode === "point-to-point" || mode === "gateway";
}

/** Where a request for an unknown path, heard on `from`, is asked on: on no wire, on all, or on those of some modes. */
export function searchesOn(from: Governed, out: Governed): boolean {
  const mode = modeOf(from);
  if (mode === "boundary") return modeOf(out) === "boundary" || modeOf(out) === "gateway";
  if (from.policy?.searchPaths === true) return true;
  return mode === "access-point" || mode === "gateway" || mode === "roaming" || mode === "internal";
}
