/** Policies over time: extends from files, hashes, what a change takes away, and reloading that keeps the last good one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { PolicyHolder, type ReloadReport } from "../../../node/guards/policy/holder.ts";
import { type LoadedPolicy, loadPolicy, loadRuleset, readPolicyFile } from "../../../node/guards/policy/load.ts";
import { loosenings } from "../../../node/guards/policy/loosening.ts";
import { errorsIn } from "../../../node/guards/policy/problem.ts";
import { reportPolicy } from "../../../node/guards/policy/report.ts";
import { RULESETS } from "../../../node/guards/policy/rulesets.ts";

function load(yaml: string): LoadedPolicy {
  const { policy, problems } = loadPolicy(yaml);
  assert.ok(policy, JSON.stringify(problems));
  return policy;
}

function head(guards: string): string {
  return `version: "1.3.0"\nguards:\n${guards}`;
}

describe("policies from files", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "spine-policy-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const fromFile = (name: string): ReturnType<typeof loadPolicy> =>
    loadPolicy(readPolicyFile(join(dir, name)), { file: join(dir, name), readFile: readPolicyFile });

  it("extend files relative to themselves, several deep and several wide", () => {
    writeFileSync(join(dir, "a.yaml"), 'version: "1.2.0"\nextends: [b.yaml, c.yaml]\n');
    writeFileSync(join(dir, "b.yaml"), 'version: "1.2.0"\nextends: strict\nsettings: {session_timeout_secs: 60}\n');
    writeFileSync(
      join(dir, "c.yaml"),
      'version: "1.2.0"\nguards: {egress_allowlist: {additional_allow: [c.example]}}\n',
    );
    const { policy, problems } = fromFile("a.yaml");
    assert.ok(policy, JSON.stringify(problems));
    assert.equal(policy.effective.settings.session_timeout_secs, 60);
    assert.deepEqual(policy.effective.guards.egress_allowlist.allow, ["c.example"]);
    assert.ok(policy.effective.guards.forbidden_path.patterns.includes("**/private/**"));
  });

  it("refuse cycles, also of the root itself", () => {
    writeFileSync(join(dir, "a.yaml"), 'version: "1.2.0"\nextends: b.yaml\n');
    writeFileSync(join(dir, "b.yaml"), 'version: "1.2.0"\nextends: ./a.yaml\n');
    assert.ok(errorsIn(fromFile("a.yaml").problems).some((problem) => problem.code === "cycle"));
    assert.ok(
      errorsIn(reportPolicy(join(dir, "missing.yaml")).problems).some((problem) => problem.code === "unknown_base"),
    );
  });

  it("refuse other hosts, and files when none may be read", () => {
    for (const reference of ["https://a.example/p.yaml", "git+https://a.example/r@x:p", "/etc/policy.yaml"]) {
      const { problems } = loadPolicy(`version: "1.2.0"\nextends: "${reference}"\n`);
      assert.deepEqual(
        errorsIn(problems).map((problem) => [problem.code, problem.path]),
        [["unknown_base", reference]],
      );
    }
  });
});

describe("policy problems", () => {
  it("are all reported, each with its path", () => {
    const { problems, policy } = loadPolicy(
      [
        'version: "1.1.0"',
        "posture: {initial: x, states: {a: {capabilities: [fly], budgets: {file_writes: -1, flights: 2}}}, transitions: [{from: q, to: '*', on: timeout}]}",
        "guards:",
        '  forbidden_path: {patterns: ["a**b", ok], exceptions: ["x["]}',
        '  path_allowlist: {patch_allow: ["***"]}',
        '  secret_leak: {patterns: [{name: a, pattern: "("}], skip_paths: ["["]}',
        '  patch_integrity: {forbidden_patterns: ["(?=x)"], max_imbalance_ratio: -1}',
        "  prompt_injection: {max_scan_bytes: 0}",
        "  jailbreak: {detector: {warn_threshold: 90, block_threshold: 20}}",
        "  custom: [{package: nothing, async: {timeout_ms: 1, rate_limit: {}, retry: {multiplier: 0.5}}}]",
      ].join("\n"),
    );
    assert.equal(policy, undefined);
    assert.deepEqual(
      new Set(errorsIn(problems).map((problem) => problem.path)),
      new Set([
        "posture",
        "guards.path_allowlist",
        "guards.forbidden_path.patterns[0]",
        "guards.forbidden_path.exceptions[0]",
        "guards.path_allowlist.patch_allow[0]",
        "guards.secret_leak.skip_paths[0]",
        "guards.secret_leak.patterns[0].pattern",
        "guards.patch_integrity.forbidden_patterns[0]",
        "guards.patch_integrity.max_imbalance_ratio",
        "guards.prompt_injection.max_scan_bytes",
        "guards.jailbreak.detector.warn_threshold",
        "guards.custom[0].package",
        "guards.custom[0].async.timeout_ms",
        "guards.custom[0].async.rate_limit",
        "guards.custom[0].async.retry.multiplier",
        "posture.initial",
        "posture.states.a.capabilities[0]",
        "posture.states.a.budgets.file_writes",
        "posture.states.a.budgets.flights",
        "posture.transitions[0].from",
        "posture.transitions[0].to",
        "posture.transitions[0].after",
      ]),
    );
  });

  it("name fields that do nothing", () => {
    const { problems } = loadPolicy(head("  egress_allowlist: {additional_allow: [x.example]}\n"));
    assert.ok(
      problems.some(
        (problem) => problem.path === "guards.egress_allowlist.additional_allow" && problem.level === "warning",
      ),
    );
  });

  for (const yaml of [
    "a: [",
    "- 1",
    "a: 1\na: 2",
    'version: "1.2.0"\nx: &a [*a]',
    "\u0000",
    `a: ${"[".repeat(5000)}`,
    "? ".repeat(10_000),
    "- ".repeat(20_000),
    `a: ${"!x ".repeat(50_000)}`,
    Array.from({ length: 1400 }, (_, at) => `${" ".repeat(at)}a:`).join("\n"),
    `"${"a".repeat(200_000)}`,
    "a: b\n".repeat(20_000),
    "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\ne: &e [*d,*d]\nf: &f [*e,*e]\ng: &g [*f,*f]\nh: [*g,*g]",
    "x: !!js/function f",
  ]) {
    it(`refuses ${JSON.stringify(yaml.slice(0, 30))}`, () => assert.ok(errorsIn(loadPolicy(yaml).problems).length > 0));
  }

  it("never throws, whatever the text", () => {
    const words = fc.constantFrom(
      "version: ",
      '"1.2.0"',
      "\n",
      "guards:",
      "  ",
      "forbidden_path:",
      "- ",
      "{",
      "}",
      "[",
      "]",
      "patterns",
      ": ",
      "extends: default",
      "&a ",
      "*a",
      "|",
      "null",
      "~",
      "1",
      "'",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(words, { maxLength: 20 }).map((parts) => parts.join("")),
        ),
        (yaml) => {
          const { policy, problems } = loadPolicy(yaml);
          assert.equal(policy === undefined, errorsIn(problems).length > 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("policy hash", () => {
  it("is the same for the same meaning and differs with it", () => {
    const a = load('version: "1.2.0"\nname: n\nguards:\n  mcp_tool: {block: [x], allow: []}\n');
    const b = load('# other text\nname: "n"\nversion: "1.2.0"\nguards: {mcp_tool: {allow: [], deny: ["x"]}}\n');
    const c = load('version: "1.2.0"\nname: n\nguards:\n  mcp_tool: {block: [y]}\n');
    assert.equal(a.hash, b.hash);
    assert.notEqual(a.hash, c.hash);
    assert.match(a.hash, /^[0-9a-f]{64}$/);
  });
});

describe("loosening", () => {
  const base = head(
    "  mcp_tool: {block: [a, b], default_action: block, max_args_size: 10}\n  egress_allowlist: {allow: [x.example], block: [y.example]}\n",
  );
  const table: readonly (readonly [name: string, yaml: string, paths: readonly string[]])[] = [
    ["nothing", base, []],
    ["a block entry gone", base.replace("[a, b]", "[a]"), ["guards.mcp_tool.block"]],
    [
      "a tool allowed",
      base.replace("default_action: block", "default_action: allow"),
      ["guards.mcp_tool.default_action"],
    ],
    ["a larger limit", base.replace("10}", "20}"), ["guards.mcp_tool.max_args_size"]],
    ["a smaller limit", base.replace("10}", "5}"), []],
    ["a host allowed", base.replace("[x.example]", "[x.example, z.example]"), ["guards.egress_allowlist.allow"]],
    ["a host unblocked", base.replace("block: [y.example]", "block: []"), ["guards.egress_allowlist.block"]],
    ["a host no longer allowed", base.replace("allow: [x.example]", "allow: []"), []],
    ["a guard off", `${base}  forbidden_path: {enabled: false}\n`, ["guards.forbidden_path.enabled"]],
    ["an exception", `${base}  forbidden_path: {exceptions: ["**/.env"]}\n`, ["guards.forbidden_path.exceptions"]],
    ["unknown actions asked about", `${base}settings: {unhandled_action: ask}\n`, ["settings.unhandled_action"]],
  ];
  for (const [name, yaml, paths] of table) {
    it(`reports ${name}`, () => {
      const found = loosenings(load(base).effective, load(yaml).effective).map((one) => one.path);
      assert.deepEqual(found, paths);
    });
  }

  it("finds none between a policy and itself, and some from strict to every other ruleset", () => {
    const strict = loadRuleset("strict").policy as LoadedPolicy;
    for (const name of RULESETS) {
      const other = loadRuleset(name).policy as LoadedPolicy;
      assert.deepEqual(loosenings(other.effective, other.effective), []);
      if (name !== "strict") assert.ok(loosenings(strict.effective, other.effective).length > 3, name);
    }
  });

  it("is said when a child loosens its base", () => {
    const { problems } = loadPolicy(
      'version: "1.2.0"\nextends: strict\nguards: {patch_integrity: {max_additions: 400}}\n',
    );
    const paths = problems.filter((problem) => problem.code === "loosens").map((problem) => problem.path);
    assert.ok(paths.includes("guards.patch_integrity.max_deletions"), String(paths));
    assert.ok(paths.includes("guards.patch_integrity.require_balance"));
    assert.ok(!paths.includes("guards.patch_integrity.max_additions"));
  });
});

