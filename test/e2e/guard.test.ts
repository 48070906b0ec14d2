/** Guards in a real daemon: decisions over the socket, receipts in the chain, audit, reveal, reload, kill -9, bad input. */
import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { AuditEntry, GuardStatus } from "../../node/index.ts";
import { type Daemon, daemonPool, eventually, httpCall } from "../helpers/daemon.ts";

interface Check {
  readonly allowed: boolean;
  readonly verdict: string;
  readonly guard: string;
  readonly reason: string | null;
  readonly policy_hash: string | null;
  readonly policy_state: string;
  readonly envelope_hash: string | null;
  readonly commitment: string | null;
  readonly recorded: boolean;
  readonly posture?: { readonly state: string };
}

const READ = { action_type: "file_access", target: "/w/notes.txt" };
const SHADOW = { action_type: "file_access", target: "/etc/shadow" };

async function check(daemon: Daemon, body: object, socket = daemon.socket): Promise<Check> {
  const { status, text } = await httpCall(socket, "POST", "/v1/check", JSON.stringify(body));
  assert.equal(status, 200, text);
  return JSON.parse(text) as Check;
}

async function guardStatus(daemon: Daemon): Promise<GuardStatus> {
  return JSON.parse((await daemon.call("GET", "/v1/guard")).text) as GuardStatus;
}

async function audit(daemon: Daemon, query = ""): Promise<readonly AuditEntry[]> {
  const { status, text } = await daemon.call("GET", `/v1/guard/audit?${query}`);
  assert.equal(status, 200, text);
  return (JSON.parse(text) as { entries: AuditEntry[] }).entries;
}

