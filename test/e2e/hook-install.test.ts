/** Installing hooks into a harness's settings, proving them, noticing their removal, and taking them out again. */
import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hookCommand, hookFaults, withHooks, withoutHooks } from "../../node/hooks/settings.ts";
import type { AuditEntry } from "../../node/index.ts";
import { spine } from "../helpers/cli.ts";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const PROGRAM = { node: "/usr/bin/node", launcher: "/opt/it's/launcher.cjs", dir: "/w/n" };

describe("harness settings", () => {
  it("keep what others put there, take our hooks once, and give them back", () => {
    const mine = {
      model: "m",
      hooks: { PreToolUse: [{ matcher: "Bash", hooks: [{ type: "command", command: "x" }] }] },
    };
    const text = `${JSON.stringify(mine, null, 2)}\n`;
    const command = hookCommand("claude-code", PROGRAM);
    const once = withHooks("claude-code", "s.json", text, command);
    assert.equal(withHooks("claude-code", "s.json", once, command), once);
    assert.deepEqual(hookFaults("claude-code", "s.json", once, command), []);
    assert.match(once, /"onFailure": "block"/);
    assert.equal(withoutHooks("claude-code", "s.json", once), text);
    const weaker = once.replace('"onFailure": "block"', '"onFailure": "allow"');
    assert.equal(hookFaults("claude-code", "s.json", weaker, command).length, 1);
    const off = `${JSON.stringify({ ...(JSON.parse(once) as object), disableAllHooks: true })}`;
    assert.deepEqual(hookFaults("claude-code", "s.json", off, command), ["disableAllHooks is set"]);
    const gemini = hookCommand("gemini-cli", PROGRAM);
    const held = JSON.parse(withHooks("gemini-cli", "s.json", undefined, gemini)) as object;
    for (const hooksConfig of [{ enabled: false }, { disabled: ["spine"] }, { disabled: [gemini] }]) {
      const switched = JSON.stringify({ ...held, hooksConfig });
      assert.deepEqual(hookFaults("gemini-cli", "s.json", switched, gemini), ["hooksConfig switches the hooks off"]);
    }
    assert.deepEqual(
      hookFaults("gemini-cli", "s.json", JSON.stringify({ ...held, hooksConfig: { enabled: true } }), gemini),
      [],
    );
    for (const bad of ["// comment\n{}", "[]", '{"hooks":[]}', '{"hooks":{"PreToolUse":{}}}'])
      assert.throws(() => withHooks("claude-code", "s.json", bad, command), { code: "hook_settings" });
    assert.match(withHooks("cursor", "s.json", undefined, hookCommand("cursor", PROGRAM)), /"failClosed": true/);
  });
});

describe("Codex's requirements", () => {
  const path = "/etc/codex/requirements.toml";
  const command = hookCommand("codex", PROGRAM);

  it("keep what others put there, and take our block once", () => {
    const mine = 'allowed_sandbox_modes = ["read-only"]\n\n[mcp_servers.x]\nurl = "http://h"\n';
    const once = withHooks("codex", path, mine, command);
    assert.ok(once.startsWith(mine));
    assert.equal(withHooks("codex", path, once, command), once);
    assert.deepEqual(hookFaults("codex", path, once, command), []);
    assert.equal(withoutHooks("codex", path, once), mine);
    assert.equal(withoutHooks("codex", path, withHooks("codex", path, undefined, command)), "");
    assert.equal(hookFaults("codex", path, once.replace("hooks = true", "hooks = false"), command).length, 1);
    assert.equal(hookFaults("codex", path, undefined, command).length, 1);
    for (const own of ["[features]\nx = true\n", "[[hooks.Stop]]\n", "features.hooks = false\n", '["hooks"]\n'])
      assert.throws(() => withHooks("codex", path, own, command), { code: "hook_settings" });
  });
});

