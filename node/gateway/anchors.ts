/** The anchors of the audit log in the own chain: facts `gateway_audit` that state how many records there were and their head. */
import { factOf, type Issuer, isJsonObject, openSigningBytes, walkRecords } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { sha256Hex } from "../hash.ts";
import type { AuditAnchor } from "./audit-verify.ts";

const SCHEMA = "aegis.spine.fact.gateway_audit.v1";

/** In order of the chain. Reads the whole own chain. */
export async function ownAnchors(store: Store, own: Issuer): Promise<AuditAnchor[]> {
  const anchors: AuditAnchor[] = [];
  for await (const piece of store.records(own, 0, Number.MAX_SAFE_INTEGER)) {
    for (const { signingBytes, signature } of walkRecords(piece.records)) {
      const envelope = openSigningBytes(signingBytes, signature, sha256Hex);
      if (envelope.factSchema !== SCHEMA) continue;
      const fact = factOf(envelope);
      if (!isJsonObject(fact)) continue;
      const { records, head_hash: headHash } = fact as { records?: unknown; head_hash?: unknown };
      if (typeof records === "number" && typeof headHash === "string") anchors.push({ records, headHash });
    }
  }
  return anchors;
}
