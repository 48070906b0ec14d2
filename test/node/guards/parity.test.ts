/** The shared parity cases under the rule book each names: verdict, guard, severity, guards that ran, and evidence. */
import assert from "node:assert/strict";
import type { Dialect } from "../../../node/guards/dialect.ts";
import type { Decision } from "../../../node/guards/engine.ts";
import { type CaseAction, type CasePolicy, runCase, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface ParityCase {
  readonly id: string;
  readonly upstream: Dialect;
  readonly policy: CasePolicy;
  readonly action: CaseAction;
  readonly why: string;
  readonly expect: {
    readonly verdict: string;
    readonly allowed?: boolean;
    readonly guard: string | null;
    readonly severity?: string;
    readonly guards_run?: readonly string[];
    readonly additions?: number;
    readonly deletions?: number;
    readonly forbidden?: number;
    readonly patterns?: readonly string[];
    readonly signals?: readonly string[];
    readonly level?: string;
    readonly score?: number;
    readonly risk_score?: number;
  };
}

describeShared("parity vectors", ["vectors/guards/parity.jsonl", "vectors/guards/computer-use.jsonl"], () => {
  for (const file of ["parity.jsonl", "computer-use.jsonl"]) {
    for (const found of sharedLines<ParityCase>(`vectors/guards/${file}`)) {
      it(`${found.id}: ${found.why}`, () => check(runCase(found.policy, found.action, found.upstream), found.expect));
    }
  }
});

/** Where our own rule book answers another verdict: what we answer, and why. Every other case must agree. */
const OURS_DIFFERS: Readonly<Record<string, readonly [verdict: string, why: string]>> = {
  "eg-004": ["deny", "a name with an empty label is no host"],
  "eg-027": ["deny", "a wildcard does not mean the cloud's credential service; it must be allowed by its own name"],
  "engine-001": ["deny", "shell commands are judged"],
  "fp-003": ["deny", "a forbidden directory is itself forbidden, not only what is in it"],
  "fp-007": ["allow", "a public key is public"],
  "fp-013": ["allow", "a template holds no secret; what is written to it is still scanned"],
  "fp-014": ["deny", ".envrc holds secrets like .env"],
  "fp-029": ["allow", "a directory called pass is ordinary; the password store's own directory stays forbidden"],
  "fp-051": ["deny", "our ai-agent ruleset forbids every environment file except templates"],
  "fp-052": ["deny", "our ai-agent ruleset has the full list"],
  "inj-017": ["warn", "bypass words near a security word alone hit ordinary prose (electronics, travel)"],
  "inj-021": [
    "warn",
    "an outbound verb near a credential, without anywhere to send it, is ordinary prose (the case calls it a false positive)",
  ],
  "inj-022": ["warn", "as inj-021"],
  "inj-025": ["deny", "base64 is decoded"],
  "inj-026": ["deny", "spaced-out letters are joined"],
  "inj-027": ["deny", "digits for letters are folded"],
  "inj-035": ["deny", "an action no guard understands is refused"],
  "inj-040": ["warn", "a text longer than what is scanned is never allowed silently"],
  "jb-008": ["deny", "the learned layer is sure of a plain demand for the system prompt"],
  "jb-012": ["deny", "a persona without limits is decisive by itself"],
  "jb-026": ["deny", "a persona without limits is decisive by itself"],
  "mcp-005": ["deny", "a blocked tool stays blocked behind a server's name"],
  "mcp-006": ["deny", "blanks around a name do not make another tool"],
  "mcp-009": ["warn", "the policy never said that unlisted tools are fine"],
  "pi-015": ["allow", "removing a temporary directory is ordinary"],
  "pi-024": ["allow", "a method called exec is ordinary; the bare function stays forbidden"],
  "pi-029": ["deny", "upstream's one case-sensitive pattern is an oversight"],
  "pi-042": ["deny", "runs of blanks do not hide a forbidden phrase"],
  "pi-044": ["deny", "a tab does not hide a forbidden phrase"],
  "sh-007": ["deny", "what stands behind the root does not save it"],
  "sh-015": ["deny", "ncat is netcat"],
  "sh-021": ["deny", "the second command runs in the directory the first one entered"],
  "sh-023": ["deny", "a relative path is a path"],
  "sl-002": ["deny", "temporary credentials are credentials"],
  "sl-009": ["deny", "OAuth tokens are tokens"],
  "sl-011": ["deny", "refresh tokens are tokens"],
  "sl-014": ["deny", "project keys are keys"],
  "sl-022": ["deny", "an encrypted private key is one"],
  "sl-041": ["deny", "the path that is opened decides whether a test tree is skipped"],
  "sl-043": ["deny", "secrets leave through tool arguments too"],
  "sl-045": ["allow", "taking a secret out of a file must be possible"],
};

describeShared(
  "parity vectors under our own rule book",
  ["vectors/guards/parity.jsonl", "vectors/guards/computer-use.jsonl"],
  () => {
    for (const file of ["parity.jsonl", "computer-use.jsonl"]) {
      for (const found of sharedLines<ParityCase>(`vectors/guards/${file}`)) {
        const argued = OURS_DIFFERS[found.id];
        it(`${found.id}: ${argued?.[1] ?? found.why}`, () => {
          const got = runCase(found.policy, found.action, "spine");
          assert.equal(got.verdict, argued?.[0] ?? found.expect.verdict, JSON.stringify(got.results));
          if (argued !== undefined)
            assert.notEqual(got.verdict, found.expect.verdict, "no longer differs: take it off the list");
        });
      }
    }
  },
);

function check(got: Decision, expected: ParityCase["expect"]): void {
  const summary = JSON.stringify(got.results);
  assert.equal(got.verdict, expected.verdict, summary);
  if (expected.allowed !== undefined) assert.equal(got.allowed, expected.allowed, summary);
  if (expected.guard !== null) assert.equal(got.guard, expected.guard, summary);
  if (expected.severity !== undefined) assert.equal(got.severity, expected.severity, summary);
  if (expected.guards_run !== undefined) {
    assert.deepEqual(
      got.results.map((result) => result.guard),
      expected.guards_run,
      summary,
    );
  }
  const details = (got.details ?? {}) as Readonly<Record<string, unknown>>;
  if (expected.additions !== undefined) assert.equal(details["additions"], expected.additions);
  if (expected.deletions !== undefined) assert.equal(details["deletions"], expected.deletions);
  if (expected.forbidden !== undefined) assert.equal(details["forbidden_matches"], expected.forbidden);
  if (expected.patterns !== undefined) {
    const matches = (details["matches"] ?? []) as readonly { readonly pattern: string }[];
    assert.deepEqual([...new Set(matches.map((match) => match.pattern))].sort(), [...expected.patterns].sort());
  }
  if (expected.signals !== undefined) assert.deepEqual(details["signals"], expected.signals);
  if (expected.level !== undefined) assert.equal(details["level"] ?? details["severity"], expected.level);
  if (expected.score !== undefined) assert.equal(details["score"], expected.score);
  if (expected.risk_score !== undefined) {
    // The reference emulates 32-bit rounding; it asks for a tolerance of 1.
    assert.ok(Math.abs((details["risk_score"] as number) - expected.risk_score) <= 1, summary);
  }
}
