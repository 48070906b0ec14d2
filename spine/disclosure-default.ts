/**
 * Which fact kinds cross which plane when the operator says nothing: the one table, from which the README's is made and
 * the default policy built (rules 11, spec/spine.md 16, 17).
 */
import type { DisclosurePolicy, DisclosureRule } from "./disclosure.ts";

/** Columns: own facts to radio, other planes to radio, radio to others, between networks. */
export interface DefaultRow {
  readonly kind: string;
  readonly toRadio: boolean;
  readonly fromRadio: boolean;
  readonly between: boolean;
}

const row = (kind: string, toRadio: boolean, fromRadio: boolean, between: boolean): DefaultRow => ({
  kind,
  toRadio,
  fromRadio,
  between,
});

export const DEFAULT_DISCLOSURE: readonly DefaultRow[] = [
  row("revocation", true, true, true),
  row("revocation_set", true, true, true),
  row("genesis", true, true, true),
  row("succession", true, true, true),
  row("rotation", true, true, true),
  row("log_checkpoint", true, true, true),
  row("incident", true, true, true),
  row("fork_proof", true, true, true),
  row("split_view_proof", true, true, true),
  row("policy_delta", true, false, true),
  row("node_attestation", false, true, true),
  row("transport_binding", false, true, true),
  row("policy", false, false, true),
  row("policy_bundle", false, false, true),
  row("policy_attestation", false, false, true),
  row("review_attestation", false, false, true),
  row("feed_entry", false, false, true),
  row("head_announcement", false, false, true),
  row("run_receipt", false, false, true),
  row("receipt_verification", false, false, true),
  row("gateway_audit", false, false, true),
];

/** Planes that are slow and heard by everybody around. */
export const RADIO = "reticulum";
/** Planes on networks. Own facts go to all of these, whatever their kind. */
export const NETWORKS: readonly string[] = ["libp2p", "nats", "wireguard", "memory"];

function kindsWhere(column: "toRadio" | "fromRadio" | "between"): string[] {
  return DEFAULT_DISCLOSURE.filter((one) => one[column]).map(({ kind }) => kind);
}

export function defaultDisclosure(): DisclosurePolicy {
  const allow: DisclosureRule[] = [
    ...NETWORKS.map((to) => ({ from: "local", to, kinds: ["*"] })),
    { from: "local", to: RADIO, kinds: kindsWhere("toRadio") },
  ];
  for (const from of [...NETWORKS, "file"]) {
    allow.push({ from, to: RADIO, kinds: kindsWhere("toRadio") });
    for (const to of NETWORKS) if (to !== from) allow.push({ from, to, kinds: kindsWhere("between") });
  }
  for (const to of NETWORKS) allow.push({ from: RADIO, to, kinds: kindsWhere("fromRadio") });
  return { allow, deny: [] };
}