describe("policy holder", () => {
  const good = head("  mcp_tool: {block: [a]}\n");
  const looser = head("  mcp_tool: {block: []}\n");
  let text = "";
  let reports: ReloadReport[] = [];
  const make = (stageLoosening = false): PolicyHolder => {
    reports = [];
    return new PolicyHolder(() => loadPolicy(text), { report: (report) => reports.push(report), stageLoosening });
  };

  it("keeps the last good policy and says so", () => {
    const holder = make();
    text = good;
    assert.equal(holder.reload().state, "active");
    const { current } = holder;
    text = "guards: [garbage";
    const bad = holder.reload();
    assert.equal(bad.state, "stale");
    assert.equal(bad.changed, false);
    assert.ok(errorsIn(bad.problems).length > 0);
    assert.equal(holder.current, current);
    text = good;
    assert.equal(holder.reload().state, "active");
    assert.equal(reports.length, 3);
  });

  it("has no policy when the first one is bad, or its source throws", () => {
    text = "nonsense: 1";
    const holder = make();
    assert.equal(holder.reload().state, "none");
    assert.equal(holder.current, undefined);
    const broken = new PolicyHolder(() => assert.fail("disk gone"), { report: () => undefined });
    assert.match(broken.reload().problems[0]?.message ?? "", /disk gone/);
  });

  it("reports what a new policy takes away", () => {
    const holder = make();
    text = good;
    holder.reload();
    text = looser;
    const report = holder.reload();
    assert.equal(report.changed, true);
    assert.deepEqual(
      report.loosened.map((one) => one.path),
      ["guards.mcp_tool.block"],
    );
  });

  it("stages a loosening until its hash is approved", () => {
    const holder = make(true);
    const seen: string[] = [];
    holder.onChange((policy) => seen.push(policy.hash));
    text = good;
    holder.reload();
    text = looser;
    const report = holder.reload();
    assert.equal(report.staged, true);
    assert.equal(holder.current?.hash, load(good).hash);
    assert.equal(holder.approve("0".repeat(64)), false);
    assert.equal(holder.approve(load(looser).hash), true);
    assert.equal(holder.current?.hash, load(looser).hash);
    assert.deepEqual(seen, [load(good).hash, load(looser).hash]);
  });
});
