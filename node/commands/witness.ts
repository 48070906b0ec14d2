/** `spine witness show|confirm`: the log's and the witness's keys, what was co-signed here, and going on after a restore. */
import { createInterface } from "node:readline/promises";
import { SpineError, utf8Text } from "../../spine/index.ts";
import { WITNESS_CONFIRM_PATH } from "../api/transparency.ts";
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
    const status = JSON.parse(bodyText(body)) as LogStatus;
    if (json) {
      await out.line(status);
      return 0;
    }
    await out.line(`log      ${status.log_id}\n         ${status.vkey}`);
    await out.line(`witness  ${status.witness.id}\n         ${status.witness.vkey}`);
    for (const { log_id, size, restored } of status.witness.logs) {
      await out.line(
        `signs    ${log_id}  ${size} leaves${restored ? "  locked after a restore: see `spine witness confirm`" : ""}`,
      );
    }
    return 0;
  },
};

export const witnessConfirm: Verb = {
  usage: "witness confirm LOG_ID [--yes]",
  about:
    "After this node was restored from a backup its witness does not sign for a log until that log's node shows it its last\nco-signature, which happens by itself. Where nobody kept that, this is your word that what it holds is the last it\nsigned. If it signed more, on a disk that is lost, the log could get two views co-signed: ask its operator first.",
  examples: ["spine witness show", "spine witness confirm aegis:ed25519:3b6a27… --yes"],
  options: { yes: { type: "boolean", help: "Do not ask." } },
  operands: { least: 1, most: 1 },
  async run({ dir, env, out, json, operands, flag, signal }) {
    const [logId = ""] = operands;
    await using node = await openSession(dir, env);
    const shown = await node.transparency({ method: "GET", url: "/v1/log", accept: "", body: "" });
    const { witness } = JSON.parse(bodyText(shown.body)) as LogStatus;
    const row = witness.logs.find((one) => one.log_id === logId);
    if (row === undefined) throw new SpineError("log_not_allowed", `${logId}: this node co-signs no such log`);
    if (!row.restored) {
      await out.line(json ? row : `nothing to confirm: this witness signs for it, at ${row.size} leaves`);
      return 0;
    }
    if (!flag("yes")) {
      if (process.stdin.isTTY !== true) throw new SpineError("usage", "nobody can be asked here: say --yes");
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      const question = `It holds a tree of ${row.size} leaves. Did it sign nothing after that? [y/N] `;
      const said = await lines.question(question, { signal }).finally(() => lines.close());
      if (!/^y(es)?$/i.test(said.trim())) return 1;
    }
    const body = JSON.stringify({ log_id: logId });
    const done = await node.transparency({ method: "POST", url: WITNESS_CONFIRM_PATH, accept: "", body });
    await out.line(json ? (JSON.parse(bodyText(done.body)) as object) : `signs again from ${row.size} leaves`);
    return 0;
  },
};

function bodyText(body: string | Uint8Array): string {
  return typeof body === "string" ? body : utf8Text(body);
}
