/**
 * The log of leaves on a cluster with one writer: 32 raw bytes per leaf, its index the stream sequence less one, and a
 * bucket from hash to sequence (spec/spine.md 9.4). Each append names the sequence it must follow, so that a second
 * writer is refused instead of interleaved, and no hash becomes two leaves.
 */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { KV } from "@nats-io/kv";
import type { MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { type EnvelopeHash, fromHex, SpineError, toHex } from "../../spine/index.ts";
import type { NatsNames } from "./names.ts";
import { apiCode } from "./streams.ts";

const LEAF_BYTES = 32;
const WRONG_LAST_SEQUENCE = new Set([10_071, 10_164]);
const WRONG_LAST_ID = 10_070;
/** Leaves looked at backwards for a missing index entry, at most. */
const MAX_REPAIR = 2_048;
/** Names the log whose leaf it is. */
const WRITER = "Spine-Log";
/** Leaves under way at once. */
const WINDOW = 128;
/** Leaves read in one go. */
const READ_BATCH = 512;
const READ_WAIT_MS = 2_000;

export class LeafLog {
  readonly #js: JetStreamClient;
  readonly #jsm: JetStreamManager;
  readonly #index: KV;
  readonly #names: NatsNames;
  readonly #checkpoints: KV;
  readonly #writer: string;
  readonly #makeHeaders: () => MsgHdrs;
  #lastSeq: number;
  /** Leaves that another writer put in between. */
  taken = 0;

  private constructor(
    js: JetStreamClient,
    jsm: JetStreamManager,
    index: KV,
    checkpoints: KV,
    names: NatsNames,
    writer: string,
    makeHeaders: () => MsgHdrs,
    last: number,
  ) {
    this.#js = js;
    this.#jsm = jsm;
    this.#index = index;
    this.#checkpoints = checkpoints;
    this.#makeHeaders = makeHeaders;
    this.#names = names;
    this.#writer = writer;
    this.#lastSeq = last;
  }

  /** Takes in what the stream holds and the index lacks: a writer that was killed between the two. */
  static async open(
    connection: NatsConnection,
    js: JetStreamClient,
    jsm: JetStreamManager,
    names: NatsNames,
    writer: string,
  ): Promise<LeafLog> {
    const { Kvm } = await import("@nats-io/kv");
    const { headers: makeHeaders } = await import("@nats-io/transport-node");
    const kvm = new Kvm(connection);
    const [index, checkpoints] = [await kvm.open(names.logIndex), await kvm.open(names.checkpoints)];
    const log = new LeafLog(js, jsm, index, checkpoints, names, writer, makeHeaders, 0);
    await log.#catchUp();
    return log;
  }

  /** Leaves in the log. */
  get size(): number {
    return this.#lastSeq;
  }

  /** The newest leaf and the writer that named itself on it; undefined while the log is empty. */
  async newest(): Promise<{ readonly hash: EnvelopeHash; readonly writer: string } | undefined> {
    if (this.#lastSeq === 0) return undefined;
    const message = await this.#jsm.streams.getMessage(this.#names.log.name, { seq: this.#lastSeq });
    if (message === null || message.data.length !== LEAF_BYTES)
      throw new SpineError("nats_stream", `log stream: leaf ${this.#lastSeq - 1} is missing or malformed`);
    return { hash: `0x${toHex(message.data)}`, writer: message.header?.get(WRITER) ?? "" };
  }

  /**
   * Appends the next leaves in order, many at once, each naming the one it follows. Throws `nats_unavailable`, and
   * `nats_stream` when somebody else appended; then nothing that follows was taken.
   */
  async extend(hashes: readonly EnvelopeHash[]): Promise<void> {
    for (let at = 0; at < hashes.length; at += WINDOW) {
      const some = hashes.slice(at, at + WINDOW);
      const first = this.#lastSeq;
      const acks = some.map((hash, i) =>
        this.#js.publish(this.#names.leaf, fromHex(hash.slice(2), LEAF_BYTES), {
          msgID: hash,
          // By number alone a leaf would find its place again behind a stranger's, with its predecessor missing.
          expect: {
            streamName: this.#names.log.name,
            lastSequence: first + i,
            ...(i === 0 ? {} : { lastMsgID: some[i - 1] as EnvelopeHash }),
          },
          headers: this.#headers(),
          timeout: 5_000,
        }),
      );
      for (const [i, ack] of (await Promise.allSettled(acks)).entries()) {
        if (ack.status === "rejected" && !isTaken(ack.reason)) throw unavailable(ack.reason);
        // A duplicate is what an earlier try had put there.
        if (ack.status === "rejected" || ack.value.seq !== first + i + 1) {
          this.taken++;
          throw new SpineError("nats_stream", `another writer appended to the log stream at leaf ${first + i}`);
        }
        this.#lastSeq = first + i + 1;
      }
      await Promise.all(some.map((hash, i) => this.#put(hash, first + i + 1)));
    }
  }

  /** Text of the newest checkpoint envelope kept beside the leaves. */
  async latestCheckpoint(): Promise<string | undefined> {
    const entry = await this.#checkpoints.get("latest").catch((error: unknown) => Promise.reject(unavailable(error)));
    return entry === null || entry.operation !== "PUT" ? undefined : entry.string();
  }
  /** Keeps a checkpoint envelope under its seq and as the newest. Throws `nats_unavailable`. */
  async putCheckpoint(seq: number, text: string): Promise<void> {
    try {
      await this.#checkpoints.put(`checkpoint/${seq}`, text);
      await this.#checkpoints.put("latest", text);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Of one publish only: the client writes its own into them. */
  #headers(): MsgHdrs {
    const headers = this.#makeHeaders();
    headers.set(WRITER, this.#writer);
    return headers;
  }

  /** Index of a leaf; undefined when it is not in the log, or not indexed yet. */
  async indexOf(hash: EnvelopeHash): Promise<number | undefined> {
    const entry = await this.#index.get(hash).catch((error: unknown) => Promise.reject(unavailable(error)));
    if (entry === null || entry.operation !== "PUT") return undefined;
    const sequence = Number(entry.string());
    return Number.isSafeInteger(sequence) && sequence > 0 ? sequence - 1 : undefined;
  }

  /** Hash of leaf `index`. */
  async leaf(index: number): Promise<EnvelopeHash | undefined> {
    const message = await this.#jsm.streams.getMessage(this.#names.log.name, { seq: index + 1 });
    return message === null || message.data.length !== LEAF_BYTES ? undefined : `0x${toHex(message.data)}`;
  }

  async #put(hash: EnvelopeHash, sequence: number): Promise<void> {
    try {
      await this.#index.create(hash, String(sequence));
    } catch (error) {
      if (!WRONG_LAST_SEQUENCE.has(apiCode(error))) throw unavailable(error);
    }
  }

  /** Indexes leaves backwards from the newest until one that is indexed, beyond what a killed writer had under way. */
  async #catchUp(): Promise<void> {
    const info = await this.#jsm.streams
      .info(this.#names.log.name)
      .catch((error: unknown) => Promise.reject(unavailable(error)));
    const last = info.state.last_seq;
    for (let sequence = last; sequence > 0 && last - sequence < MAX_REPAIR; sequence--) {
      const hash = await this.leaf(sequence - 1);
      if (hash === undefined)
        throw new SpineError("nats_stream", `log stream: leaf ${sequence - 1} is missing or malformed`);
      if ((await this.indexOf(hash)) === undefined) await this.#put(hash, sequence);
      else if (last - sequence >= WINDOW) break;
    }
    this.#lastSeq = last;
  }
}

/** Leaves from index `from` up to what the stream holds now, in pages. Throws `nats_stream` at anything but a leaf. */
export async function* readLeafStream(
  js: JetStreamClient,
  jsm: JetStreamManager,
  names: NatsNames,
  from: number,
): AsyncGenerator<readonly Uint8Array[]> {
  const { state } = await jsm.streams
    .info(names.log.name)
    .catch((error: unknown) => Promise.reject(unavailable(error)));
  if (from >= state.last_seq) return;
  const consumer = await js.consumers.get(names.log.name, {
    deliver_policy: "by_start_sequence",
    opt_start_seq: from + 1,
  });
  for (let next = from; next < state.last_seq; ) {
    const page: Uint8Array[] = [];
    const wanted = Math.min(READ_BATCH, state.last_seq - next);
    for await (const message of await consumer.fetch({ max_messages: wanted, expires: READ_WAIT_MS })) {
      if (message.seq !== next + page.length + 1 || message.data.length !== LEAF_BYTES)
        throw new SpineError("nats_stream", `log stream: leaf ${next + page.length} is missing or malformed`);
      page.push(message.data);
    }
    if (page.length === 0) throw new SpineError("nats_unavailable", "log stream: no leaves came in time");
    next += page.length;
    yield page;
  }
}

function isTaken(error: unknown): boolean {
  const code = apiCode(error);
  return code === WRONG_LAST_ID || WRONG_LAST_SEQUENCE.has(code);
}

function unavailable(error: unknown): SpineError {
  if (error instanceof SpineError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new SpineError("nats_unavailable", `log stream: ${text}`, { cause: error });
}
