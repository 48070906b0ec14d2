/**
 * What an agent wants to do, and the reader of the request form that harnesses, `/v1/check` and `guard check` share
 * (spec/guards.md sections 3.1, 3.3). Every field is checked; what is not understood is refused, not ignored.
 */
import { SpineError } from "../../spine/index.ts";
import type { Json } from "./policy/shape.ts";

export type Action =
  | { readonly type: "file_access"; readonly path: string }
  /** `content` absent: a write whose bytes the caller does not know. */
  | { readonly type: "file_write"; readonly path: string; readonly content?: Uint8Array }
  | { readonly type: "patch"; readonly path: string; readonly diff: string }
  /** `target` is a host, host:port, address or URL; `port` is used when the target names none. */
  /** `body`: what would be sent, when the caller knows it. */
  | { readonly type: "egress"; readonly target: string; readonly port?: number; readonly body?: Uint8Array }
  | { readonly type: "shell"; readonly command: string }
  | { readonly type: "mcp_tool"; readonly name: string; readonly args: Json }
  /** `kind` such as untrusted_text, user_input, remote.clipboard. */
  | { readonly type: "custom"; readonly kind: string; readonly payload: unknown };

/** Who asks and from where. */
export interface Caller {
  readonly cwd?: string;
  readonly session?: string;
  readonly agent?: string;
}

/** Larger content is refused unread; `max_scan_bytes` and its like are smaller. */
export const MAX_CONTENT_BYTES = 16 << 20;
const MAX_TARGET_CHARS = 1 << 20;

/** Characters of all texts in a JSON value, keys included; stops counting above `limit`. */
function textSize(value: unknown, limit: number): number {
  let size = 0;
  const stack: unknown[] = [value];
  while (stack.length > 0 && size <= limit) {
    const next = stack.pop();
    size++;
    if (typeof next === "string") size += next.length;
    else if (typeof next === "object" && next !== null) {
      for (const [key, item] of Object.entries(next)) {
        size += key.length;
        stack.push(item);
      }
    }
  }
  return size;
}

export function parseAction(value: unknown): { readonly action: Action; readonly caller: Caller } {
  const from = mapOf(value, "action");
  const type = text(from, "action_type");
  if (type === "" || type.length > 128) throw input("action_type must be 1 to 128 characters");
  const cwd = optionalText(from, "cwd");
  if (cwd !== undefined && !cwd.startsWith("/")) throw input("cwd must be an absolute path");
  const session = optionalText(from, "session_id");
  const agent = optionalText(from, "agent_id");
  const caller: Caller = {
    ...(cwd !== undefined && { cwd }),
    ...(session !== undefined && { session }),
    ...(agent !== undefined && { agent }),
  };
  return { action: actionOf(type, from), caller };
}

function actionOf(type: string, from: Readonly<Record<string, unknown>>): Action {
  switch (type) {
    case "file_access":
      return { type, path: target(from) };
    case "file_write": {
      const content = contentBytes(from);
      return { type, path: target(from), ...(content !== undefined && { content }) };
    }
    case "patch":
      return { type, path: target(from), diff: Buffer.from(contentBytes(from) ?? []).toString("utf8") };
    case "egress": {
      const port = from["port"];
      if (port !== undefined && (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65_535)) {
        throw input("port must be 0 to 65535");
      }
      const body = contentBytes(from);
      return {
        type,
        target: target(from),
        ...(port !== undefined && { port }),
        ...(body !== undefined && { body }),
      };
    }
    case "shell":
      return { type, command: target(from) };
    case "mcp_tool":
      return { type, name: target(from), args: bounded(from["args"] ?? {}, "args") as Json };
    default: {
      const payload = from["payload"] ?? from["content"] ?? from["target"] ?? null;
      return { type: "custom", kind: type, payload: bounded(payload, "payload") };
    }
  }
}

function bounded(value: unknown, name: string): unknown {
  if (textSize(value, MAX_CONTENT_BYTES) > MAX_CONTENT_BYTES)
    throw input(`${name} larger than ${MAX_CONTENT_BYTES} characters`);
  return value;
}

function contentBytes(from: Readonly<Record<string, unknown>>): Uint8Array | undefined {
  const hex = optionalText(from, "content_hex");
  const plain = optionalText(from, "content");
  if (hex !== undefined && plain !== undefined) throw input("give content or content_hex, not both");
  const length = hex === undefined ? (plain === undefined ? 0 : Buffer.byteLength(plain)) : hex.length / 2;
  if (length > MAX_CONTENT_BYTES) throw input(`content larger than ${MAX_CONTENT_BYTES} bytes`);
  if (hex !== undefined && !/^(?:[0-9a-fA-F]{2})*$/.test(hex)) throw input("content_hex is not hexadecimal");
  if (hex !== undefined) return Buffer.from(hex, "hex");
  return plain === undefined ? undefined : Buffer.from(plain, "utf8");
}

function target(from: Readonly<Record<string, unknown>>): string {
  const value = text(from, "target");
  if (value.length > MAX_TARGET_CHARS) throw input(`target longer than ${MAX_TARGET_CHARS} characters`);
  return value;
}

function text(from: Readonly<Record<string, unknown>>, name: string): string {
  const value = from[name];
  if (typeof value !== "string") throw input(`${name} must be a text`);
  return value;
}

function optionalText(from: Readonly<Record<string, unknown>>, name: string): string | undefined {
  return from[name] === undefined || from[name] === null ? undefined : text(from, name);
}

export function mapOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw input(`${what} must be an object`);
  return value as Readonly<Record<string, unknown>>;
}

function input(message: string): SpineError {
  return new SpineError("api_input", message);
}
