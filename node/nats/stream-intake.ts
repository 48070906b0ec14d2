/**
 * What others published on the streams: checked, offered to the core, and acknowledged once it is on disk. Each refusal
 * is counted and recorded. Part of `feed.ts`, which is told what was heard there.
 */
import { type BatchHandler, type BusMessage, type Handled, subjectMatches } from "../../planes/index.ts";
import {
  asSpineError,
  BoundedMap,
  type Envelope,
  MAX_ENVELOPE_INPUT,
  type Outcome,
  openEnvelope,
  SpineError,
  TokenBucket,
} from "../../spine/index.ts";
import type { Driver } from "../driver.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { sha256Hex } from "../hash.ts";

export interface StreamIntakeOptions {
  readonly driver: Driver;
  readonly gateway: Gateway | undefined;
  /** Envelopes per second of one sender on the streams, and at once. */
  readonly senderRate: { readonly perSecond: number; readonly burst: number };
  readonly now: () => number;
}

/** Where messages of the streams come from, in the words of links. */
const VIA = "nats:bus";
const MAX_SENDERS = 10_000;

export class StreamIntake {
  readonly #options: StreamIntakeOptions;
  readonly #onHeard: (hash: string) => void;
  readonly #senders = new BoundedMap<string, TokenBucket>(MAX_SENDERS);
  readonly counts = {
    read_added: 0,
    read_known: 0,
    read_refused: 0,
    read_malformed: 0,
    read_oversized: 0,
    read_mismatched: 0,
    read_rate_limited: 0,
  };

  /** `onHeard` is told the hash of each envelope that stands on the streams and is held here. */
  constructor(options: StreamIntakeOptions, onHeard: (hash: string) => void) {
    this.#options = options;
    this.#onHeard = onHeard;
  }

  readonly batch: BatchHandler = async (batch) => {
    const results: Handled[] = batch.map((): Handled => "poison");
    const envelopes: Envelope[] = [];
    const places: number[] = [];
    for (const [i, message] of batch.entries()) {
      if (!this.#sender(message.sender)) {
        results[i] = "later";
        this.counts.read_rate_limited++;
        continue;
      }
      const envelope = this.#open(message);
      if (envelope === undefined) continue;
      envelopes.push(envelope);
      places.push(i);
    }
    const outcomes = await this.#options.driver.offer(envelopes, VIA);
    for (const [at, outcome] of outcomes.entries()) {
      results[places[at] as number] = this.#outcome(
        envelopes[at] as Envelope,
        outcome,
        (batch[places[at] as number] as BusMessage).sender,
      );
    }
    return results;
  };

  #sender(sender: string): boolean {
    const { senderRate, now } = this.#options;
    let bucket = this.#senders.get(sender);
    if (bucket === undefined) {
      bucket = new TokenBucket(senderRate.perSecond, senderRate.burst, now());
      this.#senders.set(sender, bucket);
    }
    return bucket.take(1, now());
  }

  #open({ data, subject, sender }: BusMessage): Envelope | undefined {
    try {
      if (data.length > MAX_ENVELOPE_INPUT) throw new SpineError("envelope_size", `message of ${data.length} bytes`);
      const envelope = openEnvelope(data, sha256Hex);
      if (subjectMatches(subject, envelope)) return envelope;
      this.counts.read_mismatched++;
      this.#refuse("subject_mismatch", { envelope_hash: envelope.hash, nats_subject: subject.slice(0, 256), sender });
    } catch (caught) {
      const { code } = asSpineError(caught);
      if (code === "envelope_size") this.counts.read_oversized++;
      else this.counts.read_malformed++;
      this.#refuse(code, { nats_subject: subject.slice(0, 256), sender });
    }
    return undefined;
  }

  #outcome(envelope: Envelope, outcome: Outcome, sender: string): Handled {
    if (outcome === "added" || outcome === "duplicate") {
      this.#onHeard(envelope.hash);
      if (outcome === "added") this.counts.read_added++;
      else this.counts.read_known++;
      return "done";
    }
    // A clock will come to it.
    if (outcome === "issued_in_future") return "later";
    this.counts.read_refused++;
    this.#refuse(outcome, { envelope_hash: envelope.hash, issuer: envelope.issuer, seq: envelope.seq, sender });
    return outcome === "signature_invalid" ? "poison" : "done";
  }

  #refuse(reason: string, fields: Readonly<Record<string, string | number>>): void {
    this.#options.gateway?.refused("nats", reason, { ...fields });
  }
}
