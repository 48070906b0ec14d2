/** `spine backup` and `spine restore`: what is in the file, what is refused, and that a broken one leaves nothing behind. */
import assert from "node:assert/strict";
import { appendFile, chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { nodeDir, restoreBackup, STAGING } from "../../node/index.ts";
import { spine, startSpine } from "../helpers/cli.ts";
import { daemonPool, notes } from "../helpers/daemon.ts";
import { assertCleanStore } from "../helpers/store-check.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const lines = (count: number): string =>
  notes(count)
    .map((note) => `${JSON.stringify(note)}\n`)
    .join("");

describe("spine backup and restore", function () {
  this.timeout(60_000);
  const folder = temporaryFolders();
  const pool = daemonPool();
  let root = "";
  let dir = "";
  let file = "";
  let issuer = "";
  before(async () => {
    root = await folder();
    dir = join(root, "node");
    file = join(root, "node.backup");
    await spine(["init", "--dir", dir, "--name", "kept"]);
    assert.equal((await spine(["publish", "--dir", dir], lines(299))).code, 0);
    const { code, lines: said, err } = await spine(["backup", file, "--json", "--dir", dir]);
    assert.equal(code, 0, err);
    assert.match(err, /keys in clear/);
    issuer = String(said[0]?.["issuer"]);
    assert.equal(said[0]?.["keys"], "clear");
  });
  const restore = (from: string, to: string, ...more: string[]) =>
    spine(["restore", from, "--dir", to, "--json", ...more]);

  it("brings back keys, settings and every envelope, but no mark and no token", async () => {
    const copy = join(root, "copy");
    const { code, lines: said, err } = await restore(file, copy);
    assert.equal(code, 0, err);
    assert.equal(said[0]?.["issuer"], issuer);
    assert.equal(said[0]?.["envelopes"], 300);
    const names = await readdir(copy);
    for (const name of ["api-token", "config.yaml", "issuer.key", "libp2p.key", "next.key", "recovery.pub", "store"])
      assert.ok(names.includes(name), name);
    for (const name of ["high-water", "own-key-alarm"]) assert.equal(names.includes(name), false, name);
    for (const name of ["issuer.key", "libp2p.key", "config.yaml"]) {
      assert.deepEqual(await readFile(join(copy, name)), await readFile(join(dir, name)));
      assert.equal((await stat(join(copy, name))).mode & 0o777, 0o600);
    }
    assert.notEqual(await readFile(join(copy, "api-token"), "utf8"), await readFile(join(dir, "api-token"), "utf8"));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await assertCleanStore(copy, 300);
    const refused = await spine(["publish", "--dir", copy], lines(1));
    assert.equal(refused.code, 1);
    assert.match(refused.out + refused.err, /fork_risk/);
  });

  it("copies a running daemon while it publishes", async () => {
    const daemon = await pool.start("busy");
    await daemon.publish(notes(500));
    let stop = false;
    const writing = (async () => {
      while (!stop) await daemon.publish(notes(20));
    })();
    const target = join(root, "busy.backup");
    const { code, err } = await daemon.verb("backup", target);
    stop = true;
    await writing;
    assert.equal(code, 0, err);
    const copy = join(root, "busy-copy");
    const { code: restored, lines: said, err: why } = await restore(target, copy);
    assert.equal(restored, 0, why);
    assert.ok(Number(said[0]?.["envelopes"]) >= 500);
    await assertCleanStore(copy);
    await pool.stopAll();
  });

  it("seals the keys with a passphrase and opens them with the same only", async () => {
    const [good, bad] = [join(root, "good"), join(root, "bad")];
    await writeFile(good, "correct horse battery staple\n", { mode: 0o600 });
    await writeFile(bad, "incorrect horse\n", { mode: 0o600 });
    const sealed = join(root, "sealed.backup");
    assert.equal((await spine(["backup", sealed, "--dir", dir, "--passphrase-file", good])).code, 0);
    const content = gunzipSync((await readFile(sealed)).subarray("spine-backup v1\n".length));
    const seed = /ed25519 ([0-9a-f]{64})/.exec(await readFile(join(dir, "issuer.key"), "utf8"))?.[1] as string;
    assert.equal(content.includes(seed), false);
    const target = join(root, "unsealed");
    for (const more of [[], ["--passphrase-file", bad]]) {
      const { code, err } = await restore(sealed, target, ...more);
      assert.equal(code, 1);
      assert.match(err, /backup_passphrase/);
      await assert.rejects(stat(target));
    }
    assert.equal((await restore(sealed, target, "--passphrase-file", good)).code, 0);
    assert.deepEqual(await readFile(join(target, "issuer.key")), await readFile(join(dir, "issuer.key")));
    await chmod(good, 0o644);
    assert.match((await restore(sealed, join(root, "x"), "--passphrase-file", good)).err, /key_permissions/);
  });

  it("leaves the keys out when told to", async () => {
    const bare = join(root, "bare.backup");
    assert.equal((await spine(["backup", bare, "--dir", dir, "--no-keys"])).code, 0);
    const target = join(root, "bare");
    const { code, lines: said } = await restore(bare, target);
    assert.deepEqual([code, said[0]?.["keys"]], [0, false]);
    assert.equal(
      (await readdir(target)).some((name) => name.endsWith(".key")),
      false,
    );
  });

  it("refuses to overwrite: a file, and a directory that is not empty", async () => {
    assert.match((await spine(["backup", file, "--dir", dir])).err, /exists already/);
    const before = await readdir(dir);
    assert.match((await restore(file, dir)).err, /restore_target/);
    assert.deepEqual(await readdir(dir), before);
    const empty = join(root, "empty");
    await mkdir(empty, { mode: 0o700 });
    assert.equal((await restore(file, empty)).code, 0);
  });

  it("refuses what is cut off or altered anywhere, and writes nothing", async () => {
    const whole = await readFile(file);
    const head = whole.subarray(0, "spine-backup v1\n".length);
    const plain = gunzipSync(whole.subarray(head.length));
    const pack = (bytes: Uint8Array): Buffer => Buffer.concat([head, gzipSync(bytes, { level: 1 })]);
    const flipped = (bytes: Buffer, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ 1;
      return copy;
    };
    const bad: Record<string, Buffer> = {
      empty: Buffer.alloc(0),
      "another first line": Buffer.concat([Buffer.from("spine-backup v2\n"), whole.subarray(head.length)]),
      "cut in the middle": whole.subarray(0, whole.length >> 1),
      "cut at the end": whole.subarray(0, whole.length - 1),
      "a flipped bit in the file": flipped(whole, whole.length >> 1),
      "a flipped bit below the compression": pack(flipped(plain, plain.length >> 1)),
      "no end": pack(plain.subarray(0, plain.length - 37)),
      "more than the end": pack(Buffer.concat([plain, plain.subarray(-37)])),
      "bytes behind the compression": Buffer.concat([whole, Buffer.from("more")]),
      "an impossible length": pack(Buffer.from([4, 255, 255, 255, 255, 0])),
    };
    for (const [what, bytes] of Object.entries(bad)) {
      const path = join(root, "bad.backup");
      await writeFile(path, bytes);
      const target = join(root, "never");
      const options = { source: path, dir: nodeDir(target), passphrase: undefined, onStep: () => undefined };
      const { signal } = new AbortController();
      await assert.rejects(restoreBackup({ ...options, signal }), { code: "backup_invalid" }, what);
      await assert.rejects(stat(target), what);
    }
  });

  it("starts over after a restore that was killed, and init does not take its place", async () => {
    const target = join(root, "killed");
    const half = nodeDir(target);
    await mkdir(join(target, STAGING), { recursive: true, mode: 0o700 });
    await mkdir(half.store);
    await appendFile(half.config, "name: half\n");
    assert.match((await spine(["init", "--dir", target])).err, /restore_target/);
    assert.equal((await restore(file, target)).code, 0);
    await assertCleanStore(target, 300);
  });

  it("can be killed at any moment: the directory is a whole node or none", async () => {
    for (const afterMs of [300, 450, 600]) {
      const target = join(root, `kill-${afterMs}`);
      const child = startSpine(["restore", file, "--dir", target]);
      const ended = new Promise((resolve) => child.once("close", resolve));
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      child.kill("SIGKILL");
      await ended;
      const names = await readdir(target).catch((): string[] => []);
      if (names.includes("issuer.key")) await assertCleanStore(target, 300);
      else assert.equal((await restore(file, target)).code, 0);
    }
  });
});
