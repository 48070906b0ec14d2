/**
 * A model on loopback that says what was written down for it: speaks enough of the Anthropic Messages, OpenAI Responses and
 * Gemini APIs that a harness runs its tools, and keeps what the harness told it of each call's outcome. `guard doctor
 * --program` and the tests of the harness programs use it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Fields, isFields } from "../flat-action.ts";

export interface ScriptedCall {
  readonly tool: string;
  /** A text where the tool takes no object. */
  readonly input: Fields | string;
}

/** What the model asked for, and what it was told about it. */
export interface ModelLog {
  /** Names of tools that were offered. */
  readonly tools: readonly string[];
  /** The outcome of each call as the model reads it, in the order of the calls. */
  readonly outcomes: readonly string[];
  /** Requests that are no turn of a model. */
  readonly other: readonly string[];
}

const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : []);
const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

const DONE = "That is all.";

export class ModelServer {
  readonly #server: Server;
  readonly #calls: readonly ScriptedCall[];
  #tools: readonly string[] = [];
  #outcomes: readonly string[] = [];
  readonly #other = new Set<string>();
  #made = 0;

  constructor(calls: readonly ScriptedCall[]) {
    this.#calls = calls;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** Resolves with the base URL. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  get log(): ModelLog {
    return { tools: this.#tools, outcomes: this.#outcomes, other: [...this.#other] };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?", 1)[0] as string;
    const body = request.method === "POST" ? await bodyOf(request).catch(() => undefined) : {};
    if (body === undefined) return json(response, { error: { message: "unreadable", code: 400 } }, 400);
    if (path.endsWith("/messages")) return this.#anthropic(body, response);
    if (path.endsWith("/responses")) return this.#openai(body, response);
    if (/:(?:streamG|g)enerateContent$/.test(path)) return this.#gemini(body, response, path.includes(":stream"));
    this.#other.add(`${request.method} ${path}`);
    if (path.endsWith("/count_tokens") || path.endsWith(":countTokens"))
      return json(response, { input_tokens: 100, totalTokens: 100 });
    json(response, request.method === "HEAD" ? {} : { error: { message: "not here", code: 404 } }, 404);
  }

  /** The next call, once the outcomes of those before it are told; undefined when there is nothing left to do. */
  #turn(tools: readonly string[], outcomes: readonly string[]): ScriptedCall | undefined {
    const next = this.#calls[outcomes.length];
    // Side questions, such as one for a title, offer no tools.
    if (tools.length === 0) return undefined;
    this.#tools = tools;
    this.#outcomes = outcomes;
    if (next !== undefined) this.#made++;
    return next;
  }

  #anthropic(body: Fields, response: ServerResponse): void {
    const tools = list(body["tools"]).map(({ name }) => text(name));
    const blocks = list(body["messages"]).flatMap(({ content }) => list(content));
    const outcomes = blocks.filter(({ type }) => type === "tool_result").map(({ content }) => text(content));
    const call = this.#turn(tools, outcomes);
    const block =
      call === undefined
        ? { type: "text", text: DONE }
        : { type: "tool_use", id: `toolu_${this.#made}`, name: call.tool, input: call.input };
    const usage = { input_tokens: 10, output_tokens: 10 };
    const message = { id: `msg_${this.#made}`, type: "message", role: "assistant", model: body["model"], usage };
    const stop = call === undefined ? "end_turn" : "tool_use";
    if (body["stream"] !== true)
      return json(response, { ...message, content: [block], stop_reason: stop, stop_sequence: null });
    const start = call === undefined ? { ...block, text: "" } : { ...block, input: {} };
    const delta =
      call === undefined
        ? { type: "text_delta", text: DONE }
        : { type: "input_json_delta", partial_json: JSON.stringify(call.input) };
    events(response, [
      { type: "message_start", message: { ...message, content: [], stop_reason: null, stop_sequence: null } },
      { type: "content_block_start", index: 0, content_block: start },
      { type: "content_block_delta", index: 0, delta },
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta: { stop_reason: stop, stop_sequence: null }, usage },
      { type: "message_stop" },
    ]);
  }

  #openai(body: Fields, response: ServerResponse): void {
    const tools = list(body["tools"]).map(({ name, type }) => text(name ?? type));
    const outputs = list(body["input"]).filter(({ type }) => String(type).endsWith("_call_output"));
    const call = this.#turn(
      tools,
      outputs.map(({ output }) => text(output)),
    );
    const id = `call_${this.#made}`;
    const item =
      call === undefined
        ? { type: "message", role: "assistant", id: "msg_1", content: [{ type: "output_text", text: DONE }] }
        : typeof call.input === "string"
          ? { type: "custom_tool_call", id: `ctc_${this.#made}`, call_id: id, name: call.tool, input: call.input }
          : { type: "function_call", call_id: id, name: call.tool, arguments: JSON.stringify(call.input) };
    const usage = { input_tokens: 10, input_tokens_details: null, output_tokens: 10, total_tokens: 20 };
    events(response, [
      { type: "response.created", response: { id: `resp_${this.#made}` } },
      { type: "response.output_item.done", item },
      { type: "response.completed", response: { id: `resp_${this.#made}`, usage } },
    ]);
  }

  #gemini(body: Fields, response: ServerResponse, stream: boolean): void {
    const tools = list(body["tools"])
      .flatMap(({ functionDeclarations }) => list(functionDeclarations))
      .map(({ name }) => text(name));
    const parts = list(body["contents"]).flatMap((content) => list(content["parts"]));
    const outcomes = parts.flatMap((part) =>
      part["functionResponse"] === undefined ? [] : [text((part["functionResponse"] as Fields)["response"])],
    );
    const call = this.#turn(tools, outcomes);
    const part = call === undefined ? { text: DONE } : { functionCall: { name: call.tool, args: call.input } };
    const answer = {
      candidates: [{ content: { role: "model", parts: [part] }, finishReason: "STOP", index: 0 }],
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 10, totalTokenCount: 20 },
    };
    if (stream) events(response, [answer]);
    else json(response, answer);
  }
}

/** Longest request read: conversations are short here, but tools are described at length. */
const MAX_BODY_BYTES = 16_777_216;

async function bodyOf(request: IncomingMessage): Promise<Fields> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("too long");
    parts.push(part);
  }
  const value: unknown = JSON.parse(Buffer.concat(parts).toString() || "{}");
  return isFields(value) ? value : {};
}

function json(response: ServerResponse, value: object, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

/** Server-sent events, each under the name of its type when it has one. */
function events(response: ServerResponse, list: readonly Fields[]): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const event of list) {
    const name = event["type"] === undefined ? "" : `event: ${String(event["type"])}\n`;
    response.write(`${name}data: ${JSON.stringify(event)}\n\n`);
  }
  response.end();
}
