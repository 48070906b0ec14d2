/** Formats on disk: the fixture of every released format opens, newer ones are refused, migrations run forward once. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkStore, LevelStore } from "../../storage/index.ts";
import { Meta, metaKey, Prefix } from "../../storage/keys.ts";
import { openEngine } from "../../storage/level-engine.ts";
import { type Migration, migrate } from "../../storage/migrate.ts";
import { decodeNumber, encodeNumber } from "../../storage/values.ts";
import { rejectsWith } from "../helpers/expect.ts";
import { describeStore } from "../helpers/store-text.ts";
import { nodeVerifier, openSynthetic, sha256Hex } from "../helpers/synthetic.ts";

const FIXTURES = fileURLToPath(new URL("../../../test/fixtures", import.meta.url));
const format = metaKey(Meta.format);

describe("store formats", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "spine-format-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("opens format 1 and reads everything it holds", async () => {
    await cp(join(FIXTURES, "store-v1", "store"), directory, { recursive: true });
    const expected = JSON.parse(await readFile(join(FIXTURES, "store-v1", "expected.json"), "utf8"));
    await using store = new LevelStore(directory);
    await store.open();
    assert.deepEqual(await describeStore(store, Object.keys(expected.chains)), expected);
    await store.close();
    const options = { verifier: nodeVerifier, sha256Hex, openSigningBytes: openSynthetic };
    assert.deepEqual((await checkStore(directory, options)).findings, []);
  });

  it("refuses a newer format and changes nothing", async () => {
    const engine = await openEngine(directory);
    await engine.put(format, encodeNumber(format, 2));
    await engine.close();
    await rejectsWith("store_version", () => new LevelStore(directory).open());
    const again = await openEngine(directory);
    assert.equal((await again.keys().all()).length, 1);
    await again.close();
  });

  it("refuses a database of another program", async () => {
    const engine = await openEngine(directory);
    await engine.put(Uint8Array.of(200), Uint8Array.of(1));
    await engine.close();
    await rejectsWith("store_corrupt", () => new LevelStore(directory).open());
  });

  it("refuses a damaged format number", async () => {
    const engine = await openEngine(directory);
    await engine.put(format, Uint8Array.of(1, 1, 0, 0, 0, 0));
    await engine.close();
    await rejectsWith("store_corrupt", () => new LevelStore(directory).open());
  });

  it("runs each missing migration once, in order, and goes on after an interruption", async () => {
    const engine = await openEngine(directory);
    const ran: number[] = [];
    let interrupted = true;
    const migrations: Migration[] = [
      async () => {
        ran.push(1);
      },
      async () => {
        ran.push(2);
        if (interrupted) throw new Error("power cut");
      },
      async () => {
        ran.push(3);
      },
    ];
    assert.equal(await migrate(engine, []), 1);
    await assert.rejects(migrate(engine, migrations), /power cut/);
    interrupted = false;
    assert.equal(await migrate(engine, migrations), 2);
    assert.equal(await migrate(engine, migrations), 4);
    assert.deepEqual(ran, [1, 2, 2, 3]);
    assert.equal(decodeNumber(format, (await engine.get(format)) as Uint8Array), 4);
    await rejectsWith("store_version", () => migrate(engine, migrations.slice(1)));
    await engine.close();
  });

  it("never uses a key number twice", () => {
    assert.equal(new Set(Object.values(Prefix)).size, Object.keys(Prefix).length);
    assert.equal(new Set(Object.values(Meta)).size, Object.keys(Meta).length);
  });
});
