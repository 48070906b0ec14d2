/**
 * The dictionary of the compact codec: names that facts are made of. Part of the wire format: a word's number is its
 * place here, so words are only ever appended. Called by `compact-value.ts`.
 */

/** Words of one byte each, 0x80 and up: at most 128. */
const SHORT: readonly string[] = (
  "schema fact_id issued_at node_id issuer signature targets type value reason from_seq seq targets token_id " +
  "bundle_hash key recovery log_id checkpoint_seq prev_checkpoint_hash merkle_root tree_size included_heads witnesses " +
  "witness_node_id anchors rekor eas solana count root as_of incident_id origin escalation_level outcome trigger " +
  "hypothesis initial_confidence timestamp source_satellite report_id affected_runs anchor_actions ledger " +
  "local_ledger_root spine_head_hash evidence forensics_bundle_hash artifact_pointer_hashes updated_at spine kind " +
  "forked_issuer forked_seq conflicting_envelope_hashes revocation log_checkpoint incident policy_delta heartbeat " +
  "node_attestation run revocation_set genesis succession rotation transport_binding node bundle token curator name " +
  "version previous_policy_hash policy_hash valid_until ops op path host deny allow block add remove uptime_secs load " +
  "severity critical high medium low title confidence mitre iocs status id hash transports reticulum profile " +
  "destination_hash announce_period_secs supports system_attestation envelopes heads sync proofs superseded_by " +
  "revoked_at old_issuer new_issuer last_seq last_hash envelope_hash prev receipt verdict guard action tier agent"
)
  .split(" ")
  .filter((word, at, all) => all.indexOf(word) === at);

/** Words of two bytes each: at most 256. */
const LONG: readonly string[] = (
  "fork split_view integrity_violation ongoing investigate spine_fork_detected spine_prev_hash_mismatch prev_mismatch " +
  "observed_seq expected_prev_envelope_hash observed_prev_envelope_hash own_key_misuse store_tamper clock_anomaly " +
  "recovery_key_hash next_key_hash created_at old_signature new_signature recovery_key recovery_signature policy " +
  "policy_version policy_bundle policy_attestation review_attestation feed_entry receipt_verification runtime_proof " +
  "run_receipt run_id target_envelope_hash verifier_node_id feed_id feed_seq entry_id bundle_uri bundle_id " +
  "description category tags author curator_public_key attestation_type curator_approval valid_from metadata reviewer " +
  "review_notes conditions approve reject needs-changes libp2p wireguard nats peer_id public_key endpoint address " +
  "destination announce lxmf capabilities scopes subject audience expires_at not_before parent_token_id " +
  "aegis.spine.reticulum.v1 compromised key_compromise superseded decommissioned retired lost stolen " +
  "security-vulnerability tetragon_event hubble_flow event_type node_name process parent binary arguments cwd flags " +
  "pid uid pod namespace container image labels workload function_name policy_name message args process_exec " +
  "process_exit process_kprobe source target ip ip_version l4 l7 TCP UDP source_port destination_port protocol " +
  "FORWARDED DROPPED INGRESS EGRESS traffic_direction is_reply summary source_names destination_names provenance " +
  "violations passed receipt_id content_hash pattern entry limit observe enforce remove_allow add_block " +
  "forbidden_path egress_allowlist shell_command mcp_tool secret_leak patch_integrity resulting_policy_hash text " +
  "note artifact_pointer artifact_uri head_seq head_envelope_hash checkpoint_ref entry_count mode enforced harness"
)
  .split(" ")
  .filter((word, at, all) => all.indexOf(word) === at);

/** Texts before a UUID or a piece of hex in identifiers such as `cp_3f0c…`; at most 256. */
export const ID_PREFIXES: readonly string[] =
  " cp_ rev_ inc_ na_ hb_ pd_ gen_ suc_ rot_ rs_ tb_ mrev_ pa_ ra_ fe_ run_ rcpt_ tok_ pol_ tet_ hf_ sha256: urn:uuid:".split(
    " ",
  );

export const SHORT_WORDS: readonly string[] = SHORT;
export const LONG_WORDS: readonly string[] = LONG;

/** Number of each word: below 128 one of SHORT_WORDS, from 128 on one of LONG_WORDS. */
export const WORD_NUMBERS: ReadonlyMap<string, number> = new Map([
  ...LONG.map((word, at): [string, number] => [word, 128 + at]),
  ...SHORT.map((word, at): [string, number] => [word, at]),
]);
