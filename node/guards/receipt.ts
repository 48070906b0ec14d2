/**
 * The receipt of one decision (spec/guards.md section 3.6, design/rules.md rules 13): upstream's receipt 1.0.0 shape signed
 * over its canonical JSON, wrapped in a fact that names policy, tier, harness and agent. Targets are commitments only.
 */
import { createHash } from "node:crypto";
import { canonicalText, fromHex, type Json, type Random, SpineError, toHex, utf8 } from "../../spine/index.ts";
import type { Action, Caller } from "./action.ts";
import type { Decision } from "./engine.ts";
import type { PolicyState } from "./policy/holder.ts";
import type { PostureView } from "./posture.ts";
import { redactSecrets } from "./secrets/redact.ts";
import { severityRank, verdictOf } from "./verdict.ts";

export const RECEIPT_VERSION = "1.0.0";
export const RECEIPT_FACT_SCHEMA = "aegis.spine.fact.guard_receipt.v1";
/** Kernel tiers need kernel evidence and are never made here. */
export type Tier = "best_effort" | "daemon_enforced";

/** Everything about a decision that is not the decision. */
export interface ReceiptContext {
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly tier: Tier;
  /** `observe` reports what it would have denied and lets it pass. */
  readonly mode: "enforce" | "observe";
  readonly policyState: PolicyState;
  readonly ruleset?: string;
  /** Hashes of the policies that all had to allow, when there were several. */
  readonly policies?: readonly string[];
  readonly harness?: { readonly kind: string; readonly hookMode: string };
  /** From the unix socket's peer credentials, when known. */
  readonly peer?: { readonly uid: number; readonly pid?: number };
  readonly posture?: { readonly before: PostureView; readonly after: PostureView };
  /** Age of the newest revocation set this node knows. */
  readonly revocationsAgeMs?: number;
  readonly latencyUs?: number;
}

/** Ed25519 over the canonical JSON of the receipt; the daemon's key, injected. Throws or rejects when it cannot sign. */
export type SignReceipt = (message: Uint8Array) => Uint8Array | Promise<Uint8Array>;

export interface DecisionReceipt {
  /** The fact to publish: JSON, portable, without raw targets or secrets. */
  readonly fact: Json;
  /** 64 hex digits; `spine guard reveal` finds the opening by it. */
  readonly commitment: string;
  /** Stays on this host: opens the commitment. */
  readonly opening: { readonly nonce: string; readonly target: string };
}

const NONCE_BYTES = 16;
/** Longer paths, commands and hosts are committed to by their SHA-256: what opens a commitment stays small. */
const MAX_OPEN_CHARS = 8_192;
/** Violations listed in one receipt; the count of all is always given. */
const MAX_VIOLATIONS = 16;

/** `file_access`, `egress`, … or the custom kind. */
export function actionType(action: Action): string {
  return action.type === "custom" ? action.kind.slice(0, 128) : action.type;
}

/** A command line or URL that holds a secret is kept without it: the opening outlives the decision. */
function withoutSecrets(action: Action, decision: Decision): Action {
  const leaks = decision.results.some((result) => /secret_(?:found|suspected)/.test(result.reason ?? ""));
  if (!leaks) return action;
  if (action.type === "shell") return { ...action, command: redactSecrets(action.command) };
  return action.type === "egress" ? { ...action, target: redactSecrets(action.target) } : action;
}

/** The text a commitment commits to: canonical JSON of the action, content replaced by its SHA-256. */
export function targetText(action: Action): string {
  const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
  switch (action.type) {
    case "file_access":
      return canonicalText({ type: action.type, path: plain(action.path) });
    case "file_write":
      return canonicalText({
        type: action.type,
        path: plain(action.path),
        content_sha256: action.content === undefined ? null : sha256(action.content),
      });
    case "patch":
      return canonicalText({ type: action.type, path: plain(action.path), diff_sha256: sha256(action.diff) });
    case "egress":
      return canonicalText({
        type: action.type,
        target: plain(action.target),
        port: action.port ?? null,
        ...(action.body !== undefined && { body_sha256: sha256(action.body) }),
      });
    case "shell":
      return canonicalText({ type: action.type, command: plain(action.command) });
    case "mcp_tool":
      return canonicalText({
        type: action.type,
        name: plain(action.name),
        args_sha256: sha256(JSON.stringify(action.args)),
      });
    case "custom":
      return canonicalText({
        type: action.kind.slice(0, 128),
        payload_sha256: sha256(JSON.stringify(action.payload ?? null)),
      });
  }
}

/** Half surrogate pairs have no canonical form; they become U+FFFD. */
function plain(text: string): string {
  if (text.length > MAX_OPEN_CHARS) return `sha256:${createHash("sha256").update(text, "utf8").digest("hex")}`;
  return /[\ud800-\udfff]/.test(text) ? Buffer.from(text, "utf8").toString("utf8") : text;
}

/** SHA-256(nonce ‖ target) as 64 hex digits. */
export function commitTarget(nonce: Uint8Array, target: string): string {
  return createHash("sha256").update(nonce).update(target, "utf8").digest("hex");
}

