/**
 * NATS and the gateway on one real server in the same run: publishing what is stored against bare acknowledged publishes
 * with the same window; reading to the disk against bare reading and the bound of verification; the time a gateway adds;
 * the memory of dedupe and audit.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { DriverEvent } from "../../node/driver.ts";
import { initDir, NatsFeed, nodeDir, Runtime, resolveConfig } from "../../node/index.ts";
import { Libp2pPlane, NatsBus, NatsPlane, natsNames, type Plane, type PlaneEvent } from "../../planes/index.ts";
import { claimOf, decodeFrame, openSigningBytes, type Run } from "../../spine/index.ts";
import { sha256Hex } from "../helpers/crypto.ts";
import { NatsServer } from "../peers/nats.ts";
import { SMALL } from "../planes/nats/bus-rig.ts";
import { HelperProcess, median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 3;
const COUNT = 5_000;
const WINDOW = 64;
const GATEWAY_PER_SECOND = 1_000;
const GATEWAY_SECONDS = 10;
/** Not counted: code that was never run before is compiled meanwhile. */
const GATEWAY_WARM_SECONDS = 2;
const LIMITS = { ...SMALL, envelopeBytes: 256 * 1_048_576 };

async function open(
  folder: string,
  name: string,
  planes: object,
  joinPlanes = false,
  onStored: (run: Run) => void = () => {},
): Promise<Runtime> {
  const dir = nodeDir(join(folder, name));
  await initDir(dir, { open: true, forceNew: false });
  const file = { issuers: { open: true }, planes };
  const config = resolveConfig({ file, env: {}, flags: {} });
  const onEvent = (event: DriverEvent): void => {
    if (event.type === "stored") onStored(event.run);
  };
  return Runtime.open({ dir, config, onEvent, joinPlanes });
}

function facts(count: number, text: string): { schema: string; fact_id: string; text: string }[] {
  return Array.from({ length: count }, (_, i) => ({
    schema: "aegis.spine.fact.incident.v1",
    fact_id: `inc_${text}_${i}`,
    text: "x".repeat(150),
  }));
}

interface Joint {
  readonly feed: NatsFeed;
  readonly bus: NatsBus;
  stop(): Promise<void>;
}

async function join2(runtime: Runtime, server: NatsServer, read: boolean, window = WINDOW): Promise<Joint> {
  const { store, driver, verifier, gateway, issuer: own, transparency } = runtime;
  const ownLog = transparency.keeper.logId;
  const feed = new NatsFeed({
    ...{ own, ownLog, store, driver, verifier, gateway },
    publishAll: false,
    window,
    senderRate: { perSecond: 1e6, burst: 1e6 },
    now: Date.now,
    leaves: transparency.keeper.leaves,
  });
  const plane = new NatsPlane({
    servers: [server.url],
    auth: { type: "none" },
    clientName: "bench",
    privateKeySeed: new Uint8Array(randomBytes(32)),
    subjectPrefix: "aegis",
    discover: false,
    startOffline: false,
  });
  await plane.start({ signal: new AbortController().signal });
  const bus = new NatsBus(plane, {
    names: natsNames("aegis"),
    limits: LIMITS,
    withLog: false,
    sender: plane.id,
    durable: `bench_${plane.id.slice(0, 12)}`,
    onReady: () => feed.poke(),
    ...(read ? { onBatch: feed.batch } : {}),
  });
  const stop = async (): Promise<void> => {
    await bus.stop();
    await plane.stop();
  };
  return { feed, bus, stop };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function barePublish(
  connection: NatsConnection,
  payloads: readonly Uint8Array[],
  round: number,
): Promise<number> {
  const js = jetstream(connection);
  const started = performance.now();
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < payloads.length; i = next++) {
      await js.publish("bare.x", payloads[i] as Uint8Array, {
        msgID: `0x${String(round)}${i}`.padEnd(66, "0"),
        timeout: 10_000,
      });
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, work));
  return payloads.length / ((performance.now() - started) / 1000);
}

