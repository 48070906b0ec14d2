/**
 * Links over one connection: opening (request and reply, both ends proving their plane keys), redialling, presence, and
 * taking everything down when the connection breaks. Messages of links are core NATS: what is lost ends the link, and
 * the peers compare what they hold when it is up again. Used by `plane.ts`.
 */
import { randomBytes } from "node:crypto";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { fromHex, type LinkId, SpineError, TokenBucket, toHex } from "../../spine/index.ts";
import { backoffMs } from "../backoff.ts";
import { NatsLink } from "./link.ts";
import { KEY_BYTES, type LinkSeal, NONCE_BYTES, type PlaneKey, SEAL_BYTES } from "./link-keys.ts";
import type { NatsLimits, NatsLog } from "./options.ts";

export const LINK_PREFIX = "nats:";
const VERSION = 1;
const SESSION_BYTES = 8;
const MAX_OPEN_BYTES = 1_024;
const MAX_PENDING = 64;
/** Opens answered: each costs a key agreement. */
const OPENS_PER_SECOND = 20;
const OPENS_BURST = 100;
const MAX_SIGHTED = 1_024;

export interface LinksHooks {
  readonly up: (link: NatsLink) => void;
  readonly down: (link: NatsLink, reason: string) => void;
  readonly frame: (link: NatsLink, frame: Uint8Array, taken: () => void) => void;
  readonly gossip: (link: NatsLink, data: Uint8Array) => void;
  readonly isBanned: (peer: string) => boolean;
  readonly isConfigured: (peer: string) => boolean;
}

export interface LinkCounts {
  opens_refused: number;
  messages_forged: number;
  messages_malformed: number;
  dials: number;
  dials_failed: number;
}

interface Opening {
  readonly v: number;
  readonly from?: string;
  readonly nonce?: string;
  readonly session?: string;
  readonly mtu?: number;
  readonly proof?: string;
  readonly refused?: string;
}

interface Dial {
  attempt: number;
  timer: NodeJS.Timeout | null;
  busy: boolean;
}

export class NatsLinks {
  readonly #key: PlaneKey;
  readonly #prefix: string;
  readonly #limits: NatsLimits;
  readonly #now: () => number;
  readonly #hooks: LinksHooks;
  readonly #log: NatsLog | undefined;
  readonly #counts: LinkCounts;
  readonly #discover: boolean;
  readonly #opens: TokenBucket;
  /** By session, pending ones too. */
  readonly #sessions = new Map<string, NatsLink>();
  /** Links that are up, by peer. */
  readonly #links = new Map<string, NatsLink>();
  readonly #dials = new Map<string, Dial>();
  readonly #sighted = new Set<string>();
  #connection: NatsConnection | null = null;
  #subscriptions: Subscription[] = [];
  #mtuBytes = 0;
  #number = 0;
  readonly #ticker: NodeJS.Timeout;
  #presenceAt = 0;
  #stopped = false;

  constructor(
    key: PlaneKey,
    options: { prefix: string; limits: NatsLimits; now: () => number; log: NatsLog | undefined; discover: boolean },
    counts: LinkCounts,
    hooks: LinksHooks,
  ) {
    this.#key = key;
    this.#prefix = `${options.prefix}.spine.peer`;
    this.#limits = options.limits;
    this.#now = options.now;
    this.#log = options.log;
    this.#discover = options.discover;
    this.#counts = counts;
    this.#hooks = hooks;
    this.#opens = new TokenBucket(OPENS_PER_SECOND, OPENS_BURST, this.#now());
    this.#ticker = setInterval(() => this.#tick(), 1_000);
    this.#ticker.unref();
  }

