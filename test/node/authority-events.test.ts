/** What subscribers hear of authority: each change of somebody's standing once, in the API's JSON, and nothing else. */
import assert from "node:assert/strict";
import { factEvent, trustEvent } from "../../node/authority/authority-events.ts";
import { EMPTY_TRUST } from "../../node/index.ts";
import { Authority, type MeshEvent, NO_TRUST, SpineError } from "../../spine/index.ts";

const [alice, bob] = ["a", "b"].map((digit) => `aegis:ed25519:${digit.repeat(64)}`) as [string, string];
const hash = `0x${"c".repeat(64)}`;
const authority = new Authority(NO_TRUST);
const heard = (event: MeshEvent) => factEvent(event, authority);

describe("events of authority", () => {
  it("tell of freezes, revocations that act and handovers", () => {
    assert.deepEqual(heard({ type: "fork", issuer: alice, seq: 4 }), {
      ...{ type: "authority", cause: "freeze", issuer: alice, frozen_at: 4 },
    });
    const about = { type: "authority", version: 1, issuer: alice, hash } as const;
    const targets = [{ scope: "node", value: bob, fromSeq: 3 }] as const;
    assert.deepEqual(heard({ ...about, cause: "revocation", revocation: { rights: ["revoker"], targets } }), {
      ...{ type: "authority", cause: "revocation", issuer: alice, envelope_hash: hash, rights: ["revoker"] },
      targets: [{ scope: "node", value: bob, from_seq: 3 }],
    });
    assert.deepEqual(heard({ ...about, cause: "handover" }), {
      ...{ type: "authority", cause: "handover", issuer: alice, envelope_hash: hash },
      ...{ successor: null, revoked_from: null },
    });
  });

  it("tell nothing of what changes nobody's standing, and of trust what waits and what is wrong", () => {
    const about = { type: "authority", version: 1, issuer: alice, hash } as const;
    for (const cause of ["genesis", "attestation", "revocation"] as const)
      assert.equal(heard({ ...about, cause }), undefined, cause);
    assert.equal(heard({ ...about, cause: "trust", issuer: null, hash: null }), undefined);
    const problem = new SpineError("config_invalid", "line 3");
    assert.deepEqual(trustEvent({ effective: EMPTY_TRUST, pending: ["adds x"], problem }), {
      ...{ type: "authority", cause: "trust", pending: ["adds x"], problem: "line 3" },
    });
  });
});
