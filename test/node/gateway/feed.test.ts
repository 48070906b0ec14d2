/** What a gateway's feed hands to a bus: nothing is passed over while it is judged anew, none is lost with a restart. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  confirmPolicy,
  gatewayPaths,
  initDir,
  NatsFeed,
  nodeDir,
  Runtime,
  resolveConfig,
} from "../../../node/index.ts";
import type { NatsBus } from "../../../planes/index.ts";
import { type Envelope, SpineError } from "../../../spine/index.ts";
import { chain, chainOf, until } from "../../planes/nats/bus-rig.ts";

/** A stream that takes everything at once and remembers it. */
class TakingBus {
  readonly taken: Envelope[] = [];
  caughtUp = true;
  /** How often somebody asked whether it can be published to. */
  asked = 0;
  isUp = false;
  most = Number.POSITIVE_INFINITY;
  get ready(): boolean {
    this.asked++;
    return this.isUp;
  }
  async publish(envelope: Envelope): Promise<void> {
    if (this.taken.length >= this.most) throw new SpineError("nats_unavailable", "full");
    this.taken.push(envelope);
  }
  publishHead(): void {}
  async inspect(): Promise<void> {}
}

describe("the feed of a gateway", () => {
  let folder: string;
  let runtime: Runtime;
  let feed: NatsFeed;
  let bus: TakingBus;
  let stop: AbortController;
  let work: Promise<unknown>[];

  async function begin(): Promise<void> {
    const dir = nodeDir(join(folder, "node"));
    await initDir(dir, { open: true, forceNew: false }).catch(() => {});
    const file = { issuers: { open: true }, planes: { nats: { enabled: true } } };
    runtime = await Runtime.open({
      ...{ dir, config: resolveConfig({ file, env: {}, flags: {} }), joinPlanes: true },
      onEvent: (event) => {
        if (event.type === "stored") feed?.stored(event.run);
      },
    });
    const { store, driver, verifier, gateway, issuer: own, transparency } = runtime;
    assert.ok(gateway !== undefined);
    for (const plane of ["libp2p", "nats"]) gateway.index.addPlane(plane);
    feed = new NatsFeed({
      ...{ own, ownLog: transparency.keeper.logId, store, driver, verifier, gateway },
      ...{ publishAll: false, window: 8, now: Date.now, leaves: transparency.keeper.leaves },
      senderRate: { perSecond: 1e6, burst: 1e6 },
    });
    bus = new TakingBus();
    stop = new AbortController();
    work = [gateway.run(stop.signal), feed.run(bus as unknown as NatsBus, stop.signal)];
  }
  async function end(): Promise<void> {
    stop.abort();
    await Promise.all(work);
    await runtime.close();
  }
  const heard = async (envelopes: readonly Envelope[], plane: string): Promise<void> => {
    const outcomes = await runtime.driver.offer(envelopes, `${plane}:peer/1`);
    assert.ok(outcomes.every((one) => one === "added"));
  };
  const takenOf = (issuer: string): number[] =>
    bus.taken.flatMap((one) => (one.issuer === issuer ? [one.seq] : [])).sort((a, b) => a - b);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "spine-feed-"));
    await begin();
  });
  afterEach(async () => {
    await end();
    await rm(folder, { recursive: true, force: true });
  });

  it("waits while an issuer is judged anew, and then publishes all that may cross", async () => {
    const envelopes = chain("walker", 12);
    const { issuer } = envelopes[0] as Envelope;
    await heard(envelopes.slice(0, 11), "libp2p");
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const records = runtime.store.records.bind(runtime.store);
    let walks = 0;
    runtime.store.records = async function* (...range) {
      walks++;
      await gate;
      yield* records(...range);
    };
    // Heard on another plane too: all of it is judged anew.
    await heard(envelopes.slice(11), "wireguard");
    await until("it is being judged", () => walks > 0);
    bus.isUp = true;
    const { asked } = bus;
    await until("the feed has looked", () => {
      feed.poke();
      return bus.asked > asked + 5;
    });
    assert.deepEqual(takenOf(issuer), []);
    release();
    await until("all of it", () => takenOf(issuer).length === 12);
  });

  const fact = (kind: string, n: number) => ({ schema: `aegis.spine.fact.${kind}.v1`, fact_id: `${kind}_${n}` });
  const mixed = (count: number) =>
    chainOf(
      "mixed",
      Array.from({ length: count }, (_, i) => fact(i % 2 === 0 ? "incident" : "run", i)),
    );
  const allow = async (...kinds: string[]): Promise<void> => {
    const paths = gatewayPaths(runtime.dir.path);
    await writeFile(paths.file, `allow: [{from: libp2p, to: nats, kinds: [${kinds.join(", ")}]}]\n`, { mode: 0o600 });
    await confirmPolicy(paths);
  };
  /** Ends and begins again with the same directory and what the stream took. */
  async function again(): Promise<void> {
    const { taken } = bus;
    await end();
    await begin();
    bus.taken.push(...taken);
  }

  it("publishes old envelopes that a looser policy lets through, each once, over restarts", async () => {
    await allow("incident");
    await again();
    bus.isUp = true;
    const envelopes = mixed(600);
    const { issuer } = envelopes[0] as Envelope;
    await heard(envelopes.slice(0, 500), "libp2p");
    await until("the incidents", () => takenOf(issuer).length === 250);
    // Full after some of them: the rest outlives a restart.
    bus.most = 310;
    await allow("incident", "run");
    await until("some of the runs", () => bus.taken.length === 310);
    await again();
    bus.isUp = true;
    await heard(envelopes.slice(500), "libp2p");
    await until("all", () => new Set(takenOf(issuer)).size === 600);
    // Tightened and loosened back: it stands there already.
    await allow("incident");
    await until("tight", () => runtime.gateway?.index.spansOn("nats", issuer)?.length !== 1);
    await allow("incident", "run");
    await until("loose", () => runtime.gateway?.index.spansOn("nats", issuer)?.length === 1);
    const last = chainOf("later", [fact("run", 1)]);
    await heard(last, "libp2p");
    await until("what is new", () => takenOf(last[0]?.issuer ?? "").length === 1);
    assert.equal(takenOf(issuer).length, new Set(takenOf(issuer)).size, "none twice");
  });

  it("publishes what rates held back, also when the node was restarted before they let it pass", async () => {
    const paths = gatewayPaths(runtime.dir.path);
    const rates = "rates: {issuer: {perSecond: 0.001, burst: 3}}";
    await writeFile(paths.file, `default: true\n${rates}\n`, { mode: 0o600 });
    await confirmPolicy(paths);
    await again();
    bus.isUp = true;
    const envelopes = chain("hasty", 9);
    const { issuer } = envelopes[0] as Envelope;
    await heard(envelopes, "libp2p");
    await until("three", () => takenOf(issuer).length === 3 && runtime.gateway?.index.deferred === 6);
    await until("all are passed", () => feed.counters()["feed_withheld"] === 6);
    await again();
    bus.isUp = true;
    await until("all", () => takenOf(issuer).length === 9);
    assert.deepEqual(takenOf(issuer), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
