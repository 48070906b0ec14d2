/** What attackers of scenarios do with a node's key or links. */
import { draftHead, type Envelope, encodeFrame, formatTime, headText, sealHead, utf8 } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { Attack } from "../scenario-file.ts";
import { loadFact } from "./facts.ts";
import { checkpointFact } from "./log-keeper.ts";
import type { Setup } from "./setup.ts";

const OFFER_ENVELOPES = 64;
/** A head is stated once its envelopes are on disk. */
const HEAD_MS = 1_000;

export function attack(setup: Setup, by: SimPeer, what: Attack): void {
  switch (what.type) {
    case "fork":
      return fork(setup, by, what);
    case "split-view":
      return splitView(setup, by, what);
    case "sybil":
      return sybil(setup, by, what);
    case "flood":
      return flood(setup, by, what);
  }
}

function lies(setup: Setup, by: SimPeer): void {
  setup.world.invariants.liars.add(by.issuer);
  setup.liars.add(by.index);
}

/** Extends a chain in secret: signed, linked, and stored only where the attacker puts it. */
function extend(by: SimPeer, after: Envelope | null, length: number, label: string): Envelope[] {
  const out: Envelope[] = [];
  let head = after;
  for (let i = 0; i < length; i++) {
    head = by.sign({ ...loadFact("note", by, i, 0), branch: label }, head?.seq ?? 0, head?.hash ?? null);
    out.push(head);
  }
  return out;
}

/** Hands a history to a node, and the head of it, as a chain's own node would state it. */
function show(setup: Setup, by: SimPeer, to: SimPeer, envelopes: readonly Envelope[]): void {
  for (let i = 0; i < envelopes.length; i += OFFER_ENVELOPES)
    to.offer(envelopes.slice(i, i + OFFER_ENVELOPES), () => {});
  const last = envelopes.at(-1);
  if (last === undefined) return;
  const { issuer, seq, hash } = last;
  const draft = draftHead({ issuer, seq, hash, sentAt: Math.floor(by.now() / 1000) });
  const data = utf8(headText(sealHead(draft, by.key.sign(draft.signingBytes))));
  setup.world.clock.schedule(setup.world.now() + HEAD_MS, () => to.feed({ type: "head", data }));
}

function fork(setup: Setup, by: SimPeer, { trunk, branches }: Extract<Attack, { type: "fork" }>): void {
  lies(setup, by);
  const common = extend(by, null, trunk, "trunk");
  for (const [i, { to, length }] of branches.entries()) {
    const branch = extend(by, common.at(-1) ?? null, length, `branch ${i}`);
    const [first] = setup.peers(to);
    if (first !== undefined) show(setup, by, first, [...common, ...branch]);
  }
}

/** Two checkpoints of one size and seq with different roots, each shown to one side. */
function splitView(setup: Setup, by: SimPeer, { left, right }: Extract<Attack, { type: "split-view" }>): void {
  lies(setup, by);
  for (const [i, side] of [left, right].entries()) {
    const [first] = setup.peers(side);
    const root = new Uint8Array(32).fill(i + 1);
    const issuedAt = formatTime(Math.floor(by.now() / 1000));
    const statement = { logId: by.issuer, seq: 1, prev: null, root, size: 7, issuedAt };
    if (first !== undefined) show(setup, by, first, [by.sign(checkpointFact(statement), 0, null)]);
  }
}

/** Made-up issuers with a head each, told to whoever listens. */
function sybil(setup: Setup, by: SimPeer, { issuers, everyMs }: Extract<Attack, { type: "sybil" }>): void {
  const { world } = setup;
  for (let i = 0; i < issuers; i++) {
    world.clock.schedule(world.now() + i * everyMs, () => {
      const key = world.ports.keyFromSeed(world.rng.bytes(32));
      const hash = `0x${world.ports.sha256Hex(key.publicKey)}`;
      const draft = draftHead({ issuer: key.issuer, seq: 1_000_000, hash, sentAt: Math.floor(world.now() / 1000) });
      const head = sealHead(draft, key.sign(draft.signingBytes));
      for (const network of world.networks.values()) network.broadcast(by.index, utf8(headText(head)), 5);
      by.sayToAll(
        encodeFrame({
          type: "inventory",
          entries: [{ issuer: key.issuer, prunedBelow: 0, ranges: [{ from: 1, to: 1_000_000 }], frozenAt: null, head }],
        }),
        3,
      );
    });
  }
}

/** Well-formed frames that nobody needs, again and again. */
function flood(setup: Setup, by: SimPeer, { perSecond, forMs }: Extract<Attack, { type: "flood" }>): void {
  const { world } = setup;
  const issuers = world.peers.slice(0, 100).map(({ issuer }) => issuer);
  const frames = [
    encodeFrame({ type: "ask-inventory", issuers }),
    encodeFrame({ type: "hashes", request: 77, hashes: [null] }),
    encodeFrame({ type: "inventory", entries: [] }),
    encodeFrame({ type: "want", request: 78, issuer: by.issuer, from: 1, to: 64, maxItems: 64, maxBytes: 65_536 }),
  ];
  const count = Math.floor((perSecond * forMs) / 1000);
  for (let i = 0; i < count; i++)
    world.clock.schedule(world.now() + (i * 1000) / perSecond, () =>
      by.sayToAll(frames[i % frames.length] as Uint8Array, 7),
    );
}