describe("guard install, doctor, uninstall", function () {
  this.timeout(90_000);
  const pool = daemonPool();
  const temporary = temporaryFolders();
  const read = { session_id: "s", cwd: "/w", hook_event_name: "PreToolUse", tool_name: "Read" };

  async function tier(daemon: Daemon): Promise<string | undefined> {
    await daemon.call("POST", "/v1/hooks/claude-code", JSON.stringify({ ...read, tool_input: { file_path: "/w/a" } }));
    const { entries } = JSON.parse((await daemon.call("GET", "/v1/guard/audit?limit=1")).text) as {
      entries: AuditEntry[];
    };
    const hash = entries[0]?.envelope_hash as string;
    return /"tier":"(\w+)"/.exec((await daemon.call("GET", `/v1/envelopes/${hash}`)).text)?.[1];
  }

  it("claims enforcement only while it was proven and the settings hold", async () => {
    const home = await temporary();
    const daemon = await pool.start("node", { port: null });
    const verb = (...args: string[]) => spine([...args, "--dir", daemon.dir], "", { HOME: home });
    const settings = join(home, ".claude", "settings.json");
    await mkdir(join(home, ".claude"));
    const before = '{"theme":"dark"}';
    await writeFile(settings, before);
    const unasked = await verb("guard", "install", "claude-code");
    assert.equal(unasked.code, 2);
    assert.match(unasked.err, /\+ .*SPINE_HOOK=claude-code/);
    assert.equal(await readFile(settings, "utf8"), before);
    assert.equal((await verb("guard", "install", "claude-code", "--yes")).code, 0);
    assert.equal((await stat(settings)).mode & 0o777, 0o600);
    assert.equal(await tier(daemon), "best_effort");
    const doctor = await verb("guard", "doctor", "claude-code");
    assert.equal(doctor.code, 0, doctor.out + doctor.err);
    assert.match(doctor.out, /claude-code: daemon_enforced/);
    assert.match(doctor.out, /not covered/);
    await eventually("the daemon knows", async () => (await tier(daemon)) === "daemon_enforced");
    const held = await readFile(settings, "utf8");
    await writeFile(settings, before);
    await eventually("the removal is noticed", async () => (await tier(daemon)) === "best_effort");
    await eventually("the incident", async () => {
      const hashes = [...(await daemon.held(daemon.issuer)).values()].reverse().slice(0, 30);
      const texts = await Promise.all(hashes.map(async (h) => (await daemon.call("GET", `/v1/envelopes/${h}`)).text));
      return texts.some((text) => text.includes("spine_hook_removed"));
    });
    const sick = await verb("guard", "doctor", "claude-code");
    assert.equal(sick.code, 1);
    assert.match(sick.out, /FAIL .*does not ask Spine/);
    await writeFile(settings, held);
    assert.equal((await verb("guard", "uninstall", "claude-code", "--yes")).code, 0);
    assert.equal(await readFile(settings, "utf8"), before);
    await pool.stopAll();
  });

  it("refuses a harness without a blocking switch unless told", async () => {
    const home = await temporary();
    const daemon = await pool.start("advisory", { port: null });
    const verb = (...args: string[]) => spine([...args, "--dir", daemon.dir], "", { HOME: home });
    for (const harness of ["codex", "gemini-cli"]) {
      const refused = await verb("guard", "install", harness, "--yes");
      assert.equal(refused.code, 1);
      assert.match(refused.err, /hook_advisory/);
      assert.equal((await verb("guard", "install", harness, "--yes", "--advisory")).code, 0);
      const doctor = await verb("guard", "doctor", harness);
      assert.match(doctor.out, /best_effort/);
      // Codex itself must say that it runs the hooks; none is in this path.
      if (harness === "codex") assert.match(doctor.out, /FAIL codex is not in the path/);
      assert.equal(doctor.code, harness === "codex" ? 1 : 0, doctor.out);
    }
    assert.equal((await verb("guard", "install", "cursor", "--yes")).code, 0);
    assert.match((await verb("guard", "doctor", "cursor")).out, /cursor: daemon_enforced/);
    await daemon.stop();
    assert.equal((await verb("guard", "doctor", "cursor")).code, 1);
  });
});
