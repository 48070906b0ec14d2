/** Fact kinds, tiers and shapes. */
import assert from "node:assert/strict";
import {
  actsAlone,
  checkFact,
  checkMarketplaceRange,
  checkShape,
  claimOf,
  factKind,
  factOf,
  factTier,
  isJsonObject,
  type Json,
  type JsonObject,
  nobleSha256Hex,
  nobleVerify,
  openEnvelope,
  parseJson,
  SHAPE_NAMES,
  SpineError,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome, throwsCode } from "../helpers/throws.ts";
import { differs } from "./deviations.ts";

describeShared("fact vectors", ["vectors/spine/facts.json"], () => {
  const { cases, sync_ranges } = sharedJson<{
    cases: { type: string; name: string; input_text: string; upstream: string; reserialized_canonical?: string }[];
    sync_ranges: { from_seq: number; to_seq: number; upstream: string }[];
  }>("vectors/spine/facts.json");
  for (const c of cases)
    it(`${c.type}: ${c.name}: ${c.upstream}`, () => {
      const name = `${c.type}/${c.name}`;
      const isAccepted = outcome(() => checkShape(c.type, parseJson(c.input_text))) === "ok";
      assert.equal(isAccepted !== (c.upstream === "ok"), differs("facts.json", name));
      if (c.reserialized_canonical !== undefined)
        assert.equal(
          outcome(() => checkShape(c.type, parseJson(c.reserialized_canonical as string))),
          "ok",
        );
      // As an array in field order, which upstream's parser would take.
      const fields = Object.values(JSON.parse(c.input_text) as Record<string, Json>);
      assert.equal(
        outcome(() => checkShape(c.type, fields)),
        "fact_invalid",
      );
    });
  for (const r of sync_ranges)
    it(`marketplace range ${r.from_seq} to ${r.to_seq}`, () => {
      if (r.upstream === "ok") checkMarketplaceRange(r.from_seq, r.to_seq);
      else
        assert.throws(() => checkMarketplaceRange(r.from_seq, r.to_seq), {
          code: "range_invalid",
          message: r.upstream,
        });
    });
});

describeShared(
  "facts of real envelopes",
  ["vectors/spine/checkpoints.json", "vectors/spine/envelopes_valid.json"],
  () => {
    const checkpoint = sharedJson<{ log_checkpoint_envelope: { envelope_text: string } }>(
      "vectors/spine/checkpoints.json",
    );
    const valid = sharedJson<{ chains: { envelopes: { name: string; envelope_text: string }[] }[] }>(
      "vectors/spine/envelopes_valid.json",
    );
    it("a checkpoint with witnesses", () => {
      const envelope = openEnvelope(checkpoint.log_checkpoint_envelope.envelope_text, nobleSha256Hex);
      assert.equal(nobleVerify(claimOf(envelope)), true);
      assert.deepEqual([factTier(envelope.factSchema), actsAlone(envelope.factSchema)], [2, true]);
      const fact = factOf(envelope) as JsonObject;
      checkFact(fact);
      throwsCode(() => checkFact({ ...fact, tree_size: -1 }), "fact_invalid", /^fact\.tree_size is not an unsigned/);
    });
    for (const { name, envelope_text } of valid.chains.flatMap((chain) => chain.envelopes)) {
      const fact = (parseJson(envelope_text) as JsonObject)["fact"] as Json;
      if (isJsonObject(fact) && typeof fact["schema"] === "string")
        it(name, () =>
          assert.equal(
            outcome(() => checkFact(fact)),
            "ok",
          ),
        );
    }
  },
);

