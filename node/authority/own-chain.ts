/**
 * The restored-backup guard and the cloned-image alarm at work (rules 7): reads the high-water mark at start, keeps it
 * while the node signs, holds publishing back while the core asks peers, and remembers the alarm over restarts.
 */
import { readFile, rm } from "node:fs/promises";
import {
  type ChainPoint,
  compareHighWater,
  type Issuer,
  type MeshEvent,
  NOTHING_SIGNED,
  type OwnChainPhase,
  type OwnChainStart,
  RowTable,
  type Snapshot,
  SpineError,
} from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";
import type { NodeDir } from "../dir.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import { bootId, HighWaterWriter, readHighWater } from "./high-water.ts";

/** Row that says: beside this store a high-water mark was kept, so that a missing one means a restored backup. */
const KEPT_ROW = "high-water";

export interface OwnChainOptions {
  readonly dir: NodeDir;
  readonly store: Store;
  readonly snapshot: Snapshot;
  readonly issuer: Issuer;
  /** The operator's word that no other copy of this node signs. */
  readonly acceptForkRisk: boolean;
  /** Planes will run and peers be asked; false: whatever is uncertain is refused at once. */
  readonly willAsk: boolean;
  /** Told what the operator should read in the log. */
  readonly onNote: (note: string, fields: Readonly<Record<string, string | number>>) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: SpineError) => void;
}

export class OwnChainKeeper {
  /** For the core. */
  readonly start: OwnChainStart;
  readonly #options: OwnChainOptions;
  readonly #writer: HighWaterWriter;
  readonly #why: string;
  readonly #waiters: Waiter[] = [];
  #phase: OwnChainPhase;
  #waits: boolean;
  #answers = 0;
  #conflictAt: number | undefined;
  #writeFailed = false;
  #alarm: Promise<void> = Promise.resolve();
  /** Seconds of the newest own head that peers showed: own times do not fall behind it. */
  seenSeconds = 0;

  private constructor(
    options: OwnChainOptions,
    parts: { start: OwnChainStart; writer: HighWaterWriter; why: string; conflictAt: number | undefined },
  ) {
    this.#options = options;
    this.start = parts.start;
    this.#writer = parts.writer;
    this.#why = parts.why;
    this.#conflictAt = parts.conflictAt;
    const { begin } = parts.start;
    this.#phase = begin === "sign" ? "signing" : begin === "ask" ? "refused" : "stopped";
    this.#waits = begin === "ask" && options.willAsk;
  }

  /** Throws `store_failed` when the mark or the alarm is there and cannot be read. */
  static async open(options: OwnChainOptions): Promise<OwnChainKeeper> {
    const { dir, store, issuer, snapshot, acceptForkRisk, onNote } = options;
    const record = snapshot.issuers.find((one) => one.issuer === issuer);
    const range = record?.ranges.at(-1);
    const top = range === undefined ? undefined : { seq: range.to, hash: range.last };
    const boot = await bootId();
    const read = await readHighWater(dir.highWater, "issuer", issuer);
    const verdict = compareHighWater(top, read.mark);
    const kept = (await store.row(RowTable.ownChain, KEPT_ROW)) !== undefined;
    let alarm = await readAlarm(dir.ownKeyAlarm);
    if (alarm !== undefined && acceptForkRisk) {
      await rm(dir.ownKeyAlarm, { force: true });
      onNote("the alarm about this node's key was cleared by the operator", { seq: alarm });
      alarm = undefined;
    }
    const fields = { stored: top?.seq ?? 0, recorded: read.mark?.seq ?? 0 };
    let begin: OwnChainStart["begin"] = "sign";
    let accept = acceptForkRisk;
    let why = "";
    const frozenAt = record?.frozenAt ?? null;
    if (frozenAt !== null || alarm !== undefined) {
      begin = "stopped";
    } else if (verdict !== "at-or-above" || acceptForkRisk) {
      begin = "ask";
      why =
        verdict === "below"
          ? `the store ends at seq ${fields.stored}, but seq ${fields.recorded} was signed${bootText(read.mark?.boot, boot)}`
          : top === undefined
            ? "there is no high-water file beside a store without own envelopes: the key may have signed elsewhere"
            : "the high-water file is missing or damaged beside a store with own envelopes";
      // Made by a version that kept no mark: nothing says that it was restored. An empty store says nothing at all.
      if (verdict === "missing" && !kept && snapshot.logSize > 0) {
        accept = true;
        if (!options.willAsk) begin = "sign";
        onNote("no high-water mark was kept until now", fields);
      } else if (verdict !== "at-or-above") onNote(`own chain uncertain: ${why}`, fields);
    }
    const writer = new HighWaterWriter({
      path: dir.highWater,
      purpose: "issuer",
      subject: issuer,
      boot,
      onError: (error) => keeper.#failed(error),
    });
    writer.continueFrom(read);
    const highWater =
      (read.mark?.seq ?? 0) === 0 || read.mark === undefined ? null : { seq: read.mark.seq, hash: read.mark.hash };
    const start: OwnChainStart = { highWater, begin, acceptForkRisk: accept };
    const conflictAt = frozenAt ?? alarm;
    const keeper = new OwnChainKeeper(options, { start, writer, why, conflictAt });
    // A store above its mark, such as after a kill: the mark follows. A new node has its mark before it has a chain.
    if (begin === "sign") writer.raise(top ?? NOTHING_SIGNED);
    if (begin === "sign" && read.mark === undefined) await writer.flush();
    if (!kept) await keepFromNowOn(store);
    return keeper;
  }

