/** Facts that simulated nodes publish. */
import { type Issuer, type JsonObject, revocationFact } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { LoadFact } from "../scenario-file.ts";

const PREFIX = "aegis.spine.fact.";

export function loadFact(kind: LoadFact, peer: SimPeer, count: number, padBytes: number): JsonObject {
  const common = { fact_id: `${kind}_${peer.index}_${count}`, ...(padBytes > 0 ? { pad: "x".repeat(padBytes) } : {}) };
  switch (kind) {
    case "heartbeat":
      return { schema: `${PREFIX}heartbeat.v1`, ...common, node_id: peer.issuer, uptime_secs: count };
    case "note":
      return { schema: `${PREFIX}note.v1`, ...common, text: `note ${count} of ${peer.index}` };
    case "incident":
      return {
        schema: `${PREFIX}incident.v1`,
        ...common,
        node_id: peer.issuer,
        incident_id: `inc_${peer.index}_${count}`,
        severity: "high",
        title: "something happened",
      };
    case "run_receipt":
      return { schema: `${PREFIX}run_receipt.v1`, ...common, run_id: `run_${peer.index}_${count}`, result: "allow" };
    case "node_attestation":
      return { schema: `clawdstrike.spine.fact.node_attestation.v1`, ...common, node_id: peer.issuer };
  }
}

export function revocationOf(peer: SimPeer, target: Issuer, count: number): JsonObject {
  return revocationFact({
    factId: `rev_${peer.index}_${count}`,
    targets: [{ scope: "node", value: target, fromSeq: 0 }],
    reason: "compromised",
    issuedAt: Math.floor(peer.now() / 1000),
  });
}
