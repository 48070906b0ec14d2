/**
 * The closed union of error codes. Each has a blame (does a peer that sent this deserve a penalty?) and a hint
 * that tells the user what to do. Every code is documented in the README; `test/errors.test.ts` checks that.
 */

/** "sender": the peer that handed us this broke the protocol. "none": nobody on the link is at fault. */
export type Blame = "none" | "sender";

interface ErrorEntry {
  readonly blame: Blame;
  readonly hint: string;
}

/** One row per code. A code is never renamed or reused. */
export const ERRORS = {
  // text and canonical JSON
  json_syntax: { blame: "sender", hint: "Send one complete JSON text in UTF-8 without a byte order mark." },
  json_duplicate_key: { blame: "sender", hint: "Write each object key once." },
  json_lone_surrogate: { blame: "sender", hint: "Escape only complete surrogate pairs." },
  json_depth: { blame: "sender", hint: "Nest at most 127 levels." },
  json_number: { blame: "sender", hint: "Use numbers that fit a 64-bit float." },
  json_not_canonical: { blame: "sender", hint: "Send the canonical JSON form (RFC 8785)." },
  not_portable: {
    blame: "none",
    hint: "Use only values every implementation spells alike: integers within 2^53, at most 15 significant digits, no U+007F-U+009F.",
  },
  // keys, ids, hex
  hex_syntax: { blame: "sender", hint: "Use an even number of hexadecimal digits of the expected length." },
  issuer_syntax: { blame: "sender", hint: "Write the issuer as aegis:ed25519: and 64 lower-case hex digits." },
  public_key_invalid: { blame: "sender", hint: "Use a canonical Ed25519 public key that is not of small order." },
  signature_syntax: { blame: "sender", hint: "Write the signature as 0x and 128 hex digits." },
  signature_invalid: { blame: "sender", hint: "Sign the canonical bytes with the issuer's own key." },
  // envelopes
  envelope_field: { blame: "sender", hint: "Give every envelope field with its documented type." },
  envelope_schema: { blame: "sender", hint: "Use the schema aegis.spine.envelope.v1." },
  envelope_size: {
    blame: "sender",
    hint: "Keep an envelope within 65,536 bytes; put large data elsewhere and point to it.",
  },
  envelope_time: {
    blame: "sender",
    hint: "Write issued_at as an RFC 3339 time with a zone, such as 2026-01-01T00:00:00Z.",
  },
  hash_mismatch: { blame: "sender", hint: "envelope_hash must be the SHA-256 of the signing bytes." },
  fact_invalid: {
    blame: "none",
    hint: "Give the fact as a JSON object with a schema string and the fields of that schema.",
  },
  token_invalid: {
    blame: "none",
    hint: "A token needs subject, scopes and expires_at (null = for ever), and can pass on no more than its parent grants.",
  },
  seq_range: { blame: "sender", hint: "Use sequence numbers from 1 to 9007199254740991." },
  // chains
  chain_head_invalid: { blame: "sender", hint: "A chain starts at seq 1 (0 is tolerated) with no previous hash." },
  chain_seq_mismatch: { blame: "none", hint: "Fetch the missing range first; `spine sync` does it." },
  chain_prev_mismatch: {
    blame: "none",
    hint: "The issuer's history has forked or the range is wrong; see `spine fork list`.",
  },
  issuer_frozen: { blame: "none", hint: "The issuer signed two histories and is frozen; see `spine fork show`." },
  issuer_revoked: {
    blame: "none",
    hint: "The issuer was revoked or has handed over to another key; see `spine issuer list`.",
  },
  not_authorised: {
    blame: "none",
    hint: "Ask one of those named, or have the operators of the nodes concerned give this one the role with `spine trust add revoker`.",
  },
  own_key_conflict: {
    blame: "none",
    hint: "Another node signs with this node's key. Stop that node; if none of yours does, the key is stolen.",
  },
  fork_risk: {
    blame: "none",
    hint: "Let the node reach two peers that hold its chain, or start it once with `spine run --accept-fork-risk`.",
  },
  issuer_not_admitted: { blame: "none", hint: "Allow the issuer with `spine issuer allow ISSUER`." },
  issued_in_future: {
    blame: "none",
    hint: "Check the clock of this node and of the issuer; the envelope is held until due.",
  },
  quota_exceeded: { blame: "none", hint: "Raise the quota in the configuration or ask the sender to slow down." },
  store_low: {
    blame: "none",
    hint: "The disk is nearly full: free space, shorten retention or give the store more; `spine status` says how much is left.",
  },
  pruned: { blame: "none", hint: "Retention removed it here; its proofs remain, and another node may still hold it." },
  // heads
  head_field: { blame: "sender", hint: "Give every head announcement field with its documented type." },
  head_invalid: { blame: "sender", hint: "The head must be signed by its issuer over the canonical JSON." },
  // links and frames
  frame_syntax: { blame: "sender", hint: "Send frames as spine/WIRE.md describes them." },
  compact_reference: {
    blame: "none",
    hint: "The frame refers to something not held here; it is asked for again in full.",
  },
  frame_size: { blame: "sender", hint: "Keep frames within the size limit of the link." },
  frame_unexpected: { blame: "sender", hint: "Send a hello first, and answers only to requests that are open." },
  hello_version: { blame: "none", hint: "Update the older of the two nodes." },
  hello_proof: { blame: "sender", hint: "Sign the hello with the issuer key, bound to this transport." },
  range_invalid: { blame: "sender", hint: "Ask for from_seq <= to_seq within the announced limits." },
  range_unavailable: { blame: "none", hint: "The peer does not hold this range; ask another." },
  segment_invalid: { blame: "sender", hint: "Send segments of at most 256 consecutive linked envelopes or 256 KiB." },
  fork_proof_invalid: {
    blame: "sender",
    hint: "A fork proof needs two valid statements of one key that differ at one seq.",
  },
  request_timeout: { blame: "none", hint: "The peer did not answer in time; it is asked again later." },
  rate_limited: { blame: "none", hint: "Slow down and try again." },
  // transparency log, proofs, witnesses
  proof_index: {
    blame: "sender",
    hint: "Use an index below the tree size, and ask for proofs between existing sizes.",
  },
  proof_shape: { blame: "sender", hint: "Send exactly the 32-byte hashes RFC 6962 asks for at this index and size." },
  proof_mismatch: {
    blame: "sender",
    hint: "The proof does not lead to the stated root; it was altered or is of another tree.",
  },
  tile_path: { blame: "sender", hint: "Use the paths of c2sp.org/tlog-tiles, such as tile/0/x001/234.p/7." },
  note_syntax: { blame: "sender", hint: "Send a signed note as c2sp.org/signed-note describes it." },
  note_unsigned: {
    blame: "sender",
    hint: "No trusted key signed this note; add the log's verifier key with `spine trust add`.",
  },
  note_signature: { blame: "sender", hint: "A signature by a known key is wrong; the note was altered." },
  vkey_invalid: {
    blame: "none",
    hint: "Write the verifier key as NAME+KEYID+BASE64 of an Ed25519 log or witness key.",
  },
  tree_head_invalid: {
    blame: "sender",
    hint: "A checkpoint body is an origin, a decimal size and a base64 root, one a line.",
  },
  checkpoint_field: { blame: "sender", hint: "Give every field of the checkpoint statement with its documented type." },
  log_not_allowed: { blame: "none", hint: "Allow the log with `spine trust add`." },
  witness_signature: {
    blame: "sender",
    hint: "A witness signs the tag, a zero byte and the checkpoint hash with its own key.",
  },
  log_conflict: {
    blame: "sender",
    hint: "The log showed two histories; compare its checkpoints with `spine checkpoint list`.",
  },
  witness_stale: { blame: "none", hint: "Ask again from the size the witness names." },
  witness_restored: {
    blame: "none",
    hint: "Show the restored witness its last co-signature, or confirm its state by hand.",
  },
  quorum_missing: { blame: "none", hint: "Collect co-signatures of more trusted witnesses, then try again." },
  quorum_policy: { blame: "none", hint: "Write the policy in the syntax of c2sp.org/tlog-policy." },
  tlog_proof_syntax: { blame: "sender", hint: "Send the proof as c2sp.org/tlog-proof@v1." },
  portable_proof: {
    blame: "sender",
    hint: "Send a clawdstrike-portable-proof-v1 object with its envelope, inclusion proof and checkpoint.",
  },
  tier_not_proven: {
    blame: "none",
    hint: "The trust bundle demands an enforcement tier that this proof does not show.",
  },
  split_view_invalid: {
    blame: "sender",
    hint: "A split-view proof needs two signed heads of one log that cannot both be true.",
  },
  // planes
  plane_not_started: { blame: "none", hint: "Start the plane before sending." },
  plane_stopped: { blame: "none", hint: "The plane was stopped; start the node again." },
  plane_start_failed: {
    blame: "none",
    hint: "Check the plane's addresses in the configuration and that the port is free.",
  },
  link_unknown: { blame: "none", hint: "The link is gone; wait for the peer to reconnect." },
  nats_unavailable: { blame: "none", hint: "Check the NATS servers; what was not acknowledged is published again." },
  nats_stream: {
    blame: "none",
    hint: "Correct the named stream on the cluster, or let the node create it under another preset.",
  },
  not_disclosed: {
    blame: "none",
    hint: "The disclosure policy keeps this from that link; see `spine gateway status`.",
  },
  gateway_policy: { blame: "none", hint: "Correct the named rule; until then the policy in effect stays." },
  hook_settings: {
    blame: "none",
    hint: "Correct the harness's settings file by hand, then run `spine guard install` again.",
  },
  hook_advisory: {
    blame: "none",
    hint: "Say --advisory to install hooks that this harness does not hold when they fail, or update it.",
  },
  mcp_message: { blame: "sender", hint: "Speak JSON-RPC 2.0 as the Model Context Protocol says, each key once." },
  mcp_upstream: { blame: "none", hint: "Check that the MCP server's command or URL works without the proxy." },
  audit_broken: {
    blame: "none",
    hint: "Compare the audit log with the anchors in the node's own chain; keep the file as evidence.",
  },
  link_congested: { blame: "none", hint: "The peer does not read fast enough; the frame was not taken." },
  peer_address: { blame: "none", hint: "Give a multiaddr such as /ip4/192.0.2.1/tcp/4801/p2p/PEER_ID." },
  peer_unreachable: { blame: "none", hint: "Check that the peer runs and that its address and port are reachable." },
  // WireGuard
  enclave_address: {
    blame: "none",
    hint: "Give each enclave node one address of its own inside planes.wireguard.network, clear of local networks.",
  },
  enclave_helper: {
    blame: "none",
    hint: "Start the unit spine-enclave and let the daemon's group reach its socket (planes.wireguard.helper).",
  },
  enclave_refused: {
    blame: "none",
    hint: "The helper serves one interface, network and port; give it and the node the same settings.",
  },
  enclave_device: {
    blame: "none",
    hint: "The interface is gone or does not obey; it is set up again on its own. Read the cause.",
  },
  uapi_syntax: { blame: "none", hint: "Another program answers on the interface's control socket; find out which." },
  transport_key: {
    blame: "sender",
    hint: "Say hello with the issuer that announced this link's transport key in its transport_binding fact.",
  },
  // Reticulum
  decompression_limit: { blame: "sender", hint: "Send less in one piece; what inflates beyond the limit is dropped." },
  path_unknown: { blame: "none", hint: "Wait for the destination's announce or ask for a path first." },
  payload_size: { blame: "none", hint: "Send less in one packet, or use a resource." },
  resource_failed: { blame: "none", hint: "The transfer did not complete; check the link and send it again." },
  resource_rejected: { blame: "none", hint: "The peer does not take this resource." },
  stamp_invalid: { blame: "sender", hint: "Give the message a stamp of the cost that the receiver announces." },
  stamp_cost: { blame: "none", hint: "The receiver asks for more work than this node does; ask it for a ticket." },
  delivery_failed: {
    blame: "none",
    hint: "No proof of delivery came; leave the message with a propagation node, or send it when the receiver is there.",
  },
  propagation_refused: { blame: "none", hint: "Choose another propagation node, or announce yourself to this one." },
  device_failed: {
    blame: "none",
    hint: "Check the device, its port and its radio settings; it is reopened on its own.",
  },
  // storage
  store_locked: { blame: "none", hint: "Another spine process uses this directory; stop it or choose another --dir." },
  store_corrupt: { blame: "none", hint: "Run `spine store check`; restore a backup if it reports damage." },
  store_version: { blame: "none", hint: "The store was written by a newer spine; update this one." },
  store_full: { blame: "none", hint: "Free disk space and start the node again; nothing acknowledged was lost." },
  store_failed: { blame: "none", hint: "Read the cause; check the disk, then run `spine store check`." },
  store_closed: { blame: "none", hint: "Open the store before using it." },
  backup_invalid: { blame: "none", hint: "The backup is damaged or cut off; use another one." },
  backup_passphrase: { blame: "none", hint: "Give the right passphrase with --passphrase-file." },
  restore_target: { blame: "none", hint: "Restore into a new or an empty directory." },
  // configuration, keys, process
  scenario_invalid: {
    blame: "none",
    hint: "Correct the named fields; `spine sim schema` shows what is allowed, `spine sim show NAME` an example.",
  },
  config_invalid: { blame: "none", hint: "Correct the named field; `spine config schema` shows what is allowed." },
  key_missing: { blame: "none", hint: "Run `spine init` first." },
  key_exists: {
    blame: "none",
    hint: "The directory already has a key; use --force-new only if the old identity may be lost.",
  },
  key_invalid: { blame: "none", hint: "Restore the key file from your backup." },
  key_permissions: { blame: "none", hint: "Run chmod 600 on the key file and find out who could read it." },
  daemon_running: {
    blame: "none",
    hint: "A daemon runs on this directory; stop it first or use verbs that go through it.",
  },
  daemon_not_running: { blame: "none", hint: "Start it with `spine run`." },
  port_in_use: { blame: "none", hint: "Choose another port in the configuration or stop the other program." },
  // API and command line
  api_unauthorized: { blame: "none", hint: "Send the token from the api-token file as Authorization: Bearer TOKEN." },
  api_forbidden: {
    blame: "none",
    hint: "Use the loopback address or the unix socket; browsers of other sites are refused.",
  },
  api_not_found: { blame: "none", hint: "Check the path and the identifier." },
  api_input: { blame: "none", hint: "Correct the named part of the request." },
  request_size: { blame: "none", hint: "Send less in one request; what is too large to be judged is denied." },
  api_unavailable: { blame: "none", hint: "The node is stopping or not ready; try again." },
  usage: { blame: "none", hint: "See the verb's --help." },
  internal: { blame: "none", hint: "This is a defect in spine; please report it with the log." },
} as const;

export type ErrorCode = keyof typeof ERRORS;
const entries: Readonly<Record<ErrorCode, ErrorEntry>> = ERRORS;

/** The only error the core and its adapters throw. `message` names the subject, `code` the kind. */
export class SpineError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "SpineError";
    this.code = code;
  }
  get blame(): Blame {
    return entries[this.code].blame;
  }
  /** What the user can do about it: one sentence. */
  get hint(): string {
    return entries[this.code].hint;
  }
}

/** Turns anything caught into a SpineError; foreign errors become `fallback` with the original as cause. */
export function asSpineError(caught: unknown, fallback: ErrorCode = "internal"): SpineError {
  if (caught instanceof SpineError) return caught;
  const message: string = caught instanceof Error ? caught.message : String(caught);
  return new SpineError(fallback, message, { cause: caught });
}
