/**
 * The binding of a node's issuer to its Reticulum destination: separate keys, joined by a `node_attestation` of the node about
 * itself (spec/spine.md 7.4 and 16.8). It is the issuer's word alone; that the destination agrees shows in the hello of a
 * link. Read by the fact index, written by `spine rns bind`.
 */
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";
import type { Issuer } from "./ports.ts";
import { formatTime } from "./time.ts";

export const BINDING_PROFILE = "aegis.spine.reticulum.v1";
const SUPPORTS = ["envelopes", "heads", "sync", "proofs"] as const;
const DESTINATION = /^[0-9a-f]{32}$/;

/** 32 lower-case hex digits; undefined for what is no destination. */
export function destinationHex(text: Json | undefined): string | undefined {
  if (typeof text !== "string") return undefined;
  const hex = text.toLowerCase().replace(/^0x/, "");
  return DESTINATION.test(hex) ? hex : undefined;
}

/** In upstream's strict shape. `destination` in 32 lower-case hex digits, `issuedAt` in seconds since 1970. */
export function identityBindingFact(of: {
  readonly factId: string;
  readonly issuer: Issuer;
  readonly destination: string;
  readonly announcePeriodS: number;
  readonly issuedAt: number;
}): JsonObject {
  return {
    schema: "aegis.spine.fact.node_attestation.v1",
    fact_id: of.factId,
    node_id: of.issuer,
    system_attestation: {},
    transports: {
      reticulum: {
        profile: BINDING_PROFILE,
        destination_hash: `0x${of.destination}`,
        announce_period_secs: of.announcePeriodS,
        supports: [...SUPPORTS],
      },
    },
    issued_at: formatTime(of.issuedAt),
  };
}

/** The destination that an issuer's node attestation names as its own; undefined if it speaks of another node, or of none. */
export function boundDestination(issuer: Issuer, fact: JsonObject): string | undefined {
  const { transports } = fact;
  if (fact["node_id"] !== issuer || !isJsonObject(transports)) return undefined;
  const { reticulum } = transports;
  return isJsonObject(reticulum) ? destinationHex(reticulum["destination_hash"]) : undefined;
}
