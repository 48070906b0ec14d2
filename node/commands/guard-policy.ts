/** `spine guard status|approve|reload`: the guards of the running daemon. */
import { SpineError } from "../../spine/index.ts";
import { Client } from "../client.ts";
import { daemonSocket } from "../daemon-info.ts";
import type { GuardStatus } from "../guards/index.ts";
import type { Verb, VerbContext } from "./verb.ts";

async function ask<T>({ dir, signal }: VerbContext, method: "GET" | "POST", path: string, body?: object): Promise<T> {
  const client = new Client(await daemonSocket(dir));
  try {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    return JSON.parse(await client.text({ method, path, signal, ...sent })) as T;
  } finally {
    client.close();
  }
}

export const guardStatus: Verb = {
  usage: "guard status",
  about: "Prints mode, policies in force, counts of decisions, and what waits for your word.",
  examples: ["spine guard status"],
  operands: { least: 0, most: 0 },
  async run(context) {
    const { out, json } = context;
    const status = await ask<GuardStatus>(context, "GET", "/v1/guard");
    if (json) {
      await out.line(status);
      return 0;
    }
    const { decisions, allowed, warned, denied, unrecorded, unusable } = status;
    await out.write(
      [
        `mode      ${status.mode}`,
        `policy    ${status.policy_hash ?? "none: everything is denied"} (${status.policy_state})`,
        ...(status.policies.length > 1 ? status.policies.map((hash) => `          ${hash}`) : []),
        `decisions ${decisions}: ${allowed} allowed, ${warned} with a warning, ${denied} denied`,
        `trouble   ${unrecorded} not recorded, ${unusable} unusable requests`,
        ...status.problems.map((one) => `problem   ${one}`),
        ...status.staged.flatMap((one) => [
          `waits     ${one.policy_hash} from ${one.from}`,
          ...one.loosens.map((sentence) => `          ${sentence}`),
        ]),
        ...status.warnings.map((one) => `WARNING   ${one}`),
      ].join("\n"),
    );
    await out.write("\n");
    return 0;
  },
};

export const guardApprove: Verb = {
  usage: "guard approve HASH",
  about: "Puts a policy into force that protects less than the one before. `spine guard status` says what it gives up.",
  examples: [`spine guard approve ${"0".repeat(64)}`],
  operands: { least: 1, most: 1 },
  async run(context) {
    const { operands, out, json } = context;
    const hash = (operands[0] as string).replace(/^0x/, "").toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hash)) throw new SpineError("usage", "HASH: 64 hex digits");
    const answer = await ask<object>(context, "POST", "/v1/guard/approve", { policy_hash: hash });
    await out.line(json ? answer : `in force: ${hash}`);
    return 0;
  },
};

export const guardReload: Verb = {
  usage: "guard reload",
  about: "Reads the policy again, now. Changed files are noticed without it.",
  examples: ["spine guard reload"],
  operands: { least: 0, most: 0 },
  /** 0 when the newest policy is in force. */
  async run(context) {
    const answer = await ask<{ policy_state: string; policy_hash: string | null }>(context, "POST", "/v1/guard/reload");
    const { policy_state: state, policy_hash: hash } = answer;
    await context.out.line(context.json ? answer : `${state}: ${hash ?? "no policy, everything is denied"}`);
    return state === "active" ? 0 : 1;
  },
};