  get phase(): OwnChainPhase {
    return this.#phase;
  }
  /** The seq at which somebody else's signature was seen; undefined without an alarm. */
  get conflictAt(): number | undefined {
    return this.#conflictAt;
  }

  /** Told of everything the core tells. */
  on(event: MeshEvent): void {
    if (event.type === "stored") {
      const { issuer, from, hashes } = event.run;
      if (issuer !== this.#options.issuer || event.link !== null) return;
      this.#writer.raise({ seq: from + hashes.length - 1, hash: hashes.at(-1) as string });
    } else if (event.type === "own-chain") {
      this.#changed(event.phase, event.top, event.answers, event.sentAt);
    } else if (event.type === "own-key-conflict") {
      this.#conflict(event.seq);
    }
  }

  #changed(phase: OwnChainPhase, top: ChainPoint | null, answers: number, sentAt: number): void {
    const { onNote } = this.#options;
    this.#answers = answers;
    this.seenSeconds = Math.max(this.seenSeconds, sentAt);
    this.#phase = phase;
    this.#waits = phase === "asking";
    if (phase === "asking") return;
    const fields = { peers: answers, top: top?.seq ?? 0 };
    if (phase === "signing") {
      onNote("own chain certain: signing goes on", fields);
      // Before anything is signed above it the mark says how far the chain is known to go.
      if (top !== null) this.#writer.raise(top);
      for (const { resolve } of this.#waiters.splice(0)) resolve();
    } else {
      onNote("own chain uncertain: nothing is signed", fields);
      for (const { reject } of this.#waiters.splice(0)) reject(this.#refusal());
    }
  }

  #conflict(seq: number): void {
    this.#phase = "stopped";
    this.#waits = false;
    for (const { reject } of this.#waiters.splice(0)) reject(this.#refusal());
    if (this.#conflictAt !== undefined) return;
    this.#conflictAt = seq;
    this.#alarm = writeAlarm(this.#options.dir.ownKeyAlarm, seq).catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    if (this.#writeFailed) return;
    this.#writeFailed = true;
    this.#options.onNote("the high-water mark cannot be written", { error: String(error) });
  }

  #refusal(): SpineError {
    if (this.#phase === "stopped") return new SpineError("own_key_conflict", `seen at seq ${this.#conflictAt ?? 0}`);
    const asked = this.#options.willAsk ? `; ${this.#answers} of 2 peers showed this node's chain` : "";
    return new SpineError("fork_risk", `${this.#why}${asked}`);
  }

  /** Undefined = sign now. Otherwise resolves when signing may go on, rejects with `fork_risk` or `own_key_conflict`. */
  gate(): Promise<void> | undefined {
    if (this.#phase === "signing") return undefined;
    if (!this.#waits) return Promise.reject(this.#refusal());
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Resolves when it is known whether the node signs; never rejects. */
  async decided(): Promise<void> {
    await this.gate()?.catch(() => {});
  }

  /** What the operator should know, one sentence each. */
  warnings(): string[] {
    const out: string[] = [];
    if (this.#phase === "stopped") {
      out.push(
        `Another node signs with this node's key (seen at seq ${this.#conflictAt ?? 0}): publishing stopped. ` +
          "Stop the other copy, then start this one once with --accept-fork-risk; if the key was stolen, use a successor.",
      );
    } else if (this.#phase === "refused") {
      const { message, hint } = this.#refusal();
      out.push(`Nothing is signed: ${message}. ${hint}`);
    }
    if (this.#writeFailed) out.push("The high-water file cannot be written: a restored backup would not be noticed.");
    return out;
  }

  async close(): Promise<void> {
    const stopping = new SpineError("api_unavailable", "the node is stopping");
    for (const { reject } of this.#waiters.splice(0)) reject(stopping);
    await this.#alarm;
    await this.#writer.close();
  }
}

function bootText(written: string | undefined, now: string): string {
  if (written === undefined || written === "-" || now === "-") return "";
  return written === now ? " since this machine started" : " before this machine started";
}

/** The mark is part of the store's copies, the file is not: from here on its absence says something. */
async function keepFromNowOn(store: Store): Promise<void> {
  const rows = [{ table: RowTable.ownChain, key: KEPT_ROW, value: Uint8Array.of(1) }];
  await store.commit({ runs: [], heads: [], issuers: [], forks: [], states: [], rows });
}

/** The seq of the alarm raised in an earlier life; a file that says nothing still is an alarm. */
async function readAlarm(path: string): Promise<number | undefined> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new SpineError("store_failed", `cannot read ${path}`, { cause });
  });
  if (text === undefined) return undefined;
  return Number(/^seq (\d{1,15})$/m.exec(text)?.[1] ?? 0);
}

async function writeAlarm(path: string, seq: number): Promise<void> {
  const text = `Another node signed with this node's key.\nseq ${seq}\nseen ${new Date().toISOString()}\n`;
  await writeFileAtomic(path, text, { mode: 0o600, exclusive: false });
}
