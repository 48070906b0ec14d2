/** Live facts of this host for the tour: a heartbeat with real readings, and a snapshot of its processes. */
import { readdir, readFile } from "node:fs/promises";
import { freemem, hostname, loadavg, totalmem, uptime } from "node:os";
import type { JsonObject } from "../../spine/index.ts";

/** Readings have at most two decimals: signed numbers must be spelled alike everywhere. */
const rounded = (value: number): number => Math.round(value * 100) / 100;

export function heartbeat(nodeId: string, count: number): JsonObject {
  const [load1, load5] = loadavg() as [number, number, number];
  return {
    schema: "aegis.spine.fact.heartbeat.v1",
    fact_id: `hb_${count}`,
    node_id: nodeId,
    issued_at: `${new Date().toISOString().slice(0, 19)}Z`,
    host: hostname(),
    uptime_secs: Math.floor(uptime()),
    load_1m: rounded(load1),
    load_5m: rounded(load5),
    memory_free_bytes: freemem(),
    memory_total_bytes: totalmem(),
  };
}

const MAX_PROCESSES = 60;
const KIB = 1024;

/** The largest processes by resident memory, from /proc; just this process where there is none. */
export async function processSnapshot(nodeId: string): Promise<JsonObject> {
  const pids = (await readdir("/proc").catch(() => [`${process.pid}`])).filter((name) => /^\d+$/.test(name));
  const processes: { pid: number; name: string; rss_bytes: number }[] = [];
  for (const pid of pids) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    const name = /^Name:\s+([\x20-\x7e]+)$/m.exec(status)?.[1];
    if (name === undefined) continue;
    processes.push({ pid: Number(pid), name, rss_bytes: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * KIB });
  }
  if (processes.length === 0) processes.push({ pid: process.pid, name: "node", rss_bytes: process.memoryUsage.rss() });
  processes.sort((a, b) => b.rss_bytes - a.rss_bytes);
  return {
    schema: "aegis.spine.fact.process_snapshot.v1",
    fact_id: `ps_${Date.now()}`,
    node_id: nodeId,
    count: processes.length,
    processes: processes.slice(0, MAX_PROCESSES),
  };
}
