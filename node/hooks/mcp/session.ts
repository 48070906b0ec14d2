/**
 * One MCP session seen from between client and server: takes each message apart, has it judged, and says what goes on to
 * whom (design/rules.md rule 13). Knows nothing of pipes and sockets; both transports of the proxy use it.
 */
import { TokenBucket } from "../../../spine/index.ts";
import { DenialMemory } from "../denial-memory.ts";
import { type Derived, type Fields, isFields, textOf } from "../flat-action.ts";
import {
  deriveNotification,
  deriveRequest,
  deriveResult,
  knowsNotification,
  untrusted,
  withoutRemarks,
} from "./derive.ts";
import type { McpJudge, Ruling } from "./judge.ts";
import { errorResponse, type Id, idKey, type Message } from "./message.ts";
import { ToolPins } from "./pins.ts";

export type Side = "client" | "server";

/** A message and whom it goes to. */
export interface Outgoing {
  readonly to: Side;
  readonly message: Message;
}

export interface SessionOptions {
  readonly judge: McpJudge;
  readonly pins: ToolPins;
  /** Descriptions that changed are pinned anew instead of withheld. */
  readonly acceptChanges: boolean;
  /** What the operator should know, one line. */
  readonly note: (text: string) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface Pending {
  readonly id: Id;
  readonly method: string;
  /** What the answer will be about, for the receipt. */
  readonly source: string;
}

/** Requests without an answer, each way. */
const MAX_PENDING = 1_024;
/** Notifications of one side that are passed on. */
const NOTIFICATIONS_PER_SECOND = 200;
/** Those of a server that carry text: each is judged and signed. */
const TEXTS_PER_SECOND = 50;
const DENIED = -32_000;
const UNKNOWN_METHOD = -32_601;

export class McpSession {
  readonly #options: SessionOptions;
  /** By who asked. */
  readonly #pending = { client: new Map<string, Pending>(), server: new Map<string, Pending>() };
  readonly #buckets: Readonly<Record<Side, TokenBucket>>;
  readonly #texts: TokenBucket;
  readonly #denials = new DenialMemory();
  readonly #noted = new Set<string>();
  dropped = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    const bucket = (): TokenBucket =>
      new TokenBucket(NOTIFICATIONS_PER_SECOND, 5 * NOTIFICATIONS_PER_SECOND, options.now());
    this.#buckets = { client: bucket(), server: bucket() };
    this.#texts = new TokenBucket(TEXTS_PER_SECOND, 2 * TEXTS_PER_SECOND, options.now());
  }

  /** Requests of the client that wait for the server. */
  get waiting(): number {
    return this.#pending.client.size;
  }

  /** Never rejects. One message after the other for each side. */
  async take(from: Side, message: Message): Promise<readonly Outgoing[]> {
    const to: Side = from === "client" ? "server" : "client";
    switch (message.kind) {
      case "notification":
        return this.#notification(from, to, message);
      case "request":
        return this.#request(from, to, message);
      case "response":
        return this.#response(from, to, message);
    }
  }

  /** Text that is no message: whoever asks learns it, what waits for an answer is not left waiting. */
  unreadable(from: Side, why: string): readonly Outgoing[] {
    this.#drop(`${from}: unusable message (${why})`);
    if (from === "server") return this.fail(`the server sent what cannot be read: ${why}`);
    return [];
  }

