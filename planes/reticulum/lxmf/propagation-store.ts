/**
 * The messages a propagation node holds for others: an index over files, bounded in bytes and time
 * (spec/reticulum.md section 21.6). Used by `propagation-node.ts`.
 */
import { fromHex, SpineError, toHex } from "../../../spine/index.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import { RecentKeys } from "./host.ts";
import { joinStamped, type StampedMessage, splitStamped } from "./propagation.ts";

const LIFETIME_SECONDS = 2_592_000;
const YOUNG_SECONDS = 345_600;
const PRIORITY_FACTOR = 0.1;
const MAX_MESSAGES = 100_000;
const REMEMBERED = 65_536;
const NAME = /^([0-9a-f]{64})_(\d{1,12})_(\d{1,3})$/;

/** Where messages are kept. Names are made here; `put` is durable when it resolves. */
export interface MessageFiles {
  /** `head`: the first 16 bytes. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number; readonly head: Uint8Array }[]>;
  put(name: string, bytes: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  remove(name: string): Promise<void>;
}

export class MemoryFiles implements MessageFiles {
  readonly files = new Map<string, Uint8Array>();
  async list(): Promise<readonly { readonly name: string; readonly bytes: number; readonly head: Uint8Array }[]> {
    return [...this.files].map(([name, bytes]) => ({
      name,
      bytes: bytes.length,
      head: bytes.subarray(0, ADDRESS_BYTES),
    }));
  }
  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.files.set(name, bytes.slice());
  }
  async get(name: string): Promise<Uint8Array | undefined> {
    return this.files.get(name)?.slice();
  }
  async remove(name: string): Promise<void> {
    this.files.delete(name);
  }
}

export interface StoredMessage {
  /** Transient id, hex. */
  readonly id: string;
  /** `lxmf.delivery` address, hex. */
  readonly destination: string;
  readonly bytes: number;
  /** Unix seconds. */
  readonly receivedAt: number;
  readonly stampValue: number;
}

export interface StoreOptions {
  readonly maxBytes: number;
  /** Delivery addresses (hex) whose messages are kept longest. */
  readonly prioritised?: ReadonlySet<string>;
}

