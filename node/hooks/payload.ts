/**
 * Reads a harness's hook payload: its event, its session, and what the guards have to judge. Whatever is not understood
 * is refused, which the harness gets to see as a denial. Fields as publicly documented by each harness.
 */
import { createHash } from "node:crypto";
import { parseJson, SpineError } from "../../spine/index.ts";
import { allText, type Derived, type Fields, type FlatAction, isFields, textOf } from "./flat-action.ts";
import { type Harness, type Phase, phaseOf } from "./harness.ts";
import { resultActions, toolActions } from "./tool-actions.ts";

export interface HookCall {
  readonly event: string;
  readonly phase: Phase;
  readonly session?: string;
  readonly cwd?: string;
  readonly derived: Derived;
  /** The same for a call before and after it ran; absent where there is nothing to recognise. */
  readonly callId?: string;
}

/** Throws `api_input` or `json_syntax` when not even the event can be told. */
export function readPayload(harness: Harness, bytes: Uint8Array): HookCall {
  // Names given twice mean one thing to us and another to the harness: they are refused here.
  parseJson(bytes);
  const body: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  if (!isFields(body)) throw new SpineError("api_input", "the payload is no object");
  const event = textOf(body, "hook_event_name", "hookEventName");
  if (event === undefined) throw new SpineError("api_input", "the payload names no event");
  const tool = textOf(body, "tool_name", "toolName");
  // A new event about a tool is judged as if it came before it.
  const phase = phaseOf(harness, event) ?? (tool === undefined ? undefined : "before");
  if (phase === undefined) throw new SpineError("api_input", `unknown event ${JSON.stringify(event.slice(0, 64))}`);
  const session = textOf(body, "session_id", "conversation_id");
  const cwd = cwdOf(body);
  const callId = phase === "before" || phase === "after" ? callIdOf(harness, body, tool) : undefined;
  return {
    event,
    phase,
    derived: derive(harness, event, phase, tool, body),
    ...(session !== undefined && { session }),
    ...(cwd !== undefined && { cwd }),
    ...(callId !== undefined && { callId }),
  };
}

function cwdOf(body: Fields): string | undefined {
  const roots = body["workspace_roots"];
  const found = textOf(body, "cwd") ?? (Array.isArray(roots) && typeof roots[0] === "string" ? roots[0] : undefined);
  return found?.startsWith("/") ? found : undefined;
}

/** By the harness's own id of the call, else by what is called. */
function callIdOf(harness: Harness, body: Fields, tool: string | undefined): string | undefined {
  const id = textOf(body, "tool_use_id", "toolUseId");
  const what = id ?? JSON.stringify([tool ?? body["command"] ?? body["file_path"], body["tool_input"] ?? null]);
  const session = textOf(body, "session_id", "conversation_id", "generation_id") ?? "";
  return createHash("sha256").update(`${harness}\n${session}\n${what}`).digest("hex");
}

function derive(harness: Harness, event: string, phase: Phase, tool: string | undefined, body: Fields): Derived {
  const mcp = isFields(body["mcp_context"]) || event === "beforeMCPExecution" || event === "afterMCPExecution";
  switch (phase) {
    case "quiet":
      return { actions: [] };
    case "prompt": {
      const text = body["prompt"];
      if (typeof text !== "string") return { refused: "the prompt is missing" };
      return { actions: text === "" ? [] : [{ action_type: "user_input", payload: { text } }] };
    }
    case "after": {
      if (event === "afterMCPExecution") return untrusted(tool ?? "mcp", body["result_json"]);
      if (tool === undefined) return { actions: [] };
      const response = body["tool_response"] ?? body["tool_output"];
      return { actions: resultActions(tool, body["tool_input"], response, mcp) };
    }
    case "before":
      return harness === "cursor" ? cursorBefore(event, tool, body, mcp) : before(tool, body, mcp);
  }
}

function before(tool: string | undefined, body: Fields, mcp: boolean): Derived {
  return tool === undefined ? { refused: "the call names no tool" } : toolActions(tool, body["tool_input"], mcp);
}

function cursorBefore(event: string, tool: string | undefined, body: Fields, mcp: boolean): Derived {
  if (event === "beforeShellExecution") return toolActions("Shell", body, false);
  if (event === "beforeReadFile" || event === "beforeTabFileRead") return toolActions("Read", body, false);
  if (tool === undefined && mcp) return { refused: "the call names no tool" };
  return before(tool, body, mcp);
}

function untrusted(source: string, result: unknown): Derived {
  const text = allText(result);
  const action: FlatAction = { action_type: "untrusted_text", payload: { text, source } };
  return { actions: text === "" ? [] : [action] };
}
