/**
 * Keeps the own log on a cluster as an upstream log stands there (spec/spine.md 9.4): its leaves in the log's stream, an
 * index, its checkpoints. One writer: each leaf names the one it follows, and what another log began is left alone. A
 * leaf is an envelope's hash, so the copy ends before the first whose envelope must not be told there (rules 11).
 */
import type { LeafLog, NatsBus } from "../../planes/index.ts";
import {
  asSpineError,
  type EnvelopeHash,
  envelopeText,
  factOf,
  holds,
  type Issuer,
  openEnvelope,
  openSigningBytes,
  readCheckpointFact,
  SpineError,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { LogKeeper } from "../attest/keeper.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { sha256Hex } from "../hash.ts";
import { pause } from "./pause.ts";

export interface LeafMirrorOptions {
  readonly store: Store;
  readonly keeper: Pick<LogKeeper, "logId" | "latest">;
  readonly gateway: Gateway | undefined;
  readonly bus: Pick<NatsBus, "ready" | "openLog">;
}

const PAGE = 256;
const IDLE_MS = 1_000;
const RETRY_MS = 5_000;

export class LeafMirror {
  readonly #options: LeafMirrorOptions;
  #problem: string | null = null;
  #leaves = 0;
  #checkpoint = 0;

  constructor(options: LeafMirrorOptions) {
    this.#options = options;
  }

  /** Why the copy does not go on, for the operator. */
  get problem(): string | null {
    return this.#problem;
  }
  counters(): Readonly<Record<string, number>> {
    return { log_leaves_mirrored: this.#leaves, log_checkpoint_mirrored: this.#checkpoint };
  }

  /** Until the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let log: LeafLog | undefined;
    while (!signal.aborted) {
      let wait = IDLE_MS;
      try {
        if (this.#options.bus.ready) {
          log ??= await this.#open();
          await this.#advance(log, signal);
          this.#problem = null;
        } else log = undefined;
      } catch (caught) {
        const { code, message } = asSpineError(caught);
        log = undefined;
        wait = RETRY_MS;
        this.#problem = `the log's copy on the cluster waits: ${message} (${code})`;
      }
      await pause(wait, signal);
    }
  }

  /** Throws `nats_stream` for a stream that another log began: two logs in one are none. */
  async #open(): Promise<LeafLog> {
    const { bus, store, keeper } = this.#options;
    const log = await bus.openLog(keeper.logId);
    const newest = await log.newest();
    const [own] = log.size === 0 ? [] : await store.leaves(log.size - 1, 1);
    if (newest !== undefined && (newest.writer !== keeper.logId || newest.hash !== own)) {
      throw new SpineError("nats_stream", `the log stream holds the leaves of ${newest.writer || "another program"}`);
    }
    const kept = await log.latestCheckpoint();
    this.#leaves = log.size;
    this.#checkpoint = kept === undefined ? 0 : this.#covered(kept, log.size);
    return log;
  }

  /** Seq of the newest checkpoint there, or the one before if its leaves are not all there any more. */
  #covered(text: string, leaves: number): number {
    const envelope = openEnvelope(text, sha256Hex);
    if (envelope.issuer !== this.#options.keeper.logId)
      throw new SpineError("nats_stream", `the checkpoints on the cluster are those of ${envelope.issuer}`);
    return readCheckpointFact(factOf(envelope)).statement.size <= leaves ? envelope.seq : envelope.seq - 1;
  }

  /** First the leaves of a checkpoint, then the checkpoint: whoever reads one finds the tree it speaks of. */
  async #advance(log: LeafLog, signal: AbortSignal): Promise<void> {
    const { store, keeper } = this.#options;
    const last = keeper.latest?.statement.seq ?? 0;
    for (let seq = this.#checkpoint + 1; seq <= last && !signal.aborted; seq++) {
      const stored = await store.at(keeper.logId, seq);
      // Pruned: a later one speaks of its leaves too.
      if (stored === undefined) continue;
      const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex, stored.hash);
      const { size } = readCheckpointFact(factOf(envelope)).statement;
      while (log.size < size && !signal.aborted) {
        const page = await store.leaves(log.size, Math.min(PAGE, size - log.size));
        if (page.length === 0) return;
        for (const [i, hash] of page.entries()) await this.#mayShow(hash, log.size + i);
        await log.extend(page);
        this.#leaves = log.size;
      }
      if (signal.aborted) return;
      await log.putCheckpoint(seq, envelopeText(envelope));
      this.#checkpoint = seq;
    }
  }

  async #mayShow(hash: EnvelopeHash, index: number): Promise<void> {
    const { gateway, store } = this.#options;
    if (gateway === undefined) return;
    const place = await store.locate(hash);
    if (place !== undefined && tellable(gateway, place.issuer, place.seq)) return;
    throw new SpineError("gateway_policy", `leaf ${index} is an envelope that must not be told on NATS`);
  }
}

function tellable(gateway: Gateway, issuer: Issuer, seq: number): boolean {
  const spans = gateway.index.spansOn("nats", issuer);
  return spans === undefined || holds(spans, seq);
}
