/** What a store check finds, and the bounded list it collects them in. */
import { type Claim, type Envelope, type Issuer, type Sha256Hex, toHex, type Verifier } from "../spine/index.ts";
import { quarantineKey } from "./keys.ts";
import { type Engine, type EngineBatch, type EngineSnapshot, newBatch, READ_AHEAD_BYTES } from "./level-engine.ts";

/** Kinds of damage. */
export type FindingCode =
  /** A file of the engine was damaged and moved aside; what it held may be missing. */
  | "table_damaged"
  /** An entry's checksum, length or encoding is wrong. */
  | "entry_damaged"
  /** An entry belongs to an issuer number without a name. */
  | "issuer_unknown"
  /** Two blocks hold the same seq. */
  | "block_overlap"
  /** Signing bytes are no envelope, or of another issuer or seq. */
  | "envelope_invalid"
  /** An envelope's link does not name the one stored before it. */
  | "link_broken"
  /** A signature said to be verified is not valid. */
  | "signature_invalid"
  /** A leaf's envelope is neither stored nor pruned. */
  | "envelope_missing"
  /** The hash index lacks an envelope, points elsewhere, or holds what is in no leaf. */
  | "location_wrong"
  /** Leaves have a gap or differ from the hash index. */
  | "leaf_wrong"
  /** The recorded log size is not the number of leaves. */
  | "log_size_wrong"
  /** An issuer's have-ranges are not what is stored. */
  | "range_wrong"
  /** The head names another hash than the stored envelope of its seq. */
  | "head_wrong"
  /** Changed states without their block. */
  | "states_orphan"
  /** A kept tile of the log's tree is missing, damaged or not what its leaves hash to. */
  | "tile_wrong"
  /** A tree head signed by the node's own log is not that of its leaves. */
  | "root_wrong"
  /** The index of unverified blocks is not what the states say. */
  | "unverified_wrong";

export interface Finding {
  readonly code: FindingCode;
  readonly issuer: Issuer | null;
  readonly seq: number | null;
  readonly detail: string;
}

export interface SignedTreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

export interface CheckOptions {
  readonly verifier: Verifier;
  readonly sha256Hex: Sha256Hex;
  /** Opens signing bytes as the core does; throws when they are no envelope. */
  readonly openSigningBytes: (signingBytes: Uint8Array, signature: Uint8Array, sha256Hex: Sha256Hex) => Envelope;
  /** The node's own log, to compare the tree heads it signed with its leaves. */
  readonly log?: {
    readonly issuer: Issuer;
    /** Undefined for an envelope that states none. */
    readonly treeHeadOf: (signingBytes: Uint8Array) => SignedTreeHead | undefined;
  };
  /** Rebuilds what can be derived and moves damaged entries aside; envelopes are never deleted. Default false. */
  readonly repair?: boolean;
  readonly signal?: AbortSignal;
  /** Called about once for every thousand envelopes. */
  readonly onProgress?: (envelopes: number) => void;
}

export interface CheckReport {
  /** Envelopes walked. */
  readonly envelopes: number;
  /** At most FINDINGS_LIMIT. */
  readonly findings: readonly Finding[];
  /** Findings beyond the limit. */
  readonly moreFindings: number;
  /** Entries written or moved aside; 0 without `repair`. */
  readonly repaired: number;
}

export const FINDINGS_LIMIT = 1000;
/** Claims handed to the verifier at once. */
const CLAIMS_PER_BATCH = 256;
const FIXES_PER_BATCH = 1024;

/** Bounds of the keys to walk. */
interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
}

/**
 * One check: reads from one moment of the store, collects findings, pending signature claims and repairs. Repairs are
 * written at once but not seen by the check that made them.
 */
export class CheckLedger implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #snapshot: EngineSnapshot;
  readonly options: CheckOptions;
  readonly #findings: Finding[] = [];
  readonly #claims: { claim: Claim; issuer: Issuer; seq: number }[] = [];
  #more = 0;
  #fixes: EngineBatch | undefined;
  #repaired = 0;
  /** Keys that were written anew, in hex: later passes still see the damaged entry there. */
  readonly #renewed = new Set<string>();
  envelopes = 0;

  constructor(engine: Engine, options: CheckOptions) {
    this.#engine = engine;
    this.#snapshot = engine.snapshot();
    this.options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshot.close();
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#engine.get(key, { snapshot: this.#snapshot });
  }

  getMany(keys: Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#engine.getMany(keys, { snapshot: this.#snapshot });
  }

  entries(range: KeyRange) {
    const options = { ...range, snapshot: this.#snapshot, highWaterMarkBytes: READ_AHEAD_BYTES };
    return this.#engine.iterator<Uint8Array, Uint8Array>(options);
  }

  find(code: FindingCode, issuer: Issuer | null, seq: number | null, detail: string): void {
    if (this.#findings.length < FINDINGS_LIMIT) this.#findings.push({ code, issuer, seq, detail });
    else this.#more++;
  }

  /** Counts an envelope; throws the signal's reason when aborted. */
  count(): void {
    if (++this.envelopes % 1000 !== 0) return;
    this.options.signal?.throwIfAborted();
    this.options.onProgress?.(this.envelopes);
  }

  async claim(claim: Claim, issuer: Issuer, seq: number): Promise<void> {
    this.#claims.push({ claim, issuer, seq });
    if (this.#claims.length >= CLAIMS_PER_BATCH) await this.settleClaims();
  }

  async settleClaims(): Promise<void> {
    const waiting = this.#claims.splice(0);
    const verdicts = await this.options.verifier.verify(waiting.map(({ claim }) => claim));
    for (const [i, { issuer, seq }] of waiting.entries()) {
      if (verdicts[i] !== true) this.find("signature_invalid", issuer, seq, "the stored signature does not verify");
    }
  }

  async put(key: Uint8Array, value: Uint8Array): Promise<void> {
    if (this.options.repair === true) this.#renewed.add(toHex(key));
    await this.#fix((batch) => batch.put(key, value));
  }

  async remove(key: Uint8Array): Promise<void> {
    await this.#fix((batch) => batch.del(key));
  }

  /** Keeps a damaged entry's bytes where nothing reads them. */
  async quarantine(key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#fix((batch) => {
      batch.put(quarantineKey(key), value);
      if (!this.#renewed.has(toHex(key))) batch.del(key);
    });
  }

  async #fix(change: (batch: EngineBatch) => unknown): Promise<void> {
    if (this.options.repair !== true) return;
    this.#fixes ??= newBatch(this.#engine);
    change(this.#fixes);
    this.#repaired++;
    if (this.#fixes.length >= FIXES_PER_BATCH) await this.settleFixes();
  }

  async settleFixes(): Promise<void> {
    const batch = this.#fixes;
    this.#fixes = undefined;
    await batch?.write({ sync: true });
  }

  report(): CheckReport {
    return {
      envelopes: this.envelopes,
      findings: this.#findings,
      moreFindings: this.#more,
      repaired: this.#repaired,
    };
  }
}
