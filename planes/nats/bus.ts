/**
 * Envelopes, heads, log leaves and witness questions on a NATS cluster. JetStream is a transport: what it acknowledged
 * may still be lost, so whoever publishes keeps the truth and starts over when `onLost` says so. Rides on a
 * `NatsPlane`'s connection; used by the node's feed and by its log keeper.
 */
import type { JetStreamClient, JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { type Envelope, envelopeBytes, SpineError } from "../../spine/index.ts";
import { backoffMs } from "../backoff.ts";
import { AckedPublisher } from "./acked-publisher.ts";
import { pause } from "./connection.ts";
import { LeafLog, readLeafStream } from "./leaf-log.ts";
import type { NatsNames } from "./names.ts";
import { subjectTail } from "./names.ts";
import type { NatsLog } from "./options.ts";
import type { NatsPlane } from "./plane.ts";
import { type BatchHandler, StreamReader } from "./stream-reader.ts";
import { ensureAll, type ServerFeatures, type StreamLimits, serverFeatures } from "./streams.ts";
import { WitnessLine } from "./witness-line.ts";

export interface BusOptions {
  readonly names: NatsNames;
  readonly limits: StreamLimits;
  /** Also the log's stream and buckets. */
  readonly withLog: boolean;
  /** Names the sender in the header `X-Aegis-Sender`; proves nothing. */
  readonly sender: string;
  /** Name of this node's durable consumers, of letters, digits, `_` and `-`. */
  readonly durable: string;
  readonly publishTimeoutMs?: number;
  readonly log?: NatsLog;
  /** Batches of what others published; absent = read nothing. */
  readonly onBatch?: BatchHandler;
  /** A head announcement as heard, at most `MAX_HEAD_BYTES`. */
  readonly onHead?: (data: Uint8Array) => void;
  /** Publishing is possible now. */
  readonly onReady?: () => void;
  /** The cluster no longer holds what it had acknowledged: everything must be published again. */
  readonly onLost?: (reason: string) => void;
}

export const MAX_HEAD_BYTES = 2_048;
const BACKOFF = { minMs: 200, maxMs: 3_000 };
const CHECK_MS = 5_000;

/** What a stream was when last looked at. */
interface Seen {
  readonly created: string;
  readonly lastSeq: number;
  readonly messages: number;
}

export class NatsBus {
  readonly #options: BusOptions;
  readonly #readers: StreamReader[];
  readonly #seen = new Map<string, Seen>();
  readonly witness: WitnessLine;
  readonly #counts = {
    published: 0,
    publish_duplicates: 0,
    publish_failures: 0,
    heads_published: 0,
    heads_heard: 0,
    heads_oversized: 0,
    messages_read: 0,
    messages_again: 0,
    messages_poison: 0,
    consumers_made: 0,
    consumer_stalls: 0,
    streams_lost: 0,
    setups_failed: 0,
  };
  #session: AbortController | null = null;
  #js: JetStreamClient | null = null;
  #jsm: JetStreamManager | null = null;
  #connection: NatsConnection | null = null;
  #publisher: AckedPublisher | null = null;
  #makeHeaders: (() => MsgHdrs) | null = null;
  #features: ServerFeatures | null = null;
  /** Set apart the message ids of what is published again after a loss. */
  #epoch = "";
  #problems: string[] = [];
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(plane: NatsPlane, options: BusOptions) {
    this.#options = options;
    const { onBatch, durable, names } = options;
    this.#readers =
      onBatch === undefined
        ? []
        : names.envelopes.map(({ name }) => new StreamReader(name, durable, onBatch, this.#counts));
    this.witness = new WitnessLine(names.witness, () => this.#connection);
    plane.listen({ up: (connection) => this.#up(connection), down: () => this.#down() });
  }

  /** Envelopes can be published now. */
  get ready(): boolean {
    return this.#js !== null;
  }
  /** Whoever publishes what others may have published too waits for this: what stands there was heard. */
  get caughtUp(): boolean {
    return this.#readers.every((reader) => reader.caughtUp);
  }
  get features(): ServerFeatures | null {
    return this.#features;
  }
  /** What the operator should know of the cluster, one sentence each. */
  get problems(): readonly string[] {
    return this.#problems;
  }
  counters(): Readonly<Record<string, number>> {
    return { ...this.#counts, ready: this.ready ? 1 : 0, ...this.witness.counters() };
  }

  /**
   * Resolved = a majority of the stream's servers took it (or had it). Rejects with `nats_unavailable`; then it may
   * have been taken or not, and publishing again is harmless; or with `envelope_size`: the cluster's limits refuse it.
   */
  async publish(envelope: Envelope): Promise<void> {
    const headers = this.#makeHeaders?.();
    const publisher = this.#publisher;
    if (publisher === null || headers === undefined)
      throw new SpineError("nats_unavailable", "no stream can be written now");
    const { names, sender } = this.#options;
    headers.set("X-Aegis-Sender", sender);
    headers.set("Nats-Msg-Id", this.#epoch === "" ? envelope.hash : `${envelope.hash}.${this.#epoch}`);
    try {
      const subject = `${names.envelope}.${subjectTail(envelope)}`;
      const { duplicate } = await publisher.publish(subject, envelopeBytes(envelope), headers);
      if (duplicate) this.#counts.publish_duplicates++;
      else this.#counts.published++;
    } catch (error) {
      this.#counts.publish_failures++;
      throw error;
    }
  }

  /** Says a head to whoever listens now; loss is no fault, the next one says more. */
  publishHead(text: Uint8Array): void {
    const connection = this.#connection;
    if (connection === null || connection.isClosed()) return;
    this.#counts.heads_published++;
    connection.publish(this.#options.names.heads, text);
  }

  /** Reads every stream from its first message again. */
  rewind(): void {
    for (const reader of this.#readers) reader.rewind();
  }

  /** The log's stream as its one writer. Throws `nats_unavailable` or `nats_stream`. */
  async openLog(writer: string): Promise<LeafLog> {
    const [connection, js, jsm] = [this.#connection, this.#js, this.#jsm];
    if (connection === null || js === null || jsm === null || !this.#options.withLog) {
      throw new SpineError("nats_unavailable", "the log's stream is not ready");
    }
    return LeafLog.open(connection, js, jsm, this.#options.names, writer);
  }

  /** Leaves of the log's stream from an index on, in pages. Throws `nats_unavailable` or `nats_stream`. */
  async *leaves(from: number): AsyncGenerator<readonly Uint8Array[]> {
    const [js, jsm] = [this.#js, this.#jsm];
    if (js === null || jsm === null) throw new SpineError("nats_unavailable", "the log's stream is not ready");
    yield* readLeafStream(js, jsm, this.#options.names, from);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#down();
    await this.#work;
  }

  #up(connection: NatsConnection): void {
    this.#down();
    if (this.#stopped) return;
    const session = new AbortController();
    this.#session = session;
    this.#connection = connection;
    const before = this.#work;
    this.#work = before.then(() => this.#run(connection, session.signal)).catch(() => {});
  }

  #down(): void {
    this.#session?.abort();
    this.#session = null;
    this.#publisher?.close();
    this.#publisher = null;
    this.#js = null;
    this.#jsm = null;
    this.#connection = null;
  }

  async #run(connection: NatsConnection, signal: AbortSignal): Promise<void> {
    const { onHead, names } = this.#options;
    if (signal.aborted) return;
    this.witness.connected(connection);
    if (onHead !== undefined) {
      connection.subscribe(names.heads, {
        callback: (error, message) => {
          if (error !== null || signal.aborted) return;
          if (message.data.length > MAX_HEAD_BYTES) this.#counts.heads_oversized++;
          else {
            this.#counts.heads_heard++;
            onHead(message.data);
          }
        },
      });
    }
    const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
    const { headers, createInbox } = await import("@nats-io/transport-node");
    this.#makeHeaders = headers;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const jsm = await jetstreamManager(connection, { checkAPI: false });
        await this.#setUp(connection, jsm, signal);
        const js = jetstream(connection);
        if (signal.aborted) return;
        this.#publisher?.close();
        this.#publisher = new AckedPublisher(connection, createInbox(), this.#options.publishTimeoutMs ?? 5_000);
        this.#js = js;
        this.#jsm = jsm;
        this.#options.onReady?.();
        await Promise.all([
          ...this.#readers.map((reader) => reader.run(js, jsm, signal)),
          this.#check(connection, jsm, signal),
        ]);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#counts.setups_failed++;
        this.#problems = [error instanceof Error ? error.message : String(error)];
        this.#options.log?.("nats streams not ready", { reason: this.#problems[0] as string });
        await pause(backoffMs(attempt, BACKOFF, Math.random), signal);
      }
    }
  }

  async #setUp(connection: NatsConnection, jsm: JetStreamManager, signal: AbortSignal): Promise<void> {
    const { names, limits, withLog, log } = this.#options;
    const features = serverFeatures(connection.info?.version ?? "0");
    this.#features = features;
    const problems: string[] = [];
    const say = (text: string, made = false): void => {
      if (!made) problems.push(text);
      log?.("nats stream", { text });
    };
    if (!features.supported)
      throw new SpineError("nats_stream", `nats-server ${features.version}: 2.9 or newer is needed`);
    if (!features.streamMetadata)
      say(
        `nats-server ${features.version} acknowledges before it syncs its disk and cannot be told otherwise; 2.10 or newer can (sync_interval: always)`,
      );
    const found = await ensureAll(connection, jsm, names, limits, withLog, say);
    if (signal.aborted) return;
    this.#problems = problems;
    for (const [name, info] of found) this.#compare(name, info);
  }

  /** Looks now and then whether the cluster still holds what it acknowledged; makes again what is missing. */
  async #check(connection: NatsConnection, jsm: JetStreamManager, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(CHECK_MS, signal);
      if (signal.aborted) return;
      await this.#look(connection, jsm, signal).catch((error: unknown) => {
        this.#options.log?.("nats streams not checked", { reason: String(error) });
      });
    }
  }

  async #look(connection: NatsConnection, jsm: JetStreamManager, signal: AbortSignal): Promise<void> {
    await this.#setUp(connection, jsm, signal);
  }

  /** Looks at once, as after a publish that failed. */
  async inspect(): Promise<void> {
    const [connection, jsm, session] = [this.#connection, this.#jsm, this.#session];
    if (connection !== null && jsm !== null && session !== null) await this.#look(connection, jsm, session.signal);
  }

  #compare(name: string, info: StreamInfo): void {
    const now: Seen = { created: info.created, lastSeq: info.state.last_seq, messages: info.state.messages };
    const before = this.#seen.get(name);
    this.#seen.set(name, now);
    if (before === undefined) return;
    let reason: string | undefined;
    if (before.created !== now.created) reason = `stream ${name} was made anew`;
    else if (now.lastSeq < before.lastSeq) reason = `stream ${name} went back from ${before.lastSeq} to ${now.lastSeq}`;
    else if (isGone(before, info) && !nearLimits(info)) reason = `stream ${name} was purged`;
    if (reason === undefined) return;
    this.#counts.streams_lost++;
    // A purged stream still knows the ids it had, and would take nothing back under the same ones. Every publisher
    // sees the same purge, so that they still agree on ids.
    this.#epoch = `${info.state.first_seq}`;
    this.#options.log?.("nats stream lost", { reason });
    this.rewind();
    this.#options.onLost?.(reason);
  }
}

/** All that was there at the last look is gone, and maybe what came after it too. */
function isGone(before: Seen, { state }: StreamInfo): boolean {
  return state.first_seq > before.lastSeq + (before.messages > 0 ? 0 : 1);
}

/** Whether the stream's own limits may have taken its first messages. */
function nearLimits({ config, state }: StreamInfo): boolean {
  const { max_bytes: maxBytes, max_msgs: maxMessages, max_age: maxAge } = config;
  return maxMessages > 0 || maxAge > 0 || (maxBytes > 0 && state.bytes > maxBytes / 2);
}
