/**
 * Guard decisions without disk or socket: time per kind of action under the default ruleset, with a signed receipt, large
 * and hostile texts, and memory over many decisions. Figures of the whole path, durable and through the socket, are apart.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { Action } from "../../node/guards/action.ts";
import { GuardEngine } from "../../node/guards/engine.ts";
import { loadPolicy, loadRuleset } from "../../node/guards/policy/load.ts";
import { issueReceipt, type ReceiptContext } from "../../node/guards/receipt.ts";
import { scanSecrets } from "../../node/guards/secrets/scan.ts";
import type { BenchResult } from "./run.ts";

const WARM = 500;
const TIMED = 5000;
const MANY = 1_000_000;
const MEGABYTE = 1 << 20;
const CALLER = { cwd: "/w/repo" };

const ORDINARY: Readonly<Record<string, Action>> = {
  file_access: { type: "file_access", path: "/w/repo/src/index.ts" },
  file_write: {
    type: "file_write",
    path: "src/index.ts",
    content: Buffer.from("export const answer = 42;\n".repeat(80)),
  },
  patch: {
    type: "patch",
    path: "src/a.ts",
    diff: "--- a/src/a.ts\n+++ b/src/a.ts\n@@ -1,2 +1,2 @@\n-const a = 1;\n+const a = 2;\n b\n",
  },
  egress: { type: "egress", target: "https://api.github.com/repos", port: 443 },
  shell: { type: "shell", command: "cd src && npx tsc -b && npx mocha dist/test/*.js | tee out.txt" },
  mcp_tool: { type: "mcp_tool", name: "mcp__fs__read_text", args: { path: "/w/repo/a.ts", limit: 100 } },
  untrusted_text: {
    type: "custom",
    kind: "untrusted_text",
    payload: { text: "Ordinary documentation of a library. ".repeat(30) },
  },
  user_input: {
    type: "custom",
    kind: "user_input",
    payload: { text: "Please fix the failing test in src/a.ts and say why." },
  },
};

const PROSE = "The quick brown fox jumps over the lazy dog, writes code and asks for a task.\n"
  .repeat(14_000)
  .slice(0, MEGABYTE);

function filled(part: string): Uint8Array {
  return Buffer.from(part.repeat(Math.ceil(MEGABYTE / part.length)).slice(0, MEGABYTE));
}

/** A megabyte each: ordinary, and made to trouble the patterns. */
const LARGE: Readonly<Record<string, Action>> = {
  prose: { type: "file_write", path: "/w/x", content: Buffer.from(PROSE) },
  near_secrets: {
    type: "file_write",
    path: "/w/x",
    content: filled("password = 1234567 api_key=12 aws_secret_access_key "),
  },
  // Every name asks for a value, and every value is long.
  near_assignments: { type: "file_write", path: "/w/x", content: filled("/token:") },
  encodings: { type: "file_write", path: "/w/x", content: filled('%41\\u0041QUFBQUFBQUFBQUFBQUFBQUFBQUE="+"') },
  secrets: { type: "file_write", path: "/w/x", content: filled(`${["AKIA", "Q3EGXABPLE7ZT2WV"].join("")} `) },
  base64: {
    type: "file_write",
    path: "/w/x",
    content: Buffer.from(Buffer.from(PROSE).toString("base64").slice(0, MEGABYTE)),
  },
  untrusted_text: { type: "custom", kind: "untrusted_text", payload: PROSE },
  near_injection: {
    type: "custom",
    kind: "untrusted_text",
    payload: Buffer.from(filled("ignore previous ")).toString(),
  },
};

/** Whole megabytes: the default policy looks at the first 200 kB. */
const WHOLE = `version: 1.2.0
name: whole
extends: default
guards:
  prompt_injection: {max_scan_bytes: 4194304}
  jailbreak: {detector: {max_input_bytes: 4194304}}
`;

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}

/** Milliseconds of each call, ascending. */
async function timed(count: number, run: (at: number) => unknown): Promise<readonly number[]> {
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const started = performance.now();
    await run(at);
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b);
}

