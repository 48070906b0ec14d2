/** The fact that benchmarks sign: with it a whole envelope has about 700 bytes of JSON. */

/** Like a host's heartbeat with a few readings. */
export function fact(i: number): { schema: string; [key: string]: string | number } {
  return {
    schema: "aegis.spine.fact.heartbeat.v1",
    fact_id: `hb_${i}`,
    issued_at: "2026-11-23T00:00:00Z",
    uptime_secs: 1000 + i,
    load_1m: (i % 400) / 100,
    memory_free_bytes: 8_000_000_000 + i,
    note: "steady",
  };
}
