/** The client's side of propagation: leaves messages with a node and fetches its own (spec/reticulum.md section 21.6). Used by `router.ts`. */
import { concatBytes, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import type { Destination } from "../stack/destination.ts";
import { ADDRESS_BYTES } from "../stack/hash.ts";
import type { Identity } from "../stack/identity.ts";
import type { Link } from "../stack/link.ts";
import type { Packable } from "../stack/msgpack.ts";
import { readPropagationAppData } from "./app-data.ts";
import { type LxmfHost, RecentKeys, resume } from "./host.ts";
import { LINK_PACKET_BYTES } from "./limits.ts";
import type { Outgoing } from "./outgoing.ts";
import { byteList, packUpload, REFUSAL, refusalName, transientId } from "./propagation.ts";
import { ROUNDS } from "./stamp.ts";

const IDLE_MS = 180_000;
const FETCH_LIMIT_KB = 10_240;
const FETCH_TIMEOUT_MS = 60_000;
const MAX_FETCHED_IDS = 100_000;

export interface ClientOptions {
  readonly identity: Identity;
  /** Our delivery destination. */
  readonly destination: Destination;
  readonly node: Uint8Array | undefined;
  readonly received: (packed: Uint8Array) => void;
}

export interface FetchResult {
  /** Messages the node had for us. */
  readonly offered: number;
  /** Of these, taken now. */
  readonly received: number;
}

type Done = (failure: SpineError | undefined) => void;

export class PropagationClient {
  /** Transient ids of what was fetched. */
  readonly seen = new RecentKeys(16_384);
  readonly #host: LxmfHost;
  readonly #options: ClientOptions;
  #node: Uint8Array | undefined;
  #link: Link | undefined;
  #waiting: ((failure: SpineError | undefined) => void)[] = [];
  /** Uploads whose fate the node has yet to tell. */
  readonly #uploads = new Set<Done>();
  #usedAt: Millis = 0;
  constructor(host: LxmfHost, options: ClientOptions) {
    this.#host = host;
    this.#options = options;
    this.#node = options.node;
  }
  get hasNode(): boolean {
    return this.#node !== undefined;
  }
  /** The propagation node to use from now on: its `lxmf.propagation` address. */
  use(node: Uint8Array | undefined): void {
    this.#host.act(() => this.#link?.close());
    this.#link = undefined;
    this.#node = node?.slice();
  }
  /** Leaves a message with the node; `done` is told once. */
  upload(outgoing: Outgoing, done: Done): void {
    const node = this.#node;
    if (node === undefined) {
      done(new SpineError("propagation_refused", "no propagation node is set"));
      return;
    }
    const { endpoint } = this.#host;
    const known = endpoint.known.get(node);
    const about = known && readPropagationAppData(known.appData);
    if (about === undefined) {
      endpoint.searchPath(node);
      done(new SpineError("path_unknown", `propagation node ${toHex(node)} has not announced itself`));
      return;
    }
    const sealed = outgoing.upload;
    if (sealed !== undefined) {
      this.#send(sealed, done);
      return;
    }
    const { destination } = outgoing.message;
    const recipient = endpoint.known.get(destination);
    if (recipient === undefined) {
      done(new SpineError("path_unknown", `no announce of ${toHex(destination)} was heard`));
      return;
    }
    const { random } = endpoint.context;
    const ratchet = endpoint.known.ratchet(destination, endpoint.now);
    const secret = recipient.identity.encrypt(outgoing.packed().subarray(ADDRESS_BYTES), random, ratchet);
    const message = concatBytes(destination, secret);
    resume(
      this.#host,
      this.#host.stamps.search(transientId(message), ROUNDS.propagation, about.stampCost, outgoing.abort.signal),
      (stamp) => {
        outgoing.upload = concatBytes(message, stamp);
        if (!outgoing.isOver) this.#send(outgoing.upload, done);
      },
      (reason) => done(asCoded(reason)),
    );
  }
  #send(stamped: Uint8Array, done: Done): void {
    this.#withLink((failure) => {
      const link = this.#link;
      if (failure !== undefined || link === undefined) {
        done(failure ?? gone());
        return;
      }
      let told = false;
      const once: Done = (outcome) => {
        if (told) return;
        told = true;
        this.#uploads.delete(once);
        done(outcome);
      };
      this.#uploads.add(once);
      const packed = packUpload(this.#host.unixMs() / 1000, [stamped]);
      try {
        if (packed.length <= Math.min(link.mdu, LINK_PACKET_BYTES)) {
          const receipt = link.send(packed);
          receipt.onDelivered = () => once(undefined);
          receipt.onFailed = () => once(new SpineError("delivery_failed", "the propagation node did not confirm"));
        } else {
          const resource = link.sendResource(packed);
          resource.onConcluded = () => once(resource.state === "complete" ? undefined : (resource.failure ?? gone()));
        }
      } catch (caught) {
        once(asCoded(caught));
      }
    });
  }
  /** Calls back with the node's link up, opening it when needed. */
  #withLink(then: (failure: SpineError | undefined) => void): void {
    const { endpoint } = this.#host;
    this.#usedAt = endpoint.now;
    if (this.#link?.isUp === true) {
      then(undefined);
      return;
    }
    this.#waiting.push(then);
    if (this.#link !== undefined) return;
    const node = this.#node;
    let link: Link;
    try {
      if (node === undefined) throw new SpineError("propagation_refused", "no propagation node is set");
      if (!endpoint.hasPath(node)) endpoint.searchPath(node);
      link = endpoint.openLink(node);
    } catch (caught) {
      this.#flush(asCoded(caught));
      return;
    }
    this.#link = link;
    link.onEstablished = () => {
      link.identify(this.#options.identity);
      this.#flush(undefined);
      this.#watch(link);
    };
    link.onPacket = (data) => {
      const refused = data.length === 2 && data[0] === 0x91 ? data[1] : data.length === 3 ? data[2] : undefined;
      if (refused === REFUSAL.invalidStamp) this.#failUploads("stamp_invalid");
    };
    link.onClosed = () => {
      if (this.#link === link) this.#link = undefined;
      this.#flush(gone());
      this.#failUploads("propagation_refused");
    };
  }
  #flush(failure: SpineError | undefined): void {
    for (const then of this.#waiting.splice(0)) then(failure);
  }
  #failUploads(code: "stamp_invalid" | "propagation_refused"): void {
    for (const done of [...this.#uploads]) done(new SpineError(code, "the propagation node did not take the message"));
  }
  #watch(link: Link): void {
    const { context } = this.#host.endpoint;
    context.schedule(this.#usedAt + IDLE_MS, () => {
      if (!link.isUp) return;
      if (context.now() - this.#usedAt >= IDLE_MS && link.resources.outgoing.length === 0) link.close();
      else {
        this.#usedAt = Math.max(this.#usedAt, context.now() - IDLE_MS + 10_000);
        this.#watch(link);
      }
    });
  }

  /** Takes what the node holds for us. Rejects with `propagation_refused`, `path_unknown`, `link_unknown` or `request_timeout`. */
  fetch(limitKb: number = FETCH_LIMIT_KB): Promise<FetchResult> {
    return new Promise((resolve, reject) => {
      this.#host.act(() =>
        this.#withLink((failure) => {
          if (failure !== undefined) reject(failure);
          else this.#list(limitKb, resolve, reject);
        }),
      );
    });
  }
  #ask(data: Packable, reject: (reason: SpineError) => void, answered: (value: Packable) => void): void {
    const link = this.#link;
    if (link === undefined) {
      reject(gone());
      return;
    }
    try {
      const request = link.request("/get", data, FETCH_TIMEOUT_MS);
      request.onFailed = reject;
      request.onResponse = ({ value }) => {
        this.#usedAt = this.#host.endpoint.now;
        if (typeof value === "number") reject(new SpineError("propagation_refused", refusalName(value)));
        else answered(value);
      };
    } catch (caught) {
      reject(asCoded(caught));
    }
  }
  #list(limitKb: number, resolve: (result: FetchResult) => void, reject: (reason: SpineError) => void): void {
    this.#ask([null, null], reject, (value) => {
      const ids = byteListOr(value, reject);
      if (ids === undefined) return;
      const listed = ids.slice(0, MAX_FETCHED_IDS);
      const wants = listed.filter((id) => !this.seen.has(toHex(id)));
      const haves = listed.filter((id) => this.seen.has(toHex(id)));
      if (listed.length === 0) resolve({ offered: 0, received: 0 });
      else this.#take(wants, haves, limitKb, reject, (received) => resolve({ offered: listed.length, received }));
    });
  }
  #take(
    wants: readonly Uint8Array[],
    haves: readonly Uint8Array[],
    limitKb: number,
    reject: (reason: SpineError) => void,
    done: (received: number) => void,
  ): void {
    this.#ask([wants, haves, limitKb], reject, (value) => {
      const messages = byteListOr(value, reject);
      if (messages === undefined) return;
      const received: Uint8Array[] = [];
      for (const message of messages) {
        const id = transientId(message);
        received.push(id);
        if (!this.seen.add(toHex(id))) continue;
        this.#open(message);
      }
      this.#host.changed();
      // Only when they are on disk here may the node forget them.
      const confirm = (): void =>
        this.#ask(
          [null, received],
          () => undefined,
          () => undefined,
        );
      if (received.length > 0) resume(this.#host, this.#host.persisted(), confirm, () => undefined);
      done(received.length);
    });
  }
  #open(message: Uint8Array): void {
    const { destination, received } = this.#options;
    const plain =
      toHex(message.subarray(0, ADDRESS_BYTES)) === destination.hex
        ? destination.decrypt(message.subarray(ADDRESS_BYTES))
        : undefined;
    if (plain !== undefined) received(concatBytes(destination.hash, plain));
  }
  close(): void {
    this.#link?.close();
    this.#flush(gone());
  }
}

function gone(): SpineError {
  return new SpineError("link_unknown", "no link to the propagation node");
}

function asCoded(caught: unknown): SpineError {
  return caught instanceof SpineError ? caught : new SpineError("internal", "propagation", { cause: caught });
}

function byteListOr(value: Packable, reject: (reason: SpineError) => void): readonly Uint8Array[] | undefined {
  try {
    return byteList(value);
  } catch (caught) {
    reject(asCoded(caught));
    return undefined;
  }
}
