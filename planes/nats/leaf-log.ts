/**
 * The log of leaves on a cluster with one writer: 32 raw bytes per leaf, its index the stream sequence less one, and a
 * bucket from hash to sequence (spec/spine.md 9.4). Each append names the sequence it must follow, so that a second
 * writer is refused instead of interleaved, and no hash becomes two leaves.
 */
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type EnvelopeHash, fromHex, SpineError, toHex } from "../../spine/index.ts";
import type { NatsNames } from "./names.ts";
import { apiCode } from "./streams.ts";

const LEAF_BYTES = 32;
const WRONG_LAST_SEQUENCE = new Set([10_071, 10_164]);
const MAX_RETRIES = 8;
const REPAIR_BATCH = 256;

export class LeafLog {
  readonly #js: JetStreamClient;
  readonly #jsm: JetStreamManager;
  readonly #index: KV;
  readonly #names: NatsNames;
  readonly #writer: string;
  #lastSeq: number;
  /** Leaves that another writer put in between. */
  taken = 0;

  private constructor(
    js: JetStreamClient,
    jsm: JetStreamManager,
    index: KV,
    names: NatsNames,
    writer: string,
    last: number,
  ) {
    this.#js = js;
    this.#jsm = jsm;
    this.#index = index;
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
    const index = await new Kvm(connection).open(names.logIndex);
    const log = new LeafLog(js, jsm, index, names, writer, 0);
    await log.#catchUp();
    return log;
  }

  /** Leaves in the log. */
  get size(): number {
    return this.#lastSeq;
  }

  /** Index of the leaf, appended unless it is there. Throws `nats_unavailable`; appending again is harmless. */
  async append(hash: EnvelopeHash): Promise<number> {
    const known = await this.indexOf(hash);
    if (known !== undefined) return known;
    for (let attempt = 0; attempt < MAX_RETRIES; attempt++) {
      try {
        const ack = await this.#js.publish(this.#names.leaf, fromHex(hash.slice(2), LEAF_BYTES), {
          msgID: hash,
          expect: { streamName: this.#names.log.name, lastSequence: this.#lastSeq },
          timeout: 5_000,
        });
        if (ack.duplicate) await this.#catchUp();
        else {
          this.#lastSeq = ack.seq;
          await this.#put(hash, ack.seq);
        }
        return (await this.indexOf(hash)) ?? ack.seq - 1;
      } catch (error) {
        if (!WRONG_LAST_SEQUENCE.has(apiCode(error))) throw unavailable(error);
        this.taken++;
        await this.#catchUp();
        const theirs = await this.indexOf(hash);
        if (theirs !== undefined) return theirs;
      }
    }
    throw new SpineError("nats_unavailable", `${this.#writer}: another writer appends to the log all the time`);
  }

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

  /** Indexes leaves backwards from the newest until one that is indexed as itself. */
  async #catchUp(): Promise<void> {
    const info = await this.#jsm.streams
      .info(this.#names.log.name)
      .catch((error: unknown) => Promise.reject(unavailable(error)));
    const last = info.state.last_seq;
    for (let sequence = last; sequence > 0 && last - sequence < REPAIR_BATCH * MAX_RETRIES; sequence--) {
      const hash = await this.leaf(sequence - 1);
      if (hash === undefined)
        throw new SpineError("nats_stream", `log stream: leaf ${sequence - 1} is missing or malformed`);
      if ((await this.indexOf(hash)) !== undefined) break;
      await this.#put(hash, sequence);
    }
    this.#lastSeq = last;
  }
}

function unavailable(error: unknown): SpineError {
  if (error instanceof SpineError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new SpineError("nats_unavailable", `log stream: ${text}`, { cause: error });
}
