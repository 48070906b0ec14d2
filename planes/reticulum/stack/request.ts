/** Requests and responses over a link, as packets or resources (spec/reticulum.md section 13). Used by `link.ts`. */
import { equalBytes, type Millis, SpineError, toHex, utf8 } from "../../../spine/index.ts";
import { FLAG } from "./advertisement.ts";
import { ADDRESS_BYTES, truncatedHash } from "./hash.ts";
import type { PublicIdentity } from "./identity.ts";
import type { LinkPort } from "./link-port.ts";
import type { LinkResources, ReceivedResource } from "./link-resources.ts";
import { Double, type Packable, pack, packedNumber, unpack } from "./msgpack.ts";
import { CONTEXT, packetHash } from "./packet.ts";
import { metadataBlock } from "./segment.ts";

const MAX_PENDING = 256;
/** A response is awaited for so many round trips, and for as long as its maker may take, with an eighth on top. */
export const TRAFFIC_TIMEOUT_FACTOR = 6;
export const RESPONSE_GRACE_MS = 10_000;

export interface RequestArrival {
  readonly path: string;
  readonly data: Packable;
  readonly requestId: Uint8Array;
  /** Unix seconds by the asker's clock. */
  readonly requestedAt: number;
  /** Who identified on the link. */
  readonly identity: PublicIdentity | undefined;
}

/** With `metadata` (a packed object) the value must be bytes: they go as a file, not as a packed value. */
export type Respond = (value: Packable, metadata?: Uint8Array) => void;

/** Who may ask: everyone, or the identities of the list (16-byte hashes in hex). */
export type RequestPolicy = "all" | "none" | ReadonlySet<string>;

export interface RequestHandler {
  readonly path: string;
  readonly allow: RequestPolicy;
  /** Answers with `respond`, now or later; without a call no response is sent. */
  readonly handle: (arrival: RequestArrival, respond: Respond) => void;
}

/** The registered handlers of one destination, by path hash. */
export class RequestHandlers {
  readonly #byPath = new Map<string, RequestHandler>();
  get size(): number {
    return this.#byPath.size;
  }
  /** Throws `internal` for what cannot be answered: no path, no handler, no policy. */
  register(handler: RequestHandler): void {
    const { path, allow, handle } = handler;
    const knows = allow === "all" || allow === "none" || allow instanceof Set;
    if (path === "" || typeof handle !== "function" || !knows) {
      throw new SpineError("internal", `request handler for "${path}"`);
    }
    this.#byPath.set(toHex(truncatedHash(utf8(handler.path))), handler);
  }
  /** Whether there was one. */
  deregister(path: string): boolean {
    return this.#byPath.delete(toHex(truncatedHash(utf8(path))));
  }
  find(pathHash: Uint8Array): RequestHandler | undefined {
    return this.#byPath.get(toHex(pathHash));
  }
}

export interface Response {
  readonly value: Packable;
  /** Packed metadata of a file response. */
  readonly metadata: Uint8Array | undefined;
}

/** One request that waits; ends in exactly one call. */
export interface PendingRequest {
  readonly requestId: Uint8Array;
  /** How long a response is awaited once the request has been sent. */
  readonly timeoutMs: Millis;
  onResponse: ((response: Response) => void) | undefined;
  onFailed: ((reason: SpineError) => void) | undefined;
}

interface Pending extends PendingRequest {
  cancelTimer: (() => void) | undefined;
}

