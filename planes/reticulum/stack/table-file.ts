/**
 * What a node knows of the network, as a file: known destinations and paths with the announces that answer for them.
 * Ages, not moments, are kept, so that a wrong clock neither ends nor freezes anything. Used by `endpoint.ts`.
 */
import { concatBytes, fromHex, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { ADDRESS_BYTES } from "./hash.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "./msgpack.ts";
import type { PathEntry } from "./path-table.ts";

const VERSION = 1;
const RANDOM_HASH_BYTES = 10;
const KEPT_RANDOM_HASHES = 32;
const MAX_LIFETIME_MS = 604_800_000;

/** Paths by hash in hex, in groups named by where they come back: a wire or a tunnel. */
export type PathGroups = readonly (readonly [string, ReadonlyMap<string, PathEntry>])[];

export interface Tables {
  readonly known: Uint8Array;
  readonly groups: PathGroups;
  /** The newest emission time of our own announces, unix ms. */
  readonly emissionMs: Millis;
}

/** `unixMs`: the wall clock. */
export function packTables(tables: Tables, now: Millis, unixMs: Millis): Uint8Array {
  const groups = tables.groups.map(
    ([name, paths]): Packable => [name, [...paths].map(([key, p]) => packPath(key, p, now))],
  );
  return pack([VERSION, new Double(unixMs), new Double(tables.emissionMs), tables.known, groups]);
}

function packPath(key: string, path: PathEntry, now: Millis): Packable {
  const { announce } = path;
  return [
    fromHex(key),
    path.nextHop,
    path.hops,
    Math.max(0, Math.round(path.expiresAt - now)),
    path.lifetimeMs,
    concatBytes(...path.randomHashes.slice(-KEPT_RANDOM_HASHES).map((hash) => fromHex(hash))),
    path.unresponsive,
    path.used,
    path.gravity,
    announce?.data ?? null,
    announce?.contextFlag ?? false,
  ];
}

/** Throws `frame_syntax`. A clock that went back since counts as no time passed. */
export function unpackTables(file: Uint8Array, now: Millis, unixMs: Millis): Tables {
  const list = unpack(file);
  const [version, saved, emission, known, groups] = Array.isArray(list) ? (list as readonly Packable[]) : [];
  const savedMs = packedNumber(saved);
  const emissionMs = packedNumber(emission);
  if (
    version !== VERSION ||
    savedMs === undefined ||
    emissionMs === undefined ||
    !(known instanceof Uint8Array) ||
    !Array.isArray(groups)
  ) {
    throw new SpineError("frame_syntax", "table file fields");
  }
  const elapsedMs = Math.max(0, unixMs - savedMs);
  return { known, emissionMs, groups: groups.map((group) => unpackGroup(group, now, elapsedMs)) };
}

function unpackGroup(
  group: Packable,
  now: Millis,
  elapsedMs: Millis,
): readonly [string, ReadonlyMap<string, PathEntry>] {
  const [name, items] = Array.isArray(group) ? (group as readonly Packable[]) : [];
  if (typeof name !== "string" || !Array.isArray(items)) throw new SpineError("frame_syntax", "table file group");
  return [name, new Map(items.map((item) => unpackPath(item, now, elapsedMs)))];
}

function unpackPath(item: Packable, now: Millis, elapsedMs: Millis): readonly [string, PathEntry] {
  const [hash, nextHop, hops, left, lifetime, hashes, unresponsive, used, gravity, data, flag] = Array.isArray(item)
    ? (item as readonly Packable[])
    : [];
  const leftMs = packedNumber(left);
  const lifetimeMs = packedNumber(lifetime);
  if (
    !(hash instanceof Uint8Array && hash.length === ADDRESS_BYTES) ||
    !(nextHop instanceof Uint8Array && nextHop.length === ADDRESS_BYTES) ||
    !(hashes instanceof Uint8Array && hashes.length % RANDOM_HASH_BYTES === 0) ||
    !(data === null || data instanceof Uint8Array) ||
    typeof hops !== "number" ||
    leftMs === undefined ||
    lifetimeMs === undefined
  ) {
    throw new SpineError("frame_syntax", "path entry");
  }
  const randomHashes: string[] = [];
  for (let at = 0; at < hashes.length; at += RANDOM_HASH_BYTES) {
    randomHashes.push(toHex(hashes.subarray(at, at + RANDOM_HASH_BYTES)));
  }
  const life = Math.min(lifetimeMs, MAX_LIFETIME_MS);
  return [
    toHex(hash),
    {
      nextHop: nextHop.slice(),
      hops,
      wireId: "",
      expiresAt: now + Math.min(leftMs, life) - elapsedMs,
      lifetimeMs: life,
      randomHashes,
      unresponsive: unresponsive === true,
      used: used === true,
      touchedAt: now,
      gravity: packedNumber(gravity) ?? 0,
      announce: data === null ? undefined : { data: data.slice(), contextFlag: flag === true },
    },
  ];
}
