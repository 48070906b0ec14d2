/** The running daemon as a NodeSession: every method is one or more requests on its socket. */
import type { IncomingMessage } from "node:http";
import {
  asSpineError,
  canonicalText,
  type EnvelopeHash,
  ERRORS,
  type ErrorCode,
  type Issuer,
  MAX_ENVELOPE_BYTES,
  type RevocationScope,
  SpineError,
} from "../spine/index.ts";
import { readBackup } from "./api/backup.ts";
import type { SyncLine } from "./api/sync.ts";
import type { TransparencyAnswer, TransparencyRequest } from "./api/transparency.ts";
import type { RevocationRight } from "./authority/authority-status.ts";
import { Client } from "./client.ts";
import type {
  Fact,
  ForkStatus,
  ImportResult,
  IssuerPage,
  NodeEvent,
  NodeSession,
  NodeStatus,
  PeerStatus,
  PublishResult,
  Readiness,
  SyncOptions,
  SyncSummary,
} from "./handle.ts";
import { lineText, splitLines } from "./lines.ts";

/** Envelopes asked for at once: small enough that a slow reader never stalls the daemon's answer. */
const PAGE_ENVELOPES = 500;
const IMPORT_LINES = 1000;
const PUBLISH_FACTS = 1000;
/** One request's body stays below this, plus one item: at three bytes a character well within the daemon's bound. */
const REQUEST_CHARACTERS = 2_097_152;
const LINES_TYPE = "application/x-ndjson";

async function* answerLines(answer: IncomingMessage): AsyncGenerator<string> {
  try {
    for await (const lines of splitLines(answer)) for (const line of lines) yield lineText(line);
  } catch (cause) {
    throw cause instanceof SpineError ? cause : asSpineError(cause, "api_unavailable");
  }
}

/** A stream that fails midway ends with a line `{"error":…}`. */
function refuseErrorLine(line: string): void {
  if (!line.startsWith('{"error":')) return;
  const { error } = JSON.parse(line) as { error: { code: string; message: string } };
  throw new SpineError(error.code in ERRORS ? (error.code as ErrorCode) : "internal", error.message);
}

export class RemoteNode implements NodeSession {
  readonly remote = true;
  readonly issuer: Issuer;
  readonly #client: Client;

  constructor(client: Client, issuer: Issuer) {
    this.#client = client;
    this.issuer = issuer;
  }

  /** Throws `daemon_not_running` when nobody answers on the socket. */
  static async connect(socket: string): Promise<RemoteNode> {
    const client = new Client(socket);
    const status = JSON.parse(await client.text({ method: "GET", path: "/v1/status" })) as NodeStatus;
    return new RemoteNode(client, status.issuer);
  }