  get size(): number {
    return this.#links.size;
  }
  get up(): IterableIterator<NatsLink> {
    return this.#links.values();
  }
  linkOf(peer: string): NatsLink | undefined {
    return this.#links.get(peer);
  }
  byId(id: LinkId): NatsLink | undefined {
    for (const link of this.#links.values()) if (link.id === id) return link;
    return undefined;
  }

  /** The connection can be used: be reachable and dial who should be dialled. */
  connected(connection: NatsConnection): void {
    this.disconnected("the connection was replaced");
    this.#connection = connection;
    const payload = connection.info?.max_payload ?? 1_048_576;
    this.#mtuBytes = Math.min(this.#limits.mtuBytes, payload - SEAL_BYTES - 1);
    const open = connection.subscribe(`${this.#prefix}.${this.#key.id}.open`, {
      callback: (error, message) => {
        if (error === null) this.#opened(message);
      },
    });
    const data = connection.subscribe(`${this.#prefix}.${this.#key.id}.link.*`, {
      callback: (error, message) => {
        if (error === null) this.#sessions.get(lastToken(message.subject))?.receive(message.data);
      },
    });
    this.#subscriptions = [open, data];
    if (this.#discover) {
      const presence = connection.subscribe(`${this.#prefix}s.v1`, {
        callback: (error, message) => {
          if (error === null) this.#sight(message.data);
        },
      });
      this.#subscriptions.push(presence);
    }
    this.#presenceAt = 0;
    for (const peer of this.#dials.keys()) this.#dialSoon(peer, 0);
    this.#tick();
  }

  /** Everything under way is lost. */
  disconnected(reason: string): void {
    this.#connection = null;
    for (const subscription of this.#subscriptions) if (!subscription.isClosed()) subscription.unsubscribe();
    this.#subscriptions = [];
    for (const link of [...this.#sessions.values()]) link.end(reason, false);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#ticker);
    for (const dial of this.#dials.values()) if (dial.timer !== null) clearTimeout(dial.timer);
    this.#dials.clear();
    for (const link of [...this.#sessions.values()]) link.end("stopped", true);
    this.disconnected("stopped");
  }

  /** Dials now and stays connected until `forget`. */
  keep(peer: string): void {
    if (!this.#dials.has(peer)) this.#dials.set(peer, { attempt: 0, timer: null, busy: false });
    this.#dialSoon(peer, 0);
  }
  forget(peer: string): void {
    const dial = this.#dials.get(peer);
    if (dial?.timer) clearTimeout(dial.timer);
    this.#dials.delete(peer);
    this.hangUp(peer, "removed");
  }
  hangUp(peer: string, reason: string): void {
    for (const link of [...this.#sessions.values()]) if (link.peer === peer) link.end(reason, true);
  }

  // ---- dialling ----

  #dialSoon(peer: string, ms: number): void {
    const dial = this.#dials.get(peer);
    if (dial === undefined || this.#stopped) return;
    if (dial.timer !== null) clearTimeout(dial.timer);
    dial.timer = setTimeout(() => {
      dial.timer = null;
      void this.#dial(peer, dial);
    }, ms);
    dial.timer.unref();
  }

  async #dial(peer: string, dial: Dial): Promise<void> {
    const connection = this.#connection;
    if (connection === null || dial.busy || this.#links.has(peer) || this.#hooks.isBanned(peer)) return;
    dial.busy = true;
    this.#counts.dials++;
    try {
      await this.#ask(connection, peer);
      dial.attempt = 0;
    } catch (error) {
      this.#counts.dials_failed++;
      this.#log?.("peer not reached", { peer, reason: error instanceof Error ? error.message : String(error) });
      const { redialMinMs, redialMaxMs } = this.#limits;
      const stranger = !this.#hooks.isConfigured(peer);
      if (stranger && dial.attempt > 3) this.#dials.delete(peer);
      else this.#dialSoon(peer, backoffMs(dial.attempt++, { minMs: redialMinMs, maxMs: redialMaxMs }, Math.random));
    } finally {
      dial.busy = false;
    }
  }

  async #ask(connection: NatsConnection, peer: string): Promise<void> {
    const nonce = randomBytes(NONCE_BYTES);
    const session = toHex(randomBytes(SESSION_BYTES));
    const question: Opening = { v: VERSION, from: this.#key.id, nonce: toHex(nonce), session, mtu: this.#mtuBytes };
    const subject = `${this.#prefix}.${peer}.open`;
    const reply = await connection.request(subject, JSON.stringify(question), { timeout: this.#limits.openTimeoutMs });
    const answer = parseOpening(reply.data);
    if (answer?.refused !== undefined) throw new Error(`refused: ${answer.refused}`);
    if (answer?.nonce === undefined || answer.session === undefined || answer.proof === undefined) {
      throw new Error("the answer is malformed");
    }
    if (connection !== this.#connection) throw new Error("the connection was lost");
    const seal = this.#key.derive(peer, true, nonce, fromHex(answer.nonce, NONCE_BYTES));
    const link = this.#make({ peer, session, remote: answer.session, mtu: answer.mtu ?? 0 }, seal, connection, null);
    link.receive(new Uint8Array(Buffer.from(answer.proof, "base64")));
    if (!link.up) {
      link.end("no proof", false);
      throw new Error("the answer does not prove the peer's key");
    }
  }

  // ---- being dialled ----

  #opened(message: Msg): void {
    const connection = this.#connection;
    const question = parseOpening(message.data);
    if (connection === null || question?.from === undefined) {
      this.#counts.messages_malformed++;
      return;
    }
    const { from: peer, nonce: dialNonce, session: remote } = question;
    const refused = this.#refusal(peer);
    if (refused !== null || dialNonce === undefined || remote === undefined) {
      this.#counts.opens_refused++;
      if (refused !== null) message.respond(JSON.stringify({ v: VERSION, refused }));
      return;
    }
    const nonce = randomBytes(NONCE_BYTES);
    const session = toHex(randomBytes(SESSION_BYTES));
    let seal: LinkSeal;
    try {
      seal = this.#key.derive(peer, false, fromHex(dialNonce, NONCE_BYTES), nonce);
    } catch {
      this.#counts.messages_malformed++;
      return;
    }
    const names = { peer, session, remote, mtu: question.mtu ?? 0 };
    this.#make(names, seal, connection, (proof) => {
      const answer: Opening = {
        v: VERSION,
        nonce: toHex(nonce),
        session,
        mtu: this.#mtuBytes,
        proof: Buffer.from(proof).toString("base64"),
      };
      message.respond(JSON.stringify(answer));
    });
  }

  #refusal(peer: string): string | null {
    if (this.#hooks.isBanned(peer)) return "banned";
    if (!this.#opens.take(1, this.#now())) return "busy";
    if (this.#sessions.size - this.#links.size >= MAX_PENDING) return "busy";
    if (this.#links.size >= this.#limits.maxLinks && !this.#hooks.isConfigured(peer)) return "full";
    // Both dial at once: the smaller name's dial stands.
    if (this.#dials.get(peer)?.busy === true && this.#key.id < peer) return "crossed";
    return null;
  }

  // ---- links ----

  /** `answer` gets the first sealed message of the end that was dialled. */
  #make(
    { peer, session, remote, mtu }: { peer: string; session: string; remote: string; mtu: number },
    seal: LinkSeal,
    connection: NatsConnection,
    answer: ((proof: Uint8Array) => void) | null,
  ): NatsLink {
    const subject = `${this.#prefix}.${peer}.link.${remote}`;
    const mtuBytes = Math.max(1, Math.min(this.#mtuBytes, mtu));
    let first = answer;
    const link: NatsLink = new NatsLink(
      { id: `${LINK_PREFIX}${peer}/${++this.#number}`, peer, session, mtuBytes },
      seal,
      this.#limits,
      this.#now,
      {
        publish: (sealed) => {
          if (first !== null) {
            const send = first;
            first = null;
            return send(sealed);
          }
          if (this.#connection === connection && !connection.isClosed()) connection.publish(subject, sealed);
        },
        ready: () => this.#ready(link, answer === null),
        frame: (frame, taken) => this.#hooks.frame(link, frame, taken),
        gossip: (data) => this.#hooks.gossip(link, data),
        forged: (what) => {
          if (what === "syntax") this.#counts.messages_malformed++;
          else this.#counts.messages_forged++;
        },
        closed: (reason) => this.#closed(link, reason),
      },
    );
    this.#sessions.set(session, link);
    if (answer !== null) {
      link.sayReady();
      setTimeout(() => {
        if (!link.up) link.end("no answer", false);
      }, this.#limits.openTimeoutMs).unref();
    }
    return link;
  }

  /** The peer has proved its key. */
  #ready(link: NatsLink, dialler: boolean): void {
    if (link.up || link.closed) return;
    if (this.#hooks.isBanned(link.peer)) return link.end("banned", true);
    this.#links.get(link.peer)?.end("the peer opened a new link", false);
    link.up = true;
    this.#links.set(link.peer, link);
    if (dialler) link.sayReady();
    this.#hooks.up(link);
  }

  #closed(link: NatsLink, reason: string): void {
    this.#sessions.delete(link.session);
    if (this.#links.get(link.peer) !== link) return;
    this.#links.delete(link.peer);
    this.#hooks.down(link, reason);
    if (this.#connection !== null) this.#dialSoon(link.peer, this.#limits.redialMinMs);
  }

  // ---- time and presence ----

  #tick(): void {
    for (const link of [...this.#sessions.values()]) link.tick();
    if (!this.#discover || this.#connection === null) return;
    if (this.#now() >= this.#presenceAt) {
      this.#presenceAt = this.#now() + this.#limits.presenceMs * (0.75 + Math.random() / 2);
      this.#connection.publish(`${this.#prefix}s.v1`, this.#key.publicKey);
    }
    if (this.#links.size >= this.#limits.targetLinks) return;
    const free = [...this.#sighted].filter((peer) => !this.#links.has(peer) && !this.#dials.has(peer));
    const choice = free[Math.floor(Math.random() * free.length)];
    if (choice !== undefined) this.keep(choice);
  }

  /** Somebody says that it is here. Anybody may say so of anybody: only a link proves it. */
  #sight(data: Uint8Array): void {
    if (data.length !== KEY_BYTES) {
      this.#counts.messages_malformed++;
      return;
    }
    const peer = toHex(data);
    if (peer === this.#key.id || this.#hooks.isBanned(peer)) return;
    this.#sighted.delete(peer);
    this.#sighted.add(peer);
    if (this.#sighted.size <= MAX_SIGHTED) return;
    for (const oldest of this.#sighted) {
      this.#sighted.delete(oldest);
      break;
    }
  }
}

function lastToken(subject: string): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

/** Undefined if it is not of the form; hex fields are checked here. */
function parseOpening(data: Uint8Array): Opening | undefined {
  if (data.length > MAX_OPEN_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const field = (name: string): unknown => (value as Record<string, unknown>)[name];
  if (field("v") !== VERSION) return undefined;
  const hex = (name: string, bytes: number): boolean =>
    field(name) === undefined || (typeof field(name) === "string" && isHex(field(name) as string, bytes));
  const text = (name: string): boolean => field(name) === undefined || typeof field(name) === "string";
  const mtu = field("mtu");
  const goodMtu = mtu === undefined || (typeof mtu === "number" && Number.isSafeInteger(mtu) && mtu > 0);
  if (!hex("from", KEY_BYTES) || !hex("nonce", NONCE_BYTES) || !hex("session", SESSION_BYTES) || !goodMtu)
    return undefined;
  return text("proof") && text("refused") ? (value as Opening) : undefined;
}

function isHex(text: string, bytes: number): boolean {
  return text.length === 2 * bytes && /^[0-9a-f]+$/.test(text);
}

/** "nats:KEY" → KEY. Throws `peer_address`. */
export function parseNatsAddress(address: string): string {
  const id = address.startsWith(LINK_PREFIX) ? address.slice(LINK_PREFIX.length) : "";
  if (!isHex(id, KEY_BYTES)) {
    throw new SpineError("peer_address", `expected nats: and the 64 hex digits of the peer's plane key: ${address}`);
  }
  return id;
}
