/**
 * The two ends of the gateway's benchmark, each a process of its own so that neither runs on the gateway's event loop:
 * "source" signs and stores facts at a steady rate and tells them over libp2p, "ears" notes when each comes out on NATS.
 * Started by `nats.ts`.
 */
import { connect } from "@nats-io/transport-node";
import { initDir, nodeDir, Runtime, readKeyFile, resolveConfig } from "../../node/index.ts";
import { Libp2pPlane } from "../../planes/index.ts";

/** Milliseconds of the epoch, finer than `Date.now`, and the same in every process of a machine. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

const [role, where = ""] = process.argv.slice(2);
const say = (message: object): void => void process.send?.(message);
const TICK_MS = 5;

async function source(folder: string): Promise<void> {
  const dir = nodeDir(folder);
  await initDir(dir, { open: true, forceNew: false });
  const file = { issuers: { open: true } };
  const runtime = await Runtime.open({ dir, config: resolveConfig({ file, env: {}, flags: {} }), onEvent: () => {} });
  const plane = new Libp2pPlane({
    privateKeySeed: await readKeyFile(dir.libp2pKey, "libp2p"),
    listen: ["/ip4/127.0.0.1/tcp/0"],
    ...{ bootstrap: [], peers: [], mdns: false },
  });
  await plane.start({ signal: new AbortController().signal });
  runtime.driver.attach(plane);
  say({ address: plane.addresses()[0] });
  process.once("message", async (message) => {
    const { perSecond, seconds } = message as { perSecond: number; seconds: number };
    const started = performance.now();
    const total = perSecond * seconds;
    for (let sent = 0; sent < total; ) {
      const due = Math.min(total, Math.floor(((performance.now() - started) / 1000) * perSecond));
      const facts = Array.from({ length: due - sent }, (_, i) => ({
        ...{ schema: "clawdstrike.run_receipt.v1", fact_id: `gateway-bench_${sent + i}`, text: "x".repeat(150) },
      }));
      if (facts.length > 0) await runtime.publisher.publish(facts);
      sent = Math.max(sent, due);
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    say({ cpuMs: process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000 });
  });
}

async function ears(url: string): Promise<void> {
  const connection = await connect({ servers: url });
  const heard: [number, number][] = [];
  connection.subscribe("aegis.spine.envelope.>", {
    callback: (error, message) => {
      if (error !== null) return;
      const at = nowMs();
      const text = Buffer.from(message.data).toString("latin1");
      if (text.includes("gateway-bench")) heard.push([Number(/"seq":(\d+),"signature"/.exec(text)?.[1]), at]);
    },
  });
  await connection.flush();
  say({ ready: true });
  process.on("message", () => say({ heard }));
}

if (role === "source") await source(where);
else await ears(where);
