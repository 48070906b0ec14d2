/**
 * Shapes of the typed facts and marketplace messages, as a table, and their check. spec/spine.md sections 7.2 to 7.17
 * and 8.2. Called before publishing and by whoever acts on a fact; storing one needs none of this.
 */
import { SpineError } from "./errors.ts";
import { type FactKind, factKind } from "./fact.ts";
import { isJsonObject, type Json } from "./lossless.ts";

type Scalar = "string" | "u64" | "u16" | "any" | "nullable-string";
interface ListType {
  readonly list: FieldType;
}
type FieldType = Scalar | ListType | Shape;

/** A strict object refuses unknown fields. Optional fields may be null, defaulted ones may only be left out. */
interface Shape {
  readonly required?: Readonly<Record<string, FieldType>>;
  readonly optional?: Readonly<Record<string, FieldType>>;
  readonly defaulted?: Readonly<Record<string, FieldType>>;
  readonly open?: boolean;
}

const STRINGS: ListType = { list: "string" };

const KUBERNETES: Shape = {
  required: { namespace: "string" },
  optional: {
    pod: "string",
    node: "string",
    service_account: "string",
    container_image: "string",
    container_image_digest: "string",
  },
};

const TRANSPORTS: Shape = {
  optional: {
    reticulum: {
      required: { profile: "string", destination_hash: "string" },
      defaulted: { announce_period_secs: "u64", supports: STRINGS },
    },
  },
};

const ATTESTATION_FIELDS: Readonly<Record<string, FieldType>> = {
  schema: "string",
  fact_id: "string",
  node_id: "string",
  issued_at: "string",
};

const CHECKPOINT_REF: Shape = { required: { log_id: "string", checkpoint_seq: "u64", envelope_hash: "string" } };

/** What succession and rotation share: who hands over to whom, and after which envelope. */
const HANDOVER_FIELDS: Readonly<Record<string, FieldType>> = {
  schema: "string",
  fact_id: "string",
  old_issuer: "string",
  last_seq: "u64",
  last_hash: "nullable-string",
  new_issuer: "string",
  issued_at: "string",
};

