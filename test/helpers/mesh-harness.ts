/**
 * Drives Mesh instances synchronously with honest verification, signing and commits, and lets a test speak raw frames
 * as a hostile peer. Time stands still unless a test moves it. Used by the `test/spine/mesh-*` suites.
 */
import { SimDisk, type SimKey } from "../../sim/index.ts";
import {
  Admission,
  AnswerBuilder,
  AuthorityLoader,
  type AuthorityTrust,
  type Claim,
  concatBytes,
  type Disclosure,
  decodeFrame,
  draftEnvelope,
  type Effect,
  type Envelope,
  type ErrorCode,
  encodeFrame,
  type Frame,
  formatTime,
  helloMessage,
  type Input,
  type JsonObject,
  type LinkId,
  type LinkInfo,
  Mesh,
  type MeshEvent,
  type MeshLimits,
  NO_TRUST,
  type OwnChainStart,
  RowTable,
  sealEnvelope,
  type Verdict,
  writeRecord,
} from "../../spine/index.ts";
import { nativePorts, nativeSha256Hex } from "./sim-ports.ts";

const ports = nativePorts();
export const START_MS = 1_800_000_000_000;

/** A key from a number. */
export function keyOf(number: number): SimKey {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setUint32(0, number);
  return ports.keyFromSeed(seed);
}

export interface EnvelopeOptions {
  readonly seq: number;
  readonly prev: string | null;
  readonly fact?: JsonObject;
  readonly issuedAtMs?: number;
  /** Replaces the honest signature. */
  readonly signature?: Uint8Array;
}

export function envelopeBy(key: SimKey, options: EnvelopeOptions): Envelope {
  const { seq, prev } = options;
  const fact = options.fact ?? { schema: "aegis.spine.fact.heartbeat.v1", n: seq };
  const issuedAt = formatTime(Math.floor((options.issuedAtMs ?? START_MS) / 1000));
  // The drafter refuses what honest issuers never sign; tests need exactly that.
  const honest = draftEnvelope(
    { issuer: key.issuer, seq: Math.max(seq, 2), prev: `0x${"00".repeat(32)}`, issuedAt, fact },
    nativeSha256Hex,
  );
  const text = new TextDecoder()
    .decode(honest.signingBytes)
    .replace(`"prev_envelope_hash":"0x${"00".repeat(32)}"`, `"prev_envelope_hash":${JSON.stringify(prev)}`)
    .replace(/"seq":\d+}$/, `"seq":${seq}}`);
  const signingBytes = new TextEncoder().encode(text);
  const draft = { ...honest, seq, prev, signingBytes, hash: `0x${nativeSha256Hex(signingBytes)}` };
  return sealEnvelope(draft, options.signature ?? key.sign(signingBytes));
}

/** `count` linked envelopes from `seq` on. */
export function chainBy(
  key: SimKey,
  count: number,
  make: (seq: number) => Partial<EnvelopeOptions> = () => ({}),
  after: Envelope | null = null,
): Envelope[] {
  const out: Envelope[] = [];
  let last = after;
  for (let i = 0; i < count; i++) {
    const seq = (last?.seq ?? 0) + 1;
    last = envelopeBy(key, { seq, prev: last?.hash ?? null, ...make(seq) });
    out.push(last);
  }
  return out;
}

export function recordsOf(envelopes: readonly Envelope[]): Uint8Array {
  return concatBytes(...envelopes.map(({ signingBytes, signature }) => writeRecord(signingBytes, signature)));
}

export interface NodeOptions {
  readonly open?: boolean;
  readonly limits?: Partial<MeshLimits>;
  readonly disk?: SimDisk;
  readonly ownChain?: OwnChainStart;
  readonly trust?: AuthorityTrust;
  readonly disclosure?: Disclosure;
}

