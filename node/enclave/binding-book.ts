/**
 * Newest transport bindings and attestations of the issuers that matter to the enclave, found in their chains: at start
 * from where the last search ended, then as envelopes are stored. `enclave.json` remembers how far; losing it costs a search.
 */
import { readFile } from "node:fs/promises";
import { wireguard } from "../../planes/index.ts";
import {
  type Claim,
  claimOf,
  type Envelope,
  envelopeText,
  factKind,
  type Issuer,
  isIssuer,
  openEnvelope,
  openSigningBytes,
  type Run,
  walkRecords,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import { writeFileAtomic } from "../files.ts";
import { sha256Hex } from "../hash.ts";

const SCHEMA = "spine.enclave.v1";
/** Any fact that this looks for has one of these in its schema: found without parsing the rest. */
const NEEDLES = [Buffer.from("fact.transport_binding.v1"), Buffer.from("fact.node_attestation.v1")];

interface Entry {
  /** Everything up to it was searched. */
  scannedTo: number;
  binding: Envelope | null;
  /** Of the newest attestation; 0 = none. */
  attestedAt: number;
  /** Searches under way: what is stored meanwhile says nothing of what lies below. */
  searches: number;
}

export interface BindingBookOptions {
  readonly path: string;
  readonly store: Pick<Store, "records">;
  readonly verify: (claim: Claim) => boolean;
  /** Up to which seq the issuer's chain is held without a hole; what fills a hole later, by whatever hand, is searched again. */
  readonly wholeTo: (issuer: Issuer) => number;
  /** Told of each newer binding. */
  readonly found: (envelope: Envelope) => void;
}

export class BindingBook {
  readonly #options: BindingBookOptions;
  readonly #entries = new Map<Issuer, Entry>();
  #dirty = false;
  #saving: Promise<void> = Promise.resolve();
  constructor(options: BindingBookOptions) {
    this.#options = options;
  }

  /** A file that cannot be read, or whose signatures do not verify, is as good as none. */
  async load(): Promise<void> {
    const text = await readFile(this.#options.path, "utf8").catch(() => "");
    let value: {
      schema?: unknown;
      issuers?: Record<string, { scanned_to?: unknown; binding?: unknown; attested_at?: unknown }>;
    };
    try {
      value = JSON.parse(text) as typeof value;
    } catch {
      return;
    }
    if (value?.schema !== SCHEMA || typeof value.issuers !== "object") return;
    for (const [issuer, { scanned_to: scanned, binding, attested_at: attested }] of Object.entries(
      value.issuers ?? {},
    )) {
      if (!isIssuer(issuer) || !Number.isSafeInteger(scanned)) continue;
      const entry: Entry = {
        scannedTo: scanned as number,
        binding: null,
        attestedAt: Number.isSafeInteger(attested) ? (attested as number) : 0,
        searches: 0,
      };
      try {
        const envelope = typeof binding === "string" ? openEnvelope(binding, sha256Hex) : null;
        if (envelope !== null && (envelope.issuer !== issuer || !this.#options.verify(claimOf(envelope)))) continue;
        entry.binding = envelope;
      } catch {
        continue;
      }
      this.#entries.set(issuer, entry);
    }
  }

  /** The newest binding known of an issuer. */
  binding(issuer: Issuer): Envelope | null {
    return this.#entries.get(issuer)?.binding ?? null;
  }
  /** Seq of the newest attestation; 0 = none. */
  attestedAt(issuer: Issuer): number {
    return this.#entries.get(issuer)?.attestedAt ?? 0;
  }

  /** Searches what is stored of `issuer` and was not searched before. From then on `stored` keeps up. */
  async search(issuer: Issuer, signal: AbortSignal): Promise<void> {
    const entry = this.#entry(issuer);
    entry.searches++;
    try {
      const pieces = this.#options.store.records(issuer, entry.scannedTo + 1, Number.MAX_SAFE_INTEGER);
      for await (const { from, records } of pieces) {
        signal.throwIfAborted();
        this.#read(issuer, entry, records);
        entry.scannedTo = Math.max(entry.scannedTo, from);
      }
    } finally {
      entry.searches--;
    }
    if (entry.binding !== null) this.#options.found(entry.binding);
    // Only a cache: a disk that cannot take it costs another search.
    await this.save().catch(() => undefined);
  }

  /** Envelopes were committed. Costs one search of bytes for issuers that matter, nothing for others. */
  stored(run: Run): void {
    const entry = this.#entries.get(run.issuer);
    if (entry === undefined) return;
    const before = entry.binding;
    this.#read(run.issuer, entry, run.records);
    // A hole below stays unsearched until it is filled, and then it comes this way.
    if (entry.searches === 0) entry.scannedTo = Math.max(entry.scannedTo, run.from + run.hashes.length - 1);
    if (entry.binding !== before && entry.binding !== null) {
      this.#options.found(entry.binding);
      void this.save().catch(() => undefined);
    }
  }

  /** Writes what changed; resolved = on disk. */
  save(): Promise<void> {
    const write = async (): Promise<void> => {
      if (!this.#dirty) return;
      this.#dirty = false;
      const issuers = Object.fromEntries(
        [...this.#entries].map(([issuer, { scannedTo, binding, attestedAt }]) => [
          issuer,
          {
            scanned_to: Math.min(scannedTo, this.#options.wholeTo(issuer)),
            attested_at: attestedAt,
            ...(binding === null ? {} : { binding: envelopeText(binding) }),
          },
        ]),
      );
      const text = `${JSON.stringify({ schema: SCHEMA, issuers })}\n`;
      await writeFileAtomic(this.#options.path, text, { mode: 0o600, exclusive: false });
    };
    this.#saving = this.#saving.then(write, write);
    return this.#saving;
  }

  #entry(issuer: Issuer): Entry {
    const known = this.#entries.get(issuer);
    if (known !== undefined) return known;
    const fresh: Entry = { scannedTo: 0, binding: null, attestedAt: 0, searches: 0 };
    this.#entries.set(issuer, fresh);
    return fresh;
  }

  #read(issuer: Issuer, entry: Entry, records: Uint8Array): void {
    this.#dirty = true;
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
    if (!NEEDLES.some((needle) => bytes.includes(needle))) return;
    for (const { signingBytes, signature } of walkRecords(records)) {
      const one = Buffer.from(signingBytes.buffer, signingBytes.byteOffset, signingBytes.byteLength);
      if (!NEEDLES.some((needle) => one.includes(needle))) continue;
      const envelope = openSigningBytes(signingBytes, signature, sha256Hex);
      if (envelope.issuer !== issuer || !this.#options.verify(claimOf(envelope))) continue;
      this.#take(entry, envelope);
    }
  }
  #take(entry: Entry, envelope: Envelope): void {
    if (factKind(envelope.factSchema)?.kind === "node_attestation") {
      entry.attestedAt = Math.max(entry.attestedAt, envelope.seq);
      return;
    }
    try {
      if (wireguard.readBinding(envelope) === undefined) return;
    } catch {
      return;
    }
    // The bytes belong to a larger buffer that must not be kept alive.
    if (envelope.seq > (entry.binding?.seq ?? 0)) {
      entry.binding = openEnvelope(envelopeText(envelope), sha256Hex);
    }
  }
}
