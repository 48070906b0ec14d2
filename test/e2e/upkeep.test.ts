/**
 * A node over years, with real daemons: a disk that fills up (a small tmpfs; skipped and counted without the right to
 * mount one), incidents the node publishes by itself, damage found by the store check.
 */
import assert from "node:assert/strict";
import { cp, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { nodeDir } from "../../node/index.ts";
import { type Envelope, envelopeText } from "../../spine/index.ts";
import { spine } from "../helpers/cli.ts";
import { type Daemon, daemonPool, eventually, note, notes } from "../helpers/daemon.ts";
import { chainBy, envelopeBy, keyOf } from "../helpers/mesh-harness.ts";
import { smallDisks } from "../helpers/small-disk.ts";
import { assertCleanStore } from "../helpers/store-check.ts";

const ADA = keyOf(41);
const MIB = 1_048_576;

async function imported(daemon: Daemon, envelopes: readonly Envelope[]): Promise<string[]> {
  const body = `${envelopes.map((envelope) => envelopeText(envelope)).join("\n")}\n`;
  const { status, text } = await daemon.call("POST", "/v1/import", body, true);
  assert.equal(status, 200, text);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { ok, code, state } = JSON.parse(line) as { ok: boolean; code?: string; state?: string };
      return ok ? String(state) : String(code);
    });
}

async function incidents(daemon: Daemon): Promise<Record<string, unknown>[]> {
  const path = `/v1/issuers/${daemon.issuer}/envelopes?from=0&limit=500`;
  const lines = (await daemon.call("GET", path)).text.split("\n").filter((line) => line.includes("incident.v1"));
  return lines.map((line) => (JSON.parse(line) as { fact: { spine: Record<string, unknown> } }).fact.spine);
}

describe("upkeep with real daemons", function () {
  this.timeout(90_000);
  // Before the pool, which removes its folder.
  const disks = smallDisks();
  const pool = daemonPool();

  it("a disk that fills up: said early, others refused, own facts go on; full, nothing acknowledged is lost", async function () {
    const { store } = nodeDir(pool.dir("small"));
    const made = await spine(["init", "--dir", pool.dir("small")]);
    assert.equal(made.code, 0, made.err);
    const aside = join(pool.dir("small"), "aside");
    await cp(store, aside, { recursive: true });
    if (!disks.mount(store, 64)) this.skip();
    await cp(aside, store, { recursive: true });
    const filler = join(store, "filler");
    const node = await pool.start("small");
    await node.allow(ADA.issuer);
    const chain = chainBy(ADA, 30, () => ({ issuedAtMs: Date.now() }));
    assert.deepEqual(await imported(node, chain.slice(0, 10)), Array(10).fill("stored"));
    assert.deepEqual((await node.status()).warnings, []);

    await writeFile(filler, Buffer.alloc(53 * MIB));
    await eventually("it says that the disk gets full", async () =>
      (await node.status()).warnings.some((one) => /gets full/.test(one)),
    );
    assert.deepEqual(await imported(node, chain.slice(10, 12)), ["stored", "stored"]);

    await writeFile(filler, Buffer.alloc(59 * MIB));
    await eventually("it says that the disk is nearly full", async () =>
      (await node.status()).warnings.some((one) => /nearly full/.test(one)),
    );
    assert.deepEqual(await imported(node, chain.slice(12, 14)), ["store_low", "store_low"]);
    assert.equal((await node.publish(notes(20, "own"))).length, 20);
    assert.equal((await node.metrics()).get("spine_disk_full"), 1);

    await rm(filler);
    await eventually("there is room again", async () => (await node.status()).warnings.length === 0);
    assert.deepEqual(await imported(node, chain.slice(12, 14)), ["stored", "stored"]);

    // Now really full, faster than anybody looks.
    await writeFile(filler, Buffer.alloc(64 * MIB)).catch(() => undefined);
    const acknowledged = 20;
    let more = 0;
    for (let failed = false; !failed; ) {
      const facts = notes(50, "x".repeat(2_000));
      await node.publish(facts).then(
        () => {
          more += facts.length;
        },
        () => {
          failed = true;
        },
      );
    }
    await node.exited;
    assert.match(node.stderr, /store_full/);
    await rm(filler);
    const again = await pool.start("small");
    assert.ok((await again.count(again.issuer)) >= acknowledged + more);
    await again.stop();
    await assertCleanStore(pool.dir("small"));
  });

  it("says a fork once, over restarts", async () => {
    let node = await pool.start("teller");
    await node.allow(ADA.issuer);
    const issuedAtMs = Date.now();
    const [first, second] = chainBy(ADA, 2, () => ({ issuedAtMs }));
    const fact = { schema: "aegis.spine.fact.note.v1", text: "another" };
    const other = envelopeBy(ADA, { seq: 2, prev: first?.hash as string, fact, issuedAtMs });
    await imported(node, [first as Envelope, second as Envelope]);
    await imported(node, [other]);
    const fork = await eventually("the incident", async () => (await incidents(node))[0]);
    assert.deepEqual(fork, {
      kind: "fork",
      forked_issuer: ADA.issuer,
      forked_seq: 2,
      conflicting_envelope_hashes: [second?.hash as string, other.hash].sort(),
    });
    await node.stop();
    node = await pool.start("teller");
    await imported(node, [other]);
    await node.publish([note("later")]);
    assert.equal((await incidents(node)).length, 1);
    await node.stop();
  });

  it("publishes what the store check found while it was stopped", async () => {
    let node = await pool.start("damaged");
    await node.publish(notes(5));
    await node.stop();
    const { store, incidentNotes } = nodeDir(node.dir);
    const level = new Level<Uint8Array, Uint8Array>(store, { keyEncoding: "view", valueEncoding: "view" });
    for await (const key of level.keys({ gte: Uint8Array.of(6), lt: Uint8Array.of(7), limit: 1 })) await level.del(key);
    await level.close();
    const found = await node.verb("store", "check");
    assert.equal(found.code, 1, found.err);
    assert.ok((await stat(incidentNotes)).size > 0);
    const repaired = await node.verb("store", "check", "--repair");
    assert.equal(repaired.code, 0, repaired.out);
    node = await pool.start("damaged");
    const tamper = await eventually("the incident", async () => (await incidents(node))[0]);
    assert.equal(tamper["kind"], "store_tamper");
    assert.deepEqual(tamper["codes"], ["location_wrong"]);
    const gone = (): Promise<boolean> =>
      stat(incidentNotes).then(
        () => false,
        () => true,
      );
    await eventually("the note is taken away", gone);
    await node.stop();
  });
});