  /** Ends every request of the client that waits. */
  fail(why: string): readonly Outgoing[] {
    const failed = [...this.#pending.client.values()];
    this.#pending.client.clear();
    return failed.map(({ id }) => ({ to: "client", message: errorResponse(id, DENIED, `Spine: ${why}`) }));
  }

  /** Ends one request of the client, if it waits. */
  failOne(id: Id, why: string): readonly Outgoing[] {
    if (!this.#pending.client.delete(idKey(id))) return [];
    return [{ to: "client", message: errorResponse(id, DENIED, `Spine: ${why}`) }];
  }

  async #notification(from: Side, to: Side, message: Message & { kind: "notification" }): Promise<readonly Outgoing[]> {
    const { method, params } = message;
    if (!knowsNotification(from, method)) return this.#drop(`${from}: unknown notification ${method.slice(0, 80)}`);
    if (!this.#buckets[from].take(1, this.#options.now())) return this.#drop(`${from}: too many notifications`);
    const { requestId } = params;
    if (method === "notifications/cancelled" && (typeof requestId === "string" || typeof requestId === "number"))
      this.#pending[from].delete(idKey(requestId));
    if (from === "client") return [{ to, message: { ...message, params: withoutRemarks(params) } }];
    const derived = deriveNotification(method, params);
    const isText = "actions" in derived && derived.actions.length > 0;
    if (isText && !this.#texts.take(1, this.#options.now())) return this.#drop(`${from}: too many log messages`);
    const ruling = await this.#judge(derived);
    if (ruling.allowed) return [{ to, message }];
    return this.#drop(`${from}: ${method} (${ruling.message})`);
  }

  async #request(from: Side, to: Side, message: Message & { kind: "request" }): Promise<readonly Outgoing[]> {
    const { id, method, params } = message;
    const back = (code: number, text: string): readonly Outgoing[] => [
      { to: from, message: errorResponse(id, code, `Spine: ${text}`) },
    ];
    const key = idKey(id);
    const pending = this.#pending[from];
    if (pending.has(key)) return this.#drop(`${from}: id ${key.slice(1, 80)} is in use`);
    if (pending.size >= MAX_PENDING) return back(DENIED, "too many requests wait for an answer");
    const derived = deriveRequest(from, method, params);
    if (derived === undefined) return back(UNKNOWN_METHOD, `denied, unknown method ${method.slice(0, 80)}`);
    const source = textOf(params, "name", "uri", "taskId") ?? method;
    pending.set(key, { id, method, source });
    const ruling = await this.#judge(this.#withheld(method, source) ?? derived);
    if (ruling.allowed) return [{ to, message }];
    pending.delete(key);
    if (from === "client") await this.#denials.add(key, ruling.envelopeHash);
    // A model can read a tool's answer and do otherwise; an error may end its turn.
    return from === "client" && method === "tools/call"
      ? [{ to: from, message: { kind: "response", id, result: failedTool(`Denied by Spine (${ruling.message})`) } }]
      : back(DENIED, `denied (${ruling.message})`);
  }

  #withheld(method: string, tool: string): Derived | undefined {
    if (method !== "tools/call" || !this.#options.pins.changed.has(tool)) return undefined;
    return { refused: `the tool describes itself otherwise than when it was accepted; a person must allow it again` };
  }

  async #response(from: Side, to: Side, message: Message & { kind: "response" }): Promise<readonly Outgoing[]> {
    const { id, result, error } = message;
    const asked = this.#pending[to].get(idKey(id));
    if (asked === undefined) {
      const denial = to === "client" ? await this.#denials.take(idKey(id)) : undefined;
      if (denial !== undefined) {
        this.#options.judge.brokenDenial(denial.envelopeHash);
        this.#options.note("ALARM: the server answered a call that was denied and never passed on");
      }
      return this.#drop(`${from}: an answer that nobody asked for`);
    }
    this.#pending[to].delete(idKey(id));
    const { method, source } = asked;
    if (error !== undefined) return [await this.#errorAnswer(to, id, error, source)];
    if (to === "client" && method === "tools/list")
      return [{ to, message: { kind: "response", id, result: await this.#tools(result) } }];
    const ruling = await this.#judge(deriveResult(to, method, result, source));
    if (ruling.allowed) return [{ to, message }];
    const text = `withheld by Spine (${ruling.message})`;
    if (method === "tools/call")
      return [{ to, message: { kind: "response", id, result: failedTool(`Result ${text}`) } }];
    // A server's instructions are left out, the session goes on.
    if (method === "initialize" && isFields(result)) {
      const { instructions: _, ...kept } = result;
      this.#options.note(`the server's instructions are ${text}`);
      return [{ to, message: { kind: "response", id, result: kept } }];
    }
    return [{ to, message: errorResponse(id, DENIED, `The answer was ${text}`) }];
  }

  async #errorAnswer(to: Side, id: Id, error: Fields, source: string): Promise<Outgoing> {
    const ruling = await this.#judge(untrusted(source, error));
    const code = typeof error["code"] === "number" ? error["code"] : DENIED;
    if (!ruling.allowed)
      return { to, message: errorResponse(id, code, `The error was withheld by Spine (${ruling.message})`) };
    return { to, message: { kind: "response", id, error } };
  }

  /** Without tools that no call could use, whose description is an attack, or that describe themselves otherwise than before. */
  async #tools(result: unknown): Promise<unknown> {
    const list = isFields(result) && Array.isArray(result["tools"]) ? (result["tools"] as unknown[]) : [];
    const tools = list.filter((tool): tool is Fields => isFields(tool) && textOf(tool, "name") !== undefined);
    const { judge, pins, acceptChanges, note } = this.#options;
    const blocked = await judge.blockedTools(tools.map((tool) => String(tool["name"])));
    const shown: Fields[] = [];
    const names = new Set<string>();
    let pinned = false;
    for (const tool of tools) {
      const name = String(tool["name"]);
      if (blocked.has(name)) continue;
      if (names.has(name)) {
        this.#say(`tool ${name} is listed twice: the second is withheld`);
        continue;
      }
      names.add(name);
      const hash = ToolPins.hash(tool);
      const state = pins.look(name, hash);
      if (state === "full" || (state === "changed" && !acceptChanges)) {
        this.#say(
          `tool ${name} is withheld: ${state === "full" ? "too many tools" : "its description changed; see --accept-changes"}`,
        );
        continue;
      }
      if (state !== "same") {
        const ruling = await this.#judge(untrusted(`tool ${name}`, tool));
        if (!ruling.allowed) {
          this.#say(`tool ${name} is withheld: ${ruling.message}`);
          continue;
        }
        pins.pin(name, hash);
        pinned = true;
      }
      shown.push(tool);
    }
    if (pinned)
      await pins.save().catch((error: unknown) => note(`tool descriptions could not be kept: ${String(error)}`));
    return { ...(isFields(result) ? result : {}), tools: shown };
  }

  async #judge(derived: Derived): Promise<Ruling> {
    if ("refused" in derived) return { allowed: false, message: derived.refused, envelopeHash: null };
    let last: Ruling = { allowed: true, message: "", envelopeHash: null };
    for (const action of derived.actions) {
      last = await this.#options.judge.judge(action);
      if (!last.allowed) break;
    }
    return last;
  }

  #drop(why: string): readonly Outgoing[] {
    this.dropped++;
    this.#say(`dropped, ${why}`);
    return [];
  }

  /** The same thing once. */
  #say(text: string): void {
    if (this.#noted.has(text) || this.#noted.size >= 1_000) return;
    this.#noted.add(text);
    this.#options.note(text);
  }
}

function failedTool(text: string): Fields {
  return { content: [{ type: "text", text }], isError: true };
}
