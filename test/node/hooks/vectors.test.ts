/** The shared hook cases: each payload gives exactly the actions stated, and the ruleset's verdict on them. */
import assert from "node:assert/strict";
import { parseAction } from "../../../node/guards/action.ts";
import { expandInput } from "../../../node/guards/check-input.ts";
import { GuardEngine } from "../../../node/guards/engine.ts";
import { GuardService } from "../../../node/guards/service.ts";
import { DenialMemory } from "../../../node/hooks/denial-memory.ts";
import { HookDesk } from "../../../node/hooks/desk.ts";
import type { FlatAction } from "../../../node/hooks/flat-action.ts";
import { type Harness, isHarness } from "../../../node/hooks/harness.ts";
import { deriveText } from "../../../node/hooks/mcp/derive.ts";
import { PolicyJudge } from "../../../node/hooks/mcp/judge.ts";
import { readMessage } from "../../../node/hooks/mcp/message.ts";
import { ToolPins } from "../../../node/hooks/mcp/pins.ts";
import { McpSession } from "../../../node/hooks/mcp/session.ts";
import { readPayload } from "../../../node/hooks/payload.ts";
import { type CasePolicy, casePolicy, sharedLines } from "../../helpers/guard-cases.ts";
import { describeShared } from "../../helpers/shared.ts";

interface HookCase {
  readonly id: string;
  readonly harness: string;
  readonly policy: CasePolicy;
  readonly input: object;
  readonly expect: { readonly actions: readonly FlatAction[]; readonly verdict: string };
}

/** A desk over the engine alone, without a daemon. */
function deskOf(policy: CasePolicy): HookDesk {
  const loaded = casePolicy(policy, "spine");
  const inForce = { policies: [loaded], hash: loaded.hash };
  const service = new GuardService(
    { inForce, state: "active" } as never,
    {
      sign: () => new Uint8Array(64),
      random: (count) => new Uint8Array(count),
      now: () => 0,
      publish: async () => "0x00",
      keepOpening: async () => undefined,
      revoked: () => undefined,
    },
    { mode: "enforce" },
  );
  return new HookDesk({
    denials: new DenialMemory(),
    judge: { answer: (request) => service.answer(request), unusable: () => undefined },
    tierOf: () => "best_effort",
    onBrokenDenial: () => undefined,
  });
}

describeShared("hook vectors", ["vectors/guards/hooks.jsonl"], () => {
  const cases = sharedLines<HookCase>("vectors/guards/hooks.jsonl");

  it("derives the stated actions, reaches the stated verdict and answers so that the harness blocks", async () => {
    let judged = 0;
    for (const { id, harness, policy, input, expect } of cases) {
      if (!isHarness(harness)) continue;
      judged++;
      const bytes = Buffer.from(JSON.stringify(expandInput(input)));
      const { derived } = readPayload(harness, bytes);
      const wanted = expect.actions.map((action) => expandInput(action));
      assert.deepEqual("actions" in derived ? derived.actions : [], wanted, id);
      const answer = await deskOf(policy).answer(harness, bytes, {}, 0);
      assert.equal(answer.outcome, expect.verdict, `${id}: ${answer.reason}`);
      assert.equal(answer.exit, expect.verdict === "deny" ? 2 : 0, id);
      if (expect.verdict === "deny") assert.match(answer.reason, /^Spine/, id);
      const engine = new GuardEngine(casePolicy(policy, "spine"));
      for (const action of "actions" in derived ? derived.actions : []) {
        const { action: parsed, caller } = parseAction({ ...action, cwd: "/w/repo" });
        assert.equal(engine.decide(parsed, caller).verdict === "deny", expect.verdict === "deny", id);
      }
    }
    assert.equal(judged, 13);
  });

  it("does so for MCP messages; a batch is refused whole", async () => {
    let judged = 0;
    for (const { id, harness, policy, input, expect } of cases) {
      if (harness !== "mcp-proxy") continue;
      judged++;
      const derived = deriveText(expandInput(input));
      assert.deepEqual("actions" in derived ? derived.actions : [], expect.actions, id);
      const judge = new PolicyJudge(casePolicy(policy, "spine"));
      const rulings = "actions" in derived ? await Promise.all(derived.actions.map((one) => judge.judge(one))) : [];
      const denied = "refused" in derived || rulings.some(({ allowed }) => !allowed);
      assert.equal(denied, expect.verdict === "deny", id);
      if (Array.isArray(input))
        assert.throws(() => readMessage(Buffer.from(JSON.stringify(expandInput(input)))), { code: "mcp_message" });
    }
    assert.equal(judged, 4);
  });
});

