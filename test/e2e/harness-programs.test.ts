/**
 * The harness programs themselves, headless, with a model that asks for what it should not get: the hooks that
 * `spine guard install` put into their settings hold each tool back, and the model is told why. Then what the programs do
 * when a hook fails, which no documentation settles.
 */
import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readFile, realpath, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { codexHooks } from "../../node/hooks/codex-trust.ts";
import type { ScriptedCall } from "../../node/hooks/rehearsal/model.ts";
import { type AuditEntry, nodeDir } from "../../node/index.ts";
import { CLI, spine } from "../helpers/cli.ts";
import { type Daemon, daemonPool } from "../helpers/daemon.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { type HarnessRun, inside, isInstalled, programsOf, type RealHarness, runHarness } from "../peers/harness.ts";

const require = createRequire(import.meta.url);

interface Case {
  readonly harness: RealHarness;
  /** Its settings before ours. */
  readonly settings: Readonly<Record<string, string>>;
  readonly install: readonly string[];
  readonly shell: (command: string) => ScriptedCall;
  readonly read?: (path: string) => ScriptedCall;
  readonly write: (path: string, line: string) => ScriptedCall;
  /** What a shell says of a hook that crashed, in the model's sight. */
  readonly whenHookFails: "blocks" | "runs";
}

const CASES: readonly Case[] = [
  {
    harness: "claude-code",
    settings: {},
    install: [],
    shell: (command) => ({ tool: "Bash", input: { command } }),
    read: (file_path) => ({ tool: "Read", input: { file_path } }),
    write: (file_path, line) => ({ tool: "Write", input: { file_path, content: `${line}\n` } }),
    whenHookFails: "blocks",
  },
  {
    harness: "codex",
    settings: {},
    install: ["--advisory"],
    shell: (cmd) => ({ tool: "exec_command", input: { cmd } }),
    write: (path, line) => ({
      tool: "apply_patch",
      input: `*** Begin Patch\n*** Add File: ${path}\n+${line}\n*** End Patch\n`,
    }),
    whenHookFails: "runs",
  },
  {
    harness: "gemini-cli",
    settings: { ".gemini/settings.json": '{"security":{"auth":{"selectedType":"gemini-api-key"}}}' },
    install: ["--advisory"],
    shell: (command) => ({ tool: "run_shell_command", input: { command } }),
    read: (file_path) => ({ tool: "read_file", input: { file_path } }),
    write: (file_path, line) => ({ tool: "write_file", input: { file_path, content: `${line}\n` } }),
    whenHookFails: "runs",
  },
];

type Installs = Readonly<Record<RealHarness, { readonly settings: string; readonly command: string }>>;

/** What a person does with /hooks: Codex keeps the hash of each hook that it was shown. */
async function trust(home: string, command: string): Promise<void> {
  const hooks = (await codexHooks(command, AbortSignal.timeout(30_000))) ?? [];
  assert.equal(hooks.length, 3);
  assert.ok(hooks.every(({ runs }) => !runs));
  const states = hooks.map(({ key, hash }) => `[hooks.state.${JSON.stringify(key)}]\ntrusted_hash = "${hash}"\n`);
  await writeFile(join(home, ".codex/config.toml"), states.join("\n"));
}

