/** `spine policy validate|show`: what a guard policy means and what is wrong with it. The work is in `guards/policy/report.ts`. */
import { stringify } from "yaml";
import { SpineError } from "../../spine/index.ts";
import { DIALECTS, type Dialect, isDialect } from "../guards/dialect.ts";
import { type PolicyReport, reportPolicy, reportPolicyText } from "../guards/policy/report.ts";
import type { Verb, VerbContext } from "./verb.ts";

const OPTIONS = {
  profile: { type: "string", value: "P", help: `Rule book: ${DIALECTS.join(", ")} (spine).` },
  lax: { type: "boolean", help: "Accept unset environment variables." },
} as const;

export const policyValidate: Verb = {
  usage: "policy validate [--lax] [--profile P] FILE|RULESET|-",
  about: "Checks a policy with everything it extends and prints every problem with its field path.",
  examples: ["spine policy validate default"],
  options: OPTIONS,
  operands: { least: 1, most: 1 },
  async run(context): Promise<number> {
    const report = await read(context);
    const { valid, policy_hash, problems } = report;
    if (context.json)
      await context.out.write(`${JSON.stringify({ valid, ...(policy_hash && { policy_hash }), problems })}\n`);
    else {
      for (const { level, code, path, message } of problems)
        await context.out.write(`${level} ${code} ${path || "."}: ${message}\n`);
      await context.out.write(valid ? `valid ${policy_hash ?? ""}\n` : "invalid\n");
    }
    return valid ? 0 : 1;
  },
};

export const policyShow: Verb = {
  usage: "policy show [--merged] [--lax] [--profile P] FILE|RULESET|-",
  about:
    "Prints the effective policy after extends, with every default filled in, and its hash.\n--merged leaves the defaults out.",
  examples: ["spine policy show strict"],
  options: { ...OPTIONS, merged: { type: "boolean", help: "Only what the documents say." } },
  operands: { least: 1, most: 1 },
  async run(context): Promise<number> {
    const report = await read(context);
    for (const { level, code, path, message } of report.problems)
      context.note(`${level} ${code} ${path || "."}: ${message}`);
    const { effective, merged, policy_hash } = report;
    if (effective === undefined) return 1;
    const shown = context.flag("merged") ? merged : effective;
    await context.out.write(
      context.json
        ? `${JSON.stringify({ policy_hash, effective, merged })}\n`
        : `# policy_hash ${policy_hash}\n${stringify(shown, { lineWidth: 0, aliasDuplicateObjects: false })}`,
    );
    return 0;
  },
};

async function read(context: VerbContext): Promise<PolicyReport> {
  const profile = context.text("profile") ?? "spine";
  if (!isDialect(profile)) throw new SpineError("usage", `unknown profile ${JSON.stringify(profile)}`);
  const options: { profile: Dialect; environment: VerbContext["env"]; lax: boolean } = {
    profile,
    environment: context.env,
    lax: context.flag("lax"),
  };
  const source = context.operands[0] ?? "";
  if (source !== "-") return reportPolicy(source, options);
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return reportPolicyText(Buffer.concat(chunks).toString("utf8"), options);
}
