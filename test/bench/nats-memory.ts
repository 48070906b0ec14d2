/** Resident memory that 50,000 remembered hashes and an audit log of 100,000 records add. Started by `nats.ts`. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AuditLog, dedupeKey } from "../../node/index.ts";
import { BoundedMap } from "../../spine/index.ts";
import { sha256Hex } from "../helpers/crypto.ts";

const HASHES = 50_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function residentBytes(): number {
  collect();
  collect();
  return process.memoryUsage.rss();
}

const options = { maxFileBytes: 64 * 2 ** 20, maxFiles: 4, now: Date.now, onFailure: () => {} };
const audit = await AuditLog.open({ folder: process.argv[2] as string, ...options });

async function fill(ring: BoundedMap<string, true>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const hash = `0x${sha256Hex(Buffer.from(String(i)))}`;
    ring.set(dedupeKey(hash), true);
    audit.append({ kind: "forward", envelope_hash: hash, issuer: "x".repeat(78), seq: i, reason: "allowed" });
    if (i % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

// A running node's heap has its compiled code and its young generation already.
await fill(new BoundedMap(1), HASHES);
const before = residentBytes();
const ring = new BoundedMap<string, true>(HASHES);
await fill(ring, 2 * HASHES);
const added = residentBytes() - before;
audit.close();
if (ring.size !== HASHES) throw new Error("the ring forgot its size");
if (process.send === undefined) process.stdout.write(`${added / 1_048_576}\n`);
else process.send(added / 1_048_576);
