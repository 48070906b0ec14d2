/** `spine run` as a process: readiness, stop, kill, second daemon, broken directories, and verbs before, during, after. */
import assert from "node:assert/strict";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { spine, startSpine } from "../helpers/cli.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const note = (text: string): string => `${JSON.stringify({ schema: "aegis.spine.fact.note.v1", text })}\n`;
const QUIET = ["--set", "planes.libp2p.enabled=false", "--set", "log.level=error"];

interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ready: Record<string, unknown>;
}

describe("spine run", function () {
  this.timeout(60_000);
  const folder = temporaryFolders();
  const children: ChildProcessWithoutNullStreams[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  async function fresh(): Promise<string> {
    const dir = join(await folder(), "node");
    const { code, err } = await spine(["init", "--dir", dir, "--name", "t"]);
    assert.equal(code, 0, err);
    return dir;
  }

  async function start(dir: string, ...args: string[]): Promise<Running> {
    const child = startSpine(["run", "--dir", dir, "--json", ...QUIET, ...args]);
    children.push(child);
    let err = "";
    child.stderr.on("data", (part: Buffer) => {
      err += part.toString();
    });
    const first = await Promise.race([once(child.stdout, "data"), once(child, "exit").then(() => undefined)]);
    assert.ok(first, `the daemon ended early: ${err}`);
    return { child, ready: JSON.parse(String(first[0])) as Record<string, unknown> };
  }

  async function stop({ child }: Running, signal: NodeJS.Signals): Promise<number | null> {
    child.kill(signal);
    const [code] = (await once(child, "exit")) as [number | null];
    return code;
  }

  const publish = (dir: string, text: string) => spine(["publish", "--dir", dir], note(text));

  it("is ready when it says so, stops with exit code 0, and the chain goes on without and with it", async () => {
    const dir = await fresh();
    assert.equal((await publish(dir, "before")).lines[0]?.["seq"], 2);
    const running = await start(dir);
    assert.equal(running.ready["ready"], true);
    assert.equal(running.ready["api"], `unix:${join(dir, "api.sock")}`);
    assert.equal((await publish(dir, "during")).lines[0]?.["seq"], 3);
    const during = await spine(["status", "--json", "--dir", dir]);
    assert.equal(during.lines[0]?.["running"], true);
    assert.equal(await stop(running, "SIGTERM"), 0);
    assert.equal((await readdir(dir)).includes("api.sock"), false);
    assert.equal((await readdir(dir)).includes("daemon.json"), false);
    assert.equal((await publish(dir, "after")).lines[0]?.["seq"], 4);
    const after = await spine(["status", "--json", "--dir", dir]);
    assert.equal(after.lines[0]?.["running"], false);
    // Checkpoints of the node's own log may stand beside what was published.
    assert.equal((after.lines[0]?.["head"] as { seq: number } | undefined)?.seq, 4);
    const exported = await spine(["export", "--dir", dir]);
    assert.equal((await spine(["envelope", "verify"], exported.out)).code, 0);
  });

  it("leaves a directory that works after SIGKILL: verbs, a new daemon, a clean check", async () => {
    const dir = await fresh();
    const first = await start(dir);
    assert.equal((await publish(dir, "a")).lines[0]?.["seq"], 2);
    await stop(first, "SIGKILL");
    assert.ok((await readdir(dir)).includes("api.sock"));
    assert.equal((await publish(dir, "b")).lines[0]?.["seq"], 3);
    const second = await start(dir);
    assert.equal((await publish(dir, "c")).lines[0]?.["seq"], 4);
    assert.equal(await stop(second, "SIGINT"), 0);
    const check = await spine(["store", "check", "--json", "--dir", dir]);
    assert.equal(check.code, 0, check.out);
    const { envelopes, ...rest } = check.lines.at(-1) as Record<string, unknown>;
    assert.deepEqual(rest, { ok: true, problems: 0, repaired: 0 });
    // The log may have stated a checkpoint meanwhile.
    assert.ok((envelopes as number) >= 3, `${envelopes} envelopes`);
  });

  it("refuses a second daemon on the directory, and leaves the first alone", async () => {
    const dir = await fresh();
    await start(dir);
    const second = await spine(["run", "--dir", dir, ...QUIET]);
    assert.equal(second.code, 1);
    assert.match(second.err, /^error daemon_running: /);
    assert.equal((await publish(dir, "a")).code, 0);
    const elsewhere = await spine(["run", "--dir", dir, ...QUIET, "--set", "api.socket=other.sock"]);
    assert.match(elsewhere.err, /^error (daemon_running|store_locked): /);
  });

  it("serves loopback TCP with the token when configured, and names a taken port", async () => {
    const dir = await fresh();
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const refused = await spine(["run", "--dir", dir, ...QUIET, "--set", `api.listen=127.0.0.1:${port}`]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, new RegExp(`^error port_in_use: .*127\\.0\\.0\\.1:${port}`));
    taken.close();
    await once(taken, "close");
    await start(dir, "--set", `api.listen=127.0.0.1:${port}`);
    const token = /^spine-token v1 (.*)\n$/.exec(await readFile(join(dir, "api-token"), "utf8"))?.[1] ?? "";
    const url = `http://127.0.0.1:${port}/v1/status`;
    assert.equal((await fetch(url)).status, 401);
    assert.equal((await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status, 200);
  });

  it("starts only where a node was made, unless told to make one", async () => {
    const dir = join(await folder(), "none");
    for (const verb of [["run", ...QUIET], ["status"], ["publish"], ["store", "check"]]) {
      const { code, err } = await spine([...verb, "--dir", dir], note("x"));
      assert.equal(code, 1, verb[0]);
      assert.match(err, /^error key_missing: /, verb[0]);
    }
    await assert.rejects(stat(dir), { code: "ENOENT" });
    const running = await start(dir, "--init");
    assert.match(String(running.ready["issuer"]), /^aegis:ed25519:/);
  });

  it("says what is wrong with keys and configuration, and damages nothing", async () => {
    const dir = await fresh();
    const key = join(dir, "issuer.key");
    const before = await readFile(key, "utf8");
    await chmod(key, 0o644);
    assert.match((await spine(["run", "--dir", dir, ...QUIET])).err, /^error key_permissions: /);
    await chmod(key, 0o600);
    await writeFile(key, before.slice(0, 40));
    assert.match((await spine(["run", "--dir", dir, ...QUIET])).err, /^error key_invalid: /);
    await writeFile(key, before);
    const config = await readFile(join(dir, "config.yaml"), "utf8");
    await truncate(join(dir, "config.yaml"), config.indexOf("libp2p:") + 3);
    assert.match((await spine(["run", "--dir", dir, ...QUIET])).err, /^error config_invalid: planes: /);
    await writeFile(join(dir, "config.yaml"), config);
    await start(dir);
  });
});
