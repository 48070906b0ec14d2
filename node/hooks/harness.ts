/**
 * What Spine knows of each agent harness, from its public documentation: events, what it can do with an answer, its own
 * blocking switch. The desk, the installer and the doctor read it.
 */

export const HARNESSES = ["claude-code", "codex", "cursor", "gemini-cli"] as const;
export type Harness = (typeof HARNESSES)[number];

export function isHarness(name: string): name is Harness {
  return (HARNESSES as readonly string[]).includes(name);
}

/**
 * before: a tool is about to run. after: it ran. prompt: a person's words on their way to the model. quiet: nothing to
 * judge.
 */
export type Phase = "before" | "after" | "prompt" | "quiet";

const CLAUDE_EVENTS: Readonly<Record<string, Phase>> = {
  PreToolUse: "before",
  PermissionRequest: "before",
  PostToolUse: "after",
  UserPromptSubmit: "prompt",
  SessionStart: "quiet",
  SessionEnd: "quiet",
  Stop: "quiet",
  SubagentStart: "quiet",
  SubagentStop: "quiet",
  Notification: "quiet",
  PreCompact: "quiet",
  PostCompact: "quiet",
  PostToolUseFailure: "quiet",
};

const EVENTS: Readonly<Record<Harness, Readonly<Record<string, Phase>>>> = {
  "claude-code": CLAUDE_EVENTS,
  codex: CLAUDE_EVENTS,
  cursor: {
    beforeShellExecution: "before",
    beforeMCPExecution: "before",
    beforeReadFile: "before",
    beforeTabFileRead: "before",
    preToolUse: "before",
    postToolUse: "after",
    afterShellExecution: "after",
    afterMCPExecution: "after",
    afterFileEdit: "after",
    afterTabFileEdit: "after",
    beforeSubmitPrompt: "prompt",
    postToolUseFailure: "quiet",
    sessionStart: "quiet",
    sessionEnd: "quiet",
    subagentStart: "quiet",
    subagentStop: "quiet",
    preCompact: "quiet",
    stop: "quiet",
    afterAgentResponse: "quiet",
    afterAgentThought: "quiet",
  },
  "gemini-cli": {
    BeforeTool: "before",
    AfterTool: "after",
    BeforeAgent: "prompt",
    AfterAgent: "quiet",
    BeforeModel: "quiet",
    AfterModel: "quiet",
    BeforeToolSelection: "quiet",
    SessionStart: "quiet",
    SessionEnd: "quiet",
    Notification: "quiet",
    PreCompress: "quiet",
  },
};

/** Undefined for an event we do not know: it is refused. */
export function phaseOf(harness: Harness, event: string): Phase | undefined {
  const events = EVENTS[harness];
  return Object.hasOwn(events, event) ? events[event] : undefined;
}

/** Events at which the harness shows its own prompt when we answer `ask`; anywhere else it is a denial. */
export function canAsk(harness: Harness, event: string): boolean {
  if (harness === "claude-code") return event === "PreToolUse";
  return harness === "cursor" && (event === "beforeShellExecution" || event === "beforeMCPExecution");
}
