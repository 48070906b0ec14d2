/** Deliveries to peers who were away are kept in a ring of rows, and status shows them and the air. */
import assert from "node:assert/strict";
import { Deliveries, radioLines } from "../../node/reticulum/radio-status.ts";
import type { Row } from "../../spine/index.ts";
import { envelopeBy, keyOf } from "../helpers/mesh-harness.ts";

async function* rowsOf(rows: ReadonlyMap<string, Uint8Array>): AsyncGenerator<{ key: string; value: Uint8Array }> {
  for (const [key, value] of [...rows].sort()) yield { key, value };
}

describe("what a radio shows", () => {
  const disk = new Map<string, Uint8Array>();
  const open = () =>
    Deliveries.open({
      rows: rowsOf(disk),
      clock: { now: () => 1_800_000_000_000 },
      commit: async (rows: readonly Row[]) => {
        for (const { key, value } of rows) disk.set(key, value as Uint8Array);
      },
      warn: (error) => assert.fail(error.message),
    });
  const peer = "0f".repeat(16);

  it("keeps the newest deliveries over restarts, and no more than a ring of them", async () => {
    const first = await open();
    const envelope = envelopeBy(keyOf(1), { seq: 1, prev: null });
    for (let seq = 1; seq <= 1_030; seq++) {
      first.record({ peer, envelope: { ...envelope, seq }, way: "mail", state: "left" });
    }
    assert.equal(disk.size, 1_024);
    const again = await open();
    assert.equal(again.newest.length, 32);
    assert.equal(again.newest.at(-1)?.seq, 1_030);
    again.record({ peer, envelope: envelopeBy(keyOf(1), { seq: 9, prev: null }), way: "packet", state: "delivered" });
    assert.deepEqual((await open()).newest.at(-1)?.way, "packet");
  });

  it("says air, queue, quality and last heard in words", async () => {
    const { newest } = await open();
    const neighbours = [{ destination: peer, linked: false, last_heard_seconds: 7 }];
    const counts = { waiting: { run: 3 }, dropped: { heartbeat: 2 }, withheld: 0, rssi_dbm: -90, snr_db: 5 };
    const wire = { wire: "lora", bitrate: 40, links: false, air_used_ms: 1_000, air_allowed_ms: 36_000 };
    const text = radioLines({
      wires: [{ ...wire, ...counts, neighbours }],
      waiting_for_absent: 1,
      deliveries: newest,
    }).join("\n");
    for (const part of [
      "packets only",
      "1.0 of 36 s",
      "run 3",
      "heartbeat 2",
      "SNR 5 dB",
      "heard 7 s ago",
      "by packet",
    ])
      assert.ok(text.includes(part), `${part} in ${text}`);
  });
});
