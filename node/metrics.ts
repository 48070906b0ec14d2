/** Prometheus metrics: `spine_<noun>_<unit>[_total]`, seconds and bytes, closed label sets. One instance per daemon. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { ERRORS, type ErrorCode } from "../spine/index.ts";

export type EnvelopeSource = "published" | "synced" | "gossip" | "imported";
export type ApiRoute = "publish" | "envelopes" | "range" | "events" | "sync" | "import" | "check" | "other";

export interface Metrics {
  stored(source: EnvelopeSource, count: number): void;
  refused(code: ErrorCode): void;
  commit(seconds: number, envelopes: number): void;
  request(route: ApiRoute, status: number, seconds: number): void;
  /** Adds gauges and counters read at scrape time; names without prefix, such as `links_count`. */
  observe(kind: "gauge" | "counter", name: string, help: string, read: () => number): void;
  /** A plane's own counters; `read` gives a closed set of names. */
  observePlane(plane: string, read: () => Readonly<Record<string, number>>): void;
  text(): Promise<string>;
}

const SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5];

export function createMetrics(version: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const stored = new Counter({
    name: "spine_envelopes_stored_total",
    help: "Envelopes made durable, by where they came from.",
    labelNames: ["source"],
    registers,
  });
  for (const source of ["published", "synced", "gossip", "imported"]) stored.inc({ source }, 0);
  const refused = new Counter({
    name: "spine_inputs_refused_total",
    help: "Inputs refused, by error code.",
    labelNames: ["code"],
    registers,
  });
  const commits = new Histogram({
    name: "spine_commit_seconds",
    help: "Time of one synced commit.",
    buckets: SECONDS,
    registers,
  });
  const committed = new Counter({
    name: "spine_commit_envelopes_total",
    help: "Envelopes in commits; over the count of spine_commit_seconds it is the batch size.",
    registers,
  });
  const requests = new Histogram({
    name: "spine_api_request_seconds",
    help: "Time of API requests, by route and class of status.",
    labelNames: ["route", "status"],
    buckets: SECONDS,
    registers,
  });
  const build = new Gauge({ name: "spine_build_info", help: "1, labelled.", labelNames: ["version"], registers });
  build.set({ version }, 1);
  const observe: Metrics["observe"] = (kind, name, help, read) => {
    const options = { name: `spine_${name}`, help, registers };
    if (kind === "gauge")
      new Gauge({
        ...options,
        collect: function () {
          this.set(read());
        },
      });
    else {
      new Counter({
        ...options,
        collect: function () {
          this.reset();
          this.inc(read());
        },
      });
    }
  };
  observe("gauge", "process_resident_bytes", "Resident memory.", () => process.memoryUsage.rss());
  observe("gauge", "process_uptime_seconds", "Time since start.", () => process.uptime());
  observe("counter", "process_cpu_seconds_total", "Processor time used.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  const planes = new Map<string, () => Readonly<Record<string, number>>>();
  new Counter({
    name: "spine_plane_events_total",
    help: "Counters of each plane, by their name there.",
    labelNames: ["plane", "counter"],
    registers,
    collect() {
      this.reset();
      for (const [plane, read] of planes) {
        for (const [counter, value] of Object.entries(read())) this.inc({ plane, counter }, value);
      }
    },
  });
  return {
    stored: (source, count) => stored.inc({ source }, count),
    refused: (code) => refused.inc({ code: code in ERRORS ? code : "internal" }),
    commit(seconds, envelopes) {
      commits.observe(seconds);
      committed.inc(envelopes);
    },
    request: (route, status, seconds) => requests.observe({ route, status: `${Math.floor(status / 100)}xx` }, seconds),
    observe,
    observePlane: (plane, read) => void planes.set(plane, read),
    text: () => registry.metrics(),
  };
}
