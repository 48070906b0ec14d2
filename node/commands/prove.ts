/** `spine prove` and `spine verify`: portable proofs, made from the node's log and checked offline by spine code alone. */
import { readFile } from "node:fs/promises";
import {
  fromHex,
  type PortableVerdict,
  parsePortableProof,
  parseQuorumPolicy,
  parseTlogProof,
  parseTrustBundle,
  SpineError,
  TREE_HASH_BYTES,
  type TrustBundle,
  utf8Text,
  type Verifier,
  verifyPortableProof,
  verifyTlogProof,
} from "../../spine/index.ts";
import { readHash } from "../api/query.ts";
import { TLOG_PROOF_TYPE } from "../api/transparency.ts";
import { EMPTY_TRUST, readTrustFile, type TrustFile } from "../authority/trust-file.ts";
import { writeFileAtomic } from "../files.ts";
import { sha256, sha256Hex, treeHasher } from "../hash.ts";
import { openSession } from "../session.ts";
import { WorkerVerifier } from "../verifier.ts";
import type { Verb, VerbContext } from "./verb.ts";

const TLOG_HEADER = "c2sp.org/tlog-proof@v1";
const MAX_FILE_BYTES = 2_097_152;

export const prove: Verb = {
  usage: "prove HASH [-o FILE] [--checkpoint N] [--tlog] [--log ID]",
  about:
    "Writes a portable proof that the envelope is in this node's log under a checkpoint, the newest by default:\n" +
    "clawdstrike-portable-proof-v1, or with --tlog the text form c2sp.org/tlog-proof@v1. --log takes another node's log: the\n" +
    "proof that came with its checkpoints, or that a peer gives within ten seconds.",
  examples: [`spine prove 0x${"0".repeat(64)} -o proof.json`],
  options: {
    output: { type: "string", value: "FILE", short: "o", help: "Write here, whole or not at all." },
    checkpoint: { type: "string", value: "N", help: "checkpoint_seq to prove it under." },
    log: { type: "string", value: "ID", help: "Log to prove it in; this node's own by default." },
    tlog: { type: "boolean", help: "The text form that public tools read." },
  },
  operands: { least: 1, most: 1 },
  async run({ operands, dir, env, out, text, flag, note }) {
    const hash = readHash(operands[0] as string);
    const seq = text("checkpoint");
    const log = text("log");
    if (log !== undefined && (seq !== undefined || flag("tlog")))
      throw new SpineError("usage", "--log goes with neither --checkpoint nor --tlog");
    const query = new URLSearchParams({
      envelope_hash: hash,
      ...(seq === undefined ? {} : { checkpoint_seq: seq }),
      ...(log === undefined ? {} : { log_id: log }),
    });
    await using node = await openSession(dir, env);
    const url = `/v1/proofs/${flag("tlog") ? "inclusion" : "portable"}?${query}`;
    const { body } = await node.transparency({
      method: "GET",
      url,
      accept: flag("tlog") ? TLOG_PROOF_TYPE : "",
      body: "",
    });
    const proof = typeof body === "string" ? body : utf8Text(body);
    const file = text("output");
    if (file === undefined) await out.write(proof.endsWith("\n") ? proof : `${proof}\n`);
    else {
      await writeFileAtomic(file, proof, { mode: 0o644, exclusive: false });
      note(`proof written to ${file}`);
    }
    return 0;
  },
};

/** The node's own trust as a bundle. Without witnesses none can be asked for. */
function bundleOf(trust: TrustFile): TrustBundle {
  const keys = (list: readonly { readonly key: string }[]): string[] => list.map(({ key }) => key);
  return {
    schema: null,
    allowedLogIds: keys(trust.logs),
    allowedWitnessNodeIds: keys(trust.witnesses),
    allowedReceiptSignerNodeIds: [],
    allowedKernelLoaderSignerNodeIds: [],
    allowedEnvelopeIssuers: [],
    requiredReceiptEnforcementTiers: [],
    requireKernelLoaderSignatures: false,
    requireAttestedIssuers: false,
    witnessQuorum: trust.witnesses.length === 0 ? 0 : trust.witnessQuorum,
  };
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new SpineError("usage", `${path}: cannot be read`, { cause });
  });
  if (bytes.length > MAX_FILE_BYTES) throw new SpineError("usage", `${path}: larger than ${MAX_FILE_BYTES} bytes`);
  return utf8Text(bytes);
}

/** `--trust`, else the node's trust in effect, else nobody. */
async function trustOf({ text, flag, dir, note }: VerbContext): Promise<TrustBundle> {
  const path = text("trust");
  if (path !== undefined) return parseTrustBundle(await readText(path), flag("strict") ? "strict" : "compatible");
  const trust = (await readTrustFile(dir.trustAccepted, "effective")) ?? EMPTY_TRUST;
  if (trust.logs.length === 0) {
    if (flag("strict"))
      throw new SpineError("config_invalid", "--strict needs --trust F or a trust file that names logs");
    note("no trust is configured: any log and any issuer passes; name whom you believe with --trust");
  }
  return bundleOf(trust);
}