describe("hook answers", () => {
  const desk = deskOf({ ruleset: "default" });
  const ask = (harness: Harness, payload: object | string) =>
    desk.answer(harness, Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload)), {}, 0);

  it("are in the words of each harness", async () => {
    const tool = { tool_name: "Bash", tool_input: { command: "cat ~/.ssh/id_rsa" }, session_id: "s", cwd: "/w" };
    const claude = await ask("claude-code", { ...tool, hook_event_name: "PreToolUse" });
    assert.equal((claude.body["hookSpecificOutput"] as { permissionDecision: string }).permissionDecision, "deny");
    const gemini = await ask("gemini-cli", {
      ...{ hook_event_name: "BeforeTool", tool_name: "run_shell_command", tool_input: { command: "cat /etc/shadow" } },
    });
    assert.equal(gemini.body["decision"], "deny");
    const cursor = await ask("cursor", { hook_event_name: "beforeShellExecution", command: "cat /etc/shadow" });
    assert.equal(cursor.body["permission"], "deny");
    const prompt = await ask("cursor", { hook_event_name: "beforeSubmitPrompt", prompt: "fix the typo" });
    assert.deepEqual(prompt.body, { continue: true });
    for (const quiet of ["SessionStart", "Stop"])
      assert.deepEqual((await ask("codex", { hook_event_name: quiet })).body, {});
  });

  it("deny what is unknown, malformed, doubled or missing", async () => {
    const bad: readonly (readonly [Harness, object | string])[] = [
      ["claude-code", ""],
      ["claude-code", "[]"],
      ["claude-code", "{"],
      ["claude-code", { tool_name: "Read" }],
      ["claude-code", { hook_event_name: "Later" }],
      ["claude-code", { hook_event_name: "PreToolUse", tool_name: "Teleport", tool_input: {} }],
      ["claude-code", { hook_event_name: "PreToolUse", tool_name: "Read", tool_input: { file_path: 7 } }],
      ["claude-code", { hook_event_name: "PreToolUse", tool_name: "constructor", tool_input: {} }],
      ["claude-code", '{"hook_event_name":"PreToolUse","tool_name":"Read","tool_name":"WebSearch","tool_input":{}}'],
      ["codex", { hook_event_name: "PreToolUse", tool_name: "apply_patch", tool_input: { command: "rm" } }],
      ["cursor", { hook_event_name: "beforeMCPExecution", tool_input: "{}" }],
      ["cursor", { hook_event_name: "beforeMCPExecution", tool_name: "x", tool_input: "{" }],
      ["gemini-cli", { hook_event_name: "BeforeTool", tool_name: "web_fetch", tool_input: { prompt: "the news" } }],
    ];
    for (const [harness, payload] of bad) {
      const answer = await ask(harness, payload);
      assert.deepEqual([answer.outcome, answer.exit], ["deny", 2], JSON.stringify(payload));
      assert.ok(answer.reason.length > 20);
    }
  });

  it("judge where searches look", async () => {
    const grep = (tool_input: object) =>
      ask("claude-code", { hook_event_name: "PreToolUse", tool_name: "Grep", cwd: "/w", tool_input });
    assert.equal((await grep({ pattern: "key", glob: "*.ts" })).outcome, "allow");
    assert.equal((await grep({ pattern: "key", path: "/home/u/.ssh" })).outcome, "deny");
    assert.equal((await grep({ pattern: "key", path: "/home/u", glob: ".ssh/id_rsa" })).outcome, "deny");
    const glob = {
      hook_event_name: "PreToolUse",
      tool_name: "Glob",
      cwd: "/w",
      tool_input: { pattern: "/home/u/.ssh/*" },
    };
    assert.equal((await ask("claude-code", glob)).outcome, "deny");
  });

  it("judge every file of a Codex patch", async () => {
    const patch = (path: string, line: string) =>
      `*** Begin Patch\n*** Update File: src/a.ts\n@@\n-const a = 1;\n+const a = 2;\n*** Add File: ${path}\n+${line}\n*** End Patch`;
    const call = (command: string) =>
      ask("codex", { hook_event_name: "PreToolUse", cwd: "/w", tool_name: "apply_patch", tool_input: { command } });
    assert.equal((await call(patch("src/b.ts", "export {};"))).outcome, "allow");
    assert.equal((await call(patch("/home/u/.ssh/authorized_keys", "x"))).outcome, "deny");
    assert.equal((await call(patch("src/b.ts", `k = "${"AKIA"}Q3EGXAMPLE7ZT2WV"`))).outcome, "deny");
    const moved = "*** Begin Patch\n*** Update File: src/a.ts\n*** Move to: /etc/shadow\n@@\n-a\n+b\n*** End Patch";
    assert.equal((await call(moved)).outcome, "deny");
  });
});

describe("MCP session", () => {
  it("raises the alarm when a server answers a call that was denied and never passed on", async () => {
    const alarms: (string | null)[] = [];
    const session = new McpSession({
      judge: {
        judge: async () => ({ allowed: false, message: "no", envelopeHash: "0x01" }),
        blockedTools: async () => new Set(),
        brokenDenial: (hash) => void alarms.push(hash),
      },
      pins: await ToolPins.open(undefined, "s"),
      acceptChanges: false,
      note: () => undefined,
      now: () => 0,
    });
    const call = { kind: "request", id: 5, method: "tools/call", params: { name: "x" } } as const;
    assert.deepEqual(
      (await session.take("client", call)).map(({ to }) => to),
      ["client"],
    );
    assert.deepEqual(await session.take("server", { kind: "response", id: 6, result: {} }), []);
    assert.deepEqual(alarms, []);
    assert.deepEqual(await session.take("server", { kind: "response", id: 5, result: {} }), []);
    assert.deepEqual(alarms, ["0x01"]);
    assert.equal(session.waiting, 0);
  });
});
