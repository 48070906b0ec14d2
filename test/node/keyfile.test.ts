/** Key and token files: created whole, never over another, refused when readable by others or of the wrong kind. */
import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKeyFile, createTokenFile, readKeyFile, readTokenFile } from "../../node/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const rejects = (promise: Promise<unknown>, code: string) => assert.rejects(promise, { code });

describe("key files", () => {
  const folder = temporaryFolders();

  it("read back the seed they were created with, mode 0600, one documented line", async () => {
    const path = join(await folder(), "issuer.key");
    const seed = await createKeyFile(path, "issuer");
    assert.deepEqual(await readKeyFile(path, "issuer"), new Uint8Array(seed));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.match(await readFile(path, "utf8"), /^spine-key v1 issuer ed25519 [0-9a-f]{64}\n$/);
  });

  it("are not narrowed by a generous umask nor widened by a strange one", async () => {
    const before = process.umask(0);
    try {
      const path = join(await folder(), "libp2p.key");
      await createKeyFile(path, "libp2p");
      assert.equal((await stat(path)).mode & 0o777, 0o600);
    } finally {
      process.umask(before);
    }
  });

  it("are never replaced, and a refused creation leaves nothing behind", async () => {
    const root = await folder();
    const path = join(root, "issuer.key");
    await createKeyFile(path, "issuer", new Uint8Array(32).fill(1));
    await rejects(createKeyFile(path, "issuer"), "key_exists");
    assert.deepEqual(await readKeyFile(path, "issuer"), new Uint8Array(32).fill(1));
    assert.deepEqual(await readdir(root), ["issuer.key"]);
  });

  it("refuse a missing file, other readers, another purpose, wrong content and a folder", async () => {
    const root = await folder();
    const path = join(root, "issuer.key");
    await rejects(readKeyFile(path, "issuer"), "key_missing");
    await createKeyFile(path, "issuer");
    await rejects(readKeyFile(path, "libp2p"), "key_invalid");
    for (const mode of [0o640, 0o604, 0o660, 0o601]) {
      await chmod(path, mode);
      await rejects(readKeyFile(path, "issuer"), "key_permissions");
    }
    for (const text of ["", "spine-key v1 issuer ed25519 00", `${"a".repeat(64)}\n`, "x".repeat(10_000)]) {
      const wrong = join(root, `wrong-${text.length}`);
      await writeFile(wrong, text, { mode: 0o600 });
      await rejects(readKeyFile(wrong, "issuer"), "key_invalid");
    }
    await mkdir(join(root, "folder"), { mode: 0o700 });
    await rejects(readKeyFile(join(root, "folder"), "issuer"), "key_invalid");
  });

  it("hold the API's token the same way", async () => {
    const path = join(await folder(), "api-token");
    await rejects(readTokenFile(path), "key_missing");
    await createTokenFile(path);
    const token = await readTokenFile(path);
    assert.match(token, /^[0-9a-f]{64}$/);
    await rejects(createTokenFile(path), "key_exists");
    await rejects(readKeyFile(path, "issuer"), "key_invalid");
  });
});