export class LinkRequests {
  readonly #link: LinkPort;
  readonly #resources: LinkResources;
  readonly #handlers: RequestHandlers | undefined;
  readonly #identity: () => PublicIdentity | undefined;
  readonly #pending = new Map<string, Pending>();
  /** `handlers` are those of our destination when we are the responder. */
  constructor(
    link: LinkPort,
    resources: LinkResources,
    handlers: RequestHandlers | undefined,
    identity: () => PublicIdentity | undefined,
  ) {
    this.#link = link;
    this.#resources = resources;
    this.#handlers = handlers;
    this.#identity = identity;
  }
  get answers(): boolean {
    return this.#handlers !== undefined && this.#handlers.size > 0;
  }
  waits(requestId: Uint8Array): boolean {
    return this.#pending.has(toHex(requestId));
  }
  /** Throws `link_congested` when too many wait. The timeout (ms) counts from the moment the request has been sent. */
  send(path: string, data: Packable, timeoutMs?: Millis): PendingRequest {
    if (this.#pending.size >= MAX_PENDING) throw new SpineError("link_congested", "too many requests wait");
    const { context, mdu, rttMs } = this.#link;
    const packed = pack([new Double(context.now() / 1000), truncatedHash(utf8(path)), data]);
    const waitMs = timeoutMs ?? rttMs * TRAFFIC_TIMEOUT_FACTOR + RESPONSE_GRACE_MS * 1.125;
    if (packed.length <= mdu) {
      const raw = this.#link.transmit(CONTEXT.request, packed);
      const pending = this.#wait(packetHash(raw).slice(0, ADDRESS_BYTES), waitMs);
      this.#arm(pending);
      return pending;
    }
    const requestId = truncatedHash(packed).slice();
    const pending = this.#wait(requestId, waitMs);
    const resource = this.#resources.send(packed, { requestId, role: "request" });
    resource.onConcluded = () => {
      if (resource.state === "complete") this.#arm(pending);
      else this.#fail(pending, resource.failure ?? new SpineError("resource_failed", "request not delivered"));
    };
    return pending;
  }
  #wait(requestId: Uint8Array, timeoutMs: Millis): Pending {
    const pending: Pending = {
      requestId,
      timeoutMs,
      onResponse: undefined,
      onFailed: undefined,
      cancelTimer: undefined,
    };
    this.#pending.set(toHex(requestId), pending);
    return pending;
  }
  #arm(pending: Pending): void {
    if (!this.#pending.has(toHex(pending.requestId))) return;
    const { context } = this.#link;
    pending.cancelTimer?.();
    pending.cancelTimer = context.schedule(context.now() + pending.timeoutMs, () =>
      this.#fail(pending, new SpineError("request_timeout", "no response in time")),
    );
  }
  #fail(pending: Pending, reason: SpineError): void {
    pending.cancelTimer?.();
    if (!this.#pending.delete(toHex(pending.requestId))) return;
    const { onFailed } = pending;
    if (onFailed !== undefined) this.#link.context.notify(() => onFailed(reason));
  }
  /** A response is arriving as a resource: from now on the transfer has its own timeouts. */
  responseStarted(requestId: Uint8Array): void {
    this.#pending.get(toHex(requestId))?.cancelTimer?.();
  }
  responseFailed(requestId: Uint8Array, reason: SpineError): void {
    const pending = this.#pending.get(toHex(requestId));
    if (pending !== undefined) this.#fail(pending, reason);
  }
  /** A request packet's plaintext. */
  requestPacket(raw: Uint8Array, plain: Uint8Array): void {
    this.#request(packetHash(raw).slice(0, ADDRESS_BYTES), plain);
  }
  responsePacket(plain: Uint8Array): void {
    this.#response(plain);
  }
  /** A received resource that carries a request or a response. */
  resource(resource: ReceivedResource): void {
    const { requestId, flags, metadata, data } = resource;
    if (requestId === null) return;
    if ((flags & FLAG.request) !== 0) this.#request(requestId, data);
    else if (metadata === undefined) this.#response(data);
    else this.#answer(requestId, { value: data, metadata });
  }
  #request(requestId: Uint8Array, plain: Uint8Array): void {
    const { context } = this.#link;
    const list = unpack(plain);
    const [at, pathHash, data = null] = Array.isArray(list) ? (list as readonly Packable[]) : [];
    const requestedAt = packedNumber(at);
    if (requestedAt === undefined || !(pathHash instanceof Uint8Array)) {
      throw new SpineError("frame_syntax", "request fields");
    }
    const handler = this.#handlers?.find(pathHash);
    const identity = this.#identity();
    if (handler === undefined || !allows(handler.allow, identity)) {
      context.count("drop_request_refused");
      return;
    }
    let answered = false;
    const respond: Respond = (value, metadata) => {
      if (answered) return;
      answered = true;
      if (metadata === undefined) this.#respond(requestId, value);
      else this.#respondFile(requestId, value, metadata);
    };
    context.notify(() => handler.handle({ path: handler.path, data, requestId, requestedAt, identity }, respond));
  }
  #respond(requestId: Uint8Array, value: Packable): void {
    const packed = pack([requestId, value]);
    if (packed.length <= this.#link.mdu) this.#link.transmit(CONTEXT.response, packed);
    else this.#resources.send(packed, { requestId, role: "response" });
  }
  #respondFile(requestId: Uint8Array, value: Packable, metadata: Uint8Array): void {
    if (!(value instanceof Uint8Array)) throw new SpineError("internal", "a response with metadata must be bytes");
    this.#resources.send(value, { requestId, role: "response", metadata: metadataBlock(metadata) });
  }
  #response(plain: Uint8Array): void {
    const list = unpack(plain);
    const [requestId, value = null] = Array.isArray(list) ? (list as readonly Packable[]) : [];
    if (!(requestId instanceof Uint8Array)) throw new SpineError("frame_syntax", "response fields");
    this.#answer(requestId, { value, metadata: undefined });
  }
  #answer(requestId: Uint8Array, response: Response): void {
    const pending = this.#pending.get(toHex(requestId));
    if (pending === undefined || !equalBytes(pending.requestId, requestId)) {
      this.#link.context.count("drop_request_refused");
      return;
    }
    pending.cancelTimer?.();
    this.#pending.delete(toHex(requestId));
    const { onResponse } = pending;
    if (onResponse !== undefined) this.#link.context.notify(() => onResponse(response));
  }
  /** The link is gone. */
  failAll(reason: SpineError): void {
    for (const pending of [...this.#pending.values()]) this.#fail(pending, reason);
  }
}

function allows(policy: RequestPolicy, identity: PublicIdentity | undefined): boolean {
  if (policy === "all" || policy === "none") return policy === "all";
  return identity !== undefined && policy.has(identity.hex);
}
