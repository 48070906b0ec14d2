/**
 * The node's transparency parts in one place: the log and its keeper, the witness role, followed logs. Takes what the
 * core stores and what peers say, and gives the proofs. Made by the runtime; started by the daemon.
 */
import {
  type About,
  type AttestMessage,
  asSpineError,
  type Clock,
  checkOrigin,
  decodeAttestMessage,
  decodeCosignatureShown,
  decodeWitnessRequest,
  type EnvelopeHash,
  encodeAttestMessage,
  encodeWitnessReply,
  type Issuer,
  type LinkId,
  NoteKeyType,
  parseIssuer,
  parseNoteKey,
  RowTable,
  type Run,
  SpineError,
  type Tier,
  toHex,
  utf8,
  utf8Text,
  type Verifier,
  type WitnessedLog,
  witnessedLog,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { TrustFile } from "../authority/trust-file.ts";
import type { Config } from "../config.ts";
import type { NodeDir } from "../dir.ts";
import type { Driver, DriverEvent } from "../driver.ts";
import { sha256 } from "../hash.ts";
import { fileExists } from "../init.ts";
import { createKeyFile, readKeyFile } from "../keyfile.ts";
import { createSigner, type IssuerSigner } from "../signer.ts";
import { FactIndex, type IndexEntry, type IndexedKind } from "./fact-index.ts";
import { Follower, type FollowerEvent } from "./follower.ts";
import { highWaterFile } from "./high-water.ts";
import { type KeeperEvent, LogKeeper } from "./keeper.ts";
import { LogTree } from "./log-tree.ts";
import { ProofExchange } from "./proof-exchange.ts";
import { leafProof } from "./proofs.ts";
import { Witness, type WitnessEvent } from "./witness.ts";
import { type PublicWitness, WitnessClient, type WitnessClientEvent } from "./witness-client.ts";

export type TransparencyEvent = KeeperEvent | WitnessEvent | WitnessClientEvent | FollowerEvent;

export interface TransparencyOptions {
  readonly dir: NodeDir;
  readonly config: Config;
  readonly store: Store;
  /** The node's issuer key: it signs as witness. */
  readonly signer: IssuerSigner;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly onEvent: (event: TransparencyEvent) => void;
}

/** Runs of at least so many envelopes are a catch-up, for so long after each. */
const BULK_RUN = 32;
const BULK_MS = 500;
/** A look-up waits this long for the index to catch up with the leaves. */
const LOOKUP_MS = 2_000;
/** Requests to witnesses without an answer yet. */
const MAX_OPEN_REQUESTS = 1_024;
/** How long whoever asks for a proof waits until a peer gave it. */
const PROOF_WAIT_MS = 10_000;
/** Proofs go behind everything that acts or alarms (rules 10). */
const PROOF_TIER: Tier = 5;
/** Messages of peers at work at once; more are dropped, and their senders ask again. */
const MAX_RUNNING = 256;

/** Where no origin is configured: a name that no other log has, in a domain that is nobody's. */
export function defaultOrigin(logId: Issuer): string {
  return `log.spine.internal/${logId.slice(-64, -48)}`;
}

/** `VKEY URL`, as in c2sp.org/tlog-policy. Throws `config_invalid` or `vkey_invalid`. */
function publicWitness(text: string): PublicWitness {
  const [vkey = "", url = "", ...rest] = text.trim().split(/\s+/);
  const key = parseNoteKey(sha256, vkey);
  if (key.type !== NoteKeyType.cosignature || rest.length > 0 || !/^https?:\/\/[^\s]+$/.test(url)) {
    throw new SpineError("config_invalid", `transparency.publicWitnesses: "${text.slice(0, 80)}" is not VKEY URL`);
  }
  return { key, url: url.replace(/\/$/, "") };
}

export class Transparency {
  readonly tree: LogTree;
  readonly keeper: LogKeeper;
  readonly witness: Witness;
  readonly follower: Follower;
  readonly exchange: ProofExchange;
  readonly facts: FactIndex;
  readonly #options: TransparencyOptions;
  readonly #foreign: readonly WitnessedLog[];
  #trust: TrustFile | undefined;
  #driver: Driver | undefined;
  /** Asks a witness with whom there is no link; undefined when it cannot, or nobody answers in time. */
  askElsewhere:
    | ((witness: Issuer, body: Uint8Array, signal: AbortSignal) => Promise<Uint8Array | undefined>)
    | undefined;
  readonly #open = new Map<number, (body: Uint8Array) => void>();
  #nextRequest = 1;
  #running = 0;
  #looking = 0;
  /** A range came in just now, and more will follow. */
  #bulkUntil = 0;
  /** Messages of peers not looked at because too many were at work. */
  dropped = 0;

  private constructor(options: TransparencyOptions, logSigner: IssuerSigner, origin: string) {
    this.#options = options;
    const { store, clock, verifier, dir, config, onEvent, signer } = options;
    const { transparency } = config;
    this.tree = new LogTree(store);
    const commitRows = (rows: Parameters<Driver["commitRows"]>[0]) => this.#bound.commitRows(rows);
    const client = new WitnessClient({
      signer: logSigner,
      tree: this.tree,
      verifier,
      trusted: () => ({
        witnesses: (this.#trust?.witnesses ?? []).map(({ key }) => key).filter((key) => key !== signer.issuer),
        quorum: this.#trust?.witnessQuorum ?? 1,
      }),
      publicWitnesses: transparency.publicWitnesses.map(publicWitness),
      publicQuorum: transparency.publicQuorum,
      ask: (witness, body, signal) => this.#ask(witness, "witness-request", body, signal),
      show: async (witness, body, signal) => void (await this.#ask(witness, "show-cosignature", body, signal)),
      latest: () => this.keeper.latest,
      fetch,
      onEvent,
    });
    this.keeper = new LogKeeper({
      ...{ store, clock, origin, commitRows, onEvent },
      tree: this.tree,
      signer: logSigner,
      highWater: highWaterFile(dir.logHighWater),
      offer: async (envelope) => (await this.#bound.offer([envelope]))[0] ?? "internal",
      busy: () => this.#bound.mesh.load.requests > 0 || clock.now() < this.#bulkUntil,
      witnesses: client,
    });
    this.facts = new FactIndex({ store, commitRows });
    this.witness = new Witness({
      ...{ store, signer, verifier, commitRows },
      name: transparency.witness.name ?? `witness.spine.internal/${signer.issuer.slice(-64, -48)}`,
      nowSeconds: () => Math.floor(clock.now() / 1000),
      marks: dir.witnessMarks,
      onEvent: (event) => {
        onEvent(event);
        if (event.type === "witness-conflict") this.#background(this.#accuse(event));
      },
    });
    this.follower = new Follower({
      ...{ store, verifier, commitRows, onEvent },
      ownLog: () => this.keeper.logId,
      send: (link, message, about) => this.#send(link, message, about === undefined ? [] : [about]),
      links: () =>
        this.#bound.mesh
          .links()
          .filter(({ issuer }) => issuer !== null)
          .map(({ id }) => id),
      penalise: (link, code) => this.#bound.penalise(link, code),
    });
    this.exchange = new ProofExchange({
      ...{ store, commitRows },
      ownLog: () => this.keeper.logId,
      ownProof: (hash, seq) => leafProof(store, this.tree, this.keeper.logId, hash, seq),
      links: () =>
        this.#bound.mesh
          .links()
          .flatMap(({ id, info, issuer }) => (issuer === null ? [] : [{ id, bitrate: info.bitrate }])),
      mayTell: (link, about) => this.#bound.mesh.mayTell(link, about),
      send: (link, message) => this.#send(link, message, [], PROOF_TIER),
      penalise: (link, code) => this.#bound.penalise(link, code),
      now: () => clock.now(),
    });
    this.#foreign = transparency.witness.logs.map((vkey) => {
      const { name, publicKey } = parseNoteKey(sha256, vkey);
      return witnessedLog(sha256, `aegis:ed25519:${toHex(publicKey)}`, name);
    });
  }

  /**
   * Reads keys and rows; makes the log's key where a node has none yet. Throws `key_*`, `config_invalid`, `vkey_invalid`
   * or the store's codes.
   */
  static async open(options: TransparencyOptions, logSize: number): Promise<Transparency> {
    const { dir, config, store } = options;
    if (!(await fileExists(dir.logKey))) await createKeyFile(dir.logKey, "log");
    const signer = createSigner(await readKeyFile(dir.logKey, "log"));
    const stored = await store.row(RowTable.log, "origin");
    const kept = stored === undefined ? undefined : utf8Text(stored);
    const origin = config.transparency.origin ?? kept ?? defaultOrigin(signer.issuer);
    checkOrigin(origin);
    if (kept !== undefined && kept !== origin) {
      throw new SpineError("config_invalid", `transparency.origin: this log is "${kept}" for ever`);
    }
    const transparency = new Transparency(options, signer, origin);
    await transparency.keeper.open(logSize);
    await transparency.witness.open();
    await transparency.follower.open();
    await transparency.exchange.open();
    return transparency;
  }

  /** The driver that performs for it, once there is one. Admits the own log's key and keeps the origin. */
  async bind(driver: Driver, trust: TrustFile): Promise<void> {
    this.#driver = driver;
    const { store } = this.#options;
    if ((await store.row(RowTable.log, "origin")) === undefined) {
      await driver.commitRows([{ table: RowTable.log, key: "origin", value: utf8(this.keeper.origin) }]);
    }
    await this.#admit(this.keeper.logId);
    await this.setTrust(trust);
  }

  /** Whom the operator believes now. Trusted logs are admitted, followed and, in this node's witness role, co-signed. */
  async setTrust(trust: TrustFile): Promise<void> {
    this.#trust = trust;
    const { production, witness } = this.#options.config.transparency;
    if (production && (trust.logs.length === 0 || trust.witnesses.length === 0)) {
      throw new SpineError("config_invalid", "transparency.production: the trust file names no logs or no witnesses");
    }
    const logs = trust.logs.map(({ key }) => key);
    for (const logId of logs) await this.#admit(logId);
    const { mesh } = this.#bound;
    await this.follower.follow(
      logs.filter((logId) => logId !== this.keeper.logId),
      (logId) => mesh.issuer(logId)?.ranges.at(-1)?.to,
    );
    const named = new Set(this.#foreign.map(({ logId }) => logId));
    const own = logs.filter((logId) => !named.has(logId) && logId !== this.keeper.logId);
    const mine = own.map((logId) => witnessedLog(sha256, logId, defaultOrigin(logId)));
    this.witness.allow(witness.enabled ? [...this.#foreign, ...mine] : []);
  }

  async #admit(logId: Issuer): Promise<void> {
    const driver = this.#bound;
    if (driver.mesh.issuer(logId)?.admission === "allowed") return;
    await driver.change({ type: "admit", issuer: logId, admission: "allowed" });
  }

  get #bound(): Driver {
    if (this.#driver === undefined) throw new SpineError("internal", "transparency has no driver yet");
    return this.#driver;
  }

  /**
   * The entry whose writer has a say in it: for policies and bundles a trusted curator, for their revocations a revoker
   * too, or this node itself; for receipts and attestations whoever made them. Undefined when there is none.
   */
  async fact(kind: IndexedKind, key: string): Promise<IndexEntry | undefined> {
    await this.#indexed();
    const entries = await this.facts.find(kind, key);
    if (kind === "run_receipt" || kind === "node_attestation") return entries[0];
    if (kind === "reticulum_destination") return this.#binding(entries);
    const { curators = [], revokers = [] } = this.#trust ?? {};
    const heard = kind === "policy_revocation" ? [...curators, ...revokers] : curators;
    const authors = new Set([this.#options.signer.issuer, ...heard.map((one) => one.key)]);
    return entries.find(({ issuer }) => authors.has(issuer));
  }

  /** Of several who name one destination as their own none is believed; nor is an older word, or one of a revoked key. */
  async #binding(entries: readonly IndexEntry[]): Promise<IndexEntry | undefined> {
    const { authority } = this.#bound.mesh;
    const standing: IndexEntry[] = [];
    for (const entry of entries) {
      const words = await this.facts.find("node_attestation", toHex(parseIssuer(entry.issuer)));
      const isNewest = words.some(({ issuer, hash }) => issuer === entry.issuer && hash === entry.hash);
      if (isNewest && !authority.isRevoked(entry.issuer)) standing.push(entry);
    }
    return standing.length === 1 ? standing[0] : undefined;
  }

  /** Throws `api_unavailable` while the index is behind: what is not found then may well be there. */
  async #indexed(): Promise<void> {
    const { leaves } = this.keeper;
    await this.facts.advance(leaves, AbortSignal.timeout(LOOKUP_MS));
    if (this.facts.indexed < leaves) {
      throw new SpineError("api_unavailable", `${leaves - this.facts.indexed} envelopes are not indexed yet`);
    }
  }

  /** The verifications of a receipt, one of each verifier. */
  async verifications(target: string): Promise<readonly IndexEntry[]> {
    await this.#indexed();
    return this.facts.find("receipt_verification", target);
  }

  /** A portable proof in another node's log, whose proof a peer may have to give. Rejects with `api_not_found`. */
  foreignProof(logId: Issuer, hash: EnvelopeHash): Promise<string> {
    const newest = this.#bound.mesh.issuer(logId)?.ranges.at(-1)?.to;
    return this.exchange.portable(logId, hash, newest, AbortSignal.timeout(PROOF_WAIT_MS));
  }

  /** What the driver tells. Cheap: called for every commit. */
  on(event: DriverEvent): void {
    switch (event.type) {
      case "stored": {
        const { run } = event;
        const { clock } = this.#options;
        if (run.hashes.length >= BULK_RUN) this.#bulkUntil = clock.now() + BULK_MS;
        this.keeper.appended(run, event.isReal);
        const last = run.from + run.hashes.length - 1;
        this.follower.stored(run.issuer, last, run.hashes.at(-1) as string);
        if (this.follower.isFollowed(run.issuer)) this.exchange.checkpoint(run.issuer, last);
        // What comes in bulk is proven on demand.
        else if (this.follower.some && clock.now() >= this.#bulkUntil) this.#recent(run);
        return;
      }
      case "ready":
        return this.follower.ready(event.link);
      case "fork":
        return this.#background(this.follower.forked(event.issuer));
    }
  }

  /** A message of a peer whose issuer is proven. Bounded; what does not decode is a fault of the peer. */
  message(link: LinkId, body: Uint8Array): void {
    if (this.#running >= MAX_RUNNING) {
      this.dropped++;
      return;
    }
    let message: AttestMessage;
    try {
      message = decodeAttestMessage(body.slice());
    } catch (caught) {
      return this.#bound.penalise(link, asSpineError(caught).code);
    }
    this.#background(this.#handle(link, message), link);
  }

  async #handle(link: LinkId, message: AttestMessage): Promise<void> {
    switch (message.type) {
      case "witness-request": {
        const reply = await this.witness.answer(decodeWitnessRequest(message.body));
        const body = encodeWitnessReply(reply);
        return this.#send(link, { type: "witness-reply", request: message.request, body }, []);
      }
      case "show-cosignature": {
        const { size, statement } = await this.witness.shown(decodeCosignatureShown(message.body));
        const reply = { type: "refused", code: "witness_stale", size, seq: statement?.statement.seq ?? 0 } as const;
        const body = encodeWitnessReply(reply);
        return this.#send(link, { type: "witness-reply", request: message.request, body }, []);
      }
      case "witness-reply":
        return this.#open.get(message.request)?.(message.body);
      case "ask-proofs":
      case "proofs":
        return this.exchange.message(link, message);
      default:
        return this.follower.message(link, message);
    }
  }

  #background(work: Promise<void>, link: LinkId | null = null): void {
    this.#running++;
    work
      .catch((caught: unknown) => {
        const error = asSpineError(caught);
        if (link !== null && error.blame === "sender") this.#bound.penalise(link, error.code);
      })
      .finally(() => this.#running--);
  }

  #send(link: LinkId, message: AttestMessage, about: readonly About[], tier?: Tier): void {
    const body = encodeAttestMessage(message);
    this.#bound.feed({ type: "attest", link, body, about, ...(tier === undefined ? {} : { tier }) });
  }

  /** Looked at after the commit was told on: nobody waits for it. */
  #recent(run: Run): void {
    if (this.#looking >= MAX_RUNNING) return;
    this.#looking++;
    setImmediate(() => {
      this.#looking--;
      this.exchange.stored(run);
    });
  }

  async #ask(
    witness: Issuer,
    type: "witness-request" | "show-cosignature",
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const link = this.#bound.mesh.links().find(({ issuer }) => issuer === witness)?.id;
    if (link === undefined && type === "witness-request") return this.askElsewhere?.(witness, body, signal);
    if (link === undefined || this.#open.size >= MAX_OPEN_REQUESTS || signal.aborted) return undefined;
    const request = this.#nextRequest++;
    let ended: () => void = () => {};
    try {
      return await new Promise<Uint8Array | undefined>((resolve) => {
        ended = () => resolve(undefined);
        signal.addEventListener("abort", ended);
        this.#open.set(request, resolve);
        // It states the log's newest tree head: not where its checkpoints must not be told.
        this.#send(link, { type, request, body }, [{ issuer: this.keeper.logId, kind: "log_checkpoint" }]);
      });
    } finally {
      signal.removeEventListener("abort", ended);
      this.#open.delete(request);
    }
  }

  /** The witness saw two heads that contradict each other: whichever pair proves it is kept. */
  async #accuse({ logId, before, now }: Extract<WitnessEvent, { type: "witness-conflict" }>): Promise<void> {
    for (const head of before) if (await this.follower.accuse(logId, head, now)) return;
  }
}
