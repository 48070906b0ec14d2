/** `spine guard audit|reveal`: what was decided, from the node's own chain, and what a receipt's commitment hides. */
import { isJsonObject, parseJson, SpineError } from "../../spine/index.ts";
import { csvText, withTargets } from "../api/guard.ts";
import { AUDIT_COLUMNS, type AuditEntry, auditPage, csvLine, readAuditFilter } from "../guards/audit.ts";
import { findOpenings } from "../guards/daemon/openings.ts";
import { openSession } from "../session.ts";
import type { Verb, VerbOption } from "./verb.ts";

const FILTERS: Readonly<Record<string, VerbOption>> = {
  verdict: { type: "string", value: "V", help: "allow, warn or deny." },
  guard: { type: "string", value: "NAME", help: "The guard that decided." },
  action: { type: "string", value: "TYPE", help: "Such as file_write, shell, egress." },
  reason: { type: "string", value: "CODE", help: "Such as matches_forbidden_pattern." },
  session: { type: "string", value: "ID", help: "One session." },
  agent: { type: "string", value: "ID", help: "One agent." },
  harness: { type: "string", value: "KIND", help: "One harness." },
  policy: { type: "string", value: "HASH", help: "Decided under this policy." },
  since: { type: "string", value: "TIME", help: "RFC 3339, or an age: 15m, 2h, 7d." },
  until: { type: "string", value: "TIME", help: "The same; not included." },
};
const PAGE = 500;
const SCAN = 20_000;
const FORMATS = ["text", "jsonl", "csv"];

export const guardAudit: Verb = {
  usage: "guard audit [--verdict V] [--since TIME] … [--limit N] [--format F] [--reveal]",
  about:
    "Prints decisions from the node's own chain, newest first. --reveal adds what was decided on, where this host still\n" +
    "keeps it. Works with and without the daemon.",
  examples: ["spine guard audit --verdict deny --since 2h", "spine guard audit --format csv --limit 0 > decisions.csv"],
  options: {
    ...FILTERS,
    limit: { type: "string", value: "N", help: "At most; 0 for all (100)." },
    format: { type: "string", value: "F", help: `${FORMATS.join(", ")} (text; --json means jsonl).` },
    reveal: { type: "boolean", help: "Show targets, too." },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, json, out, signal, text } = context;
    const format = text("format") ?? (json ? "jsonl" : "text");
    if (!FORMATS.includes(format)) throw new SpineError("usage", `format "${format}"; known: ${FORMATS.join(", ")}`);
    const limit = Number(text("limit") ?? "100");
    if (!Number.isSafeInteger(limit) || limit < 0) throw new SpineError("usage", "--limit: a whole number");
    const names = ["verdict", "guard", "reason", "session", "agent", "harness", "since", "until"] as const;
    const filter = readAuditFilter({
      ...Object.fromEntries(names.map((name) => [name, text(name)])),
      action_type: text("action"),
      policy_hash: text("policy"),
    });
    await using node = await openSession(dir, env);
    let left = limit === 0 ? Number.POSITIVE_INFINITY : limit;
    let before: number | null = ((await node.status()).head?.seq ?? 0) + 1;
    if (format === "csv") await out.write(csvLine(AUDIT_COLUMNS));
    while (before !== null && left > 0 && !signal.aborted) {
      const page = await auditPage(node, filter, { before, limit: Math.min(PAGE, left), scan: SCAN });
      const entries = context.flag("reveal") ? await withTargets(dir.guardOpenings, page.entries) : page.entries;
      await out.write(shown(format, entries));
      left -= entries.length;
      before = page.next;
    }
    return 0;
  },
};

function shown(format: string, entries: readonly AuditEntry[]): string {
  if (format === "csv") return csvText(entries).slice(csvLine(AUDIT_COLUMNS).length);
  if (format === "jsonl") return entries.map((one) => `${JSON.stringify(one)}\n`).join("");
  return entries.map(readable).join("");
}

function readable(entry: AuditEntry): string {
  const { timestamp, verdict, action_type, guard, reason, session, agent, envelope_hash, target } = entry;
  const who = [agent, session].filter((name) => name !== null).join(" ");
  const why = reason === null ? guard : `${guard} ${reason}`;
  const line = `${timestamp}  ${verdict.padEnd(5)}  ${action_type.padEnd(11)}  ${why}  ${who}  ${envelope_hash}`;
  return `${line}\n${target === undefined ? "" : `    ${target}\n`}`;
}

export const guardReveal: Verb = {
  usage: "guard reveal HASH",
  about:
    "Prints what a receipt was about: its target and the nonce that opens the commitment. HASH is a commitment or the\n" +
    "envelope of a receipt. Only this host can, and only while it keeps the opening (guard.openingsBytes).",
  examples: [`spine guard reveal ${"0".repeat(64)}`],
  operands: { least: 1, most: 1 },
  async run({ operands, dir, env, out, json }) {
    const given = (operands[0] as string).replace(/^0x/, "").toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(given)) throw new SpineError("usage", "HASH: 64 hex digits");
    let opening = (await findOpenings(dir.guardOpenings, new Set([given]))).get(given);
    if (opening === undefined) {
      await using node = await openSession(dir, env);
      const commitment = commitmentIn(await node.envelope(`0x${given}`));
      if (commitment === undefined) throw new SpineError("api_not_found", `no opening and no receipt ${given} is kept`);
      opening = (await findOpenings(dir.guardOpenings, new Set([commitment]))).get(commitment);
      if (opening === undefined) throw new SpineError("api_not_found", "the opening of this receipt is no longer kept");
    }
    const { commitment, nonce, target } = opening;
    await out.line(json ? opening : `commitment ${commitment}\nnonce      ${nonce}\ntarget     ${target}`);
    return 0;
  },
};

function commitmentIn(envelope: string | undefined): string | undefined {
  const value = envelope === undefined ? undefined : parseJson(envelope);
  const fact = isJsonObject(value) ? value["fact"] : undefined;
  const action = isJsonObject(fact) ? fact["action"] : undefined;
  const commitment = isJsonObject(action) ? action["target_commitment"] : undefined;
  return typeof commitment === "string" ? commitment.replace(/^0x/, "") : undefined;
}