async function verifyPortable(context: VerbContext, file: string, verifier: Verifier): Promise<number> {
  const { out, json } = context;
  const bundle = await trustOf(context);
  const verdict = await verifyPortableProof(
    sha256,
    treeHasher,
    parsePortableProof(sha256Hex, file),
    { bundle },
    verifier,
  );
  if (json) await out.line({ ok: true, ...verdictJson(verdict) });
  else await out.write(verdictText(verdict));
  return 0;
}

function verdictJson(verdict: PortableVerdict): object {
  const { checkpoint } = verdict;
  return {
    format: "clawdstrike-portable-proof-v1",
    envelope_hash: verdict.envelopeHash,
    issuer: verdict.issuer,
    seq: verdict.seq,
    log_id: checkpoint.logId,
    log_index: verdict.logIndex,
    checkpoint_seq: checkpoint.seq,
    checkpoint_hash: verdict.checkpointHash,
    tree_size: checkpoint.size,
    issued_at: checkpoint.issuedAt,
    witnesses: verdict.witnesses,
    ignored_lines: verdict.ignoredLines,
    tier: verdict.tier,
    proven: verdict.proven,
    not_proven: verdict.notProven,
  };
}

function verdictText(verdict: PortableVerdict): string {
  const { checkpoint, tier } = verdict;
  return [
    `envelope      ${verdict.envelopeHash}`,
    `signed by     ${verdict.issuer}, seq ${verdict.seq}`,
    `in the log    ${checkpoint.logId}, leaf ${verdict.logIndex}`,
    `checkpoint    ${checkpoint.seq} of ${checkpoint.issuedAt}, ${checkpoint.size} leaves`,
    `co-signed by  ${verdict.witnesses.length === 0 ? "nobody" : verdict.witnesses.join("\n              ")}`,
    `tier          ${tier === null ? "none claimed" : `${tier.achieved} shown, ${tier.claimed} claimed`}`,
    `proven        ${verdict.proven.join(", ")}`,
    `not proven    ${verdict.notProven.join(", ") || "nothing"}`,
    "",
  ].join("\n");
}

async function verifyTlog(context: VerbContext, file: string, verifier: Verifier): Promise<number> {
  const { out, json, text } = context;
  const [trust, hash] = [text("trust"), text("hash")];
  if (trust === undefined || hash === undefined) {
    throw new SpineError("usage", "a tlog-proof needs --trust F (a policy of c2sp.org/tlog-policy) and --hash HASH");
  }
  const policy = parseQuorumPolicy(sha256, await readText(trust));
  const leafHash = treeHasher.leaf(fromHex(readHash(hash).slice(2), TREE_HASH_BYTES));
  const proof = parseTlogProof(file);
  const { head, witnesses, oldestTimestamp } = await verifyTlogProof(treeHasher, proof, leafHash, policy, verifier);
  const found = {
    format: TLOG_HEADER,
    envelope_hash: readHash(hash),
    origin: head.origin,
    log_index: proof.index,
    tree_size: head.size,
    witnesses,
    oldest_cosignature: oldestTimestamp,
    proven: ["included", "checkpoint_signed", "log_allowed", ...(policy.quorum === null ? [] : ["witness_quorum"])],
    not_proven: ["envelope_signed", "not_revoked", ...(policy.quorum === null ? ["witness_quorum"] : [])],
  };
  await out.line(
    json
      ? { ok: true, ...found }
      : Object.entries(found)
          .map(([k, v]) => `${k}: ${String(v)}`)
          .join("\n"),
  );
  return 0;
}

export const verify: Verb = {
  usage: "verify FILE [--trust F] [--strict] [--hash HASH]",
  about:
    "Checks a portable proof without any network and says what was proven, by whom, at which tier, and what was not.\n" +
    "--trust names a trust bundle (JSON), for a tlog-proof a policy text; otherwise the node's own trust is used.",
  examples: ["spine verify proof.json --trust trust.json --strict --json"],
  options: {
    trust: { type: "string", value: "F", help: "Whom to believe: a trust bundle, or a policy for tlog-proofs." },
    strict: { type: "boolean", help: "Refuse a bundle that leaves the lists of logs or witnesses empty." },
    hash: { type: "string", value: "HASH", help: "Of a tlog-proof: the envelope hash that it is about." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const file = await readText(context.operands[0] as string);
    await using verifier = new WorkerVerifier();
    const check = file.startsWith(TLOG_HEADER) ? verifyTlog : verifyPortable;
    return await check(context, file, verifier);
  },
};
