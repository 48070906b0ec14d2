/** The shared policy vectors: validation and merging, under the rule book each names and under ours. */
import assert from "node:assert/strict";
import type { Dialect } from "../../../node/guards/dialect.ts";
import { forbiddenPatterns, section } from "../../../node/guards/policy/effective.ts";
import { type LoadedPolicy, loadPolicy } from "../../../node/guards/policy/load.ts";
import { errorsIn } from "../../../node/guards/policy/problem.ts";
import { sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface ValidationCase {
  readonly id: string;
  readonly upstream: Dialect;
  readonly yaml: string;
  readonly why: string;
  readonly expect: { readonly valid: boolean; readonly error?: string; readonly path?: string };
}

interface MergeCase {
  readonly id: string;
  readonly upstream: Dialect;
  readonly yaml: string;
  readonly why: string;
  readonly expect: { readonly effective: Readonly<Record<string, unknown>> };
}

/** Where our own rule book answers otherwise, and why. */
const OURS_DIFFERS: Readonly<Record<string, string>> = {
  "val-003": "1.3.0 is one of the schema versions this node reads; only the upstream branch stops at 1.2.0",
  "mer-010":
    "our code defaults are longer and name the docker and password-store files more exactly; they too are extended, not replaced",
};

describeShared("policy validation vectors", ["vectors/guards/policy-validation.jsonl"], () => {
  for (const found of sharedLines<ValidationCase>("vectors/guards/policy-validation.jsonl")) {
    for (const dialect of new Set<Dialect>([found.upstream, "spine"])) {
      const differs = dialect === "spine" ? OURS_DIFFERS[found.id] : undefined;
      it(`${found.id} as ${dialect}: ${differs ?? found.why}`, () => {
        const errors = errorsIn(loadPolicy(found.yaml, { dialect }).problems);
        if (differs !== undefined) {
          assert.notEqual(errors.length === 0, found.expect.valid, "no longer differs: take it off the list");
          return;
        }
        assert.equal(errors.length === 0, found.expect.valid, JSON.stringify(errors));
        if (found.expect.valid) return;
        assert.ok(
          errors.some((error) => error.code === found.expect.error && error.path === found.expect.path),
          JSON.stringify(errors),
        );
      });
    }
  }
});

describeShared("policy merge vectors", ["vectors/guards/policy-merge.jsonl"], () => {
  for (const found of sharedLines<MergeCase>("vectors/guards/policy-merge.jsonl")) {
    for (const dialect of new Set<Dialect>([found.upstream, "spine"])) {
      const differs = dialect === "spine" ? OURS_DIFFERS[found.id] : undefined;
      it(`${found.id} as ${dialect}: ${differs ?? found.why}`, () => {
        const { policy, problems } = loadPolicy(found.yaml, { dialect });
        assert.ok(policy, JSON.stringify(problems));
        const got = Object.fromEntries(Object.keys(found.expect.effective).map((path) => [path, field(policy, path)]));
        if (differs !== undefined)
          assert.notDeepEqual(got, found.expect.effective, "no longer differs: take it off the list");
        else assert.deepEqual(got, found.expect.effective);
      });
    }
  }
});

/** `guard.field` of the merged policy: null where no section was written. */
function field(policy: LoadedPolicy, path: string): unknown {
  const [name, key] = path.split(".") as [string, string];
  const { body } = policy.merged;
  if (name === "settings") return policy.effective.settings[key as keyof LoadedPolicy["effective"]["settings"]];
  const written = section(section(body, "guards") ?? {}, name);
  if (written === undefined) return null;
  if (key === "effective") return forbiddenPatterns(written, policy.dialect);
  const guard = policy.effective.guards[name as keyof LoadedPolicy["effective"]["guards"]] as unknown as Record<
    string,
    unknown
  >;
  return guard[key] ?? null;
}