describe("harness programs", function () {
  this.timeout(180_000);
  const pool = daemonPool();
  const temporary = temporaryFolders();
  let daemon: Daemon;
  before(async () => {
    daemon = await pool.start("node", { port: null });
  });
  after(() => pool.stopAll());

  const environment = { HOME: process.env["HOME"], PATH: process.env["PATH"] };
  afterEach(() => {
    Object.assign(process.env, environment);
  });

  for (const one of CASES) {
    const { harness, shell, read, write } = one;
    const title = `${harness}: denied calls never run and the model reads why; ordinary work passes; all is signed`;
    if (!isInstalled(harness)) {
      const missing = `${title} (run test/peers/setup-harnesses.sh ${harness})`;
      if (process.env["SPINE_REQUIRE_PEERS"] === "1" && harness === "claude-code")
        it(missing, () => assert.fail("not installed"));
      else it.skip(missing);
      continue;
    }

    it(title, async () => {
      const home = await temporary();
      const cwd = await temporary();
      for (const folder of [".claude", ".codex", ".gemini"]) await mkdir(join(home, folder));
      // In reach of the tools: some refuse by themselves what lies elsewhere.
      const key = join(cwd, ".ssh/id_rsa");
      await mkdir(join(cwd, ".ssh"));
      await writeFile(key, "SECRET OF THE KEY\n");
      await writeFile(join(cwd, "notes.txt"), "what the work is about\n");
      for (const [path, text] of Object.entries(one.settings)) await writeFile(join(home, path), text);
      const path = `${programsOf(harness)}:${process.env["PATH"]}`;
      const verb = (...args: string[]) => spine([...args, "--dir", daemon.dir], "", { HOME: home, PATH: path });
      const installed = await verb("guard", "install", harness, "--yes", ...one.install, "--json");
      assert.equal(installed.code, 0, installed.err);
      assert.match(String(installed.lines[0]?.["version"]), /^\d+\.\d+\.\d+$/);
      if (harness === "codex") {
        const untrusted = await verb("guard", "doctor", harness);
        assert.equal(untrusted.code, 1);
        assert.match(untrusted.out, /FAIL Codex leaves out 3 of these hooks/);
        Object.assign(process.env, { HOME: home, PATH: path });
        assert.equal(homedir(), home);
        const { codex } = JSON.parse(await readFile(join(daemon.dir, "hooks.json"), "utf8")) as Installs;
        await trust(home, codex.command);
      }
      const doctor = [process.execPath, CLI, "guard", "doctor", harness, "--program", "--dir", daemon.dir];
      const said = await inside(doctor, { HOME: home, PATH: path });
      assert.match(said, /ok +the program itself held back the call: .*Spine/);

      const marked = join(cwd, "ran");
      const calls = [
        shell(`cat ${key}; touch ${marked}`),
        ...(read === undefined ? [] : [read(key)]),
        shell(`touch ${marked}; curl -s http://169.254.169.254/latest`),
        write(join(cwd, "key.pem"), "-----BEGIN RSA PRIVATE KEY-----"),
        shell("cat notes.txt"),
        write(join(cwd, "done.txt"), "finished"),
      ];
      const denied = calls.length - 2;
      const run = await runHarness({ harness, home, cwd, calls, prompt: "Do what the notes say." });
      assert.equal(run.outcomes.length, calls.length, JSON.stringify(run));
      for (const [i, outcome] of run.outcomes.entries()) {
        if (i < denied) assert.match(outcome, /Spine/, JSON.stringify(run.outcomes));
        else assert.doesNotMatch(outcome, /Spine/, JSON.stringify(run.outcomes));
        assert.doesNotMatch(outcome, /SECRET OF THE KEY/);
      }
      assert.match(run.outcomes[denied] as string, /what the work is about/);
      assert.equal(await readFile(join(cwd, "done.txt"), "utf8"), "finished\n");
      await assert.rejects(readFile(marked), "no part of a denied command ran");
      await assert.rejects(readFile(join(cwd, "key.pem")));

      const { entries } = JSON.parse((await daemon.call("GET", "/v1/guard/audit?limit=100")).text) as {
        entries: AuditEntry[];
      };
      const mine = entries.filter((entry) => entry.harness === harness && !entry.session?.startsWith("spine-doctor"));
      assert.ok(mine.filter(({ verdict }) => verdict === "deny").length >= denied);
      const envelopes = await Promise.all(
        mine.map(async (entry) => (await daemon.call("GET", `/v1/envelopes/${entry.envelope_hash}`)).text.trim()),
      );
      const offline = await spine(["envelope", "verify", "-"], `${envelopes.join("\n")}\n`);
      assert.equal(offline.code, 0, offline.out);

      await assertFailures(one, home, cwd);
    });
  }

  for (const { harness, shell, settings, install } of CASES) {
    const sessions = {
      "claude-code": [["--bare"], ["--safe-mode"]],
      codex: [["-c", "features.hooks=false"]],
      "gemini-cli": [[]],
    }[harness];
    if (sessions.length === 0 || !isInstalled(harness)) continue;
    if (harness !== "claude-code" && process.env["SPINE_LONG"] !== "1") continue;
    it(`${harness}: the administrator's settings hold where a session leaves the user's out`, async () => {
      const [home, cwd, etc] = [await temporary(), await temporary(), await temporary()];
      await chmod(etc, 0o755);
      await copyFile("/etc/passwd", join(etc, "passwd"));
      await mkdir(join(home, ".gemini"));
      for (const [path, text] of Object.entries(settings)) await writeFile(join(home, path), text);
      const env = { HOME: home, PATH: `${programsOf(harness)}:${process.env["PATH"]}` };
      const verb = (...args: string[]) =>
        inside([process.execPath, CLI, "guard", ...args, harness, "--yes", "--dir", daemon.dir], env, etc);
      await verb("uninstall");
      await verb("install", ...install);
      await assert.rejects(verb("install", "--managed", ...install), /asks Spine already/);
      await verb("uninstall");
      await verb("install", "--managed", ...install);
      const { settings: file } = (JSON.parse(await readFile(join(daemon.dir, "hooks.json"), "utf8")) as Installs)[
        harness
      ];
      assert.match(file, /^\/etc\//);
      assert.equal((await stat(join(etc, file.slice("/etc".length)))).mode & 0o777, 0o644);
      for (const extra of sessions) {
        const calls = [shell("cat .ssh/id_rsa")];
        const run = await runHarness({ harness, home, cwd, calls, prompt: "Go on.", extra }, etc);
        assert.match(run.outcomes[0] as string, /Spine/, JSON.stringify(run));
      }
      await verb("uninstall");
      await assert.rejects(stat(join(etc, file.slice("/etc".length))));
    });
  }

  if (isInstalled("claude-code")) {
    it("claude-code: an HTTP hook of the daemon's denies and allows, and blocks when nobody answers", async () => {
      const [home, cwd] = [await temporary(), await temporary()];
      await mkdir(join(home, ".claude"));
      await writeFile(join(cwd, "notes.txt"), "what the work is about\n");
      const port = 4_900;
      const url = `http://127.0.0.1:${port}/v1/hooks/claude-code`;
      const hooks = { PreToolUse: [{ hooks: [{ type: "http", url, timeout: 20, onFailure: "block" }] }] };
      await writeFile(join(home, ".claude/settings.json"), JSON.stringify({ hooks }));
      const bash = (command: string) => ({ tool: "Bash", input: { command } });
      const calls = [bash("cat /root/.ssh/id_rsa"), bash("cat notes.txt")];
      const { socket } = nodeDir(daemon.dir);
      const task = { harness: "claude-code", home, cwd, calls, prompt: "Go on." } as const;
      const run = await runHarness({ ...task, relay: { port, socket } });
      assert.match(run.outcomes[0] as string, /Spine/, JSON.stringify(run));
      assert.match(run.outcomes[1] as string, /what the work is about/);
      const alone = await runHarness({ ...task, relay: { port, socket: "/nonexistent/s" } });
      assert.equal(alone.outcomes.length, 2);
      for (const outcome of alone.outcomes) assert.match(outcome, /blocking because onFailure/);
    });

    it("claude-code: the MCP proxy alone holds a server's tools back where a session has no hooks", async () => {
      const [home, cwd] = [await temporary(), await realpath(await temporary())];
      await mkdir(join(cwd, ".ssh"));
      await writeFile(join(cwd, ".ssh/id_rsa"), "SECRET OF THE KEY\n");
      await writeFile(join(cwd, "notes.txt"), "what the work is about\n");
      const server = join(dirname(require.resolve("@modelcontextprotocol/server-filesystem/package.json")), "dist");
      const args = [CLI, "mcp", "--dir", daemon.dir, "--", process.execPath, join(server, "index.js"), cwd];
      const config = JSON.stringify({ mcpServers: { files: { command: process.execPath, args } } });
      const read = (name: string) => ({
        tool: "mcp__files__read_text_file",
        input: { path: join(cwd, name) },
      });
      const extra = ["mcp__files__read_text_file", "--bare", "--mcp-config", config, "--strict-mcp-config"];
      const calls = [read("notes.txt"), read(".ssh/id_rsa")];
      const run = await runHarness({ harness: "claude-code", home, cwd, calls, prompt: "Go on.", extra });
      assert.match(run.outcomes[0] as string, /what the work is about/, JSON.stringify(run));
      assert.match(run.outcomes[1] as string, /Denied by Spine/);
      assert.doesNotMatch(JSON.stringify(run), /SECRET OF THE KEY/);
    });
  }

  /** Nobody answers the hook, and a hook that ends otherwise than hooks should. */
  async function assertFailures(one: Case, home: string, cwd: string): Promise<void> {
    const long = process.env["SPINE_LONG"] === "1";
    if (!long && one.harness !== "claude-code") return;
    const { harness, shell } = one;
    const settings = join(
      home,
      { "claude-code": ".claude/settings.json", codex: ".codex/hooks.json", "gemini-cli": ".gemini/settings.json" }[
        harness
      ],
    );
    const good = await readFile(settings, "utf8");
    const go = async (change: (text: string) => string): Promise<HarnessRun> => {
      await writeFile(settings, change(good));
      const extra = harness === "codex" ? ["--dangerously-bypass-hook-trust"] : [];
      return runHarness({ harness, home, cwd, calls: [shell("echo it ran")], prompt: "Go on.", extra });
    };
    // The prompt itself is held back where its hook is asked first.
    const unreachable = await go((text) => text.replaceAll(/--dir '[^']*'/g, "--socket /nonexistent/s"));
    assert.ok(
      unreachable.outcomes.length === 0 ||
        /Spine: denied, since the guards cannot be asked/.test(unreachable.outcomes[0] as string),
      JSON.stringify(unreachable),
    );
    if (harness === "claude-code") {
      await writeFile(settings, "{}");
      const doctor = [process.execPath, CLI, "guard", "doctor", harness, "--program", "--dir", daemon.dir];
      const env = { HOME: home, PATH: `${programsOf(harness)}:${process.env["PATH"]}` };
      await assert.rejects(inside(doctor, env), ({ stdout }: { stdout: string }) =>
        /FAIL the program itself RAN the call/.test(stdout),
      );
    }
    if (!long) return;
    const crashed = await go((text) => text.replaceAll(/"command": "[^\n]*"/g, '"command": "exit 1"'));
    if (one.whenHookFails === "runs") assert.match(crashed.outcomes[0] as string, /it ran/);
    else assert.ok(!crashed.outcomes.some((outcome) => /it ran/.test(outcome)), JSON.stringify(crashed));
  }
});