/** One core with its disk and everything it asked the outside world to do. */
export class MeshNode {
  readonly key: SimKey;
  readonly disk: SimDisk;
  readonly mesh: Mesh;
  now: number = START_MS;
  readonly events: MeshEvent[] = [];
  readonly penalties: { readonly link: LinkId; readonly code: ErrorCode }[] = [];
  readonly closed: { readonly link: LinkId; readonly code: ErrorCode }[] = [];
  readonly verdicts: Verdict[] = [];
  readonly broadcasts: Uint8Array[] = [];
  /** Hashes of what planes may leave for peers who are away. */
  readonly urgent: string[] = [];
  readonly statements: Uint8Array[] = [];
  readonly handed: Envelope[] = [];
  readonly serves: Extract<Effect, { type: "serve" }>[] = [];
  claimsChecked = 0;
  wakeAt: number = Number.POSITIVE_INFINITY;
  /** While true, verify jobs wait for `verifyNow`. */
  holdVerify = false;
  /** While true, commits wait for `commitNow`. */
  holdCommit = false;
  readonly #jobs: { readonly job: number; readonly claims: readonly Claim[] }[] = [];
  readonly #commits: Extract<Effect, { type: "commit" }>[] = [];
  readonly #wires = new Map<LinkId, (frame: Uint8Array) => void>();
  readonly #inputs: Input[] = [];
  #feeding = false;

  constructor(key: SimKey, options: NodeOptions = {}) {
    this.key = key;
    this.disk = options.disk ?? new SimDisk();
    const { open = false, limits = {}, ownChain } = options;
    const snapshot = this.disk.load();
    const loader = new AuthorityLoader(options.trust ?? NO_TRUST);
    for (const row of this.disk.rows(RowTable.authority)) loader.add(row.key, row.value);
    const { authority, looseFacts } = loader;
    const base = { issuer: key.issuer, sha256Hex: nativeSha256Hex, snapshot, open, limits, authority, looseFacts };
    const { disclosure } = options;
    const extra = {
      ...(ownChain === undefined ? {} : { ownChain }),
      ...(disclosure === undefined ? {} : { disclosure }),
    };
    this.mesh = new Mesh({ ...base, ...extra }, this.now);
  }

  allow(...keys: readonly SimKey[]): this {
    for (const { issuer } of keys) this.feed({ type: "admit", issuer, admission: Admission.allowed });
    return this;
  }
  deny(key: SimKey): void {
    this.feed({ type: "admit", issuer: key.issuer, admission: Admission.denied });
  }
  publish(count: number, make?: (seq: number) => Partial<EnvelopeOptions>): Envelope[] {
    const head = this.mesh.ownHead;
    const after = head === undefined ? null : ({ seq: head.seq, hash: head.hash } as Envelope);
    const envelopes = chainBy(this.key, count, make, after);
    this.feed({ type: "local", envelopes });
    return envelopes;
  }
  top(key: SimKey): number {
    return this.disk.record(key.issuer)?.ranges.at(-1)?.to ?? 0;
  }
  frozenAt(key: SimKey): number | null {
    return this.disk.record(key.issuer)?.frozenAt ?? null;
  }
  refusals(code: ErrorCode): number {
    return this.events.filter((event) => event.type === "refused" && event.code === code).length;
  }
  /** Moves time and wakes the core as often as it asked to be. */
  pass(ms: number): void {
    const end = this.now + ms;
    while (this.wakeAt <= end) {
      this.now = Math.max(this.now + 1, this.wakeAt);
      this.wakeAt = Number.POSITIVE_INFINITY;
      this.feed({ type: "wake" });
    }
    this.now = end;
    this.feed({ type: "wake" });
  }

