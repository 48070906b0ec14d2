/** Policies of curators: what they may change, what waits, what a revocation does, in whatever order things arrive. */
import assert from "node:assert/strict";
import type { PolicyBundle } from "../../../node/guards/policy/bundle.ts";
import { type CuratedFact, CuratedPolicies, type CuratorView } from "../../../node/guards/policy/curated.ts";
import type { DeltaOperation } from "../../../node/guards/policy/delta.ts";
import { PolicyHolder } from "../../../node/guards/policy/holder.ts";
import { type LoadedPolicy, loadPolicy } from "../../../node/guards/policy/load.ts";
import { bundleFact, deltaFact } from "../../../node/guards/policy/publication.ts";
import type { JsonObject } from "../../../spine/index.ts";
import { namedKey, verifier } from "../../helpers/crypto.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const A = namedKey("curator a");
const B = namedKey("curator b");
const STRANGER = namedKey("stranger");

function policy(body: string): LoadedPolicy {
  const { policy: loaded, problems } = loadPolicy(`version: "1.5.0"\n${body}`);
  assert.ok(loaded, JSON.stringify(problems));
  return loaded;
}
const forbids = (...paths: readonly string[]): LoadedPolicy =>
  policy(`guards: {forbidden_path: {additional_patterns: [${paths.map((path) => `"${path}"`).join(", ")}]}}\n`);

/** A node with this base policy, and the knobs of what it knows of curators. */
function node(quorum = 0, yaml = 'version: "1.5.0"\n') {
  const source = { yaml };
  const holder = new PolicyHolder(() => loadPolicy(source.yaml), { report: () => undefined });
  holder.reload();
  const known = {
    version: 1,
    curators: new Set([A.issuer, B.issuer]),
    full: new Set<string>(),
    revokedBundles: new Set<string>(),
    revokedFrom: new Map<string, number>(),
  };
  const view = (): CuratorView => ({
    version: known.version,
    curators: known.curators,
    isFull: (curator) => known.full.has(curator),
    counts: (curator, seq) => seq < (known.revokedFrom.get(curator) ?? Number.POSITIVE_INFINITY),
    isBundleRevoked: (hash, curator, seq) =>
      known.revokedBundles.has(hash) || seq >= (known.revokedFrom.get(curator) ?? Number.POSITIVE_INFINITY),
  });
  const policies = new CuratedPolicies(holder, view, quorum);
  const verify = async ({ claim }: PolicyBundle): Promise<boolean> => (await verifier.verify([claim]))[0] === true;
  const take = async (key: typeof A, seq: number, fact: JsonObject, nowMs = NOW) => {
    const kind = fact["signed_bundle"] === undefined ? "delta" : "bundle";
    const given: CuratedFact = { curator: key.issuer, seq, envelopeHash: `0x${seq}`, kind, fact };
    const outcome = await policies.take(given, nowMs, verify);
    return outcome === undefined ? "ignored" : (outcome.reason ?? outcome.status);
  };
  return { policies, holder, known, source, take, base: holder.current as LoadedPolicy };
}

const bundle = (key: typeof A, of: LoadedPolicy): JsonObject => bundleFact(of, key.sign, "2026-01-01T00:00:00Z");
const ABOUT = { name: "d", validUntil: "2026-02-01T00:00:00Z" };
const delta = (base: LoadedPolicy, version: number, ...operations: DeltaOperation[]): JsonObject =>
  deltaFact(base, operations, { ...ABOUT, version });
const BLOCK = (value: string): DeltaOperation => ({ op: "add", path: "guards.egress_allowlist.block", value });

const blockedBy = ({ policies }: ReturnType<typeof node>): readonly string[] => [
  ...new Set(policies.inForce?.policies.flatMap(({ effective }) => effective.guards.egress_allowlist.block)),
];

const closedBy = ({ policies }: ReturnType<typeof node>): string | undefined => policies.inForce?.closed?.reason;

