/** `npm run bench -- NAME [--json]`: runs one benchmark and prints a table, or one JSON object. */
import { parseArgs } from "node:util";

export interface BenchResult {
  readonly bench: string;
  /** Figures by name; names carry units. A comparison has `ratio` and the peer's name and version. */
  readonly figures: Readonly<Record<string, number | string | boolean>>;
}

export type Bench = () => Promise<BenchResult>;

const BENCHES: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Bench> }>> = {
  radio: {
    about: "a revocation over emulated LoRa in real time, 5 minutes; SPINE_LONG=1: over 5 bit/s too, 20 minutes",
    load: async () => (await import("./radio.ts")).benchRadio,
  },
  verify: {
    about: "batched signature checks in workers against bare crypto.verify on all cores",
    load: async () => (await import("./verify.ts")).benchVerify,
  },
  "catch-up": {
    about: "100,000 envelopes of one issuer over libp2p, against hypercore over TCP (installed on demand)",
    load: async () => {
      const { benchCatchUp } = await import("./catch-up.ts");
      return () => benchCatchUp(1);
    },
  },
  "catch-up-100": {
    about: "the same with 100 issuers",
    load: async () => {
      const { benchCatchUp } = await import("./catch-up.ts");
      return () => benchCatchUp(100);
    },
  },
  publish: {
    about: "durable publishing through a daemon's API, 500/s and in batches, against a server that does nothing",
    load: async () => (await import("./publish.ts")).benchPublish,
  },
  idle: {
    about: "an idle daemon with libp2p: time to ready, memory",
    load: async () => (await import("./idle.ts")).benchIdle,
  },
  sim: {
    about: "simulated time and memory from 200 to 10,000 nodes: 100 issuers, an envelope and a head each to all",
    load: async () => (await import("./sim.ts")).benchSimGrowth,
  },
  "sim-scenarios": {
    about: "200 nodes on mixed planes for 10 min, fifty radios for a day, ten radios for a day",
    load: async () => (await import("./sim.ts")).benchSimScenarios,
  },
  "sim-validation": {
    about: "the simulated ether beside the one that Python's RNodeInterface drives (needs the rns peer and socat)",
    load: async () => (await import("./sim-validation.ts")).benchSimValidation,
  },
  stored: {
    about: "a daemon with 1,000,000 stored envelopes: start, range queries, memory",
    load: async () => (await import("./stored.ts")).benchStored,
  },
  log: {
    about: "the transparency log at 10,000,000 leaves: append, start, proofs, memory",
    load: async () => (await import("./log.ts")).benchLog,
  },
  "log-append": {
    about: "appending to the transparency log beside Tessera's POSIX driver (built on demand, needs go)",
    load: async () => (await import("./log-append.ts")).benchLogAppend,
  },
  proofs: {
    about: "envelope to checkpoint, inclusion proofs and co-signatures over HTTP, offline verification",
    load: async () => (await import("./proofs.ts")).benchProofs,
  },
  guards: {
    about: "guard decisions of the default ruleset, with a signed receipt, large texts, memory over 1,000,000",
    load: async () => (await import("./guards.ts")).benchGuards,
  },
  decisions: {
    about: "guard decisions through a daemon's socket, signed and durable, against a server that does nothing; memory",
    load: async () => (await import("./decisions.ts")).benchDecisions,
  },
  "decisions-memory": {
    about: "a daemon's memory over 1,000,000 guard decisions (some ten minutes)",
    load: async () => (await import("./decisions-memory.ts")).benchDecisionsMemory,
  },
  hook: {
    about: "a harness's hook: program start against bare node, the HTTP endpoint; signed and durable",
    load: async () => (await import("./hook.ts")).benchHook,
  },
  mcp: {
    about: "a tool call through the MCP proxy against the bare server, signed and durable",
    load: async () => (await import("./mcp.ts")).benchMcp,
  },
  authority: {
    about: "authority decisions at 100,000 revocations and 10,000 issuers: time each, memory",
    load: async () => (await import("./authority.ts")).benchAuthority,
  },
  enclave: {
    about: "frames inside WireGuard against a bare TCP stream in the same tunnel; a peer change among 500 (root)",
    load: async () => (await import("./enclave.ts")).benchEnclave,
  },
  nats: {
    about: "NATS streams and the gateway on one server: publishing, reading to disk, time added, memory",
    load: async () => (await import("./nats.ts")).benchNats,
  },
  api: {
    about: "publishing through the API, without disk, against a server that does nothing",
    load: async () => (await import("./api.ts")).benchApi,
  },
};

function table({ bench, figures }: BenchResult): string {
  const rows = Object.entries(figures).map(([name, value]) => {
    const text = typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
    return `  ${name.padEnd(36)} ${text.padStart(14)}`;
  });
  return [bench, ...rows].join("\n");
}

const { values, positionals } = parseArgs({ options: { json: { type: "boolean" } }, allowPositionals: true });
const bench = BENCHES[positionals[0] ?? ""];
if (bench === undefined || positionals.length !== 1) {
  const known = Object.entries(BENCHES).map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`);
  process.stderr.write(`Usage: npm run bench -- NAME [--json]\n\n${known.join("\n")}\n`);
  process.exitCode = 2;
} else {
  const run = await bench.load();
  const result = await run();
  process.stdout.write(`${values.json ? JSON.stringify(result) : table(result)}\n`);
}
