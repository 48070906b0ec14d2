/** Inclusion proofs between nodes: asked on, kept when they hold, given only where both envelope and checkpoint may be told. */
import assert from "node:assert/strict";
import { ProofExchange, treeHasher } from "../../../node/index.ts";
import {
  type About,
  type AttestMessage,
  type Envelope,
  type ErrorCode,
  fromHex,
  type LeafProof,
  runOf,
  writeCheckpointFact,
} from "../../../spine/index.ts";
import { MemoryStore } from "../../../storage/index.ts";
import { NOTHING } from "../../contract/store-model.ts";
import { rejectsWith } from "../../helpers/expect.ts";
import { chainBy, envelopeBy, keyOf } from "../../helpers/mesh-harness.ts";

const [author, logKey] = [keyOf(1), keyOf(2)];
const OWN_LOG = keyOf(3).issuer;

const leafOf = ({ hash }: Envelope): Uint8Array => treeHasher.leaf(fromHex(hash.slice(2), 32));

/** An incident and a note in a log of two leaves, and the checkpoint over both. */
const [incident, plain] = chainBy(author, 2, (seq) => ({
  fact: { schema: `aegis.spine.fact.${seq === 1 ? "incident" : "note"}.v1`, fact_id: `f${seq}` },
})) as [Envelope, Envelope];
const statement = {
  logId: logKey.issuer,
  seq: 1,
  prev: null,
  root: treeHasher.node(leafOf(incident), leafOf(plain)),
  size: 2,
  issuedAt: "2027-01-15T08:00:00Z",
};
const checkpoint = envelopeBy(logKey, {
  seq: 1,
  prev: null,
  fact: writeCheckpointFact({ statement, witnesses: [], note: null }, "cp_1", "aegis"),
});
const good: LeafProof = { hash: incident.hash, index: 0, path: [leafOf(plain)] };
const spoilt: LeafProof = { ...good, path: [new Uint8Array(32)] };
const given = (proof: LeafProof) => ({ type: "proofs", logId: logKey.issuer, seq: 1, proofs: [proof] }) as const;
const asks = { type: "ask-proofs", logId: logKey.issuer, seq: 1, hashes: [incident.hash] } as const;

interface Rig {
  readonly exchange: ProofExchange;
  readonly store: MemoryStore;
  readonly sent: { readonly link: string; readonly message: AttestMessage }[];
  readonly blamed: ErrorCode[];
  time: number;
}

async function rig(
  mayTell: (link: string, about: readonly About[]) => boolean = () => true,
  links = [
    { id: "near", bitrate: Number.POSITIVE_INFINITY },
    { id: "far", bitrate: 1_200 },
    { id: "air", bitrate: 20 },
  ],
): Promise<Rig> {
  const store = new MemoryStore();
  await store.open();
  await store.commit({ ...NOTHING, runs: [runOf([incident, plain]), runOf([checkpoint])] });
  const sent: Rig["sent"] = [];
  const blamed: ErrorCode[] = [];
  const self = { store, sent, blamed, time: 1_000_000 };
  const exchange = new ProofExchange({
    store,
    ownLog: () => OWN_LOG,
    ownProof: async () => undefined,
    links: () => links,
    mayTell,
    send: (link, message) => sent.push({ link, message }),
    penalise: (_, code) => blamed.push(code),
    commitRows: (rows) => store.commit({ ...NOTHING, rows }),
    now: () => self.time,
  });
  await exchange.open();
  return Object.assign(self, { exchange });
}
const to = ({ sent }: Rig): string[] => sent.map(({ link, message }) => `${link} ${message.type}`);