export async function benchGuards(): Promise<BenchResult> {
  const { policy } = loadRuleset("default");
  if (policy === undefined) throw new Error("the default ruleset does not load");
  const engine = new GuardEngine(policy, { home: "/home/u", readLink: () => undefined });
  const figures: Record<string, number | string> = { node: process.version };
  for (const [name, action] of Object.entries(ORDINARY)) {
    if (engine.decide(action, CALLER).verdict !== "allow") throw new Error(`${name} is not allowed`);
    await timed(WARM, () => engine.decide(action, CALLER));
    const times = await timed(TIMED, () => engine.decide(action, CALLER));
    figures[`${name}_p50_us`] = Math.round(percentile(times, 0.5) * 1e4) / 10;
    figures[`${name}_p99_us`] = Math.round(percentile(times, 0.99) * 1e4) / 10;
  }
  const { privateKey } = generateKeyPairSync("ed25519");
  const context: ReceiptContext = {
    timestamp: "2026-01-01T00:00:00Z",
    tier: "daemon_enforced",
    mode: "enforce",
    policyState: "active",
  };
  const ports = { sign: (message: Uint8Array): Uint8Array => sign(null, message, privateKey), random: randomBytes };
  const kinds = Object.values(ORDINARY);
  const signed = await timed(TIMED, (at) => {
    const action = kinds[at % kinds.length] as Action;
    return issueReceipt(action, CALLER, engine.decide(action, CALLER), context, ports);
  });
  figures["decide_and_sign_p50_us"] = Math.round(percentile(signed, 0.5) * 1e4) / 10;
  figures["decide_and_sign_p99_us"] = Math.round(percentile(signed, 0.99) * 1e4) / 10;
  figures["decide_and_sign_per_s"] = Math.round((signed.length / signed.reduce((sum, ms) => sum + ms, 0)) * 1000);
  for (const [name, action] of Object.entries(LARGE)) {
    const times = await timed(5, () => engine.decide(action, CALLER));
    figures[`megabyte_${name}_ms`] = Math.round(percentile(times, 0.5) * 10) / 10;
  }
  Object.assign(figures, await detection(), secretScan(), memory(engine, kinds));
  return { bench: "guards", figures };
}

/** The secret scanner alone: this file four thousand characters at a time, and what its tables take. */
function secretScan(): Readonly<Record<string, number>> {
  const page = PROSE.slice(0, 2048) + JSON.stringify(ORDINARY).slice(0, 2048);
  for (let at = 0; at < WARM; at++) scanSecrets(page);
  const times: number[] = [];
  for (let at = 0; at < TIMED; at++) {
    const started = performance.now();
    scanSecrets(page);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return {
    secrets_4kb_p50_us: Math.round(percentile(times, 0.5) * 1e4) / 10,
    secrets_4kb_p99_us: Math.round(percentile(times, 0.99) * 1e4) / 10,
  };
}

/** Texts of 4 kB, and of a megabyte looked at from end to end. */
async function detection(): Promise<Readonly<Record<string, number>>> {
  const { policy } = loadPolicy(WHOLE);
  if (policy === undefined) throw new Error("the policy of this bench does not load");
  const whole = new GuardEngine(policy, { home: "/home/u", readLink: () => undefined });
  const figures: Record<string, number> = {};
  for (const kind of ["untrusted_text", "user_input"] as const) {
    const short: Action = { type: "custom", kind, payload: PROSE.slice(0, 4096) };
    await timed(WARM, () => whole.decide(short, CALLER));
    const times = await timed(TIMED / 10, () => whole.decide(short, CALLER));
    figures[`${kind}_4kb_p50_ms`] = Math.round(percentile(times, 0.5) * 1000) / 1000;
    figures[`${kind}_4kb_p99_ms`] = Math.round(percentile(times, 0.99) * 1000) / 1000;
    const long: Action = { type: "custom", kind, payload: PROSE };
    const slow = await timed(7, () => whole.decide(long, CALLER));
    figures[`${kind}_whole_megabyte_ms`] = Math.round((slow[0] as number) * 10) / 10;
  }
  return figures;
}

/** Resident memory after the first tenth against the end: what every decision would leak, adds up. */
function memory(engine: GuardEngine, kinds: readonly Action[]): Readonly<Record<string, number>> {
  const started = performance.now();
  const megabytes = (): number => Math.round(process.memoryUsage.rss() / MEGABYTE);
  let early = 0;
  for (let at = 0; at < MANY; at++) {
    engine.decide(kinds[at % kinds.length] as Action, { cwd: `/w/repo${at % 1000}` });
    if (at === MANY / 10) early = megabytes();
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    decisions: MANY,
    decisions_per_s: Math.round(MANY / seconds),
    rss_early_mib: early,
    rss_end_mib: megabytes(),
  };
}
