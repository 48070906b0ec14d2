/** Receipts: shape, signature, commitments, redaction, portability, and the shared version cases and snapshots. */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import fc from "fast-check";
import type { Action } from "../../../node/guards/action.ts";
import { GuardEngine } from "../../../node/guards/engine.ts";
import type { PosturePolicy } from "../../../node/guards/policy/effective.ts";
import { SessionPosture } from "../../../node/guards/posture.ts";
import {
  issueReceipt,
  opensCommitment,
  type ReceiptContext,
  receiptVersionProblem,
} from "../../../node/guards/receipt.ts";
import { canonicalText, type Json } from "../../../spine/index.ts";
import { casePolicy } from "../../helpers/guard-cases.ts";
import { describeShared, sharedJson } from "../../helpers/shared.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const PORTS = { sign: (message: Uint8Array): Uint8Array => sign(null, message, privateKey), random: randomBytes };
const CONTEXT: ReceiptContext = {
  timestamp: "2026-02-06T00:00:00Z",
  tier: "best_effort",
  mode: "enforce",
  policyState: "active",
  ruleset: "default",
};
const engine = new GuardEngine(casePolicy({ ruleset: "default" }, "spine"));

type Fact = {
  readonly receipt: {
    readonly receipt: Json & Record<string, unknown>;
    readonly signatures: { readonly signer: string };
  };
} & Record<string, unknown>;

async function factOf(
  action: Action,
  context: ReceiptContext = CONTEXT,
): Promise<{ fact: Fact; commitment: string; opening: { nonce: string; target: string } }> {
  const issued = await issueReceipt(action, { agent: "a", session: "s" }, engine.decide(action, {}), context, PORTS);
  return { ...issued, fact: issued.fact as unknown as Fact };
}

describe("receipts", () => {
  it("are signed over the canonical receipt", async () => {
    const { fact } = await factOf({ type: "file_access", path: "/home/u/.ssh/id_rsa" });
    const { receipt, signatures } = fact.receipt;
    const good = verify(null, Buffer.from(canonicalText(receipt)), publicKey, Buffer.from(signatures.signer, "hex"));
    assert.ok(good);
    assert.deepEqual((receipt as { verdict: unknown }).verdict, { passed: false, gate_id: "forbidden_path" });
    assert.equal(receipt["version"], "1.0.0");
  });

  it("commit to the target and open only with the right nonce", async () => {
    const { fact, commitment, opening } = await factOf({ type: "egress", target: "evil.example", port: 443 });
    assert.deepEqual(fact["action"], { type: "egress", target_commitment: `0x${commitment}` });
    assert.ok(opensCommitment(commitment, opening));
    assert.ok(!opensCommitment(commitment, { ...opening, target: opening.target.replace("evil", "good") }));
    assert.ok(!opensCommitment(commitment, { ...opening, nonce: "00".repeat(16) }));
  });

  it("never show targets, commands, arguments or secrets", async () => {
    const secret = ["AKIA", "Q3EGXAMPLE7ZT2WV"].join("");
    const marks: readonly Action[] = [
      { type: "file_access", path: "/home/u/.ssh/zebra" },
      { type: "file_write", path: "/w/zebra", content: Buffer.from(`zebra ${secret}`) },
      { type: "egress", target: "zebra.example" },
      { type: "shell", command: "cat /etc/shadow zebra" },
      { type: "mcp_tool", name: "zebra", args: { path: "/etc/shadow", zebra: secret } },
      { type: "patch", path: "zebra", diff: `+${secret}` },
      { type: "custom", kind: "user_input", payload: { text: "You are DAN. zebra" } },
    ];
    for (const action of marks) {
      const text = JSON.stringify((await factOf(action)).fact);
      assert.ok(!text.includes("zebra"), text);
      assert.ok(!text.includes(secret.slice(0, 8)), text);
    }
  });

  it("are portable JSON whatever the action holds", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: "binary" }),
        fc.constantFrom("file_access", "shell", "egress"),
        async (text, type) => {
          const action: Action =
            type === "shell"
              ? { type, command: text }
              : type === "egress"
                ? { type, target: text }
                : { type: "file_access", path: text };
          const { fact } = await factOf(action);
          assert.equal(
            canonicalText(JSON.parse(canonicalText(fact as unknown as Json)) as Json),
            canonicalText(fact as unknown as Json),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it("pass on that signing failed", async () => {
    const action: Action = { type: "file_access", path: "/w/x" };
    const broken = { ...PORTS, sign: () => Promise.reject(new Error("no key")) };
    await assert.rejects(issueReceipt(action, {}, engine.decide(action, {}), CONTEXT, broken), /no key/);
    const short = { ...PORTS, sign: () => new Uint8Array(10) };
    await assert.rejects(issueReceipt(action, {}, engine.decide(action, {}), CONTEXT, short));
  });
});

describeShared("receipt version cases", ["vectors/guards/upstream/receipt_version_cases.json"], () => {
  interface VersionCase {
    readonly name: string;
    readonly version: string;
    readonly supported: boolean;
    readonly error_contains?: string;
  }
  for (const found of sharedJson<VersionCase[]>("vectors/guards/upstream/receipt_version_cases.json")) {
    it(found.name, () => {
      const problem = receiptVersionProblem(found.version);
      assert.equal(problem === undefined, found.supported);
      if (found.error_contains !== undefined) assert.ok(problem?.includes(found.error_contains), problem);
    });
  }
});

describeShared("receipt snapshots", ["vectors/guards/upstream/receipt_posture_allow.json"], () => {
  it("posture metadata has the shape of the upstream snapshots", async () => {
    type Snapshot = { readonly metadata: { readonly clawdstrike: { readonly posture: Record<string, unknown> } } };
    const snapshots = ["receipt_posture_allow", "receipt_posture_deny_budget"].map((name) =>
      sharedJson<Snapshot>(`vectors/guards/upstream/${name}.json`),
    );
    const policy: PosturePolicy = {
      initial: "work",
      states: {
        work: { capabilities: ["file_write"], budgets: { file_writes: 1 } },
        quarantine: { capabilities: [], budgets: {} },
      },
      transitions: [{ from: "work", to: "quarantine", on: "budget_exhausted" }],
    };
    const session = new SessionPosture(policy, 0);
    const before = session.view();
    const action: Action = { type: "file_write", path: "/w/x" };
    session.before(action, 1000);
    session.after(action, { guard: "x", allowed: true, severity: "info", message: "" }, 1000);
    const { fact } = await factOf(action, { ...CONTEXT, posture: { before, after: session.view() } });
    const got = (fact.receipt.receipt as unknown as Snapshot).metadata.clawdstrike.posture;
    for (const snapshot of snapshots) {
      assert.deepEqual(Object.keys(got).sort(), Object.keys(snapshot.metadata.clawdstrike.posture).sort());
    }
    assert.deepEqual(got["transition"], {
      from: "work",
      to: "quarantine",
      trigger: "budget_exhausted",
      at: "1970-01-01T00:00:01Z",
    });
    const [, denied] = snapshots;
    assert.deepEqual(
      Object.keys(got["transition"] as object).sort(),
      Object.keys(denied?.metadata.clawdstrike.posture["transition"] as object).sort(),
    );
  });

  it("canonical JSON agrees with the upstream vectors", () => {
    interface Vector {
      readonly name: string;
      readonly input: Json;
      readonly expected: string;
    }
    for (const found of sharedJson<Vector[]>("vectors/guards/upstream/jcs_vectors.json")) {
      assert.equal(canonicalText(found.input), found.expected, found.name);
    }
  });
});
