/** A NodeHandle in memory, with a real key and real envelopes: for tests of the API and the client, without disk or net. */

import {
  createSigner,
  type Fact,
  type ForkStatus,
  type ImportResult,
  type IssuerPage,
  type IssuerStatus,
  type NodeEvent,
  type NodeHandle,
  type NodeStatus,
  type PeerStatus,
  type PublishResult,
  type Readiness,
  type RevocationRight,
  type SyncOptions,
  type SyncSummary,
  sha256Hex,
  type TransparencyAnswer,
} from "../../node/index.ts";
import {
  asSpineError,
  draftEnvelope,
  draftHead,
  type Envelope,
  envelopeText,
  headText,
  isJsonObject,
  openEnvelope,
  SpineError,
  sealEnvelope,
  sealHead,
} from "../../spine/index.ts";

export class FakeNode implements NodeHandle {
  readonly signer = createSigner(new Uint8Array(32).fill(7));
  readonly issuer = this.signer.issuer;
  readonly #log: Envelope[] = [];
  readonly #byHash = new Map<string, Envelope>();
  readonly #admissions = new Map<string, IssuerStatus["admission"]>([[this.issuer, "own"]]);
  readonly #waiting = new Set<() => void>();
  /** Publishes wait for it. */
  gate: Promise<void> = Promise.resolve();
  /** Publishes that wait. */
  publishing = 0;
  peerList: PeerStatus[] = [];
  forkList: ForkStatus[] = [];
  readiness: Readiness = { ready: true, reasons: [] };
  syncSummary: SyncSummary = {
    received: 3,
    sent: 1,
    bytes: 2100,
    seconds: 0.5,
    per_second: 6,
    complete: true,
    reason: null,
  };

  get subscribers(): number {
    return this.#waiting.size;
  }