describe("factKind", () => {
  it("knows both prefixes and all families", () => {
    for (const [schema, family, kind] of [
      ["aegis.spine.fact.revocation.v1", "spine", "revocation"],
      ["clawdstrike.spine.fact.revocation.v1", "spine", "revocation"],
      ["clawdstrike.marketplace.revocation.v1", "marketplace", "revocation"],
      ["clawdstrike.sdr.fact.tetragon_event.v1", "sdr", "tetragon_event"],
      ["clawdstrike.sdr.fact.k8s_audit_event.v1", "sdr", "k8s_audit_event"],
      ["clawdstrike.run_receipt.v1", "clawdstrike", "run_receipt"],
    ] as const)
      assert.deepEqual(factKind(schema), { family, kind, version: 1 });
    assert.equal(factKind("aegis.spine.fact.heartbeat.v12")?.version, 12);
    for (const schema of [
      "",
      "aegis.spine.fact.heartbeat",
      "aegis.spine.fact.heartbeat.v0",
      "aegis.spine.fact.heartbeat.v01",
      "aegis.spine.fact.Heartbeat.v1",
      "aegis.spine.fact.a.b.v1",
      "other.spine.fact.heartbeat.v1",
      " aegis.spine.fact.heartbeat.v1",
      "aegis.spine.fact.heartbeat.v1\n",
      "clawdstrike.heartbeat.v1",
      "aegis.run_receipt.v1",
    ])
      assert.equal(factKind(schema), undefined, schema);
  });
  it("ranks by kind, whatever the prefix", () => {
    for (const [kind, tier] of [
      ["revocation", 1],
      ["log_checkpoint", 2],
      ["fork_proof", 2],
      ["incident", 3],
      ["policy_delta", 4],
      ["run", 5],
      ["node_attestation", 6],
      ["something_new", 6],
      ["constructor", 6],
      ["heartbeat", 7],
    ] as const)
      for (const prefix of ["aegis", "clawdstrike"])
        assert.equal(factTier(`${prefix}.spine.fact.${kind}.v1`), tier, kind);
    assert.equal(factTier("clawdstrike.marketplace.revocation.v1"), 1);
    assert.equal(factTier("clawdstrike.sdr.fact.incident.v1"), 6);
    assert.equal(factTier("anything"), 6);
  });
  it("knows what acts alone", () => {
    for (const schema of [
      "aegis.spine.fact.revocation.v1",
      "clawdstrike.marketplace.revocation.v1",
      "aegis.spine.fact.policy_delta.v1",
      "clawdstrike.spine.fact.node_attestation.v1",
      "clawdstrike.marketplace.policy_attestation.v1",
      "aegis.spine.fact.transport_binding.v1",
      "aegis.spine.fact.log_checkpoint.v1",
      "aegis.spine.fact.incident.v1",
      "aegis.spine.fact.succession.v1",
      "aegis.spine.fact.rotation.v1",
      "aegis.spine.fact.genesis.v1",
      "aegis.spine.fact.revocation_set.v1",
    ])
      assert.equal(actsAlone(schema), true, schema);
    for (const schema of ["aegis.spine.fact.heartbeat.v1", "", "clawdstrike.sdr.fact.revocation.v1"])
      assert.equal(actsAlone(schema), false, schema);
  });
});

describe("checkFact", () => {
  const revocation = { schema: "aegis.spine.fact.revocation.v1", targets: [{ type: "node_id", value: "x" }] };
  it("picks the shape by schema, under both prefixes", () => {
    assert.equal(
      outcome(() => checkFact(revocation)),
      "ok",
    );
    assert.equal(
      outcome(() => checkFact({ ...revocation, more: [1] })),
      "ok",
    );
    assert.equal(
      outcome(() => checkFact({ schema: "aegis.spine.fact.revocation.v2", targets: 1 })),
      "ok",
    );
    assert.equal(
      outcome(() => checkFact({ schema: "own.v1", anything: null })),
      "ok",
    );
    for (const prefix of ["aegis", "clawdstrike"]) {
      const schema = `${prefix}.marketplace.review_attestation.v1`;
      const fact = { schema, fact_id: "f", bundle_hash: "h", reviewer: "r", verdict: "approve" };
      assert.equal(
        outcome(() => checkFact(fact)),
        "ok",
      );
      throwsCode(() => checkFact({ ...fact, rogue: 1 }), "fact_invalid", /^fact\.rogue is unknown$/);
    }
  });
  it("names the path of the field that does not fit", () => {
    const base = { fact_id: "f", node_id: "n", issued_at: "t", system_attestation: {} };
    const fact = { schema: "aegis.spine.fact.node_attestation.v1", ...base };
    for (const [value, message] of [
      [[], /^fact is not an object$/],
      [{}, /^fact\.schema /],
      [
        { ...revocation, targets: [{ type: "a", value: "b" }, { type: "a" }] },
        /^fact\.targets\[1\]\.value is missing$/,
      ],
      [{ ...fact, fact_id: 1 }, /^fact\.fact_id is not a string$/],
      [
        { ...fact, transports: { reticulum: { profile: "p", destination_hash: "d", supports: ["a", 1] } } },
        /^fact\.transports\.reticulum\.supports\[1\] is not a string$/,
      ],
      [
        { ...fact, transports: { reticulum: { profile: "p", destination_hash: "d", announce_period_secs: 2 ** 64 } } },
        /announce_period_secs is not an unsigned integer/,
      ],
    ] as const)
      throwsCode(() => checkFact(value as unknown as Json), "fact_invalid", message);
    const big = { profile: "p", destination_hash: "d", announce_period_secs: 2n ** 64n - 1n };
    assert.equal(
      outcome(() => checkFact({ ...fact, transports: { reticulum: big } })),
      "ok",
    );
  });
  it("has every shape its vectors name", () => {
    assert.throws(() => checkShape("toString", {}), SpineError);
    assert.ok(SHAPE_NAMES.length >= 10);
  });
});
