/**
 * LXMF in the daemon: the node's address, its queue, and the messages it keeps for others, all under `reticulum/lxmf/`.
 * Received messages are appended to `inbox.jsonl`. Run by `station.ts`.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { reticulum } from "../../planes/index.ts";
import { asSpineError, fromHex, SpineError, toHex } from "../../spine/index.ts";
import type { NodeDir } from "../dir.ts";
import type { LxmfConfig } from "./config.ts";
import { loadOrSetAside, openRatchets, writeBytesDurably } from "./files.ts";
import type { MailOptions, RnsFetched, RnsMail, RnsOutgoing } from "./service.ts";
import type { StationLog } from "./station.ts";

const SAVE_DELAY_MS = 200;
const HEAD_BYTES = 16;
/** The inbox is rotated at this size; one older file is kept. */
const INBOX_BYTES = 64 * 1024 * 1024;

export interface MailSetup {
  readonly dir: NodeDir;
  readonly config: LxmfConfig;
  readonly identity: reticulum.Identity;
  readonly station: reticulum.Station;
  readonly log: StationLog;
  /** Takes a message that is an envelope or a head; false for any other. */
  readonly onEnvelope: (content: Uint8Array) => boolean;
}

/** Messages for others, one file each. */
class FolderFiles implements reticulum.MessageFiles {
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }
  async list(): Promise<readonly { readonly name: string; readonly bytes: number; readonly head: Uint8Array }[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const found: { name: string; bytes: number; head: Uint8Array }[] = [];
    for (const entry of await readdir(this.#folder, { withFileTypes: true })) {
      if (!entry.isFile()) continue;
      await using file = await open(join(this.#folder, entry.name), "r");
      const head = new Uint8Array(HEAD_BYTES);
      const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
      found.push({ name: entry.name, bytes: (await file.stat()).size, head: head.subarray(0, bytesRead) });
    }
    return found;
  }
  async put(name: string, bytes: Uint8Array): Promise<void> {
    writeBytesDurably(join(this.#folder, name), bytes);
  }
  async get(name: string): Promise<Uint8Array | undefined> {
    try {
      return new Uint8Array(await readFile(join(this.#folder, name)));
    } catch {
      return undefined;
    }
  }
  async remove(name: string): Promise<void> {
    await rm(join(this.#folder, name), { force: true });
  }
}

export class Mail {
  readonly #setup: MailSetup;
  readonly #folder: string;
  readonly #stamps = new reticulum.StampPool();
  readonly #router: reticulum.LxmfRouter;
  #node: reticulum.PropagationNode | undefined;
  #fetching: Promise<RnsFetched> | undefined;
  #saveTimer: NodeJS.Timeout | undefined;
  #announceTimer: NodeJS.Timeout | undefined;
  private constructor(setup: MailSetup) {
    const { dir, config, identity, station, log } = setup;
    this.#setup = setup;
    this.#folder = join(dir.reticulum, "lxmf");
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const warn = (text: string): void => log.warn({}, text);
    const { displayName, stampCost, enforceStamps, propagationNode } = config;
    const { SINGLE, Destination } = reticulum;
    const bare = new Destination({ type: SINGLE, appName: "lxmf", aspects: ["delivery"], identity });
    this.#router = new reticulum.LxmfRouter(this.#host(station), {
      identity,
      ratchets: openRatchets(dir, bare.hex, identity, warn),
      enforceStamps,
      ...(displayName === undefined ? {} : { displayName }),
      ...(stampCost === undefined ? {} : { stampCost }),
      ...(propagationNode === undefined ? {} : { propagationNode: fromHex(propagationNode) }),
      onMessage: (received) => this.#received(received),
    });
    loadOrSetAside(join(this.#folder, "router"), (bytes) => this.#router.load(bytes), warn);
  }
  /** Throws `store_failed`. */
  static async open(setup: MailSetup): Promise<Mail> {
    const mail = new Mail(setup);
    if (setup.config.propagation.enabled) await mail.#openNode();
    const { announceMinutes } = setup.config;
    if (announceMinutes > 0) {
      mail.#announceTimer = setInterval(() => {
        for (const announce of mail.announcements()) announce();
      }, announceMinutes * 60_000);
    }
    return mail;
  }
  #host(station: reticulum.Station): reticulum.LxmfHost {
    return reticulum.stationHost(station, {
      stamps: this.#stamps,
      changed: () => {
        this.#saveTimer ??= setTimeout(() => this.#saveQuietly(), SAVE_DELAY_MS);
      },
      persisted: async () => this.#save(),
    });
  }
  async #openNode(): Promise<void> {
    const { config, identity, station, log } = this.#setup;
    const { name, stampCost, peeringCost, storeMegabytes, autoPeer, peers, controllers } = config.propagation;
    const files = new FolderFiles(join(this.#folder, "messages"));
    const store = await reticulum.PropagationStore.open(files, { maxBytes: storeMegabytes * 1_000_000 });
    const node = new reticulum.PropagationNode(this.#host(station), {
      identity,
      store,
      stampCost,
      peeringCost,
      autoPeer,
      peers: peers.map((hex) => fromHex(hex)),
      controllers,
      ...(name === undefined ? {} : { name }),
      local: { destination: this.#router.destination, take: (packed) => this.#router.take(packed) },
    });
    loadOrSetAside(
      join(this.#folder, "node"),
      (bytes) => node.load(bytes),
      (text) => log.warn({}, text),
    );
    this.#node = node;
  }
  /** One line per message; durable enough to survive the process, and told to the log without contents. */
  #received({ message, method, verified, stamp }: reticulum.ReceivedMessage): void {
    if (reticulum.isSpelling(message.content) && this.#setup.onEnvelope(message.content)) {
      this.#setup.log.info({ from: toHex(message.source), method }, "envelope by LXMF");
      return;
    }
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
    const line = JSON.stringify({
      id: toHex(message.hash),
      from: toHex(message.source),
      sent_at: new Date(message.timestamp * 1000).toISOString(),
      method,
      verified,
      stamp,
      title: text(message.title),
      content: text(message.content),
      content_sha256: createHash("sha256").update(message.content).digest("hex"),
    });
    const inbox = join(this.#folder, "inbox.jsonl");
    if (existsSync(inbox) && statSync(inbox).size > INBOX_BYTES) renameSync(inbox, `${inbox}.1`);
    appendFileSync(inbox, `${line}\n`, { mode: 0o600, flush: true });
    this.#setup.log.info({ from: toHex(message.source), method, verified, stamp }, "LXMF message received");
  }
  #save(): void {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    writeBytesDurably(join(this.#folder, "router"), this.#router.save());
    if (this.#node !== undefined) writeBytesDurably(join(this.#folder, "node"), this.#node.save());
  }
  #saveQuietly(): void {
    try {
      this.#save();
    } catch (caught) {
      this.#setup.log.warn({ err: asSpineError(caught).message }, "the LXMF queue was not saved");
    }
  }
  announcements(): readonly (() => void)[] {
    const node = this.#node;
    return [() => this.#router.announce(), ...(node === undefined ? [] : [() => node.announce()])];
  }
  destinations(): readonly reticulum.Destination[] {
    const node = this.#node;
    return [this.#router.destination, ...(node === undefined ? [] : [node.destination, node.control.destination])];
  }
  /** Its `lxmf.propagation` address, when one is configured. */
  get propagationNode(): Uint8Array | undefined {
    const { propagationNode } = this.#setup.config;
    return propagationNode === undefined ? undefined : fromHex(propagationNode);
  }
  /** What the propagation node holds for us; one call at a time is under way, others get its result. */
  fetch(): Promise<RnsFetched> {
    const fetching =
      this.#fetching ??
      this.#router.client.fetch().finally(() => {
        this.#fetching = undefined;
      });
    this.#fetching = fetching;
    return fetching;
  }
  /** Resolved = on disk. Throws `rate_limited` or `store_failed`. */
  send({ to, title, content, method }: Omit<MailOptions, "to"> & { readonly to: Uint8Array }): RnsOutgoing {
    if (method === "propagated" && this.#setup.config.propagationNode === undefined) {
      throw new SpineError("propagation_refused", "planes.reticulum.lxmf.propagationNode is not set");
    }
    const outgoing = this.#router.send({ destination: to, title, content, method, propagateOnFailure: true });
    try {
      this.#save();
    } catch (caught) {
      this.#router.cancel(outgoing.hex);
      throw caught;
    }
    return rowOf(outgoing);
  }
  /** Urgent envelopes for peers that are away. */
  get drop(): reticulum.MailDrop {
    return reticulum.mailDrop(this.#setup.station, this.#router);
  }

  status(): RnsMail {
    const node = this.#node;
    return {
      address: this.#router.destination.hex,
      queue: this.#router.queue.map(rowOf),
      counters: Object.fromEntries(this.#router.counters),
      propagation:
        node === undefined
          ? null
          : {
              address: node.destination.hex,
              messages: node.store.count,
              bytes: node.store.bytes,
              peers: node.peers.all.map(({ hex, unhandled, failures }) => {
                return { address: hex, unhandled: unhandled.size, failures };
              }),
              counters: Object.fromEntries(node.counters),
            },
    };
  }
  /** What is not delivered stays in the queue. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#announceTimer);
    this.#saveQuietly();
    this.#router.close();
    this.#node?.close();
    clearTimeout(this.#saveTimer);
    await this.#stamps.close();
  }
}

function rowOf(outgoing: reticulum.Outgoing): RnsOutgoing {
  return {
    id: outgoing.hex,
    to: toHex(outgoing.message.destination),
    method: outgoing.method,
    state: outgoing.state,
    attempts: outgoing.attempts,
    since: new Date(outgoing.since).toISOString(),
  };
}