async function bareConsume(connection: NatsConnection, stream: string, count: number): Promise<number> {
  const jsm = await jetstreamManager(connection);
  const name = `bare_${randomBytes(4).toString("hex")}`;
  await jsm.consumers.add(stream, {
    durable_name: name,
    ack_policy: "explicit",
    deliver_policy: "all",
    max_ack_pending: 1_024,
  });
  const consumer = await jetstream(connection).consumers.get(stream, name);
  const started = performance.now();
  let seen = 0;
  const messages = await consumer.consume({ max_messages: 512 });
  for await (const message of messages) {
    message.ack();
    if (++seen === count) break;
  }
  const rate = count / ((performance.now() - started) / 1000);
  messages.stop();
  await jsm.consumers.delete(stream, name);
  return rate;
}

/** Notes when each seq of a link's segments and pushes came, in milliseconds of the epoch. */
function watched(plane: Plane, arrivals: Map<number, number>): void {
  const events = plane.events.bind(plane);
  const note = (seq: number): void => {
    if (!arrivals.has(seq)) arrivals.set(seq, performance.timeOrigin + performance.now());
  };
  const seqOf = (text: Uint8Array): number =>
    Number(/"seq":(\d+)[,}]/.exec(Buffer.from(text).toString("latin1"))?.[1] ?? Number.NaN);
  plane.events = () => {
    async function* watch(): AsyncGenerator<PlaneEvent> {
      for await (const event of events()) {
        if (event.type === "frame" && event.frame[0] !== 0x7b) {
          const frame = decodeFrame(event.frame);
          if (frame.type === "segment") for (let i = 0; i < frame.count; i++) note(frame.from + i);
          else if (frame.type === "push") for (const record of frame.records) note(seqOf(record));
        }
        if (event.type === "gossip") note(seqOf(event.data));
        yield event;
      }
    }
    return watch();
  };
}

interface GatewayRun {
  readonly forwarded: number;
  readonly times: readonly number[];
  /** Of the gateway's process alone, per envelope. */
  readonly cpuUs: number;
}

/** From the arrival of an envelope at the gateway to its arrival at a subscriber: verified, on disk, judged, recorded. */
async function gatewayTimes(folder: string, server: NatsServer): Promise<GatewayRun> {
  const source = new HelperProcess("./gateway-node.js", ["source", join(folder, "source")]);
  const ears = new HelperProcess("./gateway-node.js", ["ears", server.url]);
  try {
    let feed: NatsFeed | undefined;
    const planes = { libp2p: { enabled: true }, nats: { enabled: true } };
    const gateway = await open(folder, "gateway", planes, true, (run) => feed?.stored(run));
    const { address } = await source.next<{ address: string }>();
    await ears.next();
    const arrivals = new Map<number, number>();
    const plane = new Libp2pPlane({
      privateKeySeed: new Uint8Array(randomBytes(32)),
      ...{ listen: [], bootstrap: [], peers: [address], mdns: false },
    });
    watched(plane, arrivals);
    gateway.gateway?.index.addPlane("nats");
    const joint = await join2(gateway, server, false, gateway.config.planes.nats.streams.window);
    const signal = new AbortController();
    const work = [joint.feed.run(joint.bus, signal.signal), gateway.gateway?.run(signal.signal)];
    feed = joint.feed;
    await plane.start({ signal: signal.signal });
    gateway.driver.attach(plane);
    await until(() => joint.bus.ready && gateway.driver.mesh.links().some(({ issuer }) => issuer !== null));
    const total = GATEWAY_PER_SECOND * GATEWAY_SECONDS;
    const before = process.cpuUsage();
    source.send({ perSecond: GATEWAY_PER_SECOND, seconds: GATEWAY_SECONDS });
    await source.next();
    const published = (): number => joint.feed.counters()["feed_published"] as number;
    const deadline = performance.now() + 20_000;
    await until(() => published() >= total || performance.now() > deadline);
    const { user, system } = process.cpuUsage(before);
    ears.send({ report: true });
    const { heard } = await ears.next<{ heard: [number, number][] }>();
    signal.abort();
    await Promise.all(work);
    await plane.stop();
    await joint.stop();
    await gateway.close();
    const counted = heard.filter(([seq]) => seq > GATEWAY_PER_SECOND * GATEWAY_WARM_SECONDS);
    const times = counted.map(([seq, at]) => at - (arrivals.get(seq) ?? Number.NaN));
    return { forwarded: heard.length, times, cpuUs: (user + system) / total };
  } finally {
    await Promise.all([source.end(), ears.end()]);
  }
}

