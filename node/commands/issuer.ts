/** `spine issuer allow|deny|list`: admission. */
import { parseIssuer } from "../../spine/index.ts";
import type { IssuerStatus } from "../handle.ts";
import { openSession } from "../session.ts";
import type { Verb, VerbContext } from "./verb.ts";

const PAGE_ISSUERS = 1000;

async function admit({ operands, dir, env, out, json }: VerbContext, verb: "allow" | "deny"): Promise<number> {
  // All are checked before any takes effect.
  for (const issuer of operands) parseIssuer(issuer);
  await using node = await openSession(dir, env);
  for (const issuer of operands) {
    await (verb === "allow" ? node.allowIssuer(issuer) : node.denyIssuer(issuer));
    const admission = verb === "allow" ? "allowed" : "denied";
    await out.line(json ? { issuer, admission } : `${admission} ${issuer}`);
  }
  return 0;
}

export const issuerAllow: Verb = {
  usage: "issuer allow ISSUER…",
  about: "Admits issuers: their envelopes are fetched, stored and passed on.",
  examples: [`spine issuer allow aegis:ed25519:${"0".repeat(64)}`],
  operands: { least: 1, most: 100 },
  run: (context) => admit(context, "allow"),
};

export const issuerDeny: Verb = {
  usage: "issuer deny ISSUER…",
  about: "Takes admission back: nothing new of them is stored. What is stored stays.",
  examples: [`spine issuer deny aegis:ed25519:${"0".repeat(64)}`],
  operands: { least: 1, most: 100 },
  run: (context) => admit(context, "deny"),
};

/** What else there is to say of an issuer, for people. */
function remarks(one: IssuerStatus): string {
  return [
    ...(one.admitted || one.admission === "denied" ? [] : ["no longer admitted: nobody vouches for it"]),
    ...(one.attested_by.length === 0 ? [] : [`attested by ${one.attested_by.join(", ")}`]),
    ...(one.frozen_at === null ? [] : [`frozen at ${one.frozen_at}`]),
    ...(one.revoked_from === null ? [] : [`revoked from ${one.revoked_from}`]),
    ...(one.successor === null ? [] : [`continued by ${one.successor}`]),
  ]
    .map((remark) => `  ${remark}`)
    .join("");
}

export const issuerList: Verb = {
  usage: "issuer list",
  about: "Prints the issuers known, one line each: why they are admitted, what is held, what became of them.",
  examples: ["spine issuer list --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json }) {
    await using node = await openSession(dir, env);
    let after: string | null | undefined;
    do {
      const page = await node.issuers({ limit: PAGE_ISSUERS, ...(after ? { after } : {}) });
      for (const one of page.issuers) {
        const held = one.ranges.map(([from, to]) => `${from}-${to}`).join(",") || "-";
        await out.line(json ? one : `${one.admission.padEnd(9)}  ${one.issuer}  ${held}${remarks(one)}`);
      }
      after = page.next;
    } while (after !== null);
    return 0;
  },
};
