/** Incidents: their shape, once each over restarts and kills, bounded, and silent while the node may not sign. */
import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dayOf, type IncidentCause, IncidentReporter, noteIncident, sha256Hex } from "../../node/index.ts";
import { encodeFork, type JsonObject, proveFork, RowTable, runOf, SpineError } from "../../spine/index.ts";
import { MemoryStore } from "../../storage/index.ts";
import { chainBy, envelopeBy, keyOf } from "../helpers/mesh-harness.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const OWN = keyOf(1);
const THIEF = keyOf(2);
const EMPTY = { runs: [], heads: [], issuers: [], forks: [], states: [], rows: [] };

describe("incidents", () => {
  const folder = temporaryFolders();

  async function rig(store = new MemoryStore()) {
    await store.open();
    const said: JsonObject[] = [];
    const state = { now: 1_800_000_000_000, refuse: false };
    const notes = join(await folder(), "incidents.jsonl");
    const start = () => {
      const stop = new AbortController();
      const reporter = new IncidentReporter({
        store,
        issuer: OWN.issuer,
        now: () => state.now,
        commitRows: (rows) => store.commit({ ...EMPTY, rows }),
        publish: async (fact) => {
          if (state.refuse) throw new SpineError("fork_risk", "not now");
          said.push(fact);
        },
        head: () => null,
        notes,
        onSaid: () => undefined,
      });
      const running = reporter.run(stop.signal);
      /** All that was reported is dealt with. */
      const settle = async (): Promise<void> => {
        stop.abort();
        await running;
      };
      return { reporter, settle };
    };
    return { store, said, state, notes, start };
  }
  const clock: IncidentCause = { kind: "clock_jump", seconds: 99, day: dayOf(0) };

  it("says a fork in the agreed shape, its hashes sorted", async () => {
    const { store, said, start } = await rig();
    const [a] = chainBy(THIEF, 1);
    const b = envelopeBy(THIEF, { seq: 1, prev: null, fact: { schema: "aegis.spine.fact.heartbeat.v1", n: 9 } });
    assert.ok(a);
    const sides = [a, b].map((envelope) => ({ kind: "envelope", envelope }) as const);
    const proof = encodeFork(proveFork(1, sides[0] as (typeof sides)[number], sides[1] as (typeof sides)[number]));
    await store.commit({ ...EMPTY, forks: [{ issuer: THIEF.issuer, seq: 1, proof }] });
    const { reporter, settle } = start();
    reporter.report({ kind: "fork", issuer: THIEF.issuer, seq: 1 });
    reporter.report({ kind: "fork", issuer: THIEF.issuer, seq: 1 });
    await settle();
    const hashes = [a.hash, b.hash].sort();
    const id = sha256Hex(Buffer.from(`fork|${THIEF.issuer}|1|${hashes.join(",")}`)).slice(0, 16);
    assert.equal(said.length, 1);
    assert.deepEqual(said[0], {
      schema: "aegis.spine.fact.incident.v1",
      fact_id: `inc_${id}`,
      incident_id: `inc_${id}`,
      origin: OWN.issuer,
      escalation_level: "integrity_violation",
      outcome: "ongoing",
      trigger: {
        hypothesis: "spine_fork_detected",
        initial_confidence: 1,
        timestamp: "2027-01-15T08:00:00Z",
        source_satellite: OWN.issuer,
        report_id: id,
      },
      affected_runs: [],
      anchor_actions: ["investigate"],
      ledger: { local_ledger_root: null, spine_head_hash: null },
      evidence: { forensics_bundle_hash: null, artifact_pointer_hashes: [`0x${sha256Hex(proof)}`] },
      issued_at: "2027-01-15T08:00:00Z",
      updated_at: "2027-01-15T08:00:00Z",
      spine: {
        kind: "fork",
        forked_issuer: THIEF.issuer,
        forked_seq: 1,
        conflicting_envelope_hashes: hashes,
      },
    });
  });

  it("says each once, over restarts too, and different ones apart", async () => {
    const { said, start } = await rig();
    const causes: IncidentCause[] = [
      clock,
      { ...clock, seconds: 5 },
      { ...clock, kind: "clock_step_back" },
      { kind: "own_key_misuse", seq: 7 },
      { kind: "split_view", log_id: "log", shape: "size", proof_hash: `0x${"ab".repeat(32)}` },
      { kind: "store_tamper", problems: 3, codes: ["b", "a", "a"], day: dayOf(0) },
    ];
    for (let round = 0; round < 3; round++) {
      const { reporter, settle } = start();
      for (const cause of causes) reporter.report(cause);
      await settle();
    }
    const kinds = said.map((fact) => (fact["spine"] as JsonObject)["kind"]);
    assert.deepEqual(kinds, ["clock_jump", "clock_step_back", "own_key_misuse", "split_view", "store_tamper"]);
    assert.match(JSON.stringify(said[4]), /"codes":\["a","b"\]/);
  });

  it("keeps what cannot be said now, and says it when the node signs again", async () => {
    const { said, state, start } = await rig();
    state.refuse = true;
    const first = start();
    first.reporter.report({ kind: "own_key_misuse", seq: 7 });
    await first.settle();
    assert.deepEqual([said.length, first.reporter.waiting], [0, 1]);
    state.refuse = false;
    await start().settle();
    assert.equal(said.length, 1);
    assert.equal(said[0]?.["issued_at"], "2027-01-15T08:00:00Z");
  });

  it("does not repeat what was on the chain when it was killed before it noted so", async () => {
    const { store, said, state, start } = await rig();
    state.refuse = true;
    const first = start();
    first.reporter.report(clock);
    await first.settle();
    let id = "";
    for await (const { key } of store.rows(RowTable.incident)) id = key;
    const fact = { schema: "aegis.spine.fact.incident.v1", fact_id: `inc_${id}` };
    const envelope = envelopeBy(OWN, { seq: 1, prev: null, fact });
    const ranges = [{ from: 1, to: 1, prev: null, last: envelope.hash }];
    const record = { issuer: OWN.issuer, admission: "own", ranges, prunedBelow: 0, frozenAt: null } as const;
    await store.commit({ ...EMPTY, runs: [runOf([envelope])], issuers: [record] });
    state.refuse = false;
    const second = start();
    await second.settle();
    assert.deepEqual([said.length, second.reporter.waiting], [0, 0]);
  });

  it("is bounded: so many an hour, so many waiting, so many remembered", async () => {
    const { store, said, state, start } = await rig();
    const { reporter, settle } = start();
    for (let i = 0; i < 400; i++) reporter.report({ kind: "own_key_misuse", seq: i });
    await settle();
    assert.equal(said.length, 30);
    assert.deepEqual([reporter.waiting, reporter.dropped], [128, 400 - 30 - 128]);
    state.now += 3_600_000;
    await start().settle();
    assert.equal(said.length, 60);
    let rows = 0;
    for await (const _ of store.rows(RowTable.incident)) rows++;
    assert.ok(rows <= 1_024);
  });

  it("takes up what the store check left, and nothing that only looks like it", async () => {
    const { said, notes, start } = await rig();
    await noteIncident(notes, { kind: "store_tamper", problems: 2, codes: ["link_broken"], day: "2027-01-15" });
    await writeFile(notes, 'garbage\n{"kind":"fork","issuer":"x"}\nnull\n{"kind":"store_tam', { flag: "a" });
    await start().settle();
    assert.deepEqual(
      said.map((fact) => fact["spine"]),
      [{ kind: "store_tamper", problems: 2, codes: ["link_broken"], day: "2027-01-15" }],
    );
    assert.deepEqual(await readdir(join(notes, "..")), []);
  });
});
