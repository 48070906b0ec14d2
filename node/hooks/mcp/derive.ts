/** What MCP messages do, as guard actions, and the texts in them that a model will read (design/rules.md rule 13). */
import { allText, type Derived, type Fields, type FlatAction, isFields, textOf, urlAction } from "../flat-action.ts";
import { asMessage } from "./message.ts";

const NOTHING: Derived = { actions: [] };

/** What a client's request does. Methods that are not named here are not passed on. */
const FROM_CLIENT: Readonly<Record<string, (params: Fields) => Derived>> = {
  initialize: () => NOTHING,
  ping: () => NOTHING,
  "tools/list": () => NOTHING,
  "tools/call": toolCall,
  "resources/list": () => NOTHING,
  "resources/templates/list": () => NOTHING,
  "resources/read": resource,
  "resources/subscribe": resource,
  "resources/unsubscribe": () => NOTHING,
  "prompts/list": () => NOTHING,
  "prompts/get": (params) => argumentsOf("prompts/get", textOf(params, "name"), params["arguments"]),
  "completion/complete": () => NOTHING,
  "logging/setLevel": () => NOTHING,
  "tasks/get": () => NOTHING,
  "tasks/list": () => NOTHING,
  "tasks/result": () => NOTHING,
  "tasks/cancel": () => NOTHING,
};

/** What a server asks of the client: texts of a stranger that a model or a person will read. */
const FROM_SERVER: Readonly<Record<string, (params: Fields) => Derived>> = {
  ping: () => NOTHING,
  "roots/list": () => NOTHING,
  "sampling/createMessage": (params) => untrusted("sampling/createMessage", params),
  "elicitation/create": (params) => untrusted("elicitation/create", params),
  "tasks/get": () => NOTHING,
  "tasks/list": () => NOTHING,
  "tasks/result": () => NOTHING,
  "tasks/cancel": () => NOTHING,
};

const NOTIFICATIONS: Readonly<Record<"client" | "server", ReadonlySet<string>>> = {
  client: new Set(
    ["initialized", "cancelled", "progress", "roots/list_changed", "tasks/status"].map(
      (name) => `notifications/${name}`,
    ),
  ),
  server: new Set(
    ["cancelled", "progress", "message", "tasks/status", "elicitation/complete"]
      .concat(["resources/updated", "resources/list_changed", "tools/list_changed", "prompts/list_changed"])
      .map((name) => `notifications/${name}`),
  ),
};

export function knowsNotification(from: "client" | "server", method: string): boolean {
  return NOTIFICATIONS[from].has(method);
}

/** Free text in what a server announces, which clients show to people and models. */
export function deriveNotification(method: string, params: Fields): Derived {
  switch (method) {
    case "notifications/message":
      return untrusted(method, [params["logger"], params["data"]]);
    case "notifications/progress":
      return untrusted(method, params["message"]);
    case "notifications/cancelled":
      return untrusted(method, params["reason"]);
    case "notifications/tasks/status":
      return untrusted(method, params["statusMessage"]);
    default:
      return NOTHING;
  }
}

/** What a client tells a server beside the point leaves this machine unasked: it is left out. */
export function withoutRemarks(params: Fields): Fields {
  const { reason: _reason, message: _message, statusMessage: _status, ...kept } = params;
  return kept;
}

/** Undefined: a method that is not passed on. */
export function deriveRequest(from: "client" | "server", method: string, params: Fields): Derived | undefined {
  const table = from === "client" ? FROM_CLIENT : FROM_SERVER;
  return Object.hasOwn(table, method) ? table[method]?.(params) : undefined;
}

/** What an answer brings to the model, by the method it answers. */
export function deriveResult(asker: "client" | "server", method: string, result: unknown, source: string): Derived {
  // What a person or a model told a server leaves this machine: it is looked through as arguments are.
  if (asker === "server") {
    const told = method === "sampling/createMessage" || method === "elicitation/create";
    const args = isFields(result) ? (result["content"] ?? {}) : {};
    return told ? argumentsOf(method, method, isFields(args) ? args : { content: args }) : NOTHING;
  }
  // Tools have descriptions of their own, which are judged one by one; these say nothing to a model.
  if (method === "tools/list" || method === "ping" || method === "logging/setLevel") return NOTHING;
  if (method === "initialize") return untrusted("instructions", isFields(result) ? result["instructions"] : undefined);
  return untrusted(source, withoutBinary(result));
}

/** Pictures and sound are texts in base64, which nobody reads. */
function withoutBinary(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutBinary);
  if (!isFields(value)) return value;
  const binary = value["type"] === "image" || value["type"] === "audio";
  const kept = Object.entries(value).filter(([name]) => name !== "blob" && !(binary && name === "data"));
  return Object.fromEntries(kept.map(([name, one]) => [name, withoutBinary(one)]));
}

export function untrusted(source: string, value: unknown): Derived {
  const text = allText(value);
  const action: FlatAction = { action_type: "untrusted_text", payload: { text, source } };
  return text === "" ? NOTHING : { actions: [action] };
}

function toolCall(params: Fields): Derived {
  return argumentsOf("tools/call", textOf(params, "name"), params["arguments"]);
}

function argumentsOf(what: string, name: string | undefined, given: unknown): Derived {
  if (name === undefined) return { refused: `${what} names nothing` };
  const args = given ?? {};
  if (!isFields(args)) return { refused: "the arguments are no object" };
  return { actions: [{ action_type: "mcp_tool", target: name, args }] };
}

function resource(params: Fields): Derived {
  const uri = textOf(params, "uri");
  if (uri === undefined) return { refused: "the request names no resource" };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) return { actions: [{ action_type: "file_access", target: uri }] };
  if (!["file", "http", "https", "ftp", "ws", "wss"].includes(scheme)) return NOTHING;
  const action = urlAction(uri);
  return action === undefined ? { refused: "the address of the resource cannot be read" } : { actions: [action] };
}

/** A whole text as it came from a client, batches included: for the shared cases. */
export function deriveText(value: unknown): Derived {
  const members = Array.isArray(value) ? value : [value];
  const actions: FlatAction[] = [];
  for (const member of members) {
    const message = asMessage(member);
    const derived =
      message.kind === "request" ? deriveRequest("client", message.method, message.params) : { actions: [] };
    if (derived === undefined) return { refused: "unknown method" };
    if ("refused" in derived) return derived;
    actions.push(...derived.actions);
  }
  return { actions };
}
