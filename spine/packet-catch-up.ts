/**
 * Catching up where wires are too slow for links: two nodes that name each other state which revocations and checkpoints they
 * hold, each in one packet, and hand over what the other lacks, revocations first (rules 10, WIRE.md 13). Called by `mesh.ts`.
 */
import { chainSeqOf, envelopeOfRecord, readCheckpointRow, readFactRow, type StoredFact, subjectOf } from "./acting.ts";
import { toHex } from "./bytes.ts";
import { EnvelopeState, RowTable } from "./commit.ts";
import type { Context } from "./context.ts";
import { tells } from "./disclosure.ts";
import type { PacketPeer } from "./effect.ts";
import type { Enforcement } from "./enforcement.ts";
import type { Envelope } from "./envelope.ts";
import type { Tier } from "./fact.ts";
import { parseIssuer } from "./identity.ts";
import { openSigningBytes } from "./open.ts";
import type { Issuer } from "./ports.ts";
import { differ, type SketchDifference, sketchOf } from "./set-sketch.ts";
import {
  decodeStatement,
  encodeStatement,
  type HeldStatement,
  LARGE_SKETCH,
  LOG_NAME_BYTES,
  MAX_STATED_LOGS,
  SMALL_SKETCH,
  sketchItem,
} from "./statement.ts";

/** Revocations handed over for one statement; the next one asks for the rest. */
const MAX_HANDED = 64;

interface HeldLog {
  readonly issuer: Issuer;
  readonly name: string;
  readonly seq: number;
}

interface Held {
  readonly revocations: readonly StoredFact[];
  readonly logs: readonly HeldLog[];
}

export class PacketCatchUp {
  readonly #ctx: Context;
  readonly #enforcement: Enforcement;
  #salt = 0;

  constructor(ctx: Context, enforcement: Enforcement) {
    this.#ctx = ctx;
    this.#enforcement = enforcement;
  }

