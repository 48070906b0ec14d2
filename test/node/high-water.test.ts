/** The high-water file: slots, damage, comparison with the store, and a writer nobody waits for. */
import assert from "node:assert/strict";
import { readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HighWaterWriter, readHighWater } from "../../node/index.ts";
import { compareHighWater } from "../../spine/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const SUBJECT = `aegis:ed25519:${"12".repeat(32)}`;
const hash = (n: number): string => `0x${n.toString(16).padStart(64, "0")}`;
const point = (seq: number) => ({ seq, hash: hash(seq) });

describe("high-water file", () => {
  const folder = temporaryFolders();
  const errors: unknown[] = [];
  const writer = (path: string) =>
    new HighWaterWriter({
      path,
      purpose: "issuer",
      subject: SUBJECT,
      boot: "-",
      onError: (error) => errors.push(error),
    });
  const read = (path: string) => readHighWater(path, "issuer", SUBJECT);
  const fresh = async (): Promise<string> => join(await folder(), "high-water");

  it("keeps the newest mark over writers, in two slots, mode 0600", async () => {
    const path = await fresh();
    assert.equal((await read(path)).state, "missing");
    for (const seq of [1, 5, 9]) {
      const one = writer(path);
      one.continueFrom(await read(path));
      one.raise(point(seq));
      one.raise(point(seq - 1));
      await one.close();
      assert.deepEqual((await read(path)).mark, { ...point(seq), boot: "-" });
    }
    const info = await stat(path);
    assert.deepEqual([info.mode & 0o777, info.size], [0o600, 1024]);
    assert.deepEqual(errors, []);
  });

  it("writes within a second of being raised, without being asked to", async () => {
    const path = await fresh();
    const one = writer(path);
    for (let seq = 1; seq <= 1_000; seq++) one.raise(point(seq));
    const deadline = performance.now() + 5_000;
    while ((await read(path)).mark?.seq !== 1_000 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal((await read(path)).mark?.seq, 1_000);
    await one.close();
  });

  it("survives a write that was cut short anywhere: the slot before still counts", async () => {
    const path = await fresh();
    const one = writer(path);
    for (const seq of [3, 4]) {
      one.raise(point(seq));
      await one.flush();
    }
    await one.close();
    const whole = await readFile(path);
    const { slot } = await read(path);
    for (let cut = 0; cut < 512; cut += 37) {
      const torn = Buffer.from(whole);
      torn.fill(0, slot * 512 + cut, (slot + 1) * 512);
      await writeFile(path, torn);
      const { mark, state } = await read(path);
      assert.equal(state, "sound");
      // Cut within the padding nothing is lost.
      assert.ok(mark?.seq === 3 || (mark?.seq === 4 && cut > 200), `cut at ${cut}: ${mark?.seq}`);
    }
  });

  it("takes no mark from garbage, of another chain, or that was altered", async () => {
    const path = await fresh();
    const one = writer(path);
    one.raise(point(7));
    await one.close();
    const text = await readFile(path, "latin1");
    assert.equal((await readHighWater(path, "log", SUBJECT)).mark, undefined);
    assert.equal((await readHighWater(path, "issuer", "aegis:ed25519:other")).mark, undefined);
    for (const bad of ["", "x", text.replaceAll(" 7 ", " 6 "), "\u0000".repeat(1024), text.slice(0, 100)]) {
      await writeFile(path, bad, "latin1");
      assert.deepEqual([(await read(path)).mark, (await read(path)).state], [undefined, "damaged"]);
    }
    const again = writer(path);
    again.raise(point(8));
    await again.close();
    assert.equal((await read(path)).mark?.seq, 8);
  });

  it("does not write through a link and says that it could not", async () => {
    const path = await fresh();
    const elsewhere = await fresh();
    await writeFile(elsewhere, "precious");
    await symlink(elsewhere, path);
    const one = writer(path);
    one.raise(point(1));
    await one.close();
    assert.equal(await readFile(elsewhere, "utf8"), "precious");
    assert.equal(errors.length, 1);
  });

  it("tells a whole store from an older one", () => {
    const mark = { ...point(5), boot: "-" };
    assert.equal(compareHighWater(undefined, undefined), "missing");
    assert.equal(compareHighWater(point(1), undefined), "missing");
    assert.equal(compareHighWater(undefined, mark), "below");
    assert.equal(compareHighWater(point(4), mark), "below");
    assert.equal(compareHighWater(point(5), mark), "at-or-above");
    assert.equal(compareHighWater(point(6), mark), "at-or-above");
    assert.equal(compareHighWater({ seq: 5, hash: hash(9) }, mark), "below");
  });
});
