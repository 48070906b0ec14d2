/** `spine rotate`, `spine succeed` and `spine recovery test`: a key's life after its genesis (rules 7). */
import { type EnvelopeHash, type Issuer, openEnvelope, SpineError } from "../../spine/index.ts";
import {
  commitmentOf,
  createRecoveryKey,
  type LastGood,
  readRecoveryPublic,
  rotationFact,
  successionFact,
  takeNextKey,
} from "../authority/identity.ts";
import { parseRecoveryKey, recoveryKeyText } from "../authority/recovery-key.ts";
import type { NodeDir } from "../dir.ts";
import type { NodeSession } from "../handle.ts";
import { sha256Hex } from "../hash.ts";
import { readKeyFile } from "../keyfile.ts";
import { readSecretText } from "../secret-file.ts";
import { connectDaemon, openSession } from "../session.ts";
import { createSigner, type IssuerSigner } from "../signer.ts";
import type { Verb, VerbContext } from "./verb.ts";

const RECOVERY_OPTION = {
  "recovery-file": {
    type: "string",
    value: "F",
    help: "File of mode 0600 with the recovery key; else standard input.",
  },
} as const;
/** A recovery key with blanks is 80 characters long. */
const MAX_TYPED_BYTES = 1_024;

async function readTyped(context: VerbContext): Promise<string> {
  const path = context.text("recovery-file");
  if (path !== undefined) return await readSecretText(path);
  if (process.stdin.isTTY) context.note("Type the recovery key, nine groups of eight digits, then Enter:");
  let text = "";
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > MAX_TYPED_BYTES || text.includes("\n")) break;
  }
  return text.split("\n", 1)[0] as string;
}

async function recoveryOf(context: VerbContext): Promise<IssuerSigner> {
  return createSigner(parseRecoveryKey(await readTyped(context)));
}

function refuseResult(result: { readonly ok: boolean } | undefined): void {
  const refused = result as { code?: SpineError["code"]; message?: string; ok: boolean } | undefined;
  if (refused?.ok !== true)
    throw new SpineError(refused?.code ?? "internal", refused?.message ?? "nothing was published");
}

async function hashAt(node: NodeSession, issuer: Issuer, seq: number): Promise<EnvelopeHash> {
  for await (const text of node.range(issuer, seq, seq, 1)) return openEnvelope(text, sha256Hex).hash;
  throw new SpineError("usage", `envelope ${seq} of ${issuer} is not held here; name another with --last`);
}

export const recoveryTest: Verb = {
  usage: "recovery test [--recovery-file F]",
  about:
    "Says whether a recovery key, as it was written down, is the one that this node's chain commits to. Nothing is kept.",
  examples: ["spine recovery test --recovery-file recovery.txt"],
  options: RECOVERY_OPTION,
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, out, json } = context;
    const commitment = commitmentOf((await recoveryOf(context)).publicKey);
    await using node = await openSession(dir, env);
    const { authority } = await node.status();
    const ok = authority.recovery_key_hash === commitment;
    if (authority.recovery_key_hash === null)
      throw new SpineError("key_invalid", "this node's chain began without a recovery key");
    if (!ok) throw new SpineError("key_invalid", "this is a recovery key, but not the one of this node");
    await out.line(json ? { ok, recovery_key_hash: commitment } : "the recovery key is the right one");
    return 0;
  },
};

