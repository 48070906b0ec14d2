/**
 * Witness questions on the cluster's witness subject (spec/spine.md 9.3): the statement as JSON, answered by a
 * witness_signature object, as an upstream checkpointer or witness speaks it. What rules 9 ask beyond that travels in
 * headers: the log's own signature, the size it believes the witness signed last, a consistency proof.
 */
import type { WitnessLine as NatsWitnessLine, WitnessQuestion } from "../../planes/index.ts";
import {
  type CheckpointStatement,
  canonicalText,
  checkpointHashText,
  decodeWitnessRequest,
  ERRORS,
  type ErrorCode,
  encodeWitnessReply,
  fromHex,
  type Issuer,
  isJsonObject,
  MAX_REQUEST_HASHES,
  parseJson,
  parseStatement,
  readWitnessLine,
  statementText,
  TREE_HASH_BYTES,
  toHex,
  utf8,
  utf8Text,
  WITNESS_SIGNATURE_SCHEMA,
  type WitnessReply,
  type WitnessRequest,
  witnessSignatureObject,
} from "../../spine/index.ts";
import type { Witness } from "../attest/witness.ts";
import { sha256 } from "../hash.ts";

export const WITNESS_REFUSAL_SCHEMA = "aegis.spine.witness_refusal.v1";
const SIGNATURE = "Spine-Log-Signature";
const OLD_SIZE = "Spine-Old-Size";
const PROOF = "Spine-Consistency";
/** Which witness is asked; others that read the header stay silent. */
const ASKED = "Spine-Witness";

/** Root of the first `size` leaves on the cluster; undefined while they are not all read. */
export type LeavesRoot = (size: number) => Promise<Uint8Array | undefined>;

export interface WitnessDeskOptions {
  readonly line: NatsWitnessLine;
  readonly witness: Witness;
  /** Given: statements without their log's signature are answered too, when the leaves here have their root. */
  readonly leavesRoot: LeavesRoot | undefined;
  /** Whether this node's log may state its tree head on the cluster. */
  readonly mayAsk: () => boolean;
}

/** Serves this node's witness on the cluster from now on, and asks others' for its log. */
export class WitnessDesk {
  readonly #options: WitnessDeskOptions;

  constructor(options: WitnessDeskOptions) {
    this.#options = options;
    options.line.serve((question) => this.#answer(question));
  }

  /** Silent for what is no statement, is of a log not allowed, or is meant for another witness. */
  async #answer({ data, header }: WitnessQuestion): Promise<Uint8Array | undefined> {
    const { witness, leavesRoot } = this.#options;
    const asked = header(ASKED);
    if (asked !== undefined && asked !== witness.id) return undefined;
    let statement: CheckpointStatement;
    try {
      statement = parseStatement(utf8Text(data));
    } catch {
      return undefined;
    }
    const request = requestOf(statement, header);
    let reply: WitnessReply;
    if (request !== undefined) reply = await witness.answer(request);
    else if (leavesRoot !== undefined) reply = await witness.answerHeld(statement, leavesRoot);
    else return undefined;
    if (reply.type === "signed") return utf8(canonicalText(witnessSignatureObject(sha256, statement, reply.line)));
    // An upstream log expects silence; ours wants to know where this witness stands.
    if (request === undefined || reply.type !== "refused" || reply.code === "log_not_allowed") return undefined;
    return utf8(
      canonicalText({
        schema: WITNESS_REFUSAL_SCHEMA,
        witness_node_id: witness.id,
        checkpoint_hash: checkpointHashText(sha256, statement),
        code: reply.code,
        tree_size: reply.size,
        checkpoint_seq: reply.seq,
      }),
    );
  }

  /**
   * Asks one witness; takes and gives the bytes of `witness-frame.ts`. Undefined when nobody answers in time, and for
   * questions that have no form on the cluster.
   */
  async ask(asked: Issuer, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { line, mayAsk } = this.#options;
    const request = decodeWitnessRequest(body);
    if (request.type !== "statement" || !mayAsk() || signal.aborted) return undefined;
    const { statement, logSignature, oldSize, proof } = request;
    const headers: [string, string][] = [
      [ASKED, asked],
      [SIGNATURE, toHex(logSignature)],
      [OLD_SIZE, String(oldSize)],
    ];
    if (proof.length > 0) headers.push([PROOF, proof.map(toHex).join(",")]);
    const hash = checkpointHashText(sha256, statement);
    let found: WitnessReply | undefined;
    await line.ask({ data: utf8(statementText(statement)), headers }, signal, (answer) => {
      found = readAnswer(answer, asked, hash);
      return found !== undefined;
    });
    return found === undefined ? undefined : encodeWitnessReply(found);
  }
}

/** Undefined for a question without the log's signature. Malformed headers count as none. */
function requestOf(
  statement: CheckpointStatement,
  header: (name: string) => string | undefined,
): WitnessRequest | undefined {
  const [signature, oldSize, proof] = [header(SIGNATURE), header(OLD_SIZE) ?? "0", header(PROOF)];
  if (signature === undefined || !/^\d{1,16}$/.test(oldSize) || !Number.isSafeInteger(Number(oldSize)))
    return undefined;
  const hashes = proof === undefined ? [] : proof.split(",");
  if (hashes.length > MAX_REQUEST_HASHES) return undefined;
  try {
    return {
      type: "statement",
      statement,
      logSignature: fromHex(signature, 64),
      oldSize: Number(oldSize),
      proof: hashes.map((one) => fromHex(one, TREE_HASH_BYTES)),
    };
  } catch {
    return undefined;
  }
}

/** An answer of the witness asked, about this checkpoint; signatures are verified by whoever asked. */
function readAnswer(answer: Uint8Array, asked: Issuer, hash: string): WitnessReply | undefined {
  try {
    const value = parseJson(answer);
    if (!isJsonObject(value) || value["witness_node_id"] !== asked) return undefined;
    if (value["schema"] === WITNESS_SIGNATURE_SCHEMA) return { type: "signed", line: readWitnessLine(value) };
    const { schema, code, tree_size: size, checkpoint_seq: seq } = value;
    if (schema !== WITNESS_REFUSAL_SCHEMA || value["checkpoint_hash"] !== hash) return undefined;
    if (typeof code !== "string" || !Object.hasOwn(ERRORS, code)) return undefined;
    if (!Number.isSafeInteger(size) || !Number.isSafeInteger(seq)) return undefined;
    return { type: "refused", code: code as ErrorCode, size: Number(size), seq: Number(seq) };
  } catch {
    return undefined;
  }
}
