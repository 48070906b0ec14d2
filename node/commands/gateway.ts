/** `spine gateway status|confirm|audit verify`: what crosses between planes, and the record of it. */
import { SpineError } from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { Client } from "../client.ts";
import { loadConfig } from "../config-file.ts";
import { daemonSocket } from "../daemon-info.ts";
import { ownAnchors } from "../gateway/anchors.ts";
import type { AuditReport } from "../gateway/audit-verify.ts";
import { type GatewayStatus, gatewayPaths, verifyAuditFolder } from "../gateway/gateway.ts";
import { confirmPolicy, policyHash, reloadPolicy } from "../gateway/policy-file.ts";
import { readKeyFile } from "../keyfile.ts";
import { createSigner } from "../signer.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** The daemon's answer; undefined when no daemon runs. */
async function ask<T>({ dir }: VerbContext, path: string): Promise<T | undefined> {
  const client = new Client(await daemonSocket(dir));
  try {
    return JSON.parse(await client.text({ method: "GET", path })) as T;
  } catch (caught) {
    if (caught instanceof SpineError && caught.code === "daemon_not_running") return undefined;
    throw caught;
  } finally {
    client.close();
  }
}

function readable(status: GatewayStatus): string {
  const { audit } = status;
  const table = (title: string, counts: Readonly<Record<string, number>>): string[] =>
    Object.entries(counts).map(
      ([name, count], i) => `${(i === 0 ? title : "").padEnd(10)}${String(count).padStart(9)}  ${name}`,
    );
  return `${[
    `policy    ${status.policy_hash}${status.judged ? "" : "  (still judging what is stored)"}`,
    ...status.policy_pending.map((text) => `PENDING   ${text}`),
    ...(status.policy_problem === null ? [] : [`PROBLEM   ${status.policy_problem}`]),
    ...table("decided", status.decisions),
    ...table("refused", status.refusals),
    `waiting   ${status.deferred} held back by rates`,
    `audit     ${audit.records} records, ${audit.anchored} anchored, head ${audit.head_hash}${audit.failed ? "  CANNOT BE WRITTEN" : ""}`,
    ...status.findings.map((text) => `FOUND     ${text}`),
  ].join("\n")}\n`;
}

export const gatewayStatus: Verb = {
  usage: "gateway status",
  about: "Prints the policy in effect, what it decided since the start by planes and reason, and the audit log's head.",
  examples: ["spine gateway status", "spine gateway status --json"],
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, out, json } = context;
    const status = await ask<GatewayStatus>(context, "/v1/gateway");
    if (status !== undefined) {
      if (json) await out.line(status);
      else await out.write(readable(status));
      return 0;
    }
    const { effective, pending, problem } = await reloadPolicy(gatewayPaths(dir.path), false);
    const policy = {
      policy_hash: policyHash(effective),
      policy_pending: pending,
      policy_problem: problem?.message ?? null,
    };
    if (json) await out.line({ ...policy, running: false });
    else await out.write(`policy    ${policy.policy_hash}\ndaemon    not running\n`);
    return 0;
  },
};

export const gatewayConfirm: Verb = {
  usage: "gateway confirm",
  about:
    "Puts gateway.yaml into effect as it stands, also where it lets more across than before, and prints what it loosened.\n" +
    "A running daemon takes it over within seconds. Without the file the default table is put into effect.",
  examples: ["spine gateway confirm"],
  operands: { least: 0, most: 0 },
  async run({ dir, out, json }) {
    const loosened = await confirmPolicy(gatewayPaths(dir.path));
    if (json) await out.line({ ok: true, loosened });
    else await out.write(loosened.length === 0 ? "nothing was loosened\n" : `${loosened.join("\n")}\n`);
    return 0;
  },
};

/** Without a daemon the store and the files are read here. */
async function verifyHere({ dir, env }: VerbContext): Promise<AuditReport> {
  const config = await loadConfig({ path: dir.config, required: false, env, flags: {} });
  const own = createSigner(await readKeyFile(dir.issuerKey, "issuer")).issuer;
  const store = new LevelStore(dir.store);
  await store.open();
  try {
    return await verifyAuditFolder(
      gatewayPaths(dir.path).audit,
      await ownAnchors(store, own),
      config.gateway.auditFiles,
    );
  } finally {
    await store.close();
  }
}

export const gatewayAuditVerify: Verb = {
  usage: "gateway audit verify",
  about:
    "Checks every record of the audit log, their chain, and the anchors in the node's own chain: any edit, removal or\n" +
    "truncation is found. Exit code 1 when the log does not hold.",
  examples: ["spine gateway audit verify", "spine gateway audit verify --json"],
  operands: { least: 0, most: 0 },
  async run(context) {
    const { out, json } = context;
    const report = (await ask<AuditReport>(context, "/v1/gateway/audit")) ?? (await verifyHere(context));
    if (json) await out.line(report);
    else if (report.ok) {
      await out.write(`ok: records ${report.first} to ${report.last} hold, ${report.anchors} anchors met\n`);
    } else {
      const at = report.badLine === null ? "" : ` at line ${report.badLine}`;
      await out.write(`NOT OK${at}: ${report.problem}; ${report.records} records before it hold\n`);
    }
    return report.ok ? 0 : 1;
  },
};
