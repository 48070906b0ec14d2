/**
 * Upstream's PolicyEvent (spec/guards.md section 3.3), as `/api/v1/eval` takes it: read into an action. Unlike upstream, no
 * event type falls between the guards: what has no guard becomes a custom kind, which the engine refuses.
 */
import { SpineError } from "../../spine/index.ts";
import { type Action, type Caller, mapOf } from "./action.ts";
import type { Json } from "./policy/shape.ts";

/** `eventType` must agree with `data.type`. */
const DATA_OF: Readonly<Record<string, string>> = {
  file_read: "file",
  file_write: "file",
  network_egress: "network",
  command_exec: "command",
  patch_apply: "patch",
  tool_call: "tool",
  secret_access: "secret",
  custom: "custom",
};

type From = Readonly<Record<string, unknown>>;

/** Throws `api_input` naming the field that is wrong. */
export function parseEvent(value: unknown): { readonly action: Action; readonly caller: Caller } {
  const wrapped = mapOf(value, "event");
  const event = wrapped["event"] === undefined ? wrapped : mapOf(wrapped["event"], "event");
  if (text(event, "eventId", "event_id") === "") throw input("eventId is empty");
  const type = text(event, "eventType", "event_type");
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(text(event, "timestamp"))) {
    throw input("timestamp is not RFC 3339");
  }
  const data = mapOf(event["data"], "data");
  if (!Object.hasOwn(DATA_OF, type)) throw input(`unknown eventType ${JSON.stringify(type.slice(0, 64))}`);
  if (data["type"] !== DATA_OF[type]) throw input(`data.type does not agree with eventType ${type}`);
  const session = event["sessionId"] ?? event["session_id"];
  const metadata =
    event["metadata"] === undefined || event["metadata"] === null ? {} : mapOf(event["metadata"], "metadata");
  const agent = metadata["agentId"] ?? metadata["agent_id"];
  return {
    action: actionOf(type, data),
    caller: {
      ...(typeof session === "string" && { session }),
      ...(typeof agent === "string" && { agent }),
    },
  };
}

function actionOf(type: string, data: From): Action {
  switch (type) {
    case "file_read":
      return { type: "file_access", path: text(data, "path") };
    case "file_write": {
      const content = contentOf(data);
      return { type: "file_write", path: text(data, "path"), ...(content !== undefined && { content }) };
    }
    case "network_egress": {
      const port = data["port"];
      if (port !== undefined && (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535)) {
        throw input("data.port must be 0 to 65535");
      }
      return { type: "egress", target: text(data, "host"), ...(port !== undefined && { port }) };
    }
    case "command_exec": {
      const args = data["args"] ?? [];
      if (!Array.isArray(args) || !args.every((word) => typeof word === "string"))
        throw input("data.args must be texts");
      return { type: "shell", command: [text(data, "command"), ...args.map(quoteWord)].join(" ") };
    }
    case "patch_apply":
      return {
        type: "patch",
        path: text(data, "filePath", "file_path"),
        diff: text(data, "patchContent", "patch_content"),
      };
    case "tool_call":
      return { type: "mcp_tool", name: text(data, "toolName", "tool_name"), args: (data["parameters"] ?? {}) as Json };
    case "custom":
      return { type: "custom", kind: text(data, "customType", "custom_type"), payload: data };
    default:
      return { type: "custom", kind: type, payload: data };
  }
}

function contentOf(data: From): Uint8Array | undefined {
  const encoded = data["contentBase64"] ?? data["content_base64"];
  if (typeof encoded === "string") {
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) throw input("data.contentBase64 is not base64");
    return Buffer.from(encoded, "base64");
  }
  return typeof data["content"] === "string" ? Buffer.from(data["content"], "utf8") : undefined;
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function text(from: From, ...names: readonly string[]): string {
  for (const name of names) {
    const value = from[name];
    if (typeof value === "string") return value;
  }
  throw input(`${names[0]} must be a text`);
}

function input(message: string): SpineError {
  return new SpineError("api_input", message);
}
