/** What goes wrong around a node, with the real program: each fault ends in a clear coded error and damages nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, cp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { initDir, nodeDir } from "../../node/index.ts";
import { spine, startSpine } from "../helpers/cli.ts";
import { type Daemon, daemonPool, httpCall, note, notes } from "../helpers/daemon.ts";
import { smallDisks } from "../helpers/small-disk.ts";
import { assertCleanStore } from "../helpers/store-check.ts";

const HELD = 40;
const QUIET = ["planes.libp2p.listen=/ip4/127.0.0.1/tcp/0", "planes.libp2p.mdns=false", "log.level=silent"];

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Runs the daemon, which must refuse with exit code 1 and one coded error. */
async function refusal(dir: string, ...settings: string[]): Promise<Refusal> {
  const child = startSpine([
    "run",
    "--json",
    "--dir",
    dir,
    ...[...QUIET, ...settings].flatMap((one) => ["--set", one]),
  ]);
  let [out, err] = ["", ""];
  child.stdout.on("data", (part: Buffer) => {
    out += part.toString();
    child.kill("SIGKILL");
  });
  child.stderr.on("data", (part: Buffer) => {
    err += part.toString();
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(out, "", "the daemon became ready");
  assert.equal(code, 1, err);
  const { error } = JSON.parse(err.trimEnd().split("\n").at(-1) as string) as { error: Refusal };
  assert.ok(error.hint.length > 10);
  return error;
}

/** Content of every file of a directory but those that LevelDB and the process write on every opening. */
async function contentOf(dir: string): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || /^(LOG|LOG\.old|LOCK)$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    content.set(
      path,
      createHash("sha256")
        .update(await readFile(path))
        .digest("hex"),
    );
  }
  return content;
}