describe("curated policies", () => {
  it("tighten by deltas of curators only, by rising versions along their chain", async () => {
    const one = node();
    assert.equal(await one.take(STRANGER, 1, delta(one.base, 1, BLOCK("a.example"))), "ignored");
    assert.equal(await one.take(A, 5, delta(one.base, 2, BLOCK("a.example"))), "accepted");
    assert.equal(await one.take(A, 5, delta(one.base, 2, BLOCK("a.example"))), "ignored");
    assert.equal(await one.take(A, 6, delta(one.base, 2, BLOCK("b.example"))), "stale_version");
    assert.equal(await one.take(A, 4, delta(one.base, 3, BLOCK("b.example"))), "stale_version");
    assert.equal(await one.take(A, 4, delta(one.base, 1, BLOCK("c.example"))), "accepted");
    assert.equal(await one.take(B, 1, delta(one.base, 1, BLOCK("d.example"))), "accepted");
    assert.deepEqual([...blockedBy(one)].sort(), ["a.example", "c.example", "d.example"]);
    assert.notEqual(one.policies.inForce?.hash, one.base.hash);
  });

  it("refuse what expired, lies about its result, loosens, or was made by a revoked curator", async () => {
    const one = node();
    const good = delta(one.base, 1, BLOCK("a.example"));
    assert.equal(await one.take(A, 1, good, Date.parse("2026-03-01T00:00:00Z")), "expired");
    assert.equal(await one.take(A, 2, { ...good, resulting_policy_hash: `0x${"1".repeat(64)}` }), "result_mismatch");
    const loosening = [{ op: "add", path: "guards.egress_allowlist.allow", value: "a.example" }];
    assert.equal(await one.take(A, 3, { ...good, operations: loosening }), "not_tightening");
    one.known.revokedFrom.set(A.issuer, 4);
    assert.equal(await one.take(A, 4, good), "curator_revoked");
    assert.equal(one.policies.inForce?.hash, one.base.hash);
  });

  it("keep deltas over a change of the operator's policy, and take up those that waited for it", async () => {
    const one = node();
    const later = forbids("/later/**");
    assert.equal(await one.take(A, 1, delta(one.base, 1, BLOCK("a.example"))), "accepted");
    assert.equal(await one.take(A, 2, delta(later, 2, BLOCK("b.example"))), "waiting");
    assert.deepEqual(blockedBy(one), ["a.example"]);
    one.source.yaml = 'version: "1.5.0"\nguards: {forbidden_path: {additional_patterns: ["/later/**"]}}\n';
    one.holder.reload();
    assert.deepEqual(
      one.policies.retryWaiting(NOW).map(({ status }) => status),
      ["accepted"],
    );
    assert.deepEqual([...blockedBy(one)].sort(), ["a.example", "b.example"]);
    // Long after both expired nothing is loosened.
    assert.deepEqual(one.policies.retryWaiting(NOW + 1e12), []);
    assert.deepEqual([...blockedBy(one)].sort(), ["a.example", "b.example"]);
  });

  it("make a node that observed enforce", async () => {
    const one = node();
    assert.equal(one.policies.enforced, false);
    const enforce: DeltaOperation = { op: "raise", path: "mode", value: "enforce" };
    assert.equal(await one.take(A, 1, delta(one.base, 1, enforce)), "accepted");
    assert.equal(one.policies.enforced, true);
    assert.equal(one.policies.inForce?.hash, one.base.hash);
  });

  it("join bundles by intersection, in either order to the same hash", async () => {
    const [one, two] = [node(), node()];
    const [fromA, fromB] = [bundle(A, forbids("/a/**")), bundle(B, forbids("/b/**"))];
    assert.equal(await one.take(A, 1, fromA), "accepted");
    assert.equal(await one.take(B, 1, fromB), "accepted");
    assert.equal(await two.take(B, 1, fromB), "accepted");
    assert.equal(await two.take(A, 1, fromA), "accepted");
    assert.equal(one.policies.inForce?.policies.length, 3);
    assert.equal(one.policies.inForce?.hash, two.policies.inForce?.hash);
  });

  it("refuse bundles with a wrong signature, hash, key or policy", async () => {
    const one = node();
    const good = bundle(A, forbids("/a/**"));
    const signed = good["signed_bundle"] as JsonObject;
    assert.equal(await one.take(B, 1, good), "signature");
    assert.equal(
      await one.take(A, 1, { ...good, signed_bundle: { ...signed, signature: "00".repeat(64) } }),
      "signature",
    );
    assert.equal(await one.take(A, 2, { ...good, bundle_hash: `0x${"1".repeat(64)}` }), "malformed");
    assert.equal(await one.take(A, 3, { ...good, policy_hash: `0x${"1".repeat(64)}` }), "result_mismatch");
    const other = Buffer.from(B.publicKey).toString("hex");
    assert.equal(await one.take(A, 4, { ...good, signed_bundle: { ...signed, public_key: other } }), "other_key");
    assert.equal(await one.take(A, 5, { ...good, signed_bundle: {} }), "malformed");
    assert.equal(one.policies.inForce?.policies.length, 1);
  });

  it("stage a looser bundle for the operator", async () => {
    const one = node();
    assert.equal(await one.take(A, 1, bundle(A, forbids("/a/**", "/b/**"))), "accepted");
    const strict = one.policies.inForce?.hash;
    const looser = forbids("/a/**");
    assert.equal(await one.take(A, 2, bundle(A, looser)), "staged");
    assert.equal(one.policies.inForce?.hash, strict);
    assert.match(one.policies.staged()[0]?.loosened[0]?.path ?? "", /forbidden_path/);
    assert.deepEqual(one.policies.approve("f".repeat(64)), []);
    assert.equal(one.policies.approve(looser.hash).length, 1);
    assert.notEqual(one.policies.inForce?.hash, strict);
    assert.ok(one.policies.inForce?.policies.some(({ hash }) => hash === looser.hash));
  });

  it("let a quorum of full curators loosen, and no other", async () => {
    const one = node(2);
    const [strict, looser] = [forbids("/a/**", "/b/**"), forbids("/a/**")];
    for (const key of [A, B]) assert.equal(await one.take(key, 1, bundle(key, strict)), "accepted");
    assert.equal(await one.take(A, 2, bundle(A, looser)), "staged");
    assert.equal(await one.take(B, 2, bundle(B, looser)), "staged");
    one.known.full = new Set([A.issuer, B.issuer]);
    assert.equal(await one.take(B, 3, bundle(B, looser)), "accepted");
    assert.equal(one.policies.staged().length, 0);
    assert.deepEqual(
      one.policies.inForce?.policies.map(({ hash }) => hash),
      [one.base.hash, looser.hash],
    );
  });

  it("fall back when a bundle is revoked, close when none is left, open with a new one", async () => {
    const one = node();
    const [first, second] = [bundle(A, forbids("/a/**")), bundle(A, forbids("/a/**", "/b/**"))];
    await one.take(A, 1, first);
    const before = one.policies.inForce?.hash;
    await one.take(A, 2, second);
    assert.notEqual(one.policies.inForce?.hash, before);
    const revoke = (fact: JsonObject): void => {
      one.known.revokedBundles.add(fact["bundle_hash"] as string);
      one.known.version++;
    };
    revoke(second);
    assert.equal(one.policies.inForce?.hash, before);
    revoke(first);
    assert.equal(closedBy(one), "bundle_revoked");
    assert.equal(await one.take(A, 3, bundle(A, forbids("/c/**"))), "accepted");
    assert.equal(closedBy(one), undefined);
    one.known.revokedFrom.set(A.issuer, 0);
    one.known.version++;
    assert.equal(closedBy(one), "bundle_revoked");
    one.known.curators.delete(A.issuer);
    one.known.version++;
    assert.equal(one.policies.inForce?.hash, one.base.hash);
  });

  it("go on after a restart where they were", async () => {
    const [one, again] = [node(), node()];
    await one.take(A, 1, delta(one.base, 7, BLOCK("a.example")));
    await one.take(A, 2, bundle(A, forbids("/a/**", "/b/**")));
    await one.take(A, 3, bundle(A, forbids("/a/**")));
    for (const record of one.policies.records()) assert.ok(again.policies.resume(JSON.parse(JSON.stringify(record))));
    assert.equal(again.policies.inForce?.hash, one.policies.inForce?.hash);
    assert.equal(again.policies.staged().length, 1);
    assert.equal(await again.take(A, 4, delta(one.base, 7, BLOCK("b.example"))), "stale_version");
  });

  it("are bounded", async () => {
    const one = node();
    const answers: string[] = [];
    for (let i = 1; i <= 70; i++) answers.push(await one.take(A, i, delta(one.base, i, BLOCK(`h${i}.example`))));
    assert.deepEqual([answers[63], answers[64]], ["accepted", "too_many"]);
    for (let i = 100; i < 120; i++)
      await one.take(B, i, bundle(B, forbids(...Array.from({ length: i }, (_, n) => `/${n}/**`))));
    assert.ok(one.policies.records().length <= 64 + 8);
    assert.equal(one.policies.inForce?.closed, undefined);
  });
});