  linkUp(link: LinkId, info: LinkInfo, wire: (frame: Uint8Array) => void): void {
    this.#wires.set(link, wire);
    this.feed({ type: "link-up", link, info });
  }
  linkDown(link: LinkId): void {
    this.#wires.delete(link);
    this.feed({ type: "link-down", link });
  }
  verifyNow(): void {
    for (const { job, claims } of this.#jobs.splice(0)) this.#verify(job, claims);
  }
  commitNow(): void {
    for (const effect of this.#commits.splice(0)) this.#commit(effect);
  }

  feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#feeding) return;
    this.#feeding = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        for (const effect of this.mesh.handle(next, this.now)) this.#perform(effect);
      }
    } finally {
      this.#feeding = false;
    }
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "verify":
        if (this.holdVerify) this.#jobs.push(effect);
        else this.#verify(effect.job, effect.claims);
        return;
      case "sign":
        return this.feed({ type: "signed", job: effect.job, signature: this.key.sign(effect.message) });
      case "lookup": {
        const envelopes = effect.seqs.map((seq) => {
          if (!Number.isSafeInteger(seq)) throw new Error(`no store can look up seq ${seq}`);
          return this.disk.at(effect.issuer, seq);
        });
        return this.feed({ type: "found", job: effect.job, envelopes });
      }
      case "rows":
        return this.feed({ type: "rows-found", job: effect.job, rows: this.disk.rows(effect.table, effect.prefix) });
      case "commit":
        if (this.holdCommit) this.#commits.push(effect);
        else this.#commit(effect);
        return;
      case "send":
        return this.#wires.get(effect.link)?.(effect.frame);
      case "broadcast":
        this.broadcasts.push(effect.data);
        return;
      case "urgent":
        this.urgent.push(effect.envelope.hash);
        return;
      case "statement":
        this.statements.push(effect.body);
        return;
      case "hand":
        this.handed.push(effect.envelope);
        return;
      case "judge":
        this.verdicts.push(effect.verdict);
        return;
      case "serve":
        return this.#serve(effect);
      case "serve-hashes": {
        const hashes = effect.seqs.map((seq) => this.disk.at(effect.issuer, seq)?.hash ?? null);
        this.#wires.get(effect.link)?.(encodeFrame({ type: "hashes", request: effect.request, hashes }));
        return this.feed({ type: "served", link: effect.link });
      }
      case "penalise":
        this.penalties.push({ link: effect.link, code: effect.code });
        return;
      case "close":
        this.closed.push({ link: effect.link, code: effect.code });
        return;
      case "wake":
        this.wakeAt = effect.at;
        return;
      case "notify":
        this.events.push(effect.event);
        return;
      case "offered":
      case "attest":
        return;
    }
  }
  #verify(job: number, claims: readonly Claim[]): void {
    this.claimsChecked += claims.length;
    this.feed({ type: "verified", job, verdicts: claims.map((claim) => ports.verify(claim)) });
  }
  #commit({ id, commit }: Extract<Effect, { type: "commit" }>): void {
    this.disk.apply(commit);
    this.feed({ type: "committed", id });
  }
  #serve(effect: Extract<Effect, { type: "serve" }>): void {
    this.serves.push(effect);
    const builder = new AnswerBuilder(effect, (claim) => ports.verify(claim));
    for (const piece of this.disk.pieces(effect.issuer, effect.from, effect.to)) if (!builder.add(piece)) break;
    for (const frame of builder.finish().frames) this.#wires.get(effect.link)?.(frame);
    this.feed({ type: "served", link: effect.link });
  }
}

export function linkInfo(local: SimKey, remote: SimKey, configured = false): LinkInfo {
  return {
    mtu: 524_288,
    bitrate: Number.POSITIVE_INFINITY,
    cost: "free",
    localBinding: local.publicKey,
    remoteBinding: remote.publicKey,
    configured,
    address: "test",
  };
}