describe("faults", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  let number = 0;

  /** A fresh copy of a node that holds HELD envelopes. */
  async function node(): Promise<string> {
    const dir = pool.dir(`node-${++number}`);
    await cp(pool.dir("template"), dir, { recursive: true });
    return dir;
  }
  const assertWhole = (dir: string): Promise<void> => assertCleanStore(dir, HELD);

  before(async () => {
    const dir = pool.dir("template");
    await initDir(nodeDir(dir), { open: false, forceNew: false });
    const facts = notes(HELD).map((fact) => `${JSON.stringify(fact)}\n`);
    assert.equal((await spine(["publish", "--dir", dir], facts.join(""))).code, 0);
  });

  describe("of the directory", () => {
    it("keys that others can read are refused", async () => {
      const dir = await node();
      for (const name of ["issuer.key", "libp2p.key", "api-token"]) {
        await chmod(join(dir, name), 0o644);
        const { code, message } = await refusal(dir);
        assert.equal(code, "key_permissions");
        assert.ok(message.includes(name), message);
        await chmod(join(dir, name), 0o600);
      }
      await assertWhole(dir);
    });

    it("missing, mixed up and damaged keys are refused, never replaced", async () => {
      const dir = await node();
      const key = join(dir, "issuer.key");
      const text = await readFile(key, "utf8");
      for (const [wrong, code] of [
        [text.slice(0, 40), "key_invalid"],
        [await readFile(join(dir, "libp2p.key"), "utf8"), "key_invalid"],
        [null, "key_missing"],
      ] as const) {
        await rm(key);
        if (wrong !== null) await writeFile(key, wrong, { mode: 0o600 });
        assert.equal((await refusal(dir)).code, code);
        assert.equal(await readFile(key, "utf8").catch(() => null), wrong);
      }
    });

    it("a half-written configuration is refused with its place", async () => {
      const dir = await node();
      const path = join(dir, "config.yaml");
      const text = await readFile(path, "utf8");
      await writeFile(path, `${text.slice(0, text.indexOf("enabled"))}enabled: tr`);
      const { code, message } = await refusal(dir);
      assert.equal(code, "config_invalid");
      assert.match(message, /planes\.libp2p\.enabled/);
      await writeFile(path, `${text}api: {listen: "127`);
      const cut = await refusal(dir);
      assert.equal(cut.code, "config_invalid");
      assert.match(cut.message, /config\.yaml:\d+:\d+/);
      await assertWhole(dir);
    });

    it("a second daemon is refused, also when the first one's socket is gone", async () => {
      const dir = await node();
      const name = `node-${number}`;
      const first = await pool.start(name);
      assert.equal((await refusal(dir)).code, "daemon_running");
      await rm(first.socket);
      assert.equal((await refusal(dir)).code, "store_locked");
      assert.ok(first.alive);
      assert.equal(await first.stop(), 0, first.stderr);
      await assertWhole(dir);
    });

    it("a socket left behind by a killed daemon is in nobody's way", async () => {
      const dir = await node();
      const name = `node-${number}`;
      const first = await pool.start(name);
      await first.publish([note("acknowledged")]);
      await first.kill();
      assert.ok((await stat(first.socket)).isSocket());
      const status = await spine(["status", "--json", "--dir", dir]);
      assert.equal(status.code, 0, status.err);
      assert.deepEqual([status.lines[0]?.["running"], status.lines[0]?.["log_size"]], [false, HELD + 1]);
      const second = await pool.start(name);
      assert.equal(await second.count(second.issuer), HELD + 1);
      assert.equal(await second.stop(), 0);
    });
  });

  describe("of the store", () => {
    it("damaged files are refused as they are, reported by the check, and whole again when restored", async () => {
      const dir = await node();
      const store = join(dir, "store");
      const names = (await readdir(store)).filter((name) => /\.(log|ldb)$/.test(name));
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(store, name))).size));
      const file = join(store, names[sizes.indexOf(Math.max(...sizes))] as string);
      const whole = await readFile(file);
      const damaged = Buffer.from(whole);
      damaged.fill(0xa5, whole.length >> 1, (whole.length >> 1) + 200);
      await writeFile(file, damaged);
      const before = await contentOf(dir);
      assert.equal((await refusal(dir)).code, "store_corrupt");
      assert.deepEqual(await contentOf(dir), before);
      const check = await spine(["store", "check", "--json", "--dir", dir]);
      assert.equal(check.code, 1, check.out);
      assert.deepEqual(await contentOf(dir), before);
      await writeFile(file, whole);
      await assertWhole(dir);
    });

    it("a store without its table of contents is refused, not begun anew", async () => {
      const dir = await node();
      const current = join(dir, "store", "CURRENT");
      const text = await readFile(current, "utf8");
      await writeFile(current, "MANIFEST-9");
      assert.equal((await refusal(dir)).code, "store_corrupt");
      await writeFile(current, text);
      await assertWhole(dir);
    });
  });

  describe("of the network", () => {
    let taken: Server;
    let port = 0;
    before(async () => {
      taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
      port = (taken.address() as { port: number }).port;
    });
    after(() => taken.close());

    it("ports that are taken are named", async () => {
      const dir = await node();
      const plane = await refusal(dir, `planes.libp2p.listen=/ip4/127.0.0.1/tcp/${port}`);
      assert.deepEqual([plane.code, plane.message.includes(String(port))], ["port_in_use", true]);
      const api = await refusal(dir, `api.listen=127.0.0.1:${port}`);
      assert.deepEqual([api.code, api.message.includes(String(port))], ["port_in_use", true]);
      await assertWhole(dir);
    });
  });

  describe("a full disk", () => {
    const disks = smallDisks();

    it("ends the daemon with store_full; what was acknowledged is there afterwards", async function () {
      const dir = pool.dir("full");
      if (!disks.mount(dir, 6)) this.skip();
      const daemon: Daemon = await pool.start("full");
      const filler = "x".repeat(4_000);
      const acknowledged = new Map<number, string>();
      let last = "";
      for (let i = 0; i < 400 && daemon.alive; i++) {
        const body = notes(20, `${i} ${Math.random()} ${filler}`)
          .map((fact) => JSON.stringify(fact))
          .join("\n");
        try {
          const { text } = await httpCall(daemon.socket, "POST", "/v1/publish", body, true);
          last = text;
          for (const line of text.trimEnd().split("\n")) {
            const result = JSON.parse(line) as { ok?: boolean; seq: number; envelope_hash: string };
            if (result.ok === true) acknowledged.set(result.seq, result.envelope_hash);
          }
        } catch {
          break;
        }
      }
      assert.equal(await daemon.exited, 1);
      assert.match(`${last}${daemon.stderr}`, /store_full/);
      assert.ok(acknowledged.size > 0);
      assert.equal((await refusal(dir)).code, "store_full");
      disks.grow(dir, 64);
      const again = await pool.start("full");
      const held = await again.held(again.issuer);
      for (const [seq, hash] of acknowledged) assert.equal(held.get(seq), hash);
      await again.publish([note("room again")]);
      assert.equal(await again.stop(), 0);
      await assertCleanStore(dir, held.size + 1);
    });
  });
});
