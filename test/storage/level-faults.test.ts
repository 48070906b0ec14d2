/** Faults of the machine under the LevelDB store: kill -9, a second process, bad bytes, a torn journal, a full disk. */
import assert from "node:assert/strict";
import { execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EnvelopeState, type Run, SpineError } from "../../spine/index.ts";
import { checkStore, LevelStore } from "../../storage/index.ts";
import { NOTHING } from "../contract/store-model.ts";
import { rejectsWith } from "../helpers/expect.ts";
import { describeStore } from "../helpers/store-text.ts";
import { nodeVerifier, openSynthetic, SyntheticIssuer, sha256Hex } from "../helpers/synthetic.ts";

const LONG = process.env["SPINE_LONG"] === "1";
const WRITER = fileURLToPath(new URL("../helpers/store-writer.js", import.meta.url));
const checks = { verifier: nodeVerifier, sha256Hex, openSigningBytes: openSynthetic };

/** A small reproducible generator; the seed is in the failure message. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % below;
  };
}

describe("level store under faults", function () {
  this.timeout(LONG ? 1_800_000 : 60_000);
  let base: string;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), "spine-faults-"));
  });
  afterEach(() => rm(base, { recursive: true, force: true }));

  it("keeps every acknowledged commit through kill -9", async () => {
    const directory = join(base, "killed");
    const rounds = LONG ? 200 : 10;
    const next = random(rounds);
    for (let round = 0; round < rounds; round++) {
      const name = `round ${round}`;
      const writer = fork(WRITER, [directory, name], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
      let said = "";
      writer.stdout?.on("data", (text) => {
        said += text;
      });
      writer.stdout?.once("data", () => setTimeout(() => writer.kill("SIGKILL"), 10 + next(120)));
      await once(writer, "close");
      assert.equal(writer.signalCode, "SIGKILL");
      const sizes = said.split("\n").slice(0, -1).map(Number);
      const acknowledged = sizes.at(-1) as number;
      const issuer = new SyntheticIssuer(name);
      await using store = new LevelStore(directory);
      await store.open();
      const { logSize, issuers } = await store.load();
      assert.ok(logSize >= acknowledged, `round ${round}: ${acknowledged} acknowledged, ${logSize} found`);
      const stored = logSize - (sizes[0] as number);
      if (stored > 0) issuer.next(stored, { signed: false });
      assert.deepEqual(await store.leaves(sizes[0] as number, stored), issuer.hashes);
      const ranges = issuers.find((record) => record.issuer === issuer.issuer)?.ranges ?? [];
      assert.deepEqual(ranges, stored > 0 ? [issuer.range(1, stored)] : []);
      await store.close();
      if (round % 10 === 9) assert.deepEqual((await checkStore(directory, checks)).findings, []);
    }
  });

  it("locks its directory against another process", async () => {
    const directory = join(base, "locked");
    const writer = fork(WRITER, [directory, "holder"], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
    await once(writer.stdout as NodeJS.ReadableStream, "data");
    const store = new LevelStore(directory);
    await rejectsWith("store_locked", () => store.open());
    await rejectsWith("store_closed", () => store.load());
    await rejectsWith("store_locked", () => checkStore(directory, { ...checks, repair: true }));
    writer.kill("SIGKILL");
    await once(writer, "close");
    await store.open();
    const second = new LevelStore(directory);
    await rejectsWith("store_locked", () => second.open());
    await store.close();
    await second.open();
    await second.close();
  });

  describe("bad bytes", () => {
    let sound: string;
    let ada: SyntheticIssuer;
    let sizes: number[];
    beforeEach(async () => {
      sound = join(base, "sound");
      ada = new SyntheticIssuer("ada");
      sizes = [0];
      for (let opening = 0; opening < 3; opening++) {
        await using store = new LevelStore(sound);
        await store.open();
        for (let i = 0; i < 4; i++) {
          const run = ada.next(1 + i * 40, { state: EnvelopeState.chain });
          const to = ada.hashes.length;
          await store.commit({ ...NOTHING, runs: [run], heads: [ada.head(to)], issuers: [ada.record([1, to])] });
          sizes.push(to);
        }
      }
    });

    /** Reads everything readable: each envelope read must be the right one. Resolves with how many were readable. */
    async function readSound(directory: string): Promise<number> {
      await using store = new LevelStore(directory);
      await store.open();
      let read = 0;
      for (let seq = 1; seq <= ada.hashes.length; seq++) {
        try {
          const stored = await store.at(ada.issuer, seq);
          if (stored === undefined) continue;
          assert.equal(stored.hash, ada.hashes[seq - 1]);
          assert.equal((await store.envelope(stored.hash))?.seq, seq);
          read++;
        } catch (error) {
          assert.ok(error instanceof SpineError && error.code === "store_corrupt", String(error));
        }
      }
      return read;
    }

    for (const kind of [".ldb", ".log", "MANIFEST", "CURRENT"]) {
      it(`never reads a wrong envelope after damage in a ${kind} file, and the check sees what is lost`, async () => {
        const next = random(kind.length);
        let noticed = 0;
        for (let round = 0; round < (LONG ? 200 : 6); round++) {
          const directory = join(base, `${round}`);
          await cp(sound, directory, { recursive: true });
          const names = (await readdir(directory)).filter((name) => name.includes(kind)).sort();
          const name = names[next(names.length)] as string;
          const bytes = await readFile(join(directory, name));
          const at = next(bytes.length);
          const damage = `${name} byte ${at} of ${bytes.length}`;
          bytes[at] = (bytes[at] as number) ^ (1 << next(8));
          await writeFile(join(directory, name), bytes);
          try {
            // The check comes first: on a damaged table LevelDB itself may abort the process.
            const report = await checkStore(directory, checks);
            const read = await readSound(directory);
            const last = kind === ".log" ? (sizes.at(-2) as number) : ada.hashes.length;
            if (report.findings.length === 0) assert.ok(read >= last, `${damage}: ${read} read, nothing found`);
            else noticed++;
          } catch (error) {
            assert.ok(error instanceof SpineError && error.code === "store_corrupt", `${damage}: ${error}`);
            noticed++;
          }
          await checkStore(directory, { ...checks, repair: true });
          await readSound(directory);
          await rm(directory, { recursive: true });
        }
        assert.ok(noticed > 0, "no damage was noticed in any round");
      });
    }

    it("opens with a whole number of commits however the journal was torn", async () => {
      const journal = (await readdir(sound)).find((name) => name.endsWith(".log")) as string;
      const whole = (await readFile(join(sound, journal))).length;
      const next = random(whole);
      const seen = new Set<number>();
      for (let round = 0; round < (LONG ? 300 : 12); round++) {
        const directory = join(base, `${round}`);
        await cp(sound, directory, { recursive: true });
        await truncate(join(directory, journal), next(whole));
        // A power cut may leave the file longer than what was written to it.
        if (round % 3 === 0) await appendFile(join(directory, journal), new Uint8Array(next(5000)));
        assert.deepEqual((await checkStore(directory, checks)).findings, []);
        await using store = new LevelStore(directory);
        await store.open();
        const { logSize } = await store.load();
        assert.ok(sizes.includes(logSize), `log size ${logSize}`);
        seen.add(logSize);
        await store.close();
        await rm(directory, { recursive: true });
      }
      assert.ok(seen.size > 1);
    });

    it("refuses a journal that is damaged before its end, and repair keeps the rest", async () => {
      const journal = join(sound, (await readdir(sound)).find((name) => name.endsWith(".log")) as string);
      const bytes = await readFile(journal);
      bytes[20] = (bytes[20] as number) ^ 1;
      await writeFile(journal, bytes);
      await rejectsWith("store_corrupt", () => new LevelStore(sound).open());
      await rejectsWith("store_corrupt", () => checkStore(sound, checks));
      const report = await checkStore(sound, { ...checks, repair: true });
      assert.ok(report.findings.length > 0);
      assert.ok((await readSound(sound)) >= (sizes[8] as number));
    });
  });

  it("takes a table whose writing was cut off for what it is, and misses one that is needed", async () => {
    const directory = join(base, "cut");
    const ada = new SyntheticIssuer("ada");
    for (let opening = 0; opening < 2; opening++) {
      await using store = new LevelStore(directory);
      await store.open();
      const run = ada.next(100);
      await store.commit({ ...NOTHING, runs: [run], issuers: [ada.record([1, run.from + 99])] });
    }
    const tables = async () => (await readdir(directory)).filter((name) => name.endsWith(".ldb")).sort();
    const [sound] = await tables();
    const bytes = await readFile(join(directory, sound as string));
    await writeFile(join(directory, "000900.ldb"), bytes.subarray(0, bytes.length >> 1));
    assert.deepEqual((await checkStore(directory, checks)).findings, []);
    // Which tables are needed depends on how far LevelDB got with merging them: cut off all.
    for (const name of await tables()) await truncate(join(directory, name), bytes.length >> 1);
    await rejectsWith("store_corrupt", () => checkStore(directory, checks));
    assert.ok((await checkStore(directory, { ...checks, repair: true })).repaired > 0);
    await using store = new LevelStore(directory);
    await store.open();
    assert.equal(await store.at(ada.issuer, 1), undefined);
    await store.close();
    assert.ok((await readdir(join(directory, "damaged"))).length > 0);
  });

  it("rejects with store_full on a full disk and keeps what was acknowledged", async function () {
    const mounted = join(base, "small");
    await mkdir(mounted);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", mounted], { stdio: "ignore" });
    } catch {
      return this.skip();
    }
    const store = new LevelStore(join(mounted, "store"));
    try {
      const ada = new SyntheticIssuer("ada");
      await store.open();
      const issuers = [ada.issuer];
      let before = await describeStore(store, issuers);
      const fill = async () => {
        for (let i = 0; i < 100; i++) {
          const run: Run = ada.next(100, { fillerBytes: 2000, signed: false, state: EnvelopeState.chain });
          await store.commit({ ...NOTHING, runs: [run], issuers: [ada.record([1, run.from + 99])] });
          before = await describeStore(store, issuers);
        }
      };
      await rejectsWith("store_full", fill);
      await rejectsWith("store_full", () => store.commit(NOTHING));
      assert.deepEqual(await describeStore(store, issuers), before);
      await store.close();
      const roomy = join(base, "roomy");
      await cp(join(mounted, "store"), roomy, { recursive: true });
      assert.deepEqual((await checkStore(roomy, checks)).findings, []);
      await using again = new LevelStore(roomy);
      await again.open();
      assert.deepEqual(await describeStore(again, issuers), before);
    } finally {
      await store.close();
      const unmounting = spawn("umount", [mounted]);
      await once(unmounting, "close");
    }
  });

  it("says store_failed when the directory cannot be made", async () => {
    await writeFile(join(base, "file"), "");
    await rejectsWith("store_failed", () => new LevelStore(join(base, "file", "store")).open());
  });
});