describe("proof exchange", () => {
  it("asks for what acts or alarms under each checkpoint, on no narrow link, until it is proven or given up", async () => {
    const one = await rig();
    one.exchange.stored(runOf([incident, plain]));
    one.exchange.checkpoint(logKey.issuer, 1);
    assert.deepEqual(to(one), ["near ask-proofs", "far ask-proofs"]);
    assert.deepEqual(one.sent[0]?.message, asks, "the incident alone");
    await one.exchange.message("near", given(good));
    one.exchange.checkpoint(logKey.issuer, 2);
    assert.equal(one.sent.length, 2, "what is proven is asked for no more");
    const two = await rig();
    two.exchange.stored(runOf([incident]));
    for (let seq = 1; seq < 20; seq++) two.exchange.checkpoint(logKey.issuer, seq);
    assert.deepEqual(
      ["near", "far"].map((link) => two.sent.filter((one) => one.link === link).length),
      [8, 1],
      "on a slow link once a minute",
    );
    assert.equal(two.exchange.counters()["proofs_given_up"], 1);
  });

  it("keeps what holds, refuses what does not with blame, and ignores what nobody waits for", async () => {
    const one = await rig();
    await one.exchange.message("near", given(good));
    assert.equal(one.exchange.counters()["proofs_kept"], 0, "unasked");
    one.exchange.stored(runOf([incident]));
    await one.exchange.message("near", given(spoilt));
    assert.deepEqual(one.blamed, ["proof_mismatch"]);
    assert.ok(await one.store.envelope(incident.hash), "its envelope does not suffer");
    await one.exchange.message("near", { ...given(good), seq: 9 });
    assert.equal(one.exchange.counters()["proofs_kept"], 0, "nothing to hold it against");
    await one.exchange.message("near", given(good));
    assert.equal(one.exchange.counters()["proofs_kept"], 1);
    const text = await one.exchange.portable(logKey.issuer, incident.hash, 1, AbortSignal.timeout(1_000));
    assert.ok(text.includes(incident.hash) && text.includes(logKey.issuer));
    await rejectsWith("api_not_found", () =>
      one.exchange.portable(logKey.issuer, plain.hash, 1, AbortSignal.timeout(10)),
    );
  });

  it("asks on for others, once, and gives all of them what came", async () => {
    const one = await rig();
    await one.exchange.message("far", asks);
    await one.exchange.message("air", asks);
    assert.deepEqual(to(one), ["near ask-proofs", "air ask-proofs"], "on every other link, once in a while");
    await one.exchange.message("near", given(good));
    assert.deepEqual(to(one).slice(2), ["far proofs", "air proofs"]);
    await one.exchange.message("far", asks);
    assert.deepEqual(to(one).slice(4), ["far proofs"], "from now on at once");
  });

  it("asks for many in few questions, and answers each in one", async () => {
    const one = await rig();
    const chain = chainBy(keyOf(9), 700, (seq) => ({
      fact: { schema: "aegis.spine.fact.incident.v1", fact_id: `m${seq}` },
    }));
    await one.store.commit({ ...NOTHING, runs: [runOf(chain)] });
    one.exchange.stored(runOf([incident]));
    one.exchange.stored(runOf(chain));
    one.exchange.checkpoint(logKey.issuer, 1);
    assert.equal(to(one).filter((text) => text === "near ask-proofs").length, 32);
    await one.exchange.message("near", given(good));
    const before = one.sent.length;
    await one.exchange.message("near", { ...asks, hashes: [incident.hash, plain.hash, chain[0]?.hash ?? ""] });
    assert.equal(
      to(one)
        .slice(before)
        .filter((text) => text === "near proofs").length,
      1,
    );
  });

  it("neither asks about nor gives what may not be told there", async () => {
    for (const secret of [incident.issuer, logKey.issuer]) {
      const one = await rig((link, about) => link !== "far" || about.every(({ issuer }) => issuer !== secret));
      one.exchange.stored(runOf([incident]));
      one.exchange.checkpoint(logKey.issuer, 1);
      assert.deepEqual(to(one), ["near ask-proofs"]);
      await one.exchange.message("near", given(good));
      await one.exchange.message("far", asks);
      assert.deepEqual(to(one), ["near ask-proofs"]);
    }
  });

  it("holds what it kept over a restart", async () => {
    const one = await rig();
    one.exchange.stored(runOf([incident]));
    await one.exchange.message("near", given(good));
    const again = new ProofExchange({
      store: one.store,
      ownLog: () => OWN_LOG,
      ownProof: async () => undefined,
      links: () => [],
      mayTell: () => true,
      send: () => {},
      penalise: () => {},
      commitRows: async () => {},
      now: () => 0,
    });
    await again.open();
    assert.equal(again.counters()["proofs_held"], 1);
    assert.ok(await again.portable(logKey.issuer, incident.hash, 1, AbortSignal.timeout(1_000)));
  });
});
