/** `spine rns bind`: says to all who follow this node which Reticulum destination is its own. */
import { randomUUID } from "node:crypto";
import { identityBindingFact, SpineError } from "../../spine/index.ts";
import { connectDaemon, openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

const PREFIX = "rns:";
const ANNOUNCE_PERIOD_S = 300;

export const rnsBind: Verb = {
  usage: "rns bind",
  about:
    "Publishes a node_attestation that names the running node's Reticulum destination, so that others know whose it is\n" +
    "without a link to it: GET /v1/node-attestations/by-destination/HASH. The newest one counts; none after a revocation.",
  examples: ["spine rns bind", "spine rns bind --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json, signal }) {
    await using daemon = await connectDaemon(dir);
    const status = await daemon?.status();
    const addresses = status?.planes.flatMap((plane) => plane.addresses) ?? [];
    const address = addresses.find((one) => one.startsWith(PREFIX));
    if (status === undefined || address === undefined) {
      throw new SpineError("plane_not_started", "no running node with planes.reticulum.mesh names a destination");
    }
    const destination = address.slice(PREFIX.length);
    await using node = await openSession(dir, env);
    const about = { issuer: status.issuer, destination, announcePeriodS: ANNOUNCE_PERIOD_S };
    const issuedAt = Math.floor(Date.now() / 1000);
    const fact = identityBindingFact({ ...about, factId: `na_${randomUUID()}`, issuedAt });
    const [result] = await node.publish([fact], { signal });
    if (result === undefined || !result.ok) throw new SpineError(result?.code ?? "internal", result?.message ?? "");
    const { envelope_hash, seq } = result;
    await out.line(json ? { destination, issuer: status.issuer, envelope_hash, seq } : `bound ${address}`);
    return 0;
  },
};
