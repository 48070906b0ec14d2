/**
 * Where this node's verdict differs, on purpose, from the one recorded from upstream: vector file, case, reason.
 * The vector tests read it, and fail when an entry is no longer needed; the README's compatibility table quotes it.
 */
export const DEVIATIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "canonical.json": {
    dup_keys_last_wins: "duplicate keys are refused: two readers could see different facts",
    dup_keys_escaped_same: "duplicate keys are refused, also when they differ only in escapes",
    random_042: "duplicate keys are refused",
    random_071: "duplicate keys are refused",
    random_099: "duplicate keys are refused",
    random_138: "duplicate keys are refused",
  },
  "envelopes_valid.json": {
    wrong_schema: "the envelope schema is checked",
    seq_as_string: "seq must be an integer",
    bad_timestamp: "issued_at must be an RFC 3339 time",
  },
  "ed25519_edge.json": {
    identity_key_identity_r_zero_s: "small-order keys are refused: they sign every message",
    noncanonical_identity_key: "keys in a non-canonical encoding are refused",
    identity_key_sign_bit: "keys in a non-canonical encoding are refused",
    torsion8_key_k_multiple: "small-order keys are refused",
    identity_r_good_key: "signatures with a small-order R are refused",
  },
  "facts.json": {
    "node_attestation/as_python_adapter_builds_without_system_attestation":
      "the Python adapter's identity binding is accepted",
    "node_attestation/as_cyntra_builds_nixos_fields": "the parent implementation's attestation is accepted",
    "feed_entry/feed_seq_float": "1.0 and 1 are one number in canonical JSON, with one signed spelling",
  },
  "trust_bundles.json": {
    quorum_float: "1.0 and 1 are one number in canonical JSON",
    array_instead_of_object: "an array is no trust bundle",
  },
};

/** Compares one verdict with upstream's; an entry in the table must be there exactly when they differ. */
export function differs(file: string, name: string): boolean {
  return DEVIATIONS[file]?.[name] !== undefined;
}
