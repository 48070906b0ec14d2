/**
 * JSON-RPC 2.0 messages of the Model Context Protocol, read strictly: what two readers could understand differently is
 * refused, and nothing is passed on as it came but written anew. Used by the guard and its transports.
 */
import { parseJson, SpineError } from "../../../spine/index.ts";
import { type Fields, isFields } from "../flat-action.ts";

export type Id = string | number;

export type Message =
  | { readonly kind: "request"; readonly id: Id; readonly method: string; readonly params: Fields }
  | { readonly kind: "notification"; readonly method: string; readonly params: Fields }
  | { readonly kind: "response"; readonly id: Id; readonly result?: unknown; readonly error?: Fields };

/** Longest message, bytes. */
export const MAX_MESSAGE_BYTES = 8_388_608;
const KEYS: ReadonlySet<string> = new Set(["jsonrpc", "id", "method", "params", "result", "error"]);

/** Throws `mcp_message` or a JSON code. Batches, which the protocol has dropped, are refused. */
export function readMessage(bytes: Uint8Array): Message {
  if (bytes.length > MAX_MESSAGE_BYTES) throw fault(`longer than ${MAX_MESSAGE_BYTES} bytes`);
  parseJson(bytes);
  const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  if (Array.isArray(value)) throw fault("batches are not passed on: send the messages one by one");
  return asMessage(value);
}

export function asMessage(value: unknown): Message {
  if (!isFields(value) || value["jsonrpc"] !== "2.0") throw fault("no JSON-RPC 2.0 message");
  for (const key of Object.keys(value))
    if (!KEYS.has(key)) throw fault(`unknown field ${JSON.stringify(key.slice(0, 40))}`);
  const { id, method, params, result, error } = value;
  if (id !== undefined && typeof id !== "string" && !(typeof id === "number" && Number.isFinite(id)))
    throw fault("the id is no text and no number");
  if (method !== undefined) {
    if (typeof method !== "string" || result !== undefined || error !== undefined)
      throw fault("request and answer in one");
    if (params !== undefined && !isFields(params)) throw fault("params is no object");
    const named = { method, params: params ?? {} };
    return id === undefined ? { kind: "notification", ...named } : { kind: "request", id, ...named };
  }
  if (id === undefined || (result === undefined) === (error === undefined)) throw fault("neither request nor answer");
  if (error !== undefined && !isFields(error)) throw fault("error is no object");
  return error === undefined ? { kind: "response", id, result } : { kind: "response", id, error };
}

export function writeMessage(message: Message): string {
  switch (message.kind) {
    case "request":
      return JSON.stringify({ jsonrpc: "2.0", id: message.id, method: message.method, params: message.params });
    case "notification":
      return JSON.stringify({ jsonrpc: "2.0", method: message.method, params: message.params });
    case "response":
      return JSON.stringify({
        ...{ jsonrpc: "2.0", id: message.id },
        ...(message.error === undefined ? { result: message.result } : { error: message.error }),
      });
  }
}

/** -32601 for methods, -32600 for messages, -32000 for what the guards deny. */
export function errorResponse(id: Id, code: number, message: string): Message {
  return { kind: "response", id, error: { code, message } };
}

/** One text and `1` are two ids. */
export function idKey(id: Id): string {
  return typeof id === "string" ? `s${id}` : `n${id}`;
}

function fault(text: string): SpineError {
  return new SpineError("mcp_message", text);
}
