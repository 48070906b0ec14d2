/** Which Reticulum destination an issuer names as its own: upstream's shape, and only by its own word. */
import assert from "node:assert/strict";
import {
  boundDestination,
  checkFact,
  destinationHex,
  identityBindingFact,
  type JsonObject,
} from "../../spine/index.ts";
import { keyOf } from "../helpers/mesh-harness.ts";

const { issuer } = keyOf(1);
const destination = "0f0e0d0c0b0a09080706050403020100";

describe("the binding of an issuer to its Reticulum destination", () => {
  const fact = identityBindingFact({
    factId: "na_1",
    issuer,
    destination,
    announcePeriodS: 300,
    issuedAt: 1_800_000_000,
  });

  it("has upstream's strict shape and is read again", () => {
    checkFact(fact);
    assert.deepEqual(Object.keys(fact).sort(), [
      ...["fact_id", "issued_at", "node_id", "schema", "system_attestation", "transports"],
    ]);
    assert.equal(boundDestination(issuer, fact), destination);
  });

  it("is nobody's who speaks of another node", () => {
    assert.equal(boundDestination(keyOf(2).issuer, fact), undefined);
  });

  it("is read in any spelling of the hash, and no other word is one", () => {
    assert.equal(destinationHex(`0X${destination.toUpperCase()}`), destination);
    assert.equal(destinationHex(destination), destination);
    for (const wrong of [
      "",
      "0x",
      destination.slice(1),
      `${destination}0`,
      `g${destination.slice(1)}`,
      7,
      null,
      undefined,
    ])
      assert.equal(destinationHex(wrong), undefined);
    for (const transports of [undefined, null, {}, { reticulum: null }, { reticulum: { destination_hash: 1 } }])
      assert.equal(boundDestination(issuer, { ...fact, transports } as JsonObject), undefined);
  });
});
