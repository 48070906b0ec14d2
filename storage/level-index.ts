/** What the level store keeps in memory: issuer numbers, prune marks, the log's size. Grows with issuers, not with envelopes. */
import { type Issuer, SpineError } from "../spine/index.ts";
import { blockKey, Meta, metaKey, Prefix, prefixRange, readBlockKey, readNumberKey } from "./keys.ts";
import { type Engine, READ_AHEAD_BYTES } from "./level-engine.ts";
import { decodeName, decodeNumber, decodePruneMark, type PruneMark } from "./values.ts";

export interface IssuerSlot {
  readonly no: number;
  readonly issuer: Issuer;
  /** Highest seq ever stored, −1 if none; undefined until first needed. */
  top: number | undefined;
  pruned: PruneMark;
}

export class LevelIndex {
  readonly #byIssuer = new Map<Issuer, IssuerSlot>();
  readonly #byNumber = new Map<number, IssuerSlot>();
  #nextNo = 0;
  logSize = 0;

  find(issuer: Issuer): IssuerSlot | undefined {
    return this.#byIssuer.get(issuer);
  }

  /** Throws `store_corrupt` if no issuer has this number. */
  issuerOf(no: number): Issuer {
    const slot = this.#byNumber.get(no);
    if (slot === undefined) throw new SpineError("store_corrupt", `no issuer has number ${no}`);
    return slot.issuer;
  }

  /** Gives an issuer the next number; the caller writes it. */
  assign(issuer: Issuer): IssuerSlot {
    return this.#add(this.#nextNo, issuer, -1);
  }

  #add(no: number, issuer: Issuer, top: number | undefined): IssuerSlot {
    const slot: IssuerSlot = { no, issuer, top, pruned: { below: 0, count: 0 } };
    this.#byIssuer.set(issuer, slot);
    this.#byNumber.set(no, slot);
    this.#nextNo = Math.max(this.#nextNo, no + 1);
    return slot;
  }

  /** Reads names, prune marks and the log size. Rejects with `store_corrupt`. */
  static async load(engine: Engine): Promise<LevelIndex> {
    const index = new LevelIndex();
    const options = { highWaterMarkBytes: READ_AHEAD_BYTES };
    for await (const [key, value] of engine.iterator({ ...prefixRange(Prefix.name), ...options })) {
      index.#add(readNumberKey(key), decodeName(key, value), undefined);
    }
    for await (const [key, value] of engine.iterator({ ...prefixRange(Prefix.pruned), ...options })) {
      const slot = index.#byNumber.get(readNumberKey(key));
      if (slot === undefined) throw new SpineError("store_corrupt", "prune mark of an unknown issuer");
      slot.pruned = decodePruneMark(key, value);
    }
    const key = metaKey(Meta.logSize);
    const size = await engine.get(key);
    index.logSize = size === undefined ? 0 : decodeNumber(key, size);
    return index;
  }
}

/** First seq of the block with the largest first seq up to `seq`; −1 if there is none. */
export async function blockStart(engine: Engine, issuerNo: number, seq: number): Promise<number> {
  const range = { gte: blockKey(Prefix.block, issuerNo, 0), lte: blockKey(Prefix.block, issuerNo, seq) };
  for await (const key of engine.keys({ ...range, reverse: true, limit: 1 })) return readBlockKey(key).firstSeq;
  return -1;
}
