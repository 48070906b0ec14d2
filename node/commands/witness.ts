/** `spine witness show`: the log's and the witness's keys, and what was co-signed here. */
import { utf8Text } from "../../spine/index.ts";
import { openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

interface LogStatus {
  readonly log_id: string;
  readonly origin: string;
  readonly vkey: string;
  readonly witness: {
    readonly id: string;
    readonly vkey: string;
    readonly logs: readonly { readonly log_id: string; readonly size: number; readonly restored: boolean }[];
  };
}

export const witnessShow: Verb = {
  usage: "witness show",
  about:
    "Prints this node's log and witness: ids for `spine trust add log|witness` on other nodes, verifier keys for public\n" +
    "tools, and for each log that is co-signed here how far.",
  examples: ["spine witness show --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json }) {
    await using node = await openSession(dir, env);
    const { body } = await node.transparency({ method: "GET", url: "/v1/log", accept: "", body: "" });
    const status = JSON.parse(typeof body === "string" ? body : utf8Text(body)) as LogStatus;
    if (json) {
      await out.line(status);
      return 0;
    }
    await out.line(`log      ${status.log_id}\n         ${status.vkey}`);
    await out.line(`witness  ${status.witness.id}\n         ${status.witness.vkey}`);
    for (const { log_id, size, restored } of status.witness.logs) {
      await out.line(
        `signs    ${log_id}  ${size} leaves${restored ? "  restored: waits for its last co-signature" : ""}`,
      );
    }
    return 0;
  },
};
