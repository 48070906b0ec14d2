/** `spine rns probe`: is a destination there, how far, how long does a packet and its proof take. */
import { setTimeout as sleep } from "node:timers/promises";
import { SpineError } from "../../spine/index.ts";
import { MAX_PROBE_BYTES, MAX_PROBE_MS, type ProbeResult } from "../reticulum/service.ts";
import { openRns } from "../reticulum/session.ts";
import { placeOf, RNS_OPTIONS } from "./rns.ts";
import type { Verb, VerbContext } from "./verb.ts";

const MAX_COUNT = 10_000;

function number(context: VerbContext, name: string, least: number, most: number, fallback: number): number {
  const text = context.text(name);
  const value = text === undefined ? fallback : Number(text);
  if (!(value >= least && value <= most))
    throw new SpineError("usage", `--${name} ${text}: expected ${least} to ${most}`);
  return value;
}

function readable(result: ProbeResult): string {
  if (!result.ok) return `no answer from ${result.destination}: ${result.message}`;
  const { destination, bytes, hops, rtt_ms, rssi_dbm, snr_db } = result;
  const signal = rssi_dbm === null ? "" : `  RSSI ${rssi_dbm} dBm  SNR ${snr_db ?? "-"} dB`;
  return `${bytes} bytes proved by ${destination}: ${rtt_ms.toFixed(1)} ms over ${hops} ${hops === 1 ? "hop" : "hops"} (${result.interface})${signal}`;
}

export const rnsProbe: Verb = {
  usage: "rns probe [--count N] [--size BYTES] [--timeout SECONDS] [--wait SECONDS] DESTINATION",
  about:
    "Sends packets to a destination that proves what it receives, such as a node's rnstransport.probe, and measures the\n" +
    "round trip. The path is asked for when it is not known. Exit code 1 when a packet was not proved.",
  examples: ["spine rns probe 4faf1b2e0a077e6a9d92fa051f256038", "spine rns probe --count 5 --json DESTINATION"],
  options: {
    ...RNS_OPTIONS,
    count: { type: "string", value: "N", help: "Packets to send (1)." },
    size: { type: "string", value: "BYTES", help: "Payload of each, at most 383 (16)." },
    timeout: { type: "string", value: "SECONDS", help: "Wait this long for the path, and for each proof (15)." },
    wait: { type: "string", value: "SECONDS", help: "Between packets (0)." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const { out, json, note, signal } = context;
    const count = number(context, "count", 1, MAX_COUNT, 1);
    const sizeBytes = number(context, "size", 1, MAX_PROBE_BYTES, 16);
    const timeoutMs = Math.round(number(context, "timeout", 0.1, MAX_PROBE_MS / 1000, 15) * 1000);
    const waitMs = number(context, "wait", 0, 3600, 0) * 1000;
    if (!Number.isInteger(count) || !Number.isInteger(sizeBytes))
      throw new SpineError("usage", "whole numbers, please");
    await using node = await openRns(placeOf(context), note);
    const destination = context.operands[0] as string;
    let proved = 0;
    for (let i = 0; i < count; i++) {
      if (i > 0) await sleep(waitMs, undefined, { signal });
      const result = await node.probe({ destination, sizeBytes, timeoutMs, signal });
      if (result.ok) proved++;
      await out.line(json ? result : readable(result));
    }
    if (count > 1) note(`sent ${count}, proved ${proved}, lost ${(((count - proved) / count) * 100).toFixed(1)} %`);
    return proved === count ? 0 : 1;
  },
};
