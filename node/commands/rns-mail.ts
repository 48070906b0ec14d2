/** `spine rns send|fetch`: LXMF mail through the running daemon, which keeps the queue and the address. */
import { readFile } from "node:fs/promises";
import { SpineError, utf8 } from "../../spine/index.ts";
import { MAX_MESSAGE_BYTES, type MailOptions } from "../reticulum/service.ts";
import { connectRns, type RnsSession } from "../reticulum/session.ts";
import type { Verb, VerbContext } from "./verb.ts";

const METHODS: readonly MailOptions["method"][] = ["direct", "opportunistic", "propagated"];

async function daemon({ dir }: VerbContext): Promise<RnsSession> {
  const remote = await connectRns(dir);
  if (remote !== undefined) return remote;
  throw new SpineError("daemon_not_running", "mail is sent and received by the daemon; start it with `spine run`");
}

/** The text, or what a file or standard input holds. */
async function contentOf(context: VerbContext): Promise<string> {
  const file = context.text("file");
  const text = context.operands[1];
  if ((file === undefined) === (text === undefined)) throw new SpineError("usage", "give either TEXT or --file");
  const content = text ?? (await readFile(file === "-" ? "/dev/stdin" : (file as string), "utf8"));
  const bytes = utf8(content).length;
  if (bytes > MAX_MESSAGE_BYTES) throw new SpineError("payload_size", `${bytes} bytes, limit ${MAX_MESSAGE_BYTES}`);
  return content;
}

export const rnsSend: Verb = {
  usage: "rns send [--title TEXT] [--method M] [--file F] ADDRESS [TEXT]",
  about:
    "Hands the daemon an LXMF message for an lxmf.delivery address. It is kept on disk until it is delivered, left with the\n" +
    "propagation node, or given up; `spine rns status` shows the queue.",
  examples: [
    "spine rns send 4faf1b2e0a077e6a9d92fa051f256038 'water level normal'",
    "spine rns send --method propagated --file report.txt --title 'daily report' ADDRESS",
  ],
  options: {
    title: { type: "string", value: "TEXT", help: "Title of the message." },
    method: { type: "string", value: "M", help: `${METHODS.join(", ")}; direct if omitted.` },
    file: { type: "string", value: "F", help: "Read the text from a file, or from standard input with -." },
  },
  operands: { least: 1, most: 2 },
  async run(context) {
    const method = METHODS.find((one) => one === (context.text("method") ?? "direct"));
    if (method === undefined) throw new SpineError("usage", `--method: expected one of ${METHODS.join(", ")}`);
    const content = await contentOf(context);
    await using node = await daemon(context);
    const to = context.operands[0] as string;
    const sent = await node.sendMail({ to, title: context.text("title") ?? "", content, method });
    await context.out.line(context.json ? sent : `${sent.id} to ${sent.to}: ${sent.state}`);
    return 0;
  },
};

export const rnsFetch: Verb = {
  usage: "rns fetch",
  about:
    "Takes what the configured propagation node holds for this node now, besides the daemon's schedule\n" +
    "(planes.reticulum.lxmf.fetchMinutes). Messages are appended to reticulum/lxmf/inbox.jsonl.",
  examples: ["spine rns fetch", "spine rns fetch --json"],
  options: {},
  operands: { least: 0, most: 0 },
  async run(context) {
    await using node = await daemon(context);
    const fetched = await node.fetchMail(context.signal);
    const { offered, received } = fetched;
    await context.out.line(context.json ? fetched : `received ${received} of ${offered} messages`);
    return 0;
  },
};