  #of(issuer: string): Envelope[] {
    return this.#log.filter((one) => one.issuer === issuer);
  }

  #store(envelope: Envelope): void {
    this.#log.push(envelope);
    this.#byHash.set(envelope.hash, envelope);
    for (const wake of this.#waiting) wake();
  }

  async status(): Promise<NodeStatus> {
    const last = this.#of(this.issuer).at(-1);
    return {
      issuer: this.issuer,
      name: "fake",
      version: "0.0.0",
      running: true,
      uptime_seconds: 1,
      head: last ? { seq: last.seq, envelope_hash: last.hash } : null,
      log_size: this.#log.length,
      store_bytes: 0,
      planes: [],
      links: [],
      peers: { known: this.peerList.length, connected: 0 },
      issuers: await this.issuers({ limit: 100 }),
      queues: {},
      guard: null,
      radio: null,
      nats: null,
      gateway: null,
      authority: {
        ...{ revoked_from: null, frozen_at: null, successor: null, recovery_key_hash: null },
        ...{ revoked: 0, revoked_root: `0x${"0".repeat(64)}`, set_age_seconds: null, set_behind: [] },
        trust: { pending: [], problem: null },
      },
      warnings: [],
    };
  }

  #last: Envelope | undefined;

  #publishOne(fact: Fact): PublishResult {
    try {
      if (!isJsonObject(fact) || typeof fact["schema"] !== "string") {
        throw new SpineError("fact_invalid", "a fact is an object with a schema");
      }
      const draft = draftEnvelope(
        {
          issuer: this.issuer,
          seq: (this.#last?.seq ?? 0) + 1,
          prev: this.#last?.hash ?? null,
          issuedAt: "2026-01-01T00:00:00Z",
          fact,
        },
        sha256Hex,
      );
      const envelope = sealEnvelope(draft, this.signer.sign(draft.signingBytes));
      this.#last = envelope;
      this.#store(envelope);
      return { ok: true, envelope_hash: envelope.hash, issuer: this.issuer, seq: envelope.seq };
    } catch (caught) {
      const error = asSpineError(caught);
      return { ok: false, code: error.code, message: error.message };
    }
  }

  async publish(facts: readonly Fact[]): Promise<readonly PublishResult[]> {
    this.publishing++;
    await this.gate;
    this.publishing--;
    return facts.map((fact) => this.#publishOne(fact));
  }

  async envelope(hash: string): Promise<string | undefined> {
    const found = this.#byHash.get(hash);
    return found && envelopeText(found);
  }

  async *range(issuer: string, from: number, to: number, limit: number): AsyncGenerator<string> {
    const found = this.#of(issuer).filter(({ seq }) => seq >= from && seq <= to);
    for (const envelope of found.slice(0, limit)) yield envelopeText(envelope);
  }

  async *heads(): AsyncGenerator<string> {
    const last = this.#of(this.issuer).at(-1);
    if (!last) return;
    const draft = draftHead({ issuer: last.issuer, seq: last.seq, hash: last.hash, sentAt: 1_767_225_600 });
    yield headText(sealHead(draft, this.signer.sign(draft.signingBytes)));
  }

  async issuers({ after, limit }: { after?: string | undefined; limit: number }): Promise<IssuerPage> {
    const names = [...this.#admissions.keys()].sort();
    const rest = names.filter((name) => after === undefined || name > after);
    const page = rest.slice(0, limit);
    const issuers = page.map((issuer): IssuerStatus => {
      const held = this.#of(issuer);
      const last = held.at(-1);
      return {
        issuer,
        admission: this.#admissions.get(issuer) ?? "denied",
        head: last ? { seq: last.seq, envelope_hash: last.hash } : null,
        ranges: last ? [[(held[0] as Envelope).seq, last.seq]] : [],
        pruned_below: 0,
        frozen_at: null,
        ...{ admitted: true, revoked_from: null, successor: null, attested_by: [] },
      };
    });
    return { total: names.length, issuers, next: rest.length > limit ? (page.at(-1) ?? null) : null };
  }

  async revocationRight(): Promise<RevocationRight> {
    return { rights: [], revokers: [] };
  }
  async allowIssuer(issuer: string): Promise<void> {
    this.#admissions.set(issuer, "allowed");
  }

  async denyIssuer(issuer: string): Promise<void> {
    this.#admissions.set(issuer, "denied");
  }

  async peers(): Promise<readonly PeerStatus[]> {
    return this.peerList;
  }

  async addPeer(address: string): Promise<void> {
    if (!address.startsWith("/")) throw new SpineError("peer_address", `"${address}" is no multiaddr`);
    const fields = { plane: "fake", configured: true, connected: false, issuer: null };
    this.peerList.push({ id: address, addresses: [address], ...fields });
  }

  async removePeer(id: string): Promise<void> {
    this.peerList = this.peerList.filter((peer) => peer.id !== id);
  }

  async sync(peer: string, { onProgress, signal }: SyncOptions): Promise<SyncSummary> {
    if (peer === "/dead") throw new SpineError("peer_unreachable", "/dead does not answer");
    for (const received of [1, 2, 3]) {
      onProgress({ received, wanted: 3, bytes: received * 700 });
      await new Promise((resolve) => setTimeout(resolve, 5));
      signal.throwIfAborted();
    }
    return this.syncSummary;
  }

  async forks(): Promise<readonly ForkStatus[]> {
    return this.forkList;
  }

  async *importEnvelopes(texts: AsyncIterable<string>): AsyncGenerator<ImportResult> {
    for await (const text of texts) {
      try {
        const envelope = openEnvelope(text, sha256Hex);
        const state = this.#byHash.has(envelope.hash) ? "known" : "stored";
        if (state === "stored") this.#store(envelope);
        yield { ok: true, envelope_hash: envelope.hash, issuer: envelope.issuer, seq: envelope.seq, state };
      } catch (caught) {
        const error = asSpineError(caught);
        yield { ok: false, code: error.code, message: error.message };
      }
    }
  }

  async *subscribe(from: number | undefined, { signal }: { signal: AbortSignal }): AsyncGenerator<NodeEvent> {
    let next = from ?? this.#log.length;
    while (!signal.aborted) {
      const envelope = this.#log[next];
      if (envelope) {
        const { hash, issuer, seq, factSchema } = envelope;
        yield { type: "envelope", leaf_index: next++, envelope_hash: hash, issuer, seq, fact_schema: factSchema };
        continue;
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal.addEventListener("abort", wake);
      });
    }
  }

  async *storeDump(): AsyncGenerator<Uint8Array> {
    for (const { signingBytes } of this.#log) yield signingBytes;
  }

  async transparency(): Promise<TransparencyAnswer> {
    return { status: 200, type: "application/json", cache: null, body: "{}" };
  }

  async metricsText(): Promise<string> {
    return "# no metrics\n";
  }

  async ready(): Promise<Readiness> {
    return this.readiness;
  }
}
