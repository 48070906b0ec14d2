/** One side of the catch-up benchmark, in a process of its own: `make`, `source` or `sink` with a directory. */
import { randomBytes } from "node:crypto";
import { createSigner, initDir, nodeDir, Runtime, resolveConfig, sha256Hex } from "../../node/index.ts";
import {
  Admission,
  draftEnvelope,
  type Envelope,
  envelopeBytes,
  formatTime,
  type IssuerRecord,
  runOf,
  sealEnvelope,
} from "../../spine/index.ts";
import { LevelStore } from "../../storage/index.ts";
import { fact } from "./bench-fact.ts";

const [role, path, ...rest] = process.argv.slice(2) as [string, string, ...string[]];
const LISTEN = "/ip4/127.0.0.1/tcp/0";

/** What this process used: processor time since `since`, all threads, and its largest memory. */
function usage(since?: NodeJS.CpuUsage): { cpuSeconds: number; peakRssMb: number } {
  const { user, system } = process.cpuUsage(since);
  return { cpuSeconds: (user + system) / 1e6, peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024) };
}

async function open(
  env: NodeJS.ProcessEnv,
  flags: Record<string, string>,
  onStored: (count: number) => void,
): Promise<Runtime> {
  const dir = nodeDir(path);
  const config = resolveConfig({ file: {}, env, flags });
  return Runtime.open({
    dir,
    config,
    onEvent(event) {
      // The log's own checkpoints are not what is counted.
      if (event.type === "stored" && event.run.hashes.length > 1) onStored(event.run.hashes.length);
      if (event.type === "fatal") throw event.error;
    },
  });
}

async function make(issuers: number, envelopes: number): Promise<void> {
  await initDir(nodeDir(path), { open: true, forceNew: false });
  await using store = new LevelStore(nodeDir(path).store);
  await store.open();
  let bytes = 0;
  const each = envelopes / issuers;
  for (let n = 0; n < issuers; n++) {
    const signer = createSigner(randomBytes(32));
    let head: Envelope | undefined;
    for (let done = 0; done < each; ) {
      const batch: Envelope[] = [];
      while (batch.length < 256 && done < each) {
        const issuedAt = formatTime(1_795_000_000 + done);
        const { issuer } = signer;
        const draft = draftEnvelope(
          { issuer, seq: done + 1, prev: head?.hash ?? null, issuedAt, fact: fact(done) },
          sha256Hex,
        );
        head = sealEnvelope(draft, signer.sign(draft.signingBytes));
        bytes += envelopeBytes(head).length;
        batch.push(head);
        done++;
      }
      const ranges = [{ from: 1, to: done, prev: null, last: (head as Envelope).hash }];
      const record: IssuerRecord = {
        issuer: signer.issuer,
        admission: Admission.allowed,
        ranges,
        prunedBelow: 0,
        frozenAt: null,
      };
      await store.commit({ runs: [runOf(batch)], heads: [], issuers: [record], forks: [], states: [], rows: [] });
    }
  }
  process.send?.({ bytes });
}

async function source(): Promise<void> {
  const runtime = await open({}, { "planes.libp2p.listen": LISTEN, "issuers.open": "true" }, () => {});
  await runtime.startPlanes(new AbortController().signal);
  runtime.keepLog();
  const issuers = [...runtime.driver.mesh.issuers()].map(({ record }) => record.issuer);
  process.send?.({ address: runtime.planes[0]?.addresses()[0], issuers });
  const cpu = process.cpuUsage();
  process.on("message", () => process.send?.({ seconds: 0, ...usage(cpu) }));
}

async function sink(): Promise<void> {
  await initDir(nodeDir(path), { open: false, forceNew: false });
  let stored = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let started = 0;
  let cpu: NodeJS.CpuUsage | undefined;
  const runtime = await open({}, { "planes.libp2p.listen": "" }, (count) => {
    stored += count;
    if (stored < wanted) return;
    process.send?.({ seconds: (performance.now() - started) / 1000, ...usage(cpu) });
  });
  await runtime.startPlanes(new AbortController().signal);
  runtime.keepLog();
  process.send?.({ ready: true });
  process.once("message", async (message: { address: string; issuers: string[]; envelopes: number }) => {
    for (const issuer of message.issuers) await runtime.admit(issuer, Admission.allowed);
    wanted = message.envelopes;
    started = performance.now();
    cpu = process.cpuUsage();
    await runtime.planes[0]?.addPeer(message.address);
  });
}

const work: Record<string, () => Promise<void>> = {
  make: () => make(Number(rest[0]), Number(rest[1])),
  source,
  sink,
};
process.once("SIGTERM", () => process.exit(0));
await work[role]?.();
