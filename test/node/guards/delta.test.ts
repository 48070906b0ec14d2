/** Deltas: only the closed list is taken, nothing ever loosens, order does not matter; and the bounded session table. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  applyDeltas,
  type DeltaOperation,
  deltaProblem,
  isDeltaProblem,
  type PolicyDelta,
  parseDelta,
} from "../../../node/guards/policy/delta.ts";
import { type LoadedPolicy, loadPolicy } from "../../../node/guards/policy/load.ts";
import { loosenings } from "../../../node/guards/policy/loosening.ts";
import { SessionTable } from "../../../node/guards/sessions.ts";

const BASE = loadPolicy(
  [
    'version: "1.3.0"',
    "guards:",
    "  egress_allowlist: {allow: [a.example, b.example], default_action: allow}",
    "  mcp_tool: {allow: [x, y], default_action: block}",
    "  forbidden_path: {exceptions: ['**/e1', '**/e2']}",
    "  computer_use: {mode: observe, allowed_actions: [input.inject]}",
    "  shell_command: {enabled: false}",
    "",
  ].join("\n"),
).policy as LoadedPolicy;

function delta(operations: readonly DeltaOperation[], version = 1): PolicyDelta {
  const draft: PolicyDelta = {
    name: "d",
    version,
    previous_policy_hash: BASE.hash,
    resulting_policy_hash: BASE.hash,
    valid_until: "2030-01-01T00:00:00Z",
    operations,
  };
  const result = applyDeltas(BASE, [draft]);
  return isDeltaProblem(result) ? draft : { ...draft, resulting_policy_hash: `0x${result.hash}` };
}

const OPERATION: fc.Arbitrary<DeltaOperation> = fc.oneof(
  fc.constantFrom<DeltaOperation>(
    { op: "add", path: "guards.forbidden_path.patterns", value: "**/new/**" },
    { op: "add", path: "guards.egress_allowlist.block", value: "bad.example" },
    { op: "add", path: "guards.mcp_tool.block", value: "z" },
    { op: "add", path: "guards.patch_integrity.forbidden_patterns", value: "(?i)evil" },
    { op: "remove", path: "guards.egress_allowlist.allow", value: "a.example" },
    { op: "remove", path: "guards.forbidden_path.exceptions", value: "**/e1" },
    { op: "remove", path: "guards.mcp_tool.allow", value: "x" },
    { op: "raise", path: "guards.egress_allowlist.default_action", value: "block" },
    { op: "raise", path: "guards.egress_allowlist.default_action", value: "log" },
    { op: "raise", path: "guards.computer_use.mode", value: "fail_closed" },
    { op: "enable", path: "guards.shell_command.enabled" },
  ),
  fc
    .integer({ min: 0, max: 5000 })
    .map((value): DeltaOperation => ({ op: "lower", path: "guards.patch_integrity.max_additions", value })),
  fc.integer({ min: 0, max: 5000 }).map(
    (value): DeltaOperation => ({
      op: "lower",
      path: "guards.remote_desktop_side_channel.max_transfer_size_bytes",
      value,
    }),
  ),
);