/** Connects two cores by lossless queues, which `run` empties. */
export class Wire {
  readonly #queue: (() => void)[] = [];
  frames = 0;
  bytes = 0;
  connect(a: MeshNode, b: MeshNode, name = "wire", configured = false): void {
    const carry = (to: MeshNode, link: LinkId) => (frame: Uint8Array) => {
      this.frames++;
      this.bytes += frame.length;
      this.#queue.push(() => to.feed({ type: "frame", link, frame: frame.slice() }));
    };
    a.linkUp(name, linkInfo(a.key, b.key, configured), carry(b, name));
    b.linkUp(name, linkInfo(b.key, a.key, configured), carry(a, name));
  }
  /** Delivers until nothing moves for `ms` of virtual time. */
  run(nodes: readonly MeshNode[], ms = 1_000): void {
    for (let passed = 0; passed < ms; passed += 50) {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
      for (const node of nodes) node.pass(50);
    }
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
  }
}

/** A peer that says whatever a test wants. It has proved its key unless told not to. */
export class Hostile {
  readonly node: MeshNode;
  readonly key: SimKey;
  readonly link: LinkId;
  readonly heard: Frame[] = [];
  /** Answers frames as they come. */
  answer: (frame: Frame) => void = () => {};
  constructor(
    node: MeshNode,
    key: SimKey,
    options: {
      readonly link?: LinkId;
      readonly hello?: boolean;
      readonly announcedBy?: string;
      readonly cost?: LinkInfo["cost"];
    } = {},
  ) {
    this.node = node;
    this.key = key;
    this.link = options.link ?? `hostile-${key.issuer.slice(-8)}`;
    const { announcedBy } = options;
    const { cost = "free" } = options;
    const info = { ...linkInfo(node.key, key), cost, ...(announcedBy === undefined ? {} : { issuer: announcedBy }) };
    node.linkUp(this.link, info, (bytes) => {
      const frame = decodeFrame(bytes.slice());
      this.heard.push(frame);
      this.answer(frame);
    });
    if (options.hello ?? true) this.hello();
  }
  hello(over: Partial<Extract<Frame, { type: "hello" }>> = {}): void {
    const proof = this.key.sign(helloMessage(this.key.publicKey, this.node.key.publicKey));
    const hello = { minVersion: 1, maxVersion: 1, maxFrameBytes: 524_288, issuer: this.key.issuer, proof };
    this.send({ type: "hello", ...hello, ...over });
  }
  send(frame: Frame): void {
    this.raw(encodeFrame(frame));
  }
  raw(frame: Uint8Array): void {
    this.node.feed({ type: "frame", link: this.link, frame });
  }
  /** Claims to hold `from..to` of an issuer. */
  claim(issuer: string, from: number, to: number): void {
    this.send({
      type: "inventory",
      entries: [{ issuer, prunedBelow: 0, ranges: [{ from, to }], frozenAt: null, head: null }],
    });
  }
  heardOf<T extends Frame["type"]>(type: T): Extract<Frame, { type: T }>[] {
    return this.heard.filter((frame): frame is Extract<Frame, { type: T }> => frame.type === type);
  }
  /** Serves wants from these envelopes as an honest peer would, in segments of `size`. */
  serve(envelopes: readonly Envelope[], size = 256): void {
    this.answer = (frame) => {
      if (frame.type !== "want") return;
      const { request, issuer, from, to } = frame;
      const asked = envelopes.filter((e) => e.issuer === issuer && e.seq >= from && e.seq <= to);
      this.send({ type: "offer", request, count: asked.length, bytes: recordsOf(asked).length });
      for (let i = 0; i < asked.length; i += size) {
        const part = asked.slice(i, i + size);
        const first = part[0] as Envelope;
        this.send({ type: "segment", request, from: first.seq, count: part.length, records: recordsOf(part) });
      }
      this.send({ type: "end", request, reason: asked.length > 0 ? "done" : "none" });
    };
  }
  get blamed(): ErrorCode[] {
    return this.node.penalties.filter(({ link }) => link === this.link).map(({ code }) => code);
  }
  get closedWith(): ErrorCode | undefined {
    return this.node.closed.find(({ link }) => link === this.link)?.code;
  }
}