/** Each name has one shape, or several of which one must fit; the first is the one this node emits. */
const SHAPES: Readonly<Record<string, readonly Shape[]>> = {
  node_attestation: [
    {
      required: {
        ...ATTESTATION_FIELDS,
        system_attestation: {
          optional: {
            spiffe_id: "string",
            svid_cert_hash: "string",
            trust_domain: "string",
            kubernetes: KUBERNETES,
            binary: "string",
            binary_hash_ima: "string",
          },
        },
      },
      optional: { transports: TRANSPORTS },
    },
    // As the upstream Python adapter builds an identity binding.
    { required: { ...ATTESTATION_FIELDS, transports: TRANSPORTS } },
    // As the parent implementation builds it.
    {
      required: {
        ...ATTESTATION_FIELDS,
        system_attestation: {
          required: { nixos_system_hash: "nullable-string" },
          optional: {
            nixos_config_hash: "string",
            kernel_version: "string",
            aegis_daemon_version: "string",
            boot_timestamp: "any",
            hardware_id: "string",
            cpu_model: "string",
            attested_at: "string",
          },
        },
      },
      optional: { tpm_quote: "any", transports: TRANSPORTS },
    },
  ],
  runtime_proof: [
    {
      required: {
        schema: "string",
        fact_id: "string",
        proof_type: "string",
        timestamp: "string",
        execution: {
          required: { binary: "string", pid: "u64", exec_id: "string" },
          optional: {
            binary_hash_ima: "string",
            arguments: "string",
            uid: "u64",
            parent_exec_id: "string",
            capabilities: "string",
            namespaces: "any",
          },
        },
        identity: { required: { spiffe_id: "string", trust_domain: "string" }, optional: { svid_serial: "string" } },
        kubernetes: KUBERNETES,
        attestation_chain: {
          required: { tetragon_exec_id: "string" },
          optional: { spire_svid_hash: "string", clawdstrike_receipt_hash: "string", aegisnet_envelope_hash: "string" },
        },
      },
      optional: {
        network_enforcement: {
          optional: { tetragon_policy: "string", cilium_network_policy: "string" },
          defaulted: {
            observed_connections: {
              list: {
                required: { daddr: "string", dport: "u16", protocol: "string" },
                optional: { service: "string" },
              },
            },
          },
        },
      },
    },
  ],
  policy_attestation: [
    {
      required: {
        schema: "string",
        fact_id: "string",
        bundle_id: "string",
        bundle_hash: "string",
        feed_id: "string",
        feed_seq: "u64",
        entry_id: "string",
        policy_hash: "string",
        curator_public_key: "string",
        attestation_type: "string",
      },
      optional: { valid_from: "string", valid_until: "string", metadata: "any" },
    },
  ],
  review_attestation: [
    {
      required: { schema: "string", fact_id: "string", bundle_hash: "string", reviewer: "string", verdict: "string" },
      optional: { review_notes: "string" },
      defaulted: { conditions: STRINGS },
    },
  ],
  marketplace_revocation: [
    {
      required: { schema: "string", fact_id: "string", bundle_hash: "string", reason: "string", revoked_at: "string" },
      optional: { superseded_by: "string" },
    },
  ],
  feed_entry: [
    {
      required: {
        schema: "string",
        fact_id: "string",
        feed_id: "string",
        feed_seq: "u64",
        entry_id: "string",
        bundle_uri: "string",
        bundle_hash: "string",
        policy_hash: "string",
      },
      optional: { title: "string", description: "string", category: "string", author: "string" },
      defaulted: { tags: STRINGS },
    },
  ],
  head_announcement_fact: [
    {
      required: {
        schema: "string",
        fact_id: "string",
        feed_id: "string",
        curator_issuer: "string",
        head_seq: "u64",
        head_envelope_hash: "string",
        entry_count: "u64",
      },
      optional: { checkpoint_ref: CHECKPOINT_REF },
    },
  ],
  checkpoint_ref: [CHECKPOINT_REF],
  log_checkpoint: [
    {
      required: {
        log_id: "string",
        checkpoint_seq: "u64",
        prev_checkpoint_hash: "nullable-string",
        merkle_root: "string",
        tree_size: "u64",
        issued_at: "string",
      },
      open: true,
    },
  ],
  spine_revocation: [
    {
      optional: { recovery: { required: { issuer: "string", key: "string", signature: "string" } } },
      defaulted: {
        targets: {
          list: { required: { type: "string", value: "string" }, defaulted: { from_seq: "u64" }, open: true },
        },
      },
      open: true,
    },
  ],
  revocation_set: [
    { required: { schema: "string", fact_id: "string", count: "u64", root: "string", as_of: "string" } },
  ],
  genesis: [
    {
      required: {
        schema: "string",
        fact_id: "string",
        recovery_key_hash: "string",
        next_key_hash: "string",
        created_at: "string",
      },
    },
  ],
  succession: [
    { required: { ...HANDOVER_FIELDS, recovery_key: "string", recovery_signature: "string", new_signature: "string" } },
  ],
  rotation: [{ required: { ...HANDOVER_FIELDS, old_signature: "string", new_signature: "string" } }],
  // Which key an issuer uses on a transport; what else stands there depends on the transport.
  transport_binding: [
    {
      required: { schema: "string", fact_id: "string", transport: "string", public_key: "string" },
      optional: { next_key: "string", address: "string", port: "u16", endpoints: STRINGS },
      open: true,
    },
  ],
  sync_request_marketplace: [
    { required: { schema: "string", curator_issuer: "string", from_seq: "u64", to_seq: "u64" } },
  ],
  sync_response_marketplace: [{ required: { schema: "string", curator_issuer: "string", envelopes: { list: "any" } } }],
};

const UNSIGNED_LIMIT: Readonly<Record<string, bigint>> = { u64: 2n ** 64n, u16: 2n ** 16n };