describe("policy deltas", () => {
  it("never loosen, and combine in any order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(OPERATION, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
        (lists) => {
          const deltas = lists.map((operations) => delta(operations));
          const one = applyDeltas(BASE, deltas);
          const other = applyDeltas(BASE, deltas.toReversed());
          assert.ok(!isDeltaProblem(one) && !isDeltaProblem(other), JSON.stringify([one, other]));
          assert.equal(one.hash, other.hash);
          assert.deepEqual(loosenings(BASE.effective, one.effective), []);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("leave the base as it was", () => {
    const before = JSON.stringify(BASE.effective);
    applyDeltas(BASE, [delta([{ op: "add", path: "guards.mcp_tool.block", value: "z" }])]);
    assert.equal(JSON.stringify(BASE.effective), before);
  });

  it("refuse to empty a tool allow-list, which would open it", () => {
    const both = delta([
      { op: "remove", path: "guards.mcp_tool.allow", value: "x" },
      { op: "remove", path: "guards.mcp_tool.allow", value: "y" },
    ]);
    const result = applyDeltas(BASE, [both]);
    assert.ok(isDeltaProblem(result));
    assert.equal(result.refused, "not_tightening");
  });

  const sound = delta([{ op: "add", path: "guards.mcp_tool.block", value: "z" }]);
  const plain = JSON.parse(JSON.stringify(sound)) as Record<string, unknown>;

  it("are read back", () => assert.deepEqual(parseDelta(plain), sound));

  const bad: readonly (readonly [name: string, value: unknown, refused: string])[] = [
    ["no object", 1, "malformed"],
    ["version 0", { ...plain, version: 0 }, "malformed"],
    ["no hash", { ...plain, resulting_policy_hash: "x" }, "malformed"],
    ["no time", { ...plain, valid_until: "soon" }, "malformed"],
    ["no operations", { ...plain, operations: [] }, "malformed"],
    ["too many operations", { ...plain, operations: Array(257).fill(sound.operations[0]) }, "malformed"],
    [
      "adding an allow entry",
      { ...plain, operations: [{ op: "add", path: "guards.egress_allowlist.allow", value: "*" }] },
      "not_tightening",
    ],
    [
      "removing a prohibition",
      { ...plain, operations: [{ op: "remove", path: "guards.forbidden_path.patterns", value: "x" }] },
      "not_tightening",
    ],
    [
      "setting a field",
      { ...plain, operations: [{ op: "set", path: "settings.fail_fast", value: true }] },
      "not_tightening",
    ],
    ["a prototype's path", { ...plain, operations: [{ op: "add", path: "__proto__", value: "x" }] }, "not_tightening"],
    [
      "a bad glob",
      { ...plain, operations: [{ op: "add", path: "guards.forbidden_path.patterns", value: "a**b" }] },
      "malformed",
    ],
    [
      "a bad expression",
      { ...plain, operations: [{ op: "add", path: "guards.patch_integrity.forbidden_patterns", value: "(" }] },
      "malformed",
    ],
    [
      "a negative limit",
      { ...plain, operations: [{ op: "lower", path: "guards.patch_integrity.max_additions", value: -1 }] },
      "malformed",
    ],
  ];
  for (const [name, value, refused] of bad) {
    it(`refuse ${name}`, () => {
      const result = parseDelta(value);
      assert.equal(isDeltaProblem(result) && result.refused, refused);
    });
  }

  it("are held to version, time, base and result", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    const refused = (one: PolicyDelta, last = 0, at = now): string | undefined =>
      deltaProblem(one, BASE, last, at)?.refused;
    assert.equal(refused(sound), undefined);
    assert.equal(refused(sound, 1), "stale_version");
    assert.equal(refused(sound, 0, Date.parse(sound.valid_until)), "expired");
    assert.equal(refused({ ...sound, previous_policy_hash: "0".repeat(64) }), "other_policy");
    assert.equal(refused({ ...sound, resulting_policy_hash: "0".repeat(64) }), "result_mismatch");
  });
});

describe("session table", () => {
  const policy = { initial: "a", states: { a: { capabilities: [], budgets: {} } }, transitions: [] };
  it("keeps live sessions and forgets idle ones", () => {
    const table = new SessionTable(policy, { idleMs: 100, limit: 2 });
    const first = table.open("one", 0);
    assert.equal(table.open("one", 50), first);
    assert.ok(table.open("two", 60));
    assert.equal(table.open("three", 70), undefined, "full of live sessions");
    assert.equal(table.refused, 1);
    assert.ok(table.open("three", 200));
    assert.equal(table.size, 1);
    assert.equal(table.forgotten, 2);
    assert.notEqual(table.open("one", 210), first);
    assert.ok(table.close("one"));
    assert.equal(table.open("", 220), undefined);
    assert.equal(table.open("x".repeat(257), 220), undefined);
  });
});
