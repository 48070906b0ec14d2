/**
 * Proofs and witnesses one at a time: envelope to checkpoint, inclusion over HTTP, a witness's synced co-signature on
 * loopback, and offline verification of a portable proof with native and with pure signatures.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  initDir,
  nodeDir,
  PublicServer,
  Runtime,
  resolveConfig,
  sha256,
  sha256Hex,
  TransparencyApi,
  treeHasher,
} from "../../node/index.ts";
import {
  formatAddCheckpoint,
  formatNote,
  formatNoteKey,
  formatTreeHead,
  NoteKeyType,
  nobleSha256Hex,
  nobleVerifier,
  noteKey,
  parsePortableProof,
  parseTrustBundle,
  utf8,
  verifyPortableProof,
} from "../../spine/index.ts";
import { namedKey } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";
import { fact } from "./bench-fact.ts";
import { median, quantile } from "./helper-process.ts";
import type { BenchResult } from "./run.ts";

const ENVELOPES = 2_000;
const REQUESTS = 500;
const COSIGNED = 300;
const ORIGIN = "log.example/bench";

async function timesOf(count: number, work: (i: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await work(i);
    times.push(performance.now() - started);
  }
  return times;
}

export async function benchProofs(): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "spine-bench-"));
  // The node's own timers keep no process alive.
  const alive = setInterval(() => {}, 1_000);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const dir = nodeDir(folder);
    await initDir(dir, { open: false, forceNew: false });
    const log = namedKey("bench log");
    const key = noteKey(sha256, ORIGIN, NoteKeyType.ed25519, log.publicKey);
    const flags = { "planes.libp2p.enabled": "false", "transparency.witness.logs": formatNoteKey(key) };
    let checkpointed: () => void = () => {};
    await using runtime = await Runtime.open({
      dir,
      config: resolveConfig({ file: {}, env: {}, flags }),
      onEvent: () => {},
      onTransparency: (event) => event.type === "checkpoint" && checkpointed(),
    });
    runtime.keepLog();
    const published = new Promise<void>((resolve) => {
      checkpointed = resolve;
    });
    const started = performance.now();
    const facts = Array.from({ length: ENVELOPES }, (_, i) => ({ ...fact(i), schema: "aegis.spine.fact.note.v1" }));
    const outcomes = await runtime.publisher.publish(facts as never);
    await published;
    const checkpointMs = performance.now() - started;
    const api = new TransparencyApi(runtime.store, runtime.transparency);
    const answer = api.answer.bind(api);
    await using server = new PublicServer({ listen: "127.0.0.1:0", requestsPerSecond: 100_000, answer, now: Date.now });
    const base = await server.start();
    const call = (path: string, body?: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const outgoing = request(base + path, { agent, method: body === undefined ? "GET" : "POST" }, (incoming) => {
          const parts: Buffer[] = [];
          incoming.on("data", (part: Buffer) => parts.push(part));
          incoming.once("end", () => {
            const text = Buffer.concat(parts).toString();
            return incoming.statusCode === 200 ? resolve(text) : reject(new Error(text));
          });
        });
        outgoing.once("error", reject);
        outgoing.end(body);
      });
    const size = runtime.transparency.keeper.latest?.statement.size ?? 0;
    const hashes = outcomes.flatMap((one) => (one.ok ? [one.envelope_hash] : [])).slice(0, Math.min(size, ENVELOPES));
    const hashOf = (i: number): string => hashes[(i * 7919) % Math.min(hashes.length, 256)] as string;
    const inclusion = await timesOf(REQUESTS, (i) => call(`/v1/proofs/inclusion?envelope_hash=${hashOf(i)}`));

    const tree = TestTree.numbered(COSIGNED);
    const bodies = Array.from({ length: COSIGNED }, (_, old) => {
      const text = formatTreeHead({ origin: ORIGIN, size: old + 1, root: tree.root(old + 1), extensions: [] });
      const line = { name: ORIGIN, keyId: key.keyId, signature: log.sign(utf8(text)) };
      const proof = old === 0 ? [] : tree.consistency(old, old + 1);
      return formatAddCheckpoint(old, proof, formatNote({ text, signatures: [line] }));
    });
    const cosign = await timesOf(COSIGNED, (i) => call("/witness/add-checkpoint", bodies[i]));

    const proof = await api.answer({
      method: "GET",
      url: `/v1/proofs/portable?envelope_hash=${hashes[0]}`,
      accept: "",
      body: "",
    });
    const bundle = { ...parseTrustBundle("{}"), witnessQuorum: 0 };
    const text = String(proof.body);
    const native = await timesOf(300, () =>
      verifyPortableProof(sha256, treeHasher, parsePortableProof(sha256Hex, text), { bundle }, runtime.verifier),
    );
    const pure = await timesOf(50, () =>
      verifyPortableProof(sha256, treeHasher, parsePortableProof(nobleSha256Hex, text), { bundle }, nobleVerifier),
    );
    return {
      bench: "proofs",
      figures: {
        envelopes: ENVELOPES,
        publish_to_checkpoint_ms: Math.round(checkpointMs),
        inclusion_http_p50_ms: median(inclusion),
        inclusion_http_p99_ms: quantile(inclusion, 0.99),
        cosign_http_p50_ms: median(cosign),
        cosign_http_p99_ms: quantile(cosign, 0.99),
        verify_native_median_ms: median(native),
        verify_pure_median_ms: median(pure),
      },
    };
  } finally {
    clearInterval(alive);
    agent.destroy();
    await rm(folder, { recursive: true, force: true });
  }
}
