/**
 * The log over HTTP: proofs and checkpoints (spec/spine.md section 11), the public tiles of c2sp.org/tlog-tiles under
 * `/tlog/`, and the witness protocol under `/witness/`. Answers are values, so that the node's API and the public
 * listener serve the same.
 */
import {
  encodeEntryBundle,
  envelopeText,
  formatNoteKey,
  isJsonObject,
  type Json,
  parseJson,
  parseTilePath,
  SpineError,
  TILE_WIDTH,
  TREE_HASH_BYTES,
  tileWidth,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { type IndexedKind, MAX_ENTRIES } from "../attest/fact-index.ts";
import { checkpointJson, inclusionJson, Proofs, tlogProofText } from "../attest/proofs.ts";
import type { Transparency } from "../attest/transparency.ts";
import { readDestination, readHash, readIssuer, readNumber, readQuery } from "./query.ts";

export interface TransparencyRequest {
  readonly method: "GET" | "POST";
  /** Path and query, as requested. */
  readonly url: string;
  readonly accept: string;
  /** Of POST only. */
  readonly body: string;
}

export interface TransparencyAnswer {
  readonly status: number;
  readonly type: string;
  /** `cache-control`, or null for none. */
  readonly cache: string | null;
  readonly body: string | Uint8Array;
}

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";
export const TLOG_PROOF_TYPE = "text/x.tlog-proof";
const IMMUTABLE = "public, max-age=31536000, immutable";
const MAX_SEQ = Number.MAX_SAFE_INTEGER;
const MAX_LISTED = 1_000;
/** Longest add-checkpoint body read, bytes. */
export const MAX_WITNESS_BODY = 262_144 + 63 * 45 + 32;

/** Of the API alone: a matter of the operator's. */
export const WITNESS_CONFIRM_PATH = "/v1/witness/confirm";

/** What anyone may ask for: nothing there shows what an envelope says. */
export function isPublicPath(url: string): boolean {
  return /^\/(?:v1\/(?:log|checkpoints|proofs\/(?:inclusion|consistency))(?:[/?]|$)|tlog\/|witness\/)/.test(url);
}

/** Look-ups of facts: path, what the last part is, what is said when nothing is found. */
const LOOKUPS: Readonly<Record<string, { kind: IndexedKind; read: (text: string) => string; missing: string }>> = {
  "/v1/policies/by-hash": { kind: "policy", read: readHash, missing: "policy hash not indexed" },
  "/v1/policies/by-version": { kind: "policy_version", read: String, missing: "policy version not indexed" },
  "/v1/run-receipts/by-run-id": { kind: "run_receipt", read: String, missing: "run_id not indexed" },
  "/v1/node-attestations/by-issuer": {
    kind: "node_attestation",
    read: (text) => readHash(text.replace(/^aegis:ed25519:/, "")).slice(2),
    missing: "no node attestation for issuer",
  },
  "/v1/node-attestations/by-destination": {
    kind: "reticulum_destination",
    read: readDestination,
    missing: "no issuer, or several, name this destination as their own",
  },
  "/v1/marketplace/attestation": {
    kind: "policy_attestation",
    read: readHash,
    missing: "no attestation for bundle hash",
  },
  "/v1/marketplace/revocation": {
    kind: "policy_revocation",
    read: readHash,
    missing: "no revocation for bundle hash",
  },
};
export const LOOKUP_PATHS: readonly string[] = [
  ...Object.keys(LOOKUPS).map((path) => `${path}/:key`),
  "/v1/receipt-verifications/by-target/:key",
];

export class TransparencyApi {
  readonly #transparency: Transparency;
  readonly #proofs: Proofs;
  constructor(store: Store, transparency: Transparency) {
    this.#transparency = transparency;
    this.#proofs = new Proofs(store, transparency.tree, transparency.keeper);
  }

  /** Throws coded errors; `api_not_found` for a path it does not know. */
  async answer(request: TransparencyRequest): Promise<TransparencyAnswer> {
    const path = request.url.split("?", 1)[0] as string;
    const [, first, second = "", ...rest] = path.split("/");
    if (request.method === "POST") {
      if (path === "/witness/add-checkpoint") return this.#addCheckpoint(request.body);
      if (path === "/witness/show-cosignature") {
        await this.#transparency.witness.shown({ type: "note", note: request.body });
        return text("", TEXT_TYPE, null);
      }
      if (path === WITNESS_CONFIRM_PATH) return this.#confirm(request);
      throw notFound(request);
    }
    if (first === "tlog") return this.#tlog([second, ...rest].join("/"), request);
    if (first === "witness" && rest.length === 1 && rest[0] === "checkpoint") return this.#monitored(second, request);
    const key = decodeURIComponent(path.slice(path.lastIndexOf("/") + 1));
    const lookup = LOOKUPS[path.slice(0, path.lastIndexOf("/"))];
    if (lookup !== undefined) return this.#lookup(lookup, key, request);
    if (path.startsWith("/v1/receipt-verifications/by-target/")) return this.#verifications(readHash(key), request);
    if (path === "/v1/log") return this.#log(request);
    if (second === "checkpoints") return this.#checkpoints(rest, request);
    if (second === "proofs" && rest.length === 1) return this.#proof(rest[0] as string, request);
    throw notFound(request);
  }

  async #lookup(
    { kind, read, missing }: (typeof LOOKUPS)[string],
    key: string,
    request: TransparencyRequest,
  ): Promise<TransparencyAnswer> {
    readQuery(request.url, []);
    const entry = await this.#transparency.fact(kind, read(key));
    const found = entry === undefined ? undefined : await this.#proofs.envelope(entry.hash);
    if (found === undefined) throw new SpineError("api_not_found", missing);
    return text(found, JSON_TYPE, null);
  }

  async #verifications(target: string, request: TransparencyRequest): Promise<TransparencyAnswer> {
    readQuery(request.url, []);
    const entries = await this.#transparency.verifications(target);
    const verifications: string[] = [];
    for (const { issuer, hash } of entries) {
      const found = await this.#proofs.envelope(hash);
      if (found === undefined) continue;
      verifications.push(
        `{"verifier_pubkey_hex":"${issuer.slice(-64)}","envelope_hash":"${hash}","envelope":${found}}`,
      );
    }
    const schema = "clawdstrike.spine.query.receipt_verifications.v1";
    const head = `"schema":"${schema}","target_envelope_hash":"${target}","truncated":${entries.length === MAX_ENTRIES}`;
    return text(`{${head},"verifications":[${verifications.join(",")}]}`, JSON_TYPE, null);
  }

  async #addCheckpoint(body: string): Promise<TransparencyAnswer> {
    const answer = await this.#transparency.witness.addCheckpoint(body);
    return { status: answer.status, type: answer.contentType, cache: null, body: answer.body };
  }

  async #monitored(originHash: string, request: TransparencyRequest): Promise<TransparencyAnswer> {
    readQuery(request.url, []);
    const note = this.#transparency.witness.monitored(originHash);
    if (note === undefined) throw new SpineError("api_not_found", "no checkpoint of this log was co-signed here");
    return text(note, TEXT_TYPE, "public, max-age=5");
  }

  /** `{"log_id": …}`: the operator's word that what this witness holds of a log is the last that it signed. */
  async #confirm({ body }: TransparencyRequest): Promise<TransparencyAnswer> {
    const value = parseJson(body);
    const logId = isJsonObject(value) ? value["log_id"] : undefined;
    if (typeof logId !== "string") throw new SpineError("api_input", 'expected {"log_id": …}');
    const { witness } = this.#transparency;
    await witness.confirm(readIssuer(logId));
    const { size = 0, statement } = witness.row(logId) ?? {};
    return json({ log_id: logId, size, checkpoint_seq: statement?.statement.seq ?? 0, restored: false });
  }

  #log(request: TransparencyRequest): TransparencyAnswer {
    readQuery(request.url, []);
    const { keeper, witness, follower } = this.#transparency;
    const { latest } = keeper;
    return json({
      log_id: keeper.logId,
      origin: keeper.origin,
      vkey: formatNoteKey(keeper.noteKey),
      leaves: keeper.leaves,
      stopped: keeper.stopped === undefined ? null : { code: keeper.stopped.code, message: keeper.stopped.message },
      latest:
        latest === null
          ? null
          : {
              checkpoint_seq: latest.statement.seq,
              tree_size: latest.statement.size,
              issued_at: latest.statement.issuedAt,
              witnesses: new Set([...latest.lines, ...latest.late.lines].map((line) => line.witness)).size,
            },
      witness: {
        id: witness.id,
        vkey: formatNoteKey(witness.noteKey),
        logs: witness.logs.map(({ logId, origin }) => ({
          log_id: logId,
          origin,
          size: witness.row(logId)?.size ?? 0,
          restored: witness.restored.includes(logId),
        })),
      },
      split_views: [...follower.proofs.keys()],
    });
  }

  async #checkpoints(rest: readonly string[], request: TransparencyRequest): Promise<TransparencyAnswer> {
    if (rest.length === 0) {
      const { from, limit } = readQuery(request.url, ["from", "limit"]);
      const most = readNumber("limit", limit, { least: 1, most: MAX_LISTED, fallback: 100 });
      const last = this.#transparency.keeper.latest?.statement.seq ?? 0;
      const first = readNumber("from", from, { least: 1, most: MAX_SEQ, fallback: Math.max(1, last - most + 1) });
      const found: Json[] = [];
      for await (const one of this.#proofs.checkpoints(first, most)) found.push(checkpointJson(one));
      return json({ checkpoints: found });
    }
    readQuery(request.url, []);
    const [name, part] = rest as [string, string?];
    const seq = name === "latest" ? name : readNumber("checkpoint_seq", name, { least: 1, most: MAX_SEQ, fallback: 0 });
    const held = await this.#proofs.checkpoint(seq);
    // The latest changes, and so do the co-signatures beside any.
    if (part === undefined) return text(envelopeText(held.envelope), JSON_TYPE, seq === "latest" ? null : IMMUTABLE);
    if (part === "witnesses" && rest.length === 2) return json(checkpointJson(held));
    if (part === "note" && rest.length === 2) return text(held.note, TEXT_TYPE, null);
    throw notFound(request);
  }

  async #proof(kind: string, request: TransparencyRequest): Promise<TransparencyAnswer> {
    if (kind === "consistency") {
      const { from, to } = readQuery(request.url, ["from", "to"]);
      const second = readNumber("to", to, { least: 1, most: MAX_SEQ, fallback: this.#proofs.size });
      const first = readNumber("from", from, { least: 1, most: MAX_SEQ, fallback: 1 });
      return json(await this.#proofs.consistency(first, second));
    }
    if (kind !== "inclusion" && kind !== "portable") throw notFound(request);
    const query = readQuery(request.url, ["envelope_hash", "issuer", "seq", "checkpoint_seq", "log_id"]);
    const hash =
      query["issuer"] === undefined
        ? readHash(query["envelope_hash"] ?? "")
        : await this.#proofs.hashAt(
            readIssuer(query["issuer"]),
            readNumber("seq", query["seq"], { least: 0, most: MAX_SEQ, fallback: 0 }),
          );
    const wanted = query["checkpoint_seq"];
    const seq =
      wanted === undefined ? "latest" : readNumber("checkpoint_seq", wanted, { least: 1, most: MAX_SEQ, fallback: 1 });
    const log = query["log_id"] === undefined ? this.#transparency.keeper.logId : readIssuer(query["log_id"]);
    if (log !== this.#transparency.keeper.logId) {
      if (kind !== "portable" || wanted !== undefined)
        throw new SpineError("api_input", "of another log only a portable proof, under whichever checkpoint it is");
      return text(await this.#transparency.foreignProof(log, hash), JSON_TYPE, null);
    }
    if (kind === "portable") return text(await this.#proofs.portable(hash, seq), JSON_TYPE, null);
    const proof = await this.#proofs.inclusion(hash, seq);
    if (request.accept.includes(TLOG_PROOF_TYPE)) return text(tlogProofText(proof), TLOG_PROOF_TYPE, null);
    return json(inclusionJson(proof));
  }

  async #tlog(path: string, request: TransparencyRequest): Promise<TransparencyAnswer> {
    readQuery(request.url, []);
    if (path === "checkpoint")
      return text((await this.#proofs.checkpoint("latest")).note, TEXT_TYPE, "public, max-age=5");
    const { level, index, width } = parseTilePath(path);
    const { size } = this.#proofs;
    // A partial tile belongs to a published tree; of a full one every partial is a part.
    if (width > tileWidth(size, level, index))
      throw new SpineError("api_not_found", "no such tile in a published tree");
    const body = level === "entries" ? await this.#entries(index, width) : await this.#proofs.tile(level, index, width);
    return { status: 200, type: "application/octet-stream", cache: IMMUTABLE, body };
  }

  async #entries(index: number, width: number): Promise<Uint8Array> {
    const bytes = await this.#proofs.leaves(index * TILE_WIDTH, width);
    const entries = Array.from({ length: width }, (_, i) =>
      bytes.subarray(i * TREE_HASH_BYTES, (i + 1) * TREE_HASH_BYTES),
    );
    return encodeEntryBundle(entries);
  }
}

function json(value: Json): TransparencyAnswer {
  return { status: 200, type: JSON_TYPE, cache: null, body: JSON.stringify(value) };
}

function text(body: string, type: string, cache: string | null): TransparencyAnswer {
  return { status: 200, type, cache, body };
}

function notFound({ method, url }: TransparencyRequest): SpineError {
  return new SpineError("api_not_found", `no ${method} ${url.split("?", 1)[0]} here`);
}
