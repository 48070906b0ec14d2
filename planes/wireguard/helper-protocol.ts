/**
 * What the daemon and the privileged helper say to each other over a unix socket: one JSON object a line. Both prove
 * that they can read the token beside the socket before anything else is said; every field is checked, none is spare.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { ERRORS, type ErrorCode, fromHex, SpineError, toHex } from "../../spine/index.ts";
import type { DeviceState, PeerChange } from "./device.ts";

/** Longest line the helper reads, and the daemon reads, bytes. */
export const MAX_REQUEST_BYTES = 4_096;
export const MAX_HELPER_REPLY_BYTES = 4 * 1_024 * 1_024;
export const NONCE_BYTES = 32;

/** Tag of the proofs; each side proves with its own role, so that a proof cannot be sent back. */
const TAG = "aegis.spine.enclave-helper.v1";

export type Role = "daemon" | "helper";

/** HMAC-SHA-256 over the tag, the role, the helper's nonce and the daemon's, as hex. */
export function proofOf(token: Uint8Array, role: Role, helperNonce: string, daemonNonce: string): string {
  return createHmac("sha256", token).update(`${TAG}\0${role}\0${helperNonce}\0${daemonNonce}`).digest("hex");
}
export function isProof(given: string, expected: string): boolean {
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

export type Operation =
  | {
      readonly op: "up";
      readonly privateKey: Uint8Array;
      readonly address: string;
      readonly listenPort: number;
      readonly mtuBytes: number;
    }
  | { readonly op: "get" }
  | { readonly op: "set"; readonly change: PeerChange }
  | { readonly op: "down" };
export type Request = Operation & { readonly id: number };

/** What the helper says of itself once the daemon proved itself. */
export interface Welcome {
  readonly proof: string;
  readonly interface: string;
  readonly owned: boolean;
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly state: DeviceState | null }
  | { readonly id: number; readonly ok: false; readonly code: ErrorCode; readonly message: string };
export type HelperMessage = Reply | { readonly event: "gone" };

type Fields = Readonly<Record<string, unknown>>;

/** A line as an object with exactly these fields; throws `enclave_refused`. */
function fieldsOf(line: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new SpineError("enclave_refused", "a line is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) bad("a line is not an object");
  return value as Fields;
}
function exactly(fields: Fields, names: readonly string[]): void {
  const wrong = Object.keys(fields).find((name) => !names.includes(name));
  if (wrong !== undefined) bad(`field ${wrong.slice(0, 40)} is unknown`);
}
function bad(what: string): never {
  throw new SpineError("enclave_refused", what);
}
function text(fields: Fields, name: string, pattern: RegExp): string {
  const value = fields[name];
  if (typeof value !== "string" || !pattern.test(value)) bad(`${name} is missing or malformed`);
  return value as string;
}
function maybeText(fields: Fields, name: string, pattern: RegExp): string | null {
  return fields[name] === null ? null : text(fields, name, pattern);
}
function whole(fields: Fields, name: string, most: number): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > most)
    bad(`${name} is no number up to ${most}`);
  return value as number;
}

const HEX_32 = /^[0-9a-f]{64}$/;
const ADDRESS = /^[0-9a-f:.]{2,45}\/\d{1,3}$/;
const ENDPOINT = /^[0-9a-f:.[\]]{4,54}$/;

export function encodeOperation(id: number, operation: Operation): string {
  switch (operation.op) {
    case "up": {
      const { address, listenPort, mtuBytes } = operation;
      const key = toHex(operation.privateKey);
      return JSON.stringify({ id, op: "up", private_key: key, address, listen_port: listenPort, mtu: mtuBytes });
    }
    case "set":
      return JSON.stringify({ id, op: "set", change: operation.change });
    default:
      return JSON.stringify({ id, op: operation.op });
  }
}

/** Throws `enclave_refused`. */
export function readRequest(line: string): Request {
  const fields = fieldsOf(line);
  const id = whole(fields, "id", Number.MAX_SAFE_INTEGER);
  switch (fields["op"]) {
    case "get":
    case "down":
      exactly(fields, ["id", "op"]);
      return { id, op: fields["op"] };
    case "set":
      exactly(fields, ["id", "op", "change"]);
      return { id, op: "set", change: readChange(fields["change"]) };
    case "up":
      exactly(fields, ["id", "op", "private_key", "address", "listen_port", "mtu"]);
      return {
        id,
        op: "up",
        privateKey: fromHex(text(fields, "private_key", HEX_32), 32),
        address: text(fields, "address", ADDRESS),
        listenPort: whole(fields, "listen_port", 65_535),
        mtuBytes: whole(fields, "mtu", 9_000),
      };
    default:
      return bad("unknown operation");
  }
}

function readChange(value: unknown): PeerChange {
  if (typeof value !== "object" || value === null) bad("change is not an object");
  const fields = value as Fields;
  const publicKey = text(fields, "publicKey", HEX_32);
  if (fields["type"] === "remove") {
    exactly(fields, ["type", "publicKey"]);
    return { type: "remove", publicKey };
  }
  if (fields["type"] !== "put") bad("unknown change");
  exactly(fields, ["type", "publicKey", "allowedIp", "takesFrom", "endpoint", "keepaliveSeconds"]);
  return {
    type: "put",
    publicKey,
    allowedIp: maybeText(fields, "allowedIp", ADDRESS),
    takesFrom: maybeText(fields, "takesFrom", HEX_32),
    endpoint: maybeText(fields, "endpoint", ENDPOINT),
    keepaliveSeconds: whole(fields, "keepaliveSeconds", 65_535),
  };
}

/** The helper's first line: its nonce. Throws `enclave_helper`. */
export function readGreeting(line: string): string {
  return asHelper(() => {
    const fields = fieldsOf(line);
    exactly(fields, ["spine_enclave", "nonce"]);
    if (fields["spine_enclave"] !== 1) bad("another version of the helper");
    return text(fields, "nonce", HEX_32);
  });
}
/** The daemon's first line. Throws `enclave_refused`. */
export function readAnswer(line: string): { readonly nonce: string; readonly proof: string } {
  const fields = fieldsOf(line);
  exactly(fields, ["nonce", "proof"]);
  return { nonce: text(fields, "nonce", HEX_32), proof: text(fields, "proof", HEX_32) };
}
/** Throws `enclave_helper`. */
export function readWelcome(line: string): Welcome {
  return asHelper(() => {
    const fields = fieldsOf(line);
    exactly(fields, ["proof", "interface", "owned"]);
    const owned = fields["owned"];
    if (typeof owned !== "boolean") bad("owned is missing");
    return {
      proof: text(fields, "proof", HEX_32),
      interface: text(fields, "interface", /^[\w.-]{1,15}$/),
      owned: owned as boolean,
    };
  });
}
/** What comes after the welcome. The helper is trusted once it proved itself: its state was checked there. Throws `enclave_helper`. */
export function readHelperMessage(line: string): HelperMessage {
  return asHelper(() => {
    const fields = fieldsOf(line);
    if (fields["event"] === "gone") return { event: "gone" as const };
    const id = whole(fields, "id", Number.MAX_SAFE_INTEGER);
    if (fields["ok"] === true) return { id, ok: true as const, state: (fields["state"] ?? null) as DeviceState | null };
    const code = text(fields, "code", /^[a-z_]+$/);
    const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "enclave_device";
    return { id, ok: false as const, code: known, message: text(fields, "message", /^/) };
  });
}

function asHelper<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new SpineError("enclave_helper", `the helper speaks another language: ${(cause as Error).message}`, {
      cause,
    });
  }
}
