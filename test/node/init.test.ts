/** `initDir`: a whole directory or a clear refusal; an interrupted run is completed by the next. */
import assert from "node:assert/strict";
import { chmod, readFile, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createSigner,
  initDir,
  loadConfig,
  nodeDir,
  readHighWater,
  readKeyFile,
  resolveDir,
} from "../../node/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const plain = { open: false, forceNew: false };

describe("init", () => {
  const folder = temporaryFolders();
  const fresh = async () => nodeDir(join(await folder(), "node"));
  const load = (path: string) => loadConfig({ path, required: true, env: {}, flags: {} });

  it("makes keys, token, configuration and store, and gives the issuer of the key", async () => {
    const dir = await fresh();
    const { issuer, created } = await initDir(dir, { ...plain, name: "gate: #1" });
    assert.deepEqual([...created].sort(), ["api-token", "config.yaml", "issuer.key", "libp2p.key"]);
    assert.equal(issuer, createSigner(await readKeyFile(dir.issuerKey, "issuer")).issuer);
    assert.notDeepEqual(await readKeyFile(dir.libp2pKey, "libp2p"), await readKeyFile(dir.issuerKey, "issuer"));
    assert.equal((await stat(dir.path)).mode & 0o777, 0o700);
    assert.equal((await stat(dir.store)).isDirectory(), true);
    const config = await load(dir.config);
    assert.equal(config.name, "gate: #1");
    assert.equal(config.issuers.open, false);
    assert.deepEqual(config.planes.libp2p.listen, ["/ip4/0.0.0.0/tcp/4801"]);
  });

  it("writes lab mode only when asked", async () => {
    const dir = await fresh();
    await initDir(dir, { open: true, forceNew: false });
    assert.equal((await load(dir.config)).issuers.open, true);
  });

  it("refuses a directory that has an identity, and changes nothing there", async () => {
    const dir = await fresh();
    await initDir(dir, plain);
    const before = await readFile(dir.issuerKey, "utf8");
    await assert.rejects(initDir(dir, plain), { code: "key_exists" });
    assert.equal(await readFile(dir.issuerKey, "utf8"), before);
  });

  it("sets the old identity aside with forceNew, and keeps what the operator wrote", async () => {
    const dir = await fresh();
    const first = await initDir(dir, plain);
    const old = await readFile(dir.issuerKey, "utf8");
    await writeFile(dir.config, "name: mine\n");
    await writeFile(dir.highWater, "5");
    const second = await initDir(dir, { open: false, forceNew: true });
    assert.notEqual(second.issuer, first.issuer);
    assert.equal(await readFile(`${dir.issuerKey}.old-1`, "utf8"), old);
    assert.equal(await readFile(dir.config, "utf8"), "name: mine\n");
    assert.equal(await readFile(`${dir.highWater}.old-1`, "utf8"), "5");
    assert.equal((await readHighWater(dir.highWater, "issuer", second.issuer)).mark?.seq, 0);
    await initDir(dir, { open: false, forceNew: true });
    assert.equal(await readFile(`${dir.issuerKey}.old-1`, "utf8"), old);
  });

  it("completes a run that was cut short, and refuses what is broken in it", async () => {
    const dir = await fresh();
    await initDir(dir, plain);
    const kept = await readFile(dir.libp2pKey, "utf8");
    await unlink(dir.issuerKey);
    await rm(dir.store, { recursive: true });
    const { created } = await initDir(dir, plain);
    assert.deepEqual(created, ["issuer.key"]);
    assert.equal(await readFile(dir.libp2pKey, "utf8"), kept);
    await unlink(dir.issuerKey);
    await writeFile(dir.libp2pKey, "half");
    await assert.rejects(initDir(dir, plain), { code: "key_invalid" });
  });

  it("refuses a directory that others can write to", async () => {
    const dir = nodeDir(await folder());
    await chmod(dir.path, 0o777);
    await assert.rejects(initDir(dir, plain), { code: "key_permissions" });
  });

  it("finds the directory by flag, then variable, then home", () => {
    assert.equal(resolveDir("/a", { SPINE_DIR: "/b" }).path, "/a");
    assert.equal(resolveDir(undefined, { SPINE_DIR: "/b" }).path, "/b");
    assert.match(resolveDir(undefined, {}).path, /\/\.spine$/);
  });
});
