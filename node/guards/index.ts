/** The face of the guards towards the rest of the daemon: policies, the engine, receipts and the offline verbs. */
export { type Action, type Caller, MAX_CONTENT_BYTES, parseAction } from "./action.ts";
export { type AuditEntry, type AuditFilter, type AuditPage, auditPage, readAuditFilter } from "./audit.ts";
export { type GuardCheckAnswer, type GuardCheckOptions, readHostLink, runGuardCheck } from "./check.ts";
export { type CheckPeer, type CheckRequest, checkAnswer, readCheck } from "./check-request.ts";
export type { GuardAuthority } from "./daemon/caller-rights.ts";
export type { GuardEvent } from "./daemon/decision-feed.ts";
export { GuardHost, type GuardHostOptions } from "./daemon/guard-host.ts";
export type { GuardStatus } from "./daemon/guard-status.ts";
export { findOpenings, type Opening, OpeningsLog } from "./daemon/openings.ts";
export { DIALECTS, type Dialect, isDialect } from "./dialect.ts";
export { type CustomGuardFactory, type Decision, type EngineOptions, GuardEngine } from "./engine.ts";
export type { AsyncGuard, Guard, GuardContext } from "./guard.ts";
export type { TextLayer } from "./jailbreak.ts";
export { BUNDLE_SCHEMA, BUNDLE_VERSION, isBundleProblem, type PolicyBundle, readBundle } from "./policy/bundle.ts";
export { type CuratedFact, type CuratedOutcome, CuratedPolicies, type CuratorView } from "./policy/curated.ts";
export { applyDeltas, deltaProblem, isDeltaProblem, type PolicyDelta, parseDelta } from "./policy/delta.ts";
export type { EffectivePolicy } from "./policy/effective.ts";
export { type HolderOptions, PolicyHolder, type PolicyState, type ReloadReport } from "./policy/holder.ts";
export { type InForce, inForceOf, type PolicySource } from "./policy/in-force.ts";
export { type LoadedPolicy, type LoadResult, loadPolicy, loadRuleset, readPolicyFile } from "./policy/load.ts";
export { type Loosening, loosenings } from "./policy/loosening.ts";
export type { Problem } from "./policy/problem.ts";
export { bundleFact, DELTA_SCHEMA, deltaFact, readOperation } from "./policy/publication.ts";
export { type PolicyReport, reportPolicy, reportPolicyText } from "./policy/report.ts";
export { isRuleset, RULESETS, type RulesetName, rulesetYaml } from "./policy/rulesets.ts";
export { parseEvent } from "./policy-event.ts";
export { type PostureView, SessionPosture } from "./posture.ts";
export {
  type DecisionReceipt,
  issueReceipt,
  opensCommitment,
  RECEIPT_FACT_SCHEMA,
  type ReceiptContext,
  receiptVersionProblem,
  type SignReceipt,
  type Tier,
} from "./receipt.ts";
export {
  type GuardAnswer,
  type GuardMode,
  type GuardRequest,
  GuardService,
  type GuardServiceCounters,
  type GuardServiceOptions,
  type GuardServicePorts,
  type Refusal,
} from "./service.ts";
export { SessionTable, type SessionView } from "./sessions.ts";
export type { GuardResult, Severity, Verdict } from "./verdict.ts";