/** What is wrong with `value`, naming the path; undefined when it fits. */
function misfit(value: Json | undefined, type: FieldType, path: string): string | undefined {
  if (typeof type === "object") {
    if (!("list" in type)) return objectMisfit(value, type, path);
    if (!Array.isArray(value)) return `${path} is not a list`;
    const list = value as readonly Json[];
    for (let i = 0; i < list.length; i++) {
      const problem: string | undefined = misfit(list[i], type.list, `${path}[${i}]`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  if (type === "any") return undefined;
  if (type === "string") return typeof value === "string" ? undefined : `${path} is not a string`;
  if (type === "nullable-string")
    return value === null || typeof value === "string" ? undefined : `${path} is neither null nor a string`;
  const integer = typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value));
  return integer && value >= 0 && BigInt(value) < (UNSIGNED_LIMIT[type] as bigint)
    ? undefined
    : `${path} is not an unsigned integer (${type})`;
}

function objectMisfit(value: Json | undefined, shape: Shape, path: string): string | undefined {
  if (!isJsonObject(value)) return `${path} is not an object`;
  for (const [key, type] of Object.entries(shape.required ?? {})) {
    if (value[key] === undefined) return `${path}.${key} is missing`;
    const problem: string | undefined = misfit(value[key], type, `${path}.${key}`);
    if (problem !== undefined) return problem;
  }
  for (const [key, field] of Object.entries(value)) {
    if (shape.required !== undefined && Object.hasOwn(shape.required, key)) continue;
    const optional: FieldType | undefined = entry(shape.optional, key);
    const type: FieldType | undefined = optional ?? entry(shape.defaulted, key);
    if (type === undefined) {
      if (shape.open === true) continue;
      return `${path}.${key} is unknown`;
    }
    if (field === null && optional !== undefined) continue;
    const problem: string | undefined = misfit(field, type, `${path}.${key}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function entry(fields: Readonly<Record<string, FieldType>> | undefined, key: string): FieldType | undefined {
  return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Names in the table of shapes. */
export const SHAPE_NAMES: readonly string[] = Object.keys(SHAPES);

/** Checks a value against a named shape; throws `fact_invalid` naming the first field that does not fit the main form. */
export function checkShape(name: string, value: Json): void {
  const shapes: readonly Shape[] | undefined = Object.hasOwn(SHAPES, name) ? SHAPES[name] : undefined;
  if (shapes === undefined) throw new SpineError("internal", `no shape named ${name}`);
  const problems: (string | undefined)[] = shapes.map((shape) => objectMisfit(value, shape, "fact"));
  if (!problems.includes(undefined)) throw new SpineError("fact_invalid", problems[0] as string);
}

/** Kinds of the spine family whose shape bears their name. */
const SPINE_KINDS: ReadonlySet<string> = new Set([
  "node_attestation",
  "runtime_proof",
  "log_checkpoint",
  "revocation_set",
  "genesis",
  "succession",
  "rotation",
  "transport_binding",
]);

function shapeOf(known: FactKind | undefined): string | undefined {
  if (known === undefined || known.version !== 1 || known.family === "sdr") return undefined;
  if (known.kind === "revocation")
    return known.family === "marketplace" ? "marketplace_revocation" : "spine_revocation";
  if (known.family === "marketplace" && known.kind === "head_announcement") return "head_announcement_fact";
  const marketplace =
    known.kind === "policy_attestation" || known.kind === "review_attestation" || known.kind === "feed_entry";
  return (SPINE_KINDS.has(known.kind) && known.family === "spine") || marketplace ? known.kind : undefined;
}

/**
 * Checks a fact by its own schema: an object with a `schema` string, and the documented fields where the kind has a
 * documented shape. Facts of other kinds pass. Throws `fact_invalid` with the path of the field.
 */
export function checkFact(fact: Json): void {
  if (!isJsonObject(fact)) throw new SpineError("fact_invalid", "fact is not an object");
  const schema: Json | undefined = fact["schema"];
  if (typeof schema !== "string" || schema === "")
    throw new SpineError("fact_invalid", "fact.schema is not a non-empty string");
  const name: string | undefined = shapeOf(factKind(schema));
  if (name !== undefined) checkShape(name, fact);
}