export const rotate: Verb = {
  usage: "rotate",
  about:
    "Hands this node over to its committed next key, which is revealed and signs too. The old key file is set aside. A\n" +
    "running daemon publishes the handover; restart it afterwards: it continues as the new issuer.",
  examples: ["spine rotate"],
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, out, note, json, signal } = context;
    const next = createSigner(await readKeyFile(dir.nextKey, "next"));
    const node = await openSession(dir, env);
    const { issuer: old } = node;
    try {
      const { head, authority } = await node.status();
      // A run that was cut short has handed over already.
      if (authority.successor !== next.issuer) {
        if (authority.recovery_key_hash === null || head === null)
          throw new SpineError("key_missing", "this node's chain began without a committed next key");
        const last: LastGood = { seq: head.seq, hash: head.envelope_hash };
        const [result] = await node.publish([await rotationFact(dir, last, Date.now())], { signal });
        refuseResult(result);
      }
      await takeNextKey(dir);
    } finally {
      await node[Symbol.asyncDispose]();
    }
    if (node.remote) note("Restart the daemon: it continues as the new issuer.");
    else await beginChain(dir, env);
    await out.line(json ? { old, issuer: next.issuer } : next.issuer);
    return 0;
  },
};

/** The first opening under a new key writes its genesis. */
async function beginChain(dir: NodeDir, env: NodeJS.ProcessEnv): Promise<void> {
  await using _ = await openSession(dir, env);
}

export const succeed: Verb = {
  usage: "succeed [--old ISSUER] [--last SEQ] [--recovery-file F]",
  about:
    "With the recovery key, makes a new identity that continues a lost, stolen or frozen one, and shows the new recovery\n" +
    "key once. Stop the daemon first. What the old key signed above --last counts no more on any node.",
  examples: ["spine succeed --last 120 --recovery-file recovery.txt"],
  options: {
    ...RECOVERY_OPTION,
    old: { type: "string", value: "ISSUER", help: "The identity to continue; this node's if omitted." },
    last: { type: "string", value: "SEQ", help: "Its last envelope that you stand by; the newest held if omitted." },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, env, out, note, json, signal } = context;
    const daemon = await connectDaemon(dir);
    await daemon?.[Symbol.asyncDispose]();
    if (daemon !== undefined) throw new SpineError("daemon_running", "stop the daemon: its identity changes");
    const recovery = await recoveryOf(context);
    const { old, last } = await lastGood(context, recovery);
    // Whoever stole the machine may have the next key too: a fresh one takes over.
    const seed = await createRecoveryKey(dir);
    const issuer = await takeNextKey(dir, { fresh: true });
    note(`New recovery key, shown once; write it down:\n  ${recoveryKeyText(seed)}`);
    await using node = await openSession(dir, env);
    const successor = createSigner(await readKeyFile(dir.issuerKey, "issuer"));
    const [result] = await node.publish([successionFact(old, recovery, successor, last, Date.now())], { signal });
    refuseResult(result);
    await out.line(json ? { old, issuer, last: last.seq, recovery_key: recoveryKeyText(seed) } : issuer);
    return 0;
  },
};

/** Checked before anything changes: the right recovery key, and an envelope that is held. */
async function lastGood(context: VerbContext, recovery: IssuerSigner): Promise<{ old: Issuer; last: LastGood }> {
  const { dir, env } = context;
  await using node = await openSession(dir, env);
  const old = context.text("old") ?? node.issuer;
  const mine = old === node.issuer;
  const known = mine ? (await node.status()).authority.recovery_key_hash : null;
  const kept = await readRecoveryPublic(dir);
  const expected = known ?? (mine && kept !== undefined ? commitmentOf(kept) : null);
  if (expected !== null && expected !== commitmentOf(recovery.publicKey))
    throw new SpineError("key_invalid", `this is a recovery key, but not the one of ${old}`);
  const page = await node.issuers({ limit: 1_000 });
  const record = page.issuers.find((one) => one.issuer === old);
  const frozen = record?.frozen_at ?? Number.POSITIVE_INFINITY;
  const text = context.text("last");
  if (text !== undefined && !/^\d{1,15}$/.test(text)) throw new SpineError("usage", `--last ${text} is no seq`);
  const top = Math.min(record?.ranges[0]?.[1] ?? 0, frozen - 1);
  const seq = text === undefined ? top : Number(text);
  return { old, last: { seq, hash: seq === 0 ? null : await hashAt(node, old, seq) } };
}