  async #json<T>(method: "GET" | "POST" | "DELETE", path: string, body?: object): Promise<T> {
    const call = { method, path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    return JSON.parse(await this.#client.text(call)) as T;
  }

  status(): Promise<NodeStatus> {
    return this.#json("GET", "/v1/status");
  }

  async publish(facts: readonly Fact[], { signal }: { signal: AbortSignal }): Promise<readonly PublishResult[]> {
    const results: PublishResult[] = [];
    let batch: string[] = [];
    let length = 0;
    const send = async (): Promise<void> => {
      if (batch.length > 0) results.push(...(await this.#publishBatch(batch, signal)));
      batch = [];
      length = 0;
    };
    for (const fact of facts) {
      const text = canonicalText(fact);
      if (text.length > MAX_ENVELOPE_BYTES) {
        // Not even sent: one request holds many facts that fit, and few of any size.
        await send();
        results.push({ ok: false, code: "envelope_size", message: `a fact of ${text.length} characters` });
        continue;
      }
      batch.push(text);
      length += text.length;
      if (length >= REQUEST_CHARACTERS || batch.length >= PUBLISH_FACTS) await send();
    }
    await send();
    return results;
  }

  async #publishBatch(texts: readonly string[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    const body = `${texts.join("\n")}\n`;
    const call = { method: "POST", path: "/v1/publish", body, contentType: LINES_TYPE, signal } as const;
    const lines = (await this.#client.text(call)).trimEnd().split("\n");
    if (lines.length !== texts.length) throw new SpineError("internal", "the daemon did not answer every fact");
    return lines.map((line) => {
      const { line: _, ...result } = JSON.parse(line) as PublishResult & { line: number };
      return result as PublishResult;
    });
  }

  async envelope(hash: EnvelopeHash): Promise<string | undefined> {
    try {
      return await this.#client.text({ method: "GET", path: `/v1/envelopes/${hash}` });
    } catch (caught) {
      if (caught instanceof SpineError && caught.code === "api_not_found") return undefined;
      throw caught;
    }
  }

  async *range(issuer: Issuer, from: number, to: number, limit: number): AsyncGenerator<string> {
    let next = from;
    let left = limit;
    while (left > 0 && next <= to) {
      const size = Math.min(left, PAGE_ENVELOPES);
      const path = `/v1/issuers/${issuer}/envelopes?from=${next}&to=${to}&limit=${size}`;
      const page = (await this.#client.text({ method: "GET", path })).split("\n").filter((line) => line !== "");
      for (const line of page) refuseErrorLine(line);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < size) return;
      left -= page.length;
      next = (JSON.parse(last) as { seq: number }).seq + 1;
    }
  }

  async *heads(): AsyncGenerator<string> {
    for await (const line of answerLines(await this.#client.open({ method: "GET", path: "/v1/heads" }))) {
      refuseErrorLine(line);
      yield line;
    }
  }

  issuers({ after, limit }: { after?: Issuer | undefined; limit: number }): Promise<IssuerPage> {
    return this.#json("GET", `/v1/issuers?limit=${limit}${after === undefined ? "" : `&after=${after}`}`);
  }

  async allowIssuer(issuer: Issuer): Promise<void> {
    await this.#json("POST", `/v1/issuers/${encodeURIComponent(issuer)}/allow`, {});
  }

  async denyIssuer(issuer: Issuer): Promise<void> {
    await this.#json("POST", `/v1/issuers/${encodeURIComponent(issuer)}/deny`, {});
  }

  async peers(): Promise<readonly PeerStatus[]> {
    return (await this.#json<{ peers: readonly PeerStatus[] }>("GET", "/v1/peers")).peers;
  }

  async addPeer(address: string): Promise<void> {
    await this.#json("POST", "/v1/peers", { address });
  }

  async removePeer(idOrAddress: string): Promise<void> {
    await this.#json("DELETE", `/v1/peers/${encodeURIComponent(idOrAddress)}`);
  }

  async sync(peer: string, options: SyncOptions): Promise<SyncSummary> {
    const body = JSON.stringify({
      peer,
      dry_run: options.dryRun,
      ...(options.issuer ? { issuer: options.issuer } : {}),
    });
    const answer = await this.#client.open({ method: "POST", path: "/v1/sync", body, signal: options.signal });
    for await (const line of answerLines(answer)) {
      refuseErrorLine(line);
      const { type, ...fields } = JSON.parse(line) as SyncLine;
      if (type === "summary") return fields as SyncSummary;
      options.onProgress(fields as Parameters<SyncOptions["onProgress"]>[0]);
    }
    throw new SpineError("api_unavailable", "the daemon stopped before the sync was done");
  }

  revocationRight(scope: RevocationScope, value: string): Promise<RevocationRight> {
    return this.#json("GET", `/v1/authority/right?scope=${scope}&value=${encodeURIComponent(value)}`);
  }

  async forks(): Promise<readonly ForkStatus[]> {
    return (await this.#json<{ forks: readonly ForkStatus[] }>("GET", "/v1/forks")).forks;
  }

  async *importEnvelopes(texts: AsyncIterable<string>, options: { signal: AbortSignal }): AsyncGenerator<ImportResult> {
    let batch: string[] = [];
    let length = 0;
    for await (const text of texts) {
      batch.push(text);
      length += text.length;
      if (batch.length < IMPORT_LINES && length < REQUEST_CHARACTERS) continue;
      yield* this.#importBatch(batch, options.signal);
      batch = [];
      length = 0;
    }
    if (batch.length > 0) yield* this.#importBatch(batch, options.signal);
  }

  async *#importBatch(batch: readonly string[], signal: AbortSignal): AsyncGenerator<ImportResult> {
    const body = `${batch.join("\n")}\n`;
    const call = { method: "POST", path: "/v1/import", body, contentType: LINES_TYPE, signal } as const;
    for await (const line of answerLines(await this.#client.open(call))) {
      refuseErrorLine(line);
      const { line: _, ...result } = JSON.parse(line) as ImportResult & { line: number };
      yield result as ImportResult;
    }
  }

  async *storeDump({ signal }: { signal: AbortSignal }): AsyncGenerator<Uint8Array> {
    yield* readBackup(await this.#client.open({ method: "GET", path: "/v1/backup", signal }));
  }

  async *subscribe(from: number | undefined, { signal }: { signal: AbortSignal }): AsyncGenerator<NodeEvent> {
    const path = `/v1/events${from === undefined ? "" : `?from=${from}`}`;
    for await (const line of answerLines(await this.#client.open({ method: "GET", path, signal }))) {
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6)) as NodeEvent;
    }
  }

  async transparency({ method, url, accept, body }: TransparencyRequest): Promise<TransparencyAnswer> {
    const call = { method, path: url, accepts: accept, ...(method === "POST" ? { body } : {}) };
    return { status: 200, type: "", cache: null, body: await this.#client.text(call) };
  }

  metricsText(): Promise<string> {
    return this.#client.text({ method: "GET", path: "/metrics" });
  }

  async ready(): Promise<Readiness> {
    return JSON.parse(await this.#client.text({ method: "GET", path: "/readyz", accept: 503 })) as Readiness;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }
}