describe("guards in a daemon", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  const QUIET = { port: null } as const;

  it("records each decision in the chain before it answers, and hides the target", async () => {
    const daemon = await pool.start("records", QUIET);
    const secret = { action_type: "shell", target: "curl -H 'Authorization: hunter2-secret' https://x.example/" };
    const answers = [await check(daemon, READ), await check(daemon, SHADOW), await check(daemon, secret)];
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      ["allow", "deny", "deny"],
    );
    const held = await daemon.held(daemon.issuer);
    assert.deepEqual(
      [...held.values()].slice(-answers.length),
      answers.map(({ envelope_hash }) => envelope_hash),
    );
    for (const { envelope_hash, commitment } of answers) {
      const envelope = (await daemon.call("GET", `/v1/envelopes/${envelope_hash}`)).text;
      assert.ok(envelope.includes(`0x${commitment}`));
      assert.ok(!/hunter2|shadow|notes\.txt/.test(envelope), "no raw target in the chain");
    }
    const revealed = await daemon.verb("guard", "reveal", answers[2]?.commitment as string, "--json");
    assert.match(revealed.out, /hunter2-secret/);
    const byEnvelope = await daemon.verb("guard", "reveal", answers[1]?.envelope_hash as string);
    assert.match(byEnvelope.out, /\/etc\/shadow/);
    const { mode } = await stat(join(daemon.dir, "guard-openings", "00000001.jsonl"));
    assert.equal(mode & 0o777, 0o600);
    const { guard } = await daemon.status();
    assert.deepEqual([guard?.mode, guard?.decisions, guard?.denied], ["enforce", 3, 2]);
    assert.equal(guard?.policy_hash, answers[0]?.policy_hash);
    await pool.stopAll();
  });

  it("answers as upstream does on upstream's paths, and streams decisions", async () => {
    const daemon = await pool.start("upstream", QUIET);
    const streams = ["/v1/guard/events", "/api/v1/events"].map((path) => openStream(daemon.socket, path));
    await Promise.all(streams.map(({ opened }) => opened));
    const allowed = await daemon.call("POST", "/api/v1/check", JSON.stringify({ ...READ, agent_id: "a", extra: 1 }));
    assert.deepEqual(Object.keys(JSON.parse(allowed.text)).sort(), ["allowed", "guard", "message", "severity"].sort());
    const denied = await daemon.call(
      "POST",
      "/api/v1/check",
      JSON.stringify({ action_type: "egress", target: "x.example:8443" }),
    );
    assert.equal((JSON.parse(denied.text) as { details: { port: number } }).details.port, 8443);
    assert.equal((await daemon.call("POST", "/api/v1/check", '{"action_type":"exec","target":"x"}')).status, 400);
    const event = {
      eventId: "1",
      eventType: "file_read",
      timestamp: "2026-01-01T00:00:00Z",
      data: { type: "file", path: "/etc/shadow", operation: "read" },
    };
    const judged = JSON.parse((await daemon.call("POST", "/api/v1/eval", JSON.stringify({ event }))).text);
    assert.deepEqual(
      [judged.command, judged.decision.denied, judged.decision.severity],
      ["policy_eval", true, "critical"],
    );
    const [ours, theirs] = streams as [Stream, Stream];
    await eventually("all decisions are told", async () => ours.events.length === 3 && theirs.events.length === 3);
    assert.deepEqual(
      ours.events.map(({ type, data }) => [type, data["verdict"]]),
      [
        ["decision", "allow"],
        ["decision", "deny"],
        ["decision", "deny"],
      ],
    );
    assert.deepEqual(
      theirs.events.map(({ type, data }) => [type, data["allowed"]]),
      [
        ["check", true],
        ["violation", false],
        ["violation", false],
      ],
    );
    for (const { close } of streams) close();
    await pool.stopAll();
  });

  it("serves upstream's audit, policy and session routes", async () => {
    let daemon = await pool.start("upstream-routes", QUIET);
    const call = async (method: string, path: string, body?: object) => {
      const { status, text } = await daemon.call(method, path, body === undefined ? undefined : JSON.stringify(body));
      return { status, text, json: () => JSON.parse(text) as Record<string, unknown> };
    };
    const policy = (await call("GET", "/api/v1/policy")).json();
    assert.deepEqual([policy["name"], policy["policy_hash"]], ["Default", (await guardStatus(daemon)).policy_hash]);
    assert.match(String(policy["yaml"]), /forbidden_path:/);
    assert.equal((await call("PUT", "/api/v1/policy", { yaml: "x" })).status, 403);
    assert.equal((await call("POST", "/api/v1/policy/reload")).json()["success"], true);
    const begun = await call("POST", "/api/v1/session", { agent_id: "a" });
    assert.match(String(begun.json()["session_id"]), /^[0-9a-f-]{36}$/);
    const session = String(begun.json()["session_id"]);
    assert.equal((await call("GET", `/api/v1/session/${session}`)).status, 404);

    for (let turn = 0; turn < 5; turn++) await check(daemon, { ...READ, session_id: session });
    const denied = await check(daemon, { ...SHADOW, session_id: session, agent_id: "agent-a" });
    const first = (await call("GET", "/api/v1/audit?limit=2")).json();
    assert.deepEqual([first["total"], first["limit"], first["offset"]], [6, 2, 0]);
    const [newest] = first["events"] as Record<string, unknown>[];
    assert.deepEqual(
      [newest?.["id"], newest?.["event_type"], newest?.["decision"], newest?.["severity"], newest?.["agent_id"]],
      [denied.envelope_hash, "violation", "blocked", "Critical", "agent-a"],
    );
    assert.ok(!JSON.stringify(first).includes("/etc/shadow"));
    const totals = async (query: string) => (await call("GET", `/api/v1/audit?${query}`)).json()["total"];
    assert.deepEqual(
      await Promise.all(
        ["decision=blocked", "decision=allowed", "event_type=check", "event_type=violation&decision=allowed"].map(
          totals,
        ),
      ),
      [1, 5, 5, 0],
    );
    assert.deepEqual(
      await Promise.all([`session_id=${session}`, "action_type=shell", "event_type=x"].map(totals)),
      [6, 0, 0],
    );
    const page = (await call("GET", "/api/v1/audit?offset=4&limit=10")).json()["events"] as unknown[];
    assert.equal(page.length, 2);
    const csv = (await call("GET", "/api/v1/audit?format=csv")).text.trimEnd().split("\r\n");
    assert.deepEqual([csv.length, csv[0]?.startsWith("id,timestamp,event_type")], [7, true]);
    assert.equal((await call("GET", "/api/v1/audit?format=jsonl")).text.trimEnd().split("\n").length, 6);
    assert.equal((await call("GET", "/api/v1/audit?decision=maybe")).status, 400);
    await daemon.stop();

    const states =
      'version: "1.5.0"\nextends: default\nposture:\n  initial: work\n' +
      "  states: {work: {capabilities: [file_access], budgets: {}}, held: {capabilities: []}}\n" +
      "  transitions: [{from: work, to: held, on: critical_violation}, {from: held, to: work, on: user_approval}]\n";
    await writeFile(join(daemon.dir, "states.yaml"), states);
    daemon = await pool.start("upstream-routes", { ...QUIET, set: ["guard.policy=states.yaml"] });
    assert.deepEqual((await call("POST", "/api/v1/session", { session_id: "s1" })).json()["posture"], {
      state: "work",
      budgets: {},
    });
    await check(daemon, { ...SHADOW, session_id: "s1" });
    assert.equal((await call("GET", "/api/v1/session/s1/posture")).json()["state"], "held");
    const move = (toState: string, trigger: string) =>
      call("POST", "/api/v1/session/s1/transition", { toState, trigger });
    assert.equal((await move("held", "user_approval")).status, 400);
    assert.equal((await move("work", "timeout")).status, 400);
    const moved = (await move("work", "user_approval")).json();
    assert.deepEqual([moved["from_state"], (moved["posture"] as { state: string }).state], ["held", "work"]);
    assert.equal((await check(daemon, { ...READ, session_id: "s1" })).allowed, true);
    assert.equal((await call("DELETE", "/api/v1/session/s1")).json()["success"], true);
    assert.equal((await call("GET", "/api/v1/session/s1")).status, 404);
    await pool.stopAll();
  });

  it("filters and exports the audit, with the daemon and without", async () => {
    const daemon = await pool.start("audit", QUIET);
    for (let i = 0; i < 12; i++) await check(daemon, { ...READ, session_id: `s${i % 3}`, agent_id: "=cmd()" });
    await check(daemon, { ...SHADOW, session_id: "s1" });
    await check(daemon, { action_type: "egress", target: "evil.example" });
    assert.equal((await audit(daemon)).length, 14);
    assert.equal((await audit(daemon, "verdict=deny")).length, 2);
    assert.deepEqual(
      (await audit(daemon, "verdict=deny&session=s1&reveal=true")).map(({ target }) => target),
      ['{"path":"/etc/shadow","type":"file_access"}'],
    );
    assert.equal((await audit(daemon, "action_type=egress&guard=egress_allowlist")).length, 1);
    assert.equal((await audit(daemon, "until=2020-01-01T00:00:00Z")).length, 0);
    const pages: number[] = [];
    for (let before = ""; ; ) {
      const { text } = await daemon.call("GET", `/v1/guard/audit?session=s0&limit=3${before}`);
      const page = JSON.parse(text) as { entries: AuditEntry[]; next: number | null };
      pages.push(...page.entries.map(({ seq }) => seq));
      if (page.next === null) break;
      before = `&before=${page.next}`;
    }
    assert.deepEqual(
      pages.map((seq) => seq - (pages.at(-1) as number)),
      [9, 6, 3, 0],
    );
    assert.equal((await daemon.call("GET", "/v1/guard/audit?verdict=maybe")).status, 400);
    assert.equal((await daemon.call("GET", "/v1/guard/audit?colour=red")).status, 400);
    const csv = (await daemon.call("GET", "/v1/guard/audit?format=csv&session=s2")).text.trimEnd().split("\r\n");
    assert.equal(csv.length, 5);
    assert.ok(csv[1]?.includes(",'=cmd(),"), "no cell is a formula");
    await pool.stopAll();
    const offline = await daemon.verb("guard", "audit", "--verdict", "deny", "--format", "jsonl", "--reveal");
    assert.deepEqual(
      offline.lines.map(({ reason }) => reason),
      ["not_allowlisted", "matches_forbidden_pattern"],
    );
  });

  it("puts a changed policy into force, keeps the good one over a bad one, and waits before it loosens", async () => {
    const policy = (body: string): string => `version: "1.5.0"\nextends: default\n${body}`;
    const strictText = policy("guards: {forbidden_path: {additional_patterns: ['/w/**']}}\n");
    let daemon = await pool.start("reload", QUIET);
    const file = join(daemon.dir, "guards.yaml");
    await daemon.stop();
    await writeFile(file, policy(""));
    daemon = await pool.start("reload", { ...QUIET, set: ["guard.policy=guards.yaml"] });
    // The ruleset of the first run and this file mean the same.
    assert.equal((await guardStatus(daemon)).policy_state, "active");
    assert.equal((await check(daemon, READ)).allowed, true);
    await writeFile(file, strictText);
    await eventually("the stricter policy is in force", async () => !(await check(daemon, READ)).allowed);
    const strict = (await guardStatus(daemon)).policy_hash;
    await writeFile(file, "guards: [this is not a policy\n");
    await eventually("the bad file is noticed", async () => (await guardStatus(daemon)).policy_state === "stale");
    const held = await check(daemon, READ);
    assert.deepEqual([held.allowed, held.policy_state, held.policy_hash], [false, "stale", strict]);
    assert.ok((await guardStatus(daemon)).problems.length > 0);
    await writeFile(file, policy(""));
    const waits = await eventually("the looser policy waits", async () => (await guardStatus(daemon)).staged[0]);
    assert.match(waits.loosens.join(), /forbidden_path.*\/w\//);
    assert.equal((await check(daemon, READ)).allowed, false);
    assert.ok((await daemon.status()).warnings.some((text) => text.includes(waits.policy_hash)));
    // A restart is no way around it.
    await daemon.stop();
    daemon = await pool.start("reload", { ...QUIET, set: ["guard.policy=guards.yaml"] });
    assert.equal((await check(daemon, READ)).allowed, false);
    const touched = await check(daemon, { action_type: "file_write", target: file, content: "version: '1.5.0'\n" });
    assert.equal(touched.guard, "self_protection");
    const approved = await daemon.verb("guard", "approve", waits.policy_hash);
    assert.equal(approved.code, 0, approved.err);
    assert.equal((await check(daemon, READ)).allowed, true);
    await daemon.stop();
    await writeFile(file, "garbage: [");
    daemon = await pool.start("reload", { ...QUIET, set: ["guard.policy=guards.yaml"] });
    const after = await check(daemon, READ);
    assert.deepEqual([after.allowed, after.policy_state], [true, "stale"]);
    await pool.stopAll();
  });

  it("denies everything when there never was a usable policy, and says so", async () => {
    const daemon = await pool.start("none", { ...QUIET, set: ["guard.policy=missing.yaml"] });
    const answer = await check(daemon, READ);
    assert.deepEqual([answer.allowed, answer.reason, answer.policy_state], [false, "policy_missing", "none"]);
    assert.equal(answer.recorded, true);
    assert.ok(daemon.warnings.some((text) => text.includes("every action is denied")));
    await writeFile(join(daemon.dir, "missing.yaml"), 'version: "1.5.0"\n');
    await eventually("the policy that came is in force", async () => (await check(daemon, READ)).allowed);
    await pool.stopAll();
  });

  it("only watches in observe mode", async () => {
    const daemon = await pool.start("observe", { ...QUIET, set: ["guard.mode=observe"] });
    const answer = await check(daemon, SHADOW);
    assert.deepEqual([answer.allowed, answer.verdict, answer.recorded], [true, "deny", true]);
    assert.equal((await audit(daemon))[0]?.mode, "observe");
    assert.ok(daemon.warnings.some((text) => text.includes("only observe")));
    await pool.stopAll();
  });

  it("knows an agent by its socket, where nothing but checks is answered", async () => {
    let daemon = await pool.start("agents", QUIET);
    await daemon.stop();
    const config = await readFile(join(daemon.dir, "config.yaml"), "utf8");
    await writeFile(
      join(daemon.dir, "config.yaml"),
      `${config}\nguard:\n  agents:\n    - {name: bob, socket: bob.sock}\n`,
    );
    daemon = await pool.start("agents", QUIET);
    const socket = join(daemon.dir, "bob.sock");
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    assert.equal((await check(daemon, READ, socket)).allowed, true);
    const other = await httpCall(socket, "POST", "/v1/check", JSON.stringify({ ...READ, agent_id: "alice" }));
    assert.equal(other.status, 403);
    for (const [method, path] of [
      ["POST", "/v1/publish"],
      ["GET", "/v1/status"],
      ["POST", "/v1/guard/approve"],
      ["GET", "/v1/guard/audit"],
    ] as const)
      assert.equal((await httpCall(socket, method, path, method === "POST" ? "{}" : "")).status, 403, path);
    const [entry] = await audit(daemon);
    assert.deepEqual([entry?.agent, entry?.uid], ["bob", process.getuid?.() ?? null]);
    assert.equal((await check(daemon, { ...READ, target: socket }, socket)).guard, "self_protection");
    await pool.stopAll();
  });

  it("refuses what cannot be judged, cleanly, and goes on", async () => {
    const daemon = await pool.start("garbage", QUIET);
    const bodies = [
      "",
      "null",
      "[]",
      "{",
      '{"action_type":1,"target":"x"}',
      '{"action_type":"file_access"}',
      '{"action_type":"file_access","target":"x","cwd":"relative"}',
      '{"action_type":"egress","target":"x","port":70000}',
      '{"action_type":"file_write","target":"x","content":"a","content_hex":"00"}',
      '{"action_type":"file_access","target":"x","harness":{"kind":7}}',
      '{"action_type":"file_access","target":"x","tier":"linux_kernel_attested"}',
    ];
    for (const body of bodies) {
      const { status, text } = await daemon.call("POST", "/v1/check", body);
      assert.equal(status, 400, body);
      const answer = JSON.parse(text) as Check & { error: { code: string; hint: string } };
      assert.deepEqual([answer.allowed, answer.reason], [false, "unusable_request"], body);
      assert.ok(answer.error.hint !== "");
    }
    const strange = [
      { action_type: "teleport", target: "/w" },
      { action_type: "mcp_tool", target: "srv__unheard_of", args: { path: "/etc/shadow" } },
      { action_type: "file_access", target: `/w/${"x".repeat(100_000)}` },
      { action_type: "mcp_tool", target: "t", args: { blob: "x".repeat(2_000_000) } },
      { action_type: "file_access", target: "/w/\u0000" },
    ];
    for (const body of strange) {
      const answer = await check(daemon, body);
      assert.deepEqual([answer.allowed, answer.recorded], [false, true], body.action_type);
    }
    const deep = `{"action_type":"mcp_tool","target":"t","args":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    const nested = JSON.parse((await daemon.call("POST", "/v1/check", deep)).text) as Check;
    assert.equal(nested.allowed, false);
    assert.equal(await sendHuge(daemon.socket, 100 * 1_048_576), 413);
    assert.equal((await check(daemon, READ)).allowed, true);
    const { unusable, unrecorded } = await guardStatus(daemon);
    assert.ok(unusable >= bodies.length + 1, String(unusable));
    assert.ok(unrecorded <= 1);
    await pool.stopAll();
  });

  it("serves ten agents at once, each with its own posture, and keeps quarantine over a restart", async () => {
    const states = [
      'version: "1.5.0"',
      "extends: default",
      "posture:",
      "  initial: work",
      "  states: {work: {capabilities: [file_access]}, quarantine: {capabilities: []}}",
      "  transitions: [{from: work, to: quarantine, on: critical_violation}, {from: quarantine, to: work, on: user_approval}]",
      "",
    ].join("\n");
    let daemon = await pool.start("sessions", QUIET);
    await daemon.stop();
    await writeFile(join(daemon.dir, "states.yaml"), states);
    daemon = await pool.start("sessions", { ...QUIET, set: ["guard.policy=states.yaml"] });
    const agents = Array.from({ length: 10 }, (_, i) => `agent-${i}`);
    await Promise.all(
      agents.map(async (session, i) => {
        for (let turn = 0; turn < 20; turn++)
          assert.equal((await check(daemon, { ...READ, session_id: session })).allowed, true);
        if (i % 2 === 1)
          assert.equal((await check(daemon, { ...SHADOW, session_id: session })).posture?.state, "quarantine");
      }),
    );
    const allowed = (): Promise<boolean[]> =>
      Promise.all(agents.map(async (session) => (await check(daemon, { ...READ, session_id: session })).allowed));
    const half = agents.map((_, i) => i % 2 === 0);
    assert.deepEqual(await allowed(), half);
    await daemon.kill();
    daemon = await pool.start("sessions", { ...QUIET, set: ["guard.policy=states.yaml"] });
    assert.deepEqual(await allowed(), half);
    const approved = await daemon.call("POST", "/v1/guard/sessions/agent-1/approve");
    assert.equal((JSON.parse(approved.text) as { changed: boolean }).changed, true);
    await daemon.kill();
    daemon = await pool.start("sessions", { ...QUIET, set: ["guard.policy=states.yaml"] });
    assert.deepEqual(
      await allowed(),
      half.map((fine, i) => fine || i === 1),
    );
    assert.equal((await check(daemon, READ)).reason, "session_missing");
    await pool.stopAll();
  });

  it("loses no answer to kill -9", async () => {
    const answered: string[] = [];
    let daemon = await pool.start("killed", QUIET);
    for (let round = 0; round < 3; round++) {
      let running = true;
      const lanes = Array.from({ length: 10 }, async () => {
        while (running) {
          try {
            const { envelope_hash, commitment } = await check(daemon, READ);
            answered.push(`${envelope_hash} ${commitment}`);
          } catch {
            return;
          }
        }
      });
      const before = answered.length;
      await eventually("decisions are made", async () => answered.length > before + 100);
      await daemon.kill();
      running = false;
      await Promise.all(lanes);
      daemon = await pool.start("killed", QUIET);
    }
    const held = new Set((await daemon.held(daemon.issuer)).values());
    const lost = answered.filter((one) => !held.has(one.split(" ")[0] as string));
    assert.deepEqual(lost, []);
    await pool.stopAll();
    const openings = await readFile(join(daemon.dir, "guard-openings", "00000001.jsonl"), "utf8");
    const kept = new Set(openings.split("\n").map((line) => /"commitment":"([0-9a-f]{64})"/.exec(line)?.[1]));
    assert.deepEqual(
      answered.filter((one) => !kept.has(one.split(" ")[1] as string)),
      [],
    );
  });
});

interface Stream {
  readonly opened: Promise<void>;
  readonly events: { readonly type: string; readonly data: Record<string, unknown> }[];
  readonly close: () => void;
}

/** An event stream read over a bare socket, as a client in any language would. */
function openStream(path: string, url: string): Stream {
  const socket = connect(path);
  const events: Stream["events"] = [];
  let text = "";
  const opened = new Promise<void>((resolve) => {
    socket.on("data", (part) => {
      text += part.toString();
      if (text.includes(": spine events")) resolve();
      for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
        const block = /event: (\w+)\ndata: (.*)$/s.exec(text.slice(0, at).replaceAll(/\r\n[0-9a-f]+\r\n/g, ""));
        text = text.slice(at + 2);
        if (block !== null) events.push({ type: block[1] as string, data: JSON.parse(block[2] as string) });
      }
    });
  });
  socket.write(`GET ${url} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  return { opened, events, close: () => socket.destroy() };
}

/** Sends a body of that many bytes whatever the server says meanwhile; resolves with the answer's status. */
function sendHuge(path: string, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("data", (part) => resolve(Number(part.toString().split(" ")[1])));
    socket.write(`POST /v1/check HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${bytes}\r\nconnection: close\r\n\r\n`);
    const piece = Buffer.alloc(1_048_576, 0x20);
    let left = bytes;
    const more = (): void => {
      while (left > 0) {
        left -= piece.length;
        if (!socket.write(piece)) {
          socket.once("drain", more);
          return;
        }
      }
      socket.end();
    };
    more();
  });
}
