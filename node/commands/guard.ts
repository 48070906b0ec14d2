/** `spine guard check`: judges cases offline (design of the command line). The work is in `guards/check.ts`. */
import { SpineError } from "../../spine/index.ts";
import { runGuardCheck } from "../guards/check.ts";
import { DIALECTS, isDialect } from "../guards/dialect.ts";
import { loadPolicy, readPolicyFile } from "../guards/policy/load.ts";
import { errorsIn } from "../guards/policy/problem.ts";
import { isRuleset, rulesetYaml } from "../guards/policy/rulesets.ts";
import { openInput } from "../input.ts";
import type { Verb } from "./verb.ts";

/** A line of more characters ends the reading: no case needs it. */
const MAX_LINE_CHARS = 64 << 20;

export const guardCheck: Verb = {
  usage: "guard check [--policy F] [--profile P] [FILE|-]",
  about:
    "Judges the action on each line under its own policy, or under --policy (a file or a built-in ruleset).\nNothing is signed, published or carried out.",
  examples: [`echo '{"action":{"action_type":"file_access","target":"/etc/shadow"}}' | spine guard check`],
  options: {
    policy: { type: "string", value: "F", help: "Policy file or ruleset for lines that name none (default)." },
    profile: { type: "string", value: "P", help: `Rule book: ${DIALECTS.join(", ")} (spine).` },
  },
  operands: { least: 0, most: 1 },
  /** 0 when every line was judged, 1 when any could not be. */
  async run(context): Promise<number> {
    const profile = context.text("profile") ?? "spine";
    if (!isDialect(profile)) throw new SpineError("usage", `unknown profile ${JSON.stringify(profile)}`);
    const source = context.text("policy") ?? "default";
    const yaml = isRuleset(source) ? rulesetYaml(source, profile) : readSource(source);
    const loaded = loadPolicy(yaml, {
      dialect: profile,
      environment: context.env,
      readFile: readPolicyFile,
      ...(!isRuleset(source) && { file: source }),
    });
    if (loaded.policy === undefined) {
      const first = errorsIn(loaded.problems)[0];
      throw new SpineError("config_invalid", `policy ${source}: ${first?.path ?? ""} ${first?.message ?? ""}`);
    }
    let unusable = 0;
    const answers = runGuardCheck(inputLines(context.operands[0], context.signal), {
      policy: loaded.policy,
      profile,
      now: Date.now,
      ...(context.env["HOME"] !== undefined && { home: context.env["HOME"] }),
    });
    for await (const answer of answers) {
      if (answer.error !== undefined) unusable++;
      await context.out.write(`${JSON.stringify(answer)}\n`);
    }
    return unusable === 0 ? 0 : 1;
  },
};

function readSource(file: string): string {
  try {
    return readPolicyFile(file);
  } catch (cause) {
    throw new SpineError("config_invalid", `policy ${file} cannot be read`, { cause });
  }
}

/** Lines end at LF only: JSON texts may hold any other line separator. */
async function* inputLines(operand: string | undefined, signal: AbortSignal): AsyncIterable<string> {
  const stream = await openInput(operand, signal);
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS)
      throw new SpineError("api_input", `line longer than ${MAX_LINE_CHARS} characters`);
    yield* lines;
  }
  if (rest !== "") yield rest;
}
