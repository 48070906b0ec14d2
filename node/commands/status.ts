/** `spine status`: what the node is, holds and is connected to. */
import type { IssuerStatus, NodeStatus } from "../handle.ts";
import { radioLines } from "../reticulum/radio-status.ts";
import { openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

/** Issuers shown to people; --json and `issuer list` give more. */
const SHOWN_ISSUERS = 20;

/** Ranges shown to people; a chain told in a selection may have thousands. */
const SHOWN_RANGES = 8;

function spans({ ranges }: IssuerStatus): string {
  const shown = ranges.slice(-SHOWN_RANGES).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  if (ranges.length > SHOWN_RANGES) shown.unshift(`${ranges.length - SHOWN_RANGES} ranges before`);
  return shown.join(",") || "nothing";
}

function guardLine({ mode, policy_state, policy_hash, decisions, denied }: NonNullable<NodeStatus["guard"]>): string {
  const policy = policy_hash === null ? "no policy, everything is denied" : `policy ${policy_hash} (${policy_state})`;
  return `guards    ${mode}, ${policy}; ${decisions} decisions, ${denied} denied`;
}

function natsLine({
  server,
  version,
  streams_ready,
  published,
  read,
  behind,
}: NonNullable<NodeStatus["nats"]>): string {
  if (server === null) return "nats      no server";
  const streams = streams_ready ? `published ${published}, ${behind} behind, read ${read}` : "no streams";
  return `nats      ${server} (nats-server ${version}); ${streams}`;
}

function gatewayLine(gateway: NonNullable<NodeStatus["gateway"]>): string {
  const { judged, forwarded, dropped, refused, deferred, audit_records, audit_anchored } = gateway;
  const held = deferred === 0 ? "" : `, ${deferred} held back`;
  const audit = `audit log of ${audit_records} records, ${audit_anchored} of them anchored`;
  return `gateway   ${judged ? "" : "still judging; "}${forwarded} forwarded, ${dropped} dropped, ${refused} refused${held}; ${audit}`;
}

function readable(status: NodeStatus): string {
  const { issuer, name, version, running, head, planes, links, peers, issuers, queues, warnings, authority } = status;
  const lines = [
    `issuer    ${issuer}`,
    `name      ${name || "-"}   version ${version}`,
    `daemon    ${running ? `running for ${Math.floor(status.uptime_seconds)} s` : "not running"}`,
    `head      ${head ? `seq ${head.seq}  ${head.envelope_hash}` : "nothing published"}`,
    `log       ${status.log_size} envelopes, ${status.store_bytes} bytes on disk`,
    ...planes.map(
      (plane) => `plane     ${plane.name}: ${plane.links} links; ${plane.addresses.join(" ") || "not listening"}`,
    ),
    ...(status.radio === null ? [] : radioLines(status.radio)),
    `peers     ${peers.connected} connected of ${peers.known} known`,
    ...links.map((link) => `link      ${link.address}  ${link.issuer ?? "(issuer not proven)"}`),
    ...(status.nats === null ? [] : [natsLine(status.nats)]),
    ...(status.gateway === null ? [] : [gatewayLine(status.gateway)]),
    ...(status.guard === null ? [] : [guardLine(status.guard)]),
    `revoked   ${authority.revoked}${authority.set_age_seconds === null ? "" : `, confirmed by a trusted issuer ${authority.set_age_seconds} s ago`}`,
    `trust     ${authority.trust.problem === null ? "file in effect" : "former trust in effect"}; ${authority.trust.pending.length} changes wait for confirmation`,
    `issuers   ${issuers.total}`,
    ...issuers.issuers.slice(0, SHOWN_ISSUERS).map((one) => {
      const frozen = one.frozen_at === null ? "" : `  FROZEN at ${one.frozen_at}`;
      const revoked = one.revoked_from === null ? "" : `  REVOKED from ${one.revoked_from}`;
      return `          ${one.issuer}  ${one.admission}  holds ${spans(one)}${frozen}${revoked}`;
    }),
  ];
  if (issuers.total > SHOWN_ISSUERS) lines.push(`          … see \`spine issuer list\``);
  const waiting = Object.entries(queues).filter(([, count]) => count > 0);
  if (waiting.length > 0) lines.push(`queues    ${waiting.map(([queue, count]) => `${queue} ${count}`).join("  ")}`);
  for (const warning of warnings) lines.push(`WARNING   ${warning}`);
  return `${lines.join("\n")}\n`;
}

export const status: Verb = {
  usage: "status",
  about: "Prints the node's issuer, head, planes, links, peers, what it holds, queues and warnings.",
  examples: ["spine status", "spine status --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json }) {
    await using node = await openSession(dir, env);
    const state = await node.status();
    if (json) await out.line(state);
    else await out.write(readable(state));
    return 0;
  },
};
