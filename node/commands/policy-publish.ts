/** `spine policy publish|tighten`: what a curator gives to the nodes that trust it. */
import { SpineError } from "../../spine/index.ts";
import { type LoadedPolicy, loadPolicy, loadRuleset, readPolicyFile } from "../guards/policy/load.ts";
import { errorsIn } from "../guards/policy/problem.ts";
import { bundleFact, deltaFact, readOperation } from "../guards/policy/publication.ts";
import { isRuleset } from "../guards/policy/rulesets.ts";
import { readKeyFile } from "../keyfile.ts";
import { openSession } from "../session.ts";
import { createSigner } from "../signer.ts";
import type { Verb, VerbContext } from "./verb.ts";

const DAY_MS = 86_400_000;

function policyOf(source: string, environment: VerbContext["env"]): LoadedPolicy {
  let text: string;
  try {
    text = isRuleset(source) ? "" : readPolicyFile(source);
  } catch (cause) {
    throw new SpineError("config_invalid", `policy ${source} cannot be read`, { cause });
  }
  const loaded = isRuleset(source)
    ? loadRuleset(source, { environment })
    : loadPolicy(text, { environment, readFile: readPolicyFile, file: source });
  if (loaded.policy !== undefined) return loaded.policy;
  const first = errorsIn(loaded.problems)[0];
  throw new SpineError("config_invalid", `policy ${source}: ${first?.path ?? ""} ${first?.message ?? "unusable"}`);
}

async function publish({ dir, env, out, json, signal }: VerbContext, fact: object, hash: string): Promise<number> {
  await using node = await openSession(dir, env);
  const [result] = await node.publish([fact as never], { signal });
  if (result === undefined || !result.ok)
    throw new SpineError(result?.code ?? "internal", result?.message ?? "no answer");
  const { envelope_hash } = result;
  await out.line(json ? { envelope_hash, policy_hash: hash } : `${envelope_hash}  policy ${hash}`);
  return 0;
}

export const policyPublish: Verb = {
  usage: "policy publish FILE|RULESET",
  about:
    "Signs a policy as a bundle of this node and publishes it. Nodes that trust this node as a curator demand it besides\n" +
    "their own; one that protects less than the last waits for their operators.",
  examples: ["spine policy publish site-policy.yaml"],
  operands: { least: 1, most: 1 },
  async run(context) {
    const policy = policyOf(context.operands[0] as string, context.env);
    const signer = createSigner(await readKeyFile(context.dir.issuerKey, "issuer"));
    const fact = bundleFact(policy, signer.sign, new Date().toISOString());
    return publish(context, fact, policy.hash);
  },
};

export const policyTighten: Verb = {
  usage: "policy tighten [--name N] [--version V] [--days D] BASE OP:PATH=VALUE …",
  about:
    "Publishes a delta for nodes whose policy is BASE (a file or ruleset) and which trust this node as a curator. OP is\n" +
    "add (a prohibition), remove (a permission), lower (a limit), raise (a default action or mode) or enable (a guard).",
  examples: ["spine policy tighten default 'add:guards.egress_allowlist.block=evil.example' raise:mode=enforce"],
  options: {
    name: { type: "string", value: "N", help: "What the delta is called (tighten)." },
    version: {
      type: "string",
      value: "V",
      help: "Must be above that of the last delta; seconds since 1970 if omitted.",
    },
    days: { type: "string", value: "D", help: "Nodes that see it later do not take it up (30)." },
  },
  operands: { least: 2, most: 257 },
  async run(context) {
    const [source, ...operations] = context.operands as [string, ...string[]];
    const base = policyOf(source, context.env);
    const days = Number(context.text("days") ?? "30");
    const version = Number(context.text("version") ?? Math.floor(Date.now() / 1000));
    if (!(days > 0 && days < 36_500)) throw new SpineError("usage", "--days: a number above 0");
    const validUntil = new Date(Date.now() + days * DAY_MS).toISOString();
    const about = { name: context.text("name") ?? "tighten", version, validUntil };
    const fact = deltaFact(base, operations.map(readOperation), about);
    return publish(context, fact, String(fact["resulting_policy_hash"]).slice(2));
  },
};