  /** States what is held. */
  state(peer: PacketPeer): void {
    this.#withHeld(peer, (held) => this.#say(peer, held, SMALL_SKETCH, this.#newSalt(), false));
  }
  #newSalt(): number {
    this.#salt = (this.#salt + 1) % 256;
    return this.#salt;
  }

  /** Answers a statement: hands over what the peer lacks, and states what is held if something is lacking here. */
  answer(peer: PacketPeer, bytes: Uint8Array): void {
    const theirs = decodeStatement(bytes);
    this.#withHeld(peer, (held) => {
      const { revocations, logs } = held;
      const { salt, sketch, reply } = theirs;
      const items = this.#items(revocations, salt);
      for (const log of newerLogs(logs, theirs)) this.#handStored(peer, log.issuer, log.seq, undefined, 2);
      const found = differenceOf(items, theirs);
      if (found === undefined && sketch.length < LARGE_SKETCH) {
        // Too much to tell by so little.
        if (!reply) this.#say(peer, held, LARGE_SKETCH, this.#newSalt(), false);
        return;
      }
      const lacks = new Set(found?.otherLacks ?? items);
      const handed = revocations.filter((_, i) => lacks.has(items[i] as number)).slice(0, MAX_HANDED);
      for (const fact of handed) this.#handFact(peer, fact);
      const behind = found === undefined || found.lacking > 0 || isBehind(logs, theirs);
      if (!reply && behind) this.#say(peer, held, Math.max(SMALL_SKETCH, sketch.length), salt, true);
    });
  }

  #items(revocations: readonly StoredFact[], salt: number): number[] {
    return revocations.map(({ hash }) => sketchItem(hash, salt, this.#ctx.sha256Hex));
  }
  #say(peer: PacketPeer, { revocations, logs }: Held, syndromes: number, salt: number, reply: boolean): void {
    const sketch = sketchOf(this.#items(revocations, salt), revocations.length === 0 ? 0 : syndromes);
    // With more logs than one statement names, others are named by the next one.
    const first = logs.length <= MAX_STATED_LOGS ? 0 : (salt * MAX_STATED_LOGS) % logs.length;
    const named = logs.slice(first, first + MAX_STATED_LOGS).map(({ name, seq }) => ({ name, seq }));
    const body = encodeStatement({ reply, salt, revocations: revocations.length, sketch, logs: named });
    this.#ctx.emit({ type: "statement", ...peer, body });
  }

  /** What may be told to the peer, as it is on disk. */
  #withHeld(peer: PacketPeer, then: (held: Held) => void): void {
    const { disclosure } = this.#ctx;
    const via = viaOf(peer);
    this.#ctx.rows(RowTable.authority, "", (rows) => {
      const revocations = rows
        .map(({ key, value }) => readFactRow(key, value))
        .filter((one) => this.#enforcement.rightsOf(one.fact).length > 0 && this.#mayTell(via, one));
      this.#ctx.rows(RowTable.checkpoints, "", (found) => {
        const logs = found.flatMap(({ key: issuer, value }): HeldLog[] => {
          const seq = readCheckpointRow(value);
          if (this.#ctx.admitted(issuer) === undefined || !tells(disclosure, via, issuer, seq)) return [];
          return [{ issuer, name: toHex(parseIssuer(issuer).subarray(0, LOG_NAME_BYTES)), seq }];
        });
        then({ revocations, logs });
      });
    });
  }
  #mayTell(via: string, { fact, record }: StoredFact): boolean {
    const { disclosure, sha256Hex } = this.#ctx;
    const seq = chainSeqOf(fact);
    if (record !== null) return disclosure?.mayTell(via, envelopeOfRecord(record, sha256Hex)) !== false;
    return seq !== null && tells(disclosure, via, subjectOf(fact), seq);
  }

  #handFact(peer: PacketPeer, { fact, hash, record }: StoredFact): void {
    if (record !== null) return this.#hand(peer, envelopeOfRecord(record, this.#ctx.sha256Hex), 1);
    this.#handStored(peer, subjectOf(fact), chainSeqOf(fact) as number, hash, 1);
  }
  #handStored(peer: PacketPeer, issuer: Issuer, seq: number, hash: string | undefined, tier: Tier): void {
    this.#ctx.lookup(issuer, [seq], ([found]) => {
      if (found?.state !== EnvelopeState.signature || (hash !== undefined && found.hash !== hash)) return;
      this.#hand(peer, openSigningBytes(found.signingBytes, found.signature, this.#ctx.sha256Hex), tier);
    });
  }
  #hand(peer: PacketPeer, envelope: Envelope, tier: Tier): void {
    this.#ctx.emit({ type: "hand", ...peer, envelope, tier });
  }
}

/** How a peer that is reached by packets is called where links have names. */
export function viaOf({ plane, peer }: PacketPeer): string {
  return `${plane}:packets/${peer}`;
}

/** The peer holds a newer checkpoint of a log that is followed here. */
function isBehind(logs: readonly HeldLog[], { logs: theirs }: HeldStatement): boolean {
  return theirs.some(({ name, seq }) => logs.some((log) => log.name === name && log.seq < seq));
}

/** Undefined when the sketch tells too little. An empty set needs none. */
function differenceOf(items: readonly number[], { revocations, sketch }: HeldStatement): SketchDifference | undefined {
  if (revocations === 0) return { otherLacks: items, lacking: 0 };
  if (items.length === 0) return { otherLacks: [], lacking: revocations };
  return differ(items, sketch, revocations);
}

/** Logs of which the other side named an older checkpoint, or, if it named all it has, none. */
function newerLogs(logs: readonly HeldLog[], { logs: theirs }: HeldStatement): readonly HeldLog[] {
  const all = theirs.length < MAX_STATED_LOGS;
  return logs
    .filter(({ name, seq }) => {
      const named = theirs.find((one) => one.name === name);
      return named === undefined ? all : named.seq < seq;
    })
    .slice(0, MAX_STATED_LOGS);
}
