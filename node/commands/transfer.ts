/** `spine export` and `spine import`: envelopes as JSON Lines, for carrying by hand. */
import { open, rename, unlink } from "node:fs/promises";
import {
  asSpineError,
  envelopeText,
  factOf,
  fromHex,
  type Issuer,
  PORTABLE_PROOF_SCHEMA,
  parseIssuer,
  parsePortableProof,
  readCheckpointFact,
  SpineError,
  TREE_HASH_BYTES,
  utf8Text,
  verifyInclusion,
} from "../../spine/index.ts";
import type { NodeHandle } from "../handle.ts";
import { sha256Hex, treeHasher } from "../hash.ts";
import { openInput } from "../input.ts";
import { lineText, splitLines } from "../lines.ts";
import { Output } from "../output.ts";
import { openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

const PAGE_ISSUERS = 1000;

async function* allIssuers(node: NodeHandle): AsyncGenerator<Issuer> {
  let after: Issuer | null | undefined;
  do {
    const page = await node.issuers({ limit: PAGE_ISSUERS, ...(after ? { after } : {}) });
    for (const { issuer, ranges } of page.issuers) if (ranges.length > 0) yield issuer;
    after = page.next;
  } while (after !== null);
}

function fromSeq(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^\d{1,16}$/.test(text)) throw new SpineError("usage", "--from must be a sequence number");
  return Number(text);
}

export const exportVerb: Verb = {
  usage: "export [--issuer I] [--from N] [--proofs] [FILE]",
  about: "Writes the envelopes held, one canonical JSON line each, to FILE (whole or not at all) or standard output.",
  examples: ["spine export all.jsonl", "spine export --issuer aegis:ed25519:… --from 100 > part.jsonl"],
  options: {
    issuer: { type: "string", value: "I", help: "Only this issuer." },
    from: { type: "string", value: "N", help: "Only from this seq on." },
    proofs: {
      type: "boolean",
      help: "A portable proof instead of each envelope that the log's newest checkpoint covers.",
    },
  },
  operands: { least: 0, most: 1 },
  async run(context) {
    const { dir, env, note, signal } = context;
    const only = context.text("issuer");
    if (only !== undefined) parseIssuer(only);
    const from = fromSeq(context.text("from"));
    await using node = await openSession(dir, env);
    let count = 0;
    const writeAll = async (out: Output): Promise<void> => {
      for await (const issuer of only === undefined ? allIssuers(node) : [only]) {
        for await (const text of node.range(issuer, from, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)) {
          signal.throwIfAborted();
          await out.line(context.flag("proofs") ? await proofOf(node, text) : text);
          count++;
        }
      }
    };
    const file = context.operands[0];
    if (file === undefined || file === "-") await writeAll(context.out);
    else await writeWhole(file, writeAll);
    note(`${count} envelopes exported`);
    return 0;
  },
};

/** The portable proof of an envelope, or the envelope where no checkpoint covers it yet. */
async function proofOf(node: NodeHandle, text: string): Promise<string> {
  const { envelope_hash } = JSON.parse(text) as { readonly envelope_hash: string };
  const url = `/v1/proofs/portable?envelope_hash=${envelope_hash}`;
  try {
    const { body } = await node.transparency({ method: "GET", url, accept: "", body: "" });
    return typeof body === "string" ? body : utf8Text(body);
  } catch (caught) {
    if (asSpineError(caught).code === "api_not_found") return text;
    throw caught;
  }
}

/** Writes beside the file, then renames: a broken export never looks like a whole one. */
async function writeWhole(file: string, write: (out: Output) => Promise<void>): Promise<void> {
  const partial = `${file}.partial`;
  try {
    await using handle = await open(partial, "w", 0o600);
    const out = new Output(handle.createWriteStream({ autoClose: false }));
    await write(out);
    await out.flush();
    await handle.sync();
    await rename(partial, file);
  } catch (caught) {
    await unlink(partial).catch(() => undefined);
    throw asSpineError(caught, "store_failed");
  }
}

/** The line itself; of a portable proof its envelope and the checkpoint that it leads to. Throws the proof's codes. */
function envelopesOf(text: string): readonly string[] {
  if (!text.includes(`"schema":"${PORTABLE_PROOF_SCHEMA}"`)) return [text];
  const { envelope, checkpoint, index, path } = parsePortableProof(sha256Hex, text);
  const { size, root } = readCheckpointFact(factOf(checkpoint)).statement;
  const leafHash = treeHasher.leaf(fromHex(envelope.hash.slice(2), TREE_HASH_BYTES));
  verifyInclusion(treeHasher, { leafHash, index, size, path, root });
  return [envelopeText(envelope), envelopeText(checkpoint)];
}

export const importVerb: Verb = {
  usage: "import [FILE|-]",
  about:
    "Checks and stores the envelope on each line; of a portable proof, once it leads to its checkpoint, the envelope and\n" +
    "the checkpoint. Each refusal is printed with its line; the rest goes on.",
  examples: ["spine import all.jsonl", "spine import --json - < part.jsonl"],
  operands: { least: 0, most: 1 },
  async run(context) {
    const { dir, env, out, json, signal } = context;
    await using node = await openSession(dir, env);
    const input = await openInput(context.operands[0], signal);
    const counts = { stored: 0, known: 0, refused: 0 };
    const refuse = async (line: number, code: string, message: string): Promise<void> => {
      counts.refused++;
      await out.line(json ? { line, ok: false, code, message } : `line ${line}: ${code}: ${message}`);
    };
    const sent: number[] = [];
    const unreadable: { line: number; error: SpineError }[] = [];
    const texts = async function* (): AsyncGenerator<string> {
      for await (const lines of splitLines(input)) {
        for (const line of lines) {
          try {
            for (const text of envelopesOf(lineText(line))) {
              sent.push(line.number);
              yield text;
            }
          } catch (caught) {
            unreadable.push({ line: line.number, error: asSpineError(caught) });
          }
        }
      }
    };
    const refuseUnreadable = async (before: number): Promise<void> => {
      while (unreadable[0] !== undefined && unreadable[0].line < before) {
        const { line, error } = unreadable.shift() as (typeof unreadable)[0];
        await refuse(line, error.code, error.message);
      }
    };
    for await (const result of node.importEnvelopes(texts(), { signal })) {
      const line = sent.shift() as number;
      await refuseUnreadable(line);
      if (result.ok) counts[result.state]++;
      else await refuse(line, result.code, result.message);
    }
    await refuseUnreadable(Number.POSITIVE_INFINITY);
    await out.line(json ? counts : `${counts.stored} stored, ${counts.known} known already, ${counts.refused} refused`);
    return counts.refused === 0 ? 0 : 1;
  },
};