/** True when `opening` is what `commitment` committed to. */
export function opensCommitment(
  commitment: string,
  opening: { readonly nonce: string; readonly target: string },
): boolean {
  return commitTarget(fromHex(opening.nonce, NONCE_BYTES), opening.target) === commitment;
}

/** Builds and signs the receipt of `decision`. Rejects with what `sign` threw: the caller then denies. */
export async function issueReceipt(
  action: Action,
  caller: Caller,
  decision: Decision,
  context: ReceiptContext,
  ports: { readonly sign: SignReceipt; readonly random: Random },
): Promise<DecisionReceipt> {
  const nonce = ports.random(NONCE_BYTES);
  const target = targetText(withoutSecrets(action, decision));
  const commitment = commitTarget(nonce, target);
  const receipt = receiptBody(action, decision, context, commitment);
  const signature = await ports.sign(utf8(canonicalText(receipt)));
  if (signature.length !== 64) throw new SpineError("internal", `signature of ${signature.length} bytes`);
  const fact: Json = {
    schema: RECEIPT_FACT_SCHEMA,
    receipt: { receipt, signatures: { signer: toHex(signature) } },
    decision: {
      verdict: decision.verdict,
      guard: decision.guard,
      severity: decision.severity,
      reason: decision.reason ?? null,
      ask: decision.ask,
    },
    action: { type: actionType(action), target_commitment: `0x${commitment}` },
    policy_hash: `0x${decision.policyHash}`,
    ...(context.policies !== undefined && { policies: context.policies.map((hash) => `0x${hash}`) }),
    policy_state: context.policyState,
    tier: context.tier,
    mode: context.mode,
    harness: context.harness === undefined ? null : { kind: context.harness.kind, hook_mode: context.harness.hookMode },
    agent: {
      id: caller.agent === undefined ? null : plain(caller.agent).slice(0, 256),
      uid: context.peer?.uid ?? null,
      pid: context.peer?.pid ?? null,
    },
    session: caller.session === undefined ? null : plain(caller.session).slice(0, 256),
    revocations_age_ms: context.revocationsAgeMs ?? null,
    latency_us: context.latencyUs ?? null,
  };
  return { fact, commitment, opening: { nonce: toHex(nonce), target } };
}

/** Upstream's receipt: `passed` is the decision itself, `content_hash` the commitment to what was decided on. */
function receiptBody(action: Action, decision: Decision, context: ReceiptContext, commitment: string): Json {
  const violations = decision.results
    .filter((result) => verdictOf(result) !== "allow")
    .sort((a, b) => severityRank(b.severity) - severityRank(a.severity));
  return {
    version: RECEIPT_VERSION,
    timestamp: context.timestamp,
    content_hash: `0x${commitment}`,
    verdict: { passed: decision.allowed, gate_id: decision.guard },
    provenance: {
      policy_hash: `0x${decision.policyHash}`,
      ...(context.ruleset !== undefined && { ruleset: context.ruleset }),
      // Messages may quote a path or host: the reason code says enough and gives nothing away.
      violations: violations.slice(0, MAX_VIOLATIONS).map((result) => ({
        guard: result.guard,
        severity: capital(result.severity),
        message: result.reason ?? "violation",
        action: actionType(action),
      })),
    },
    metadata: {
      spine: {
        tier: context.tier,
        mode: context.mode,
        verdict: decision.verdict,
        ask: decision.ask,
        violation_count: violations.length,
      },
      ...(context.posture !== undefined && { clawdstrike: { posture: postureMetadata(context.posture) } }),
    },
  };
}

function capital(word: string): string {
  return `${word[0]?.toUpperCase() ?? ""}${word.slice(1)}`;
}

function postureMetadata(posture: { readonly before: PostureView; readonly after: PostureView }): Json {
  const { before, after } = posture;
  const deltas = Object.entries(after.budgets)
    .map(
      ([name, budget]) =>
        [name, budget.used - (before.state === after.state ? (before.budgets[name]?.used ?? 0) : budget.used)] as const,
    )
    .filter(([, delta]) => delta > 0);
  return {
    state_before: before.state,
    state_after: after.state,
    budgets_before: before.budgets as unknown as Json,
    budgets_after: after.budgets as unknown as Json,
    budget_deltas: Object.fromEntries(deltas),
    transition:
      after.transition === undefined
        ? null
        : {
            from: after.transition.from,
            to: after.transition.to,
            trigger: after.transition.trigger,
            at: new Date(after.transition.at).toISOString().replace(/\.\d{3}Z$/, "Z"),
          },
  };
}

/** Strictly three decimal parts, and the one version this node issues and reads. Undefined when fine. */
export function receiptVersionProblem(version: unknown): string | undefined {
  if (typeof version !== "string" || !/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)$/.test(version)) {
    return `Invalid receipt version: ${String(version)}`;
  }
  return version === RECEIPT_VERSION ? undefined : `Unsupported receipt version: ${version}`;
}
