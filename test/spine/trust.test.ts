/** Trust bundles against upstream's verdicts, probes and defaults. */
import assert from "node:assert/strict";
import {
  allowsEnvelopeIssuer,
  allowsKernelLoader,
  allowsLog,
  allowsReceiptSigner,
  allowsTier,
  allowsWitness,
  parseTrustBundle,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome, throwsCode } from "../helpers/throws.ts";
import { differs } from "./deviations.ts";

interface TrustCase {
  readonly name: string;
  readonly bundle_text: string;
  readonly upstream: "ok" | "invalid" | "parse_error";
  readonly message?: string;
  readonly serialized?: Readonly<Record<string, unknown>>;
  readonly probes?: readonly {
    id: string;
    log: boolean;
    witness: boolean;
    receipt_signer: boolean;
    kernel_loader: boolean;
  }[];
  readonly tiers?: readonly { tier: string; allowed: boolean }[];
}

describeShared("trust bundle vectors", ["vectors/spine/trust_bundles.json"], () => {
  const { cases } = sharedJson<{ cases: TrustCase[] }>("vectors/spine/trust_bundles.json");
  for (const c of cases)
    it(`${c.name}: ${c.upstream}`, () => {
      const isAccepted = outcome(() => parseTrustBundle(c.bundle_text)) === "ok";
      assert.equal(isAccepted !== (c.upstream === "ok"), differs("trust_bundles.json", c.name));
      if (c.message !== undefined) {
        const message = c.message;
        throwsCode(() => parseTrustBundle(c.bundle_text), "config_invalid", new RegExp(`: ${message}$`));
      }
      if (!isAccepted || c.upstream !== "ok") return;
      const bundle = parseTrustBundle(c.bundle_text);
      assert.deepEqual(
        {
          schema: bundle.schema,
          allowed_log_ids: bundle.allowedLogIds,
          allowed_witness_node_ids: bundle.allowedWitnessNodeIds,
          allowed_receipt_signer_node_ids: bundle.allowedReceiptSignerNodeIds,
          allowed_kernel_loader_signer_node_ids: bundle.allowedKernelLoaderSignerNodeIds,
          required_receipt_enforcement_tiers: bundle.requiredReceiptEnforcementTiers,
          require_kernel_loader_signatures: bundle.requireKernelLoaderSignatures,
          witness_quorum: bundle.witnessQuorum,
          require_attested_issuers: bundle.requireAttestedIssuers,
        },
        c.serialized,
      );
      for (const p of c.probes ?? [])
        assert.deepEqual(
          [allowsLog, allowsWitness, allowsReceiptSigner, allowsKernelLoader].map((allows) => allows(bundle, p.id)),
          [p.log, p.witness, p.receipt_signer, p.kernel_loader],
        );
      for (const t of c.tiers ?? []) assert.equal(allowsTier(bundle, t.tier), t.allowed);
    });
});

describe("parseTrustBundle", () => {
  const a = `aegis:ed25519:${"ab".repeat(32)}`;
  const b = `aegis:ed25519:${"cd".repeat(32)}`;
  const parse = (bundle: unknown, profile?: "compatible" | "strict"): string =>
    outcome(() => parseTrustBundle(JSON.stringify(bundle), profile));
  it("takes the later upstream's issuer list, whatever the case of its hex", () => {
    const bundle = parseTrustBundle(JSON.stringify({ allowed_envelope_issuers: [a.toUpperCase()] }));
    assert.equal(allowsEnvelopeIssuer(bundle, a), true);
    assert.equal(allowsEnvelopeIssuer(bundle, b), false);
    assert.equal(allowsEnvelopeIssuer(parseTrustBundle("{}"), b), true);
  });
  it("refuses unknown fields, wrong types and quorums that cannot be met", () => {
    for (const bundle of [
      { rogue: 1 },
      { witness_quorum: -1 },
      { witness_quorum: 1.5 },
      { witness_quorum: "1" },
      { witness_quorum: 2 },
      { witness_quorum: 2, allowed_witness_node_ids: [a] },
      { allowed_log_ids: null },
      { allowed_log_ids: "x" },
      { require_attested_issuers: 1 },
      { require_attested_issuers: null },
      null,
      "x",
    ])
      assert.equal(parse(bundle), "config_invalid", JSON.stringify(bundle));
    assert.equal(
      outcome(() => parseTrustBundle("{")),
      "json_syntax",
    );
  });
  it("fails closed under the strict profile", () => {
    const good = { allowed_log_ids: [a], allowed_witness_node_ids: [a, b], witness_quorum: 2 };
    assert.equal(parse(good, "strict"), "ok");
    for (const change of [
      { allowed_log_ids: [] },
      { allowed_witness_node_ids: [], witness_quorum: 1 },
      { allowed_witness_node_ids: [a, a] },
      { allowed_log_ids: ["log-a"] },
      { allowed_envelope_issuers: [a.toUpperCase()] },
    ]) {
      assert.equal(parse({ ...good, ...change }), "ok", JSON.stringify(change));
      assert.equal(parse({ ...good, ...change }, "strict"), "config_invalid", JSON.stringify(change));
    }
  });
});