/** Bounded: when full, the heaviest goes: large, old, not prioritised. */
export class PropagationStore {
  evictions = 0;
  /** Ids that were here and were fetched, dropped or expired: they are not taken again. */
  readonly gone = new RecentKeys(REMEMBERED);
  readonly #files: MessageFiles;
  readonly #options: StoreOptions;
  readonly #byId = new Map<string, StoredMessage>();
  readonly #byDestination = new Map<string, Set<string>>();
  readonly #arriving = new Map<string, Promise<void>>();
  #bytes = 0;
  private constructor(files: MessageFiles, options: StoreOptions) {
    this.#files = files;
    this.#options = options;
  }
  /** Files that are not messages are left alone. */
  static async open(files: MessageFiles, options: StoreOptions): Promise<PropagationStore> {
    const store = new PropagationStore(files, options);
    for (const { name, bytes, head } of await files.list()) {
      const match = NAME.exec(name);
      if (match === null || head.length < ADDRESS_BYTES) continue;
      const [, id = "", at, value] = match;
      store.#index({
        id,
        destination: toHex(head),
        bytes,
        receivedAt: Number(at),
        stampValue: Number(value),
      });
    }
    return store;
  }
  get count(): number {
    return this.#byId.size;
  }
  get maxBytes(): number {
    return this.#options.maxBytes;
  }
  get bytes(): number {
    return this.#bytes;
  }
  has(id: string): boolean {
    return this.#byId.has(id) || this.#arriving.has(id);
  }
  /** Held, or held before: not wanted again. */
  knows(id: string): boolean {
    return this.has(id) || this.gone.has(id);
  }
  entry(id: string): StoredMessage | undefined {
    return this.#byId.get(id);
  }
  /** Smallest first. */
  for(destination: string): readonly StoredMessage[] {
    const ids = this.#byDestination.get(destination) ?? [];
    return [...ids].map((id) => this.#byId.get(id) as StoredMessage).sort((a, b) => a.bytes - b.bytes);
  }
  /** Low weights are passed on first and dropped last. */
  weight(message: StoredMessage, now: number): number {
    const age = Math.max(1, (now - message.receivedAt) / YOUNG_SECONDS);
    const priority = this.#options.prioritised?.has(message.destination) === true ? PRIORITY_FACTOR : 1;
    return message.bytes * age * priority;
  }
  /** Resolved = durable. A message that is here already costs nothing. `now`: unix seconds. Rejects with `store_full` or `store_failed`. */
  async add(stamped: StampedMessage, stampValue: number, now: number): Promise<void> {
    const id = toHex(stamped.id);
    if (this.#byId.has(id)) return;
    const arriving = this.#arriving.get(id);
    if (arriving !== undefined) return arriving;
    const put = this.#put(id, stamped, stampValue, Math.floor(now));
    this.#arriving.set(id, put);
    try {
      await put;
    } finally {
      this.#arriving.delete(id);
    }
  }
  async #put(id: string, stamped: StampedMessage, stampValue: number, now: number): Promise<void> {
    const bytes = joinStamped(stamped);
    const destination = toHex(stamped.message.subarray(0, ADDRESS_BYTES));
    const message: StoredMessage = { id, destination, bytes: bytes.length, receivedAt: now, stampValue };
    await this.#makeRoom(message, now);
    await this.#files.put(nameOf(message), bytes);
    this.#index(message);
  }
  async #makeRoom(message: StoredMessage, now: number): Promise<void> {
    const fits = (): boolean => this.#bytes + message.bytes <= this.#options.maxBytes && this.#byId.size < MAX_MESSAGES;
    if (fits()) return;
    const heaviest = [...this.#byId.values()].sort((a, b) => this.weight(b, now) - this.weight(a, now));
    const limit = this.weight(message, now);
    for (const victim of heaviest) {
      if (fits()) return;
      // What weighs less than the newcomer stays: a bomb does not push out ordinary messages.
      if (this.weight(victim, now) < limit) break;
      await this.remove(victim.id);
      this.evictions++;
    }
    if (!fits()) throw new SpineError("store_full", "the propagation store is full of lighter messages");
  }
  #index(message: StoredMessage): void {
    this.#byId.set(message.id, message);
    this.#bytes += message.bytes;
    const ids = this.#byDestination.get(message.destination) ?? new Set();
    this.#byDestination.set(message.destination, ids.add(message.id));
  }
  /** With its stamp; undefined when it is no longer here or its file is damaged. */
  async get(id: string): Promise<StampedMessage | undefined> {
    const message = this.#byId.get(id);
    const bytes = message && (await this.#files.get(nameOf(message)));
    const stamped = bytes && splitStamped(bytes);
    if (stamped !== undefined && toHex(stamped.id) === id) return stamped;
    if (message !== undefined) await this.remove(id);
    return undefined;
  }
  async remove(id: string): Promise<void> {
    const message = this.#byId.get(id);
    if (message === undefined) return;
    this.#byId.delete(id);
    this.#bytes -= message.bytes;
    const ids = this.#byDestination.get(message.destination);
    ids?.delete(id);
    if (ids?.size === 0) this.#byDestination.delete(message.destination);
    this.gone.add(id);
    await this.#files.remove(nameOf(message));
  }
  /** Drops what is older than 30 days; a clock that jumped ahead and back drops nothing by itself. `now`: unix seconds. */
  async expire(now: number): Promise<void> {
    for (const message of [...this.#byId.values()]) {
      if (now - message.receivedAt > LIFETIME_SECONDS) await this.remove(message.id);
    }
  }
  ids(): readonly Uint8Array[] {
    return [...this.#byId.keys()].map((id) => fromHex(id));
  }
}

function nameOf({ id, receivedAt, stampValue }: StoredMessage): string {
  return `${id}_${receivedAt}_${stampValue}`;
}
