/** `spine checkpoint list|latest|verify`: the log's checkpoints as statements and notes, with their witness lines. */
import {
  asSpineError,
  checkpointHashText,
  claimOf,
  equalBytes,
  factOf,
  isJsonObject,
  type JsonObject,
  NoteKeyType,
  noteKey,
  openEnvelopeValue,
  parseIssuer,
  parseJson,
  parseNote,
  parseTreeHead,
  readCheckpointFact,
  SpineError,
  utf8Text,
  type Verifier,
  validWitnesses,
  verifyNote,
} from "../../spine/index.ts";
import type { NodeHandle } from "../handle.ts";
import { sha256, sha256Hex } from "../hash.ts";
import { openSession } from "../session.ts";
import { WorkerVerifier } from "../verifier.ts";
import { type CaseAnswer, caseBytes, refuseCase, runCases } from "./cases.ts";
import type { Verb } from "./verb.ts";

interface Listed {
  readonly checkpoint_seq: number;
  readonly tree_size: number;
  readonly merkle_root: string;
  readonly issued_at: string;
  readonly witnesses: readonly { readonly witness_node_id: string }[];
  readonly note: string;
}

async function get<T>(node: NodeHandle, url: string): Promise<T> {
  const { body } = await node.transparency({ method: "GET", url, accept: "", body: "" });
  return JSON.parse(typeof body === "string" ? body : utf8Text(body)) as T;
}

function readable(one: Listed): string {
  return `${one.checkpoint_seq}  ${one.issued_at}  ${one.tree_size} leaves  ${one.merkle_root}  ${one.witnesses.length} witnesses`;
}

export const checkpointList: Verb = {
  usage: "checkpoint list [--from N] [--limit N]",
  about: "Prints the log's checkpoints, the newest 100 by default. With --json the note and witness lines of each too.",
  examples: ["spine checkpoint list --limit 10"],
  options: {
    from: { type: "string", value: "N", help: "First checkpoint_seq." },
    limit: { type: "string", value: "N", help: "At most this many, up to 1000." },
  },
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json, text }) {
    const query = new URLSearchParams();
    for (const name of ["from", "limit"]) if (text(name) !== undefined) query.set(name, text(name) as string);
    await using node = await openSession(dir, env);
    const { checkpoints } = await get<{ checkpoints: Listed[] }>(node, `/v1/checkpoints?${query}`);
    for (const one of checkpoints) await out.line(json ? one : readable(one));
    return 0;
  },
};

export const checkpointLatest: Verb = {
  usage: "checkpoint latest [--note]",
  about: "Prints the newest checkpoint with every co-signature held; --note prints it as a C2SP signed note.",
  examples: ["spine checkpoint latest --json", "spine checkpoint latest --note > checkpoint"],
  options: { note: { type: "boolean", help: "The signed note, as public tools read it." } },
  operands: { least: 0, most: 0 },
  async run({ dir, env, out, json, flag }) {
    await using node = await openSession(dir, env);
    const one = await get<Listed>(node, "/v1/checkpoints/latest/witnesses");
    if (flag("note")) await out.write(one.note);
    else await out.line(json ? one : `${readable(one)}\n\n${one.note}`);
    return 0;
  },
};

/** One checkpoint envelope, all of it: signatures of log and witnesses, both encodings of one tree head. */
async function verifyCheckpoint(bytes: Uint8Array, verifier: Verifier): Promise<CaseAnswer> {
  const value = parseJson(bytes);
  const inner = isJsonObject(value) && isJsonObject(value["envelope"]) ? value["envelope"] : value;
  if (!isJsonObject(inner)) throw new SpineError("checkpoint_field", "a checkpoint is a JSON object");
  const envelope = openEnvelopeValue(inner as JsonObject, sha256Hex);
  const { statement, witnesses, note } = readCheckpointFact(factOf(envelope));
  if (statement.logId !== envelope.issuer) throw new SpineError("checkpoint_field", "it is not signed by its log");
  const [signed] = await verifier.verify([claimOf(envelope)]);
  if (signed !== true) throw new SpineError("signature_invalid", "the log's signature is wrong");
  const valid = await validWitnesses(sha256, statement, witnesses, verifier);
  if (valid.length < new Set(witnesses.map(({ witness }) => witness)).size) {
    throw new SpineError("witness_signature", `${witnesses.length - valid.length} witness lines are wrong`);
  }
  if (note !== null) await verifyNoteOf(note, statement, verifier);
  return {
    ok: true,
    log_id: statement.logId,
    checkpoint_seq: statement.seq,
    tree_size: statement.size,
    checkpoint_hash: checkpointHashText(sha256, statement),
    witnesses: valid,
    note: note !== null,
  };
}

async function verifyNoteOf(
  text: string,
  { logId, size, root }: { readonly logId: string; readonly size: number; readonly root: Uint8Array },
  verifier: Verifier,
): Promise<void> {
  const note = parseNote(text);
  const head = parseTreeHead(note.text);
  await verifyNote(note, [noteKey(sha256, head.origin, NoteKeyType.ed25519, parseIssuer(logId))], verifier);
  if (head.size !== size || !equalBytes(head.root, root)) {
    throw new SpineError("log_conflict", "note and statement are of different trees");
  }
}

export const checkpointVerify: Verb = {
  usage: "checkpoint verify [FILE|-]",
  about:
    "Checks the checkpoint envelope on each line: the log's signature, every witness line, and that statement and note\n" +
    "are one tree head. Whom to believe is `spine verify`'s matter.",
  examples: ["spine checkpoint list --json | spine checkpoint verify"],
  operands: { least: 0, most: 1 },
  async run(context) {
    await using verifier = new WorkerVerifier();
    return await runCases(context, (lines) =>
      Promise.all(
        lines.map(async (line) => {
          try {
            return await verifyCheckpoint(caseBytes(line, false), verifier);
          } catch (caught) {
            return refuseCase(asSpineError(caught));
          }
        }),
      ),
    );
  },
};