/** In a process of its own: another's garbage says nothing. */
async function memoryOfDedupe(folder: string): Promise<number> {
  const helper = new HelperProcess("./nats-memory.js", [join(folder, "audit")]);
  try {
    return await helper.next<number>();
  } finally {
    await helper.end();
  }
}

export async function benchNats(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  const server = await NatsServer.start({ kind: "newest" });
  const admin = await connect({ servers: server.url });
  try {
    const jsm = await jetstreamManager(admin);
    await jsm.streams.add({ name: "BARE", subjects: ["bare.>"], storage: "file", max_bytes: 128 * 1_048_576 });
    const writer = await open(folder, "writer", { libp2p: { enabled: false } });
    const rows = { ours: [] as number[], bare: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < COUNT; i += 500) await writer.publisher.publish(facts(500, `r${round}_${i}`));
      const payloads: Uint8Array[] = [];
      for await (const run of writer.store.runs(writer.issuer, round * COUNT + 1, (round + 1) * COUNT)) {
        const size = Math.floor(run.records.length / run.hashes.length) + 160;
        for (const _ of run.hashes) payloads.push(new Uint8Array(randomBytes(size)));
      }
      rows.bare.push(await barePublish(admin, payloads, round));
      const joint = await join2(writer, server, false);
      await until(() => joint.bus.ready);
      const stop = new AbortController();
      const started = performance.now();
      const running = joint.feed.run(joint.bus, stop.signal);
      await until(() => (joint.feed.counters()["feed_published"] as number) >= COUNT);
      rows.ours.push(COUNT / ((performance.now() - started) / 1000));
      stop.abort();
      await running;
      await joint.stop();
    }
    const reads = { ours: [] as number[], bare: [] as number[], verify: [] as number[] };
    const claims = [];
    for await (const run of writer.store.runs(writer.issuer, 1, COUNT)) {
      for (const hash of run.hashes) {
        const stored = await writer.store.envelope(hash);
        if (stored !== undefined)
          claims.push(claimOf(openSigningBytes(stored.signingBytes, stored.signature, sha256Hex)));
      }
    }
    for (let round = 0; round < ROUNDS; round++) {
      reads.bare.push(await bareConsume(admin, "AEGISNET_ENVELOPES", COUNT));
      const verified = performance.now();
      for (let i = 0; i < claims.length; i += 256) await writer.verifier.verify(claims.slice(i, i + 256));
      reads.verify.push(claims.length / ((performance.now() - verified) / 1000));
      const reader = await open(folder, `reader${round}`, { libp2p: { enabled: false } });
      const started = performance.now();
      const joint = await join2(reader, server, true);
      const total = ROUNDS * COUNT;
      await until(() => (joint.feed.counters()["read_added"] as number) >= total);
      reads.ours.push(total / ((performance.now() - started) / 1000));
      await joint.stop();
      await reader.close();
    }
    await writer.close();
    await jsm.streams.purge("AEGISNET_ENVELOPES");
    const { forwarded, times, cpuUs } = await gatewayTimes(folder, server);
    const bound = Math.min(median(reads.bare), median(reads.verify));
    return {
      bench: "nats",
      figures: {
        peer: "nats-server and @nats-io/jetstream 3.4.0, bare",
        server: admin.info?.version ?? "unknown",
        window: WINDOW,
        publish_per_second: Math.round(median(rows.ours)),
        bare_publish_per_second: Math.round(median(rows.bare)),
        ratio: median(rows.ours) / median(rows.bare),
        read_to_disk_per_second: Math.round(median(reads.ours)),
        bare_read_per_second: Math.round(median(reads.bare)),
        verify_bound_per_second: Math.round(median(reads.verify)),
        read_ratio: median(reads.ours) / bound,
        gateway_per_second: GATEWAY_PER_SECOND,
        gateway_forwarded: forwarded,
        gateway_cpu_us: cpuUs,
        gateway_p50_ms: quantile(times, 0.5),
        gateway_p99_ms: quantile(times, 0.99),
        dedupe_and_audit_mb: await memoryOfDedupe(folder),
      },
    };
  } finally {
    await admin.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
