/**
 * The radio plane in real time, by hand: a revocation over emulated LoRa of about 1200 bit/s and over a line of 5 bit/s.
 * `npm run bench -- radio` takes 5 minutes; SPINE_LONG=1 adds the line, a quarter of an hour more.
 */
import { steadyClock } from "../../planes/index.ts";
import { keyOf } from "../helpers/mesh-harness.ts";
import { SlowLine, VirtualMesh, type VirtualNode } from "../helpers/virtual-mesh.ts";
import { allKnow, HOUR_MS, radioRig, trust, victim } from "../planes/reticulum/virtual-rig.ts";
import type { BenchResult } from "./run.ts";

const ROUNDS = 10;

/** Seconds from the gateway's disk to the leaf's, in order. */
async function lora(): Promise<number[]> {
  const mesh = new VirtualMesh(1, steadyClock);
  const { source, gateway, leaves } = await radioRig(mesh, { leaves: 1, duty: 1, settleMs: 90_000 });
  const leaf = leaves[0]?.node as VirtualNode;
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const envelope = source.revoke(keyOf(20 + i).issuer, `rev_${i}`);
    if (!(await mesh.run(60_000, () => leaf.has(envelope)))) throw new Error("a revocation did not arrive");
    times.push((leaf.storedAt.get(envelope.hash) as number) - (gateway.storedAt.get(envelope.hash) as number));
    await mesh.run(8_000);
  }
  await mesh.stop();
  return times.map((ms) => Math.round(ms / 100) / 10).sort((a, b) => a - b);
}

/** Seconds from the source's disk to the far one's. */
export async function line(): Promise<number> {
  const mesh = new VirtualMesh(1, steadyClock);
  const wire = new SlowLine(mesh, 5);
  // Both have heard of each other before.
  wire.haste = 1_000;
  const source = await mesh.node("source", [wire.interface("line-a")], { trust });
  const far = await mesh.node("far", [wire.interface("line-b")], { trust });
  allKnow(mesh.nodes);
  for (const node of mesh.nodes) await node.start();
  await source.plane.addPeer(far.address);
  const known = () => source.station.endpoint.path(far.plane.destination.hash) !== undefined;
  if (!(await mesh.run(HOUR_MS, known))) throw new Error("no announce was heard");
  wire.haste = 1;
  // Its announce was booked at the line's own speed.
  await mesh.run(300_000);
  const at = mesh.clock.now();
  const revocation = source.revoke(victim);
  if (!(await mesh.run(HOUR_MS, () => far.has(revocation)))) throw new Error("the revocation did not arrive");
  const tookS = Math.round((mesh.clock.now() - at) / 1000);
  await mesh.stop();
  return tookS;
}

export async function benchRadio(): Promise<BenchResult> {
  const times = await lora();
  const figures = {
    lora_rounds: times.length,
    lora_median_s: times[Math.floor(times.length / 2)] as number,
    lora_all_s: times.join(" "),
    ...(process.env["SPINE_LONG"] === "1" ? { line_5_bps_s: await line() } : {}),
  };
  return { bench: "radio", figures };
}
