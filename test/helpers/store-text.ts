/** Everything a store says, as plain JSON: to compare a store with a fixture or with itself before a fault. */
import { createHash } from "node:crypto";
import type { Issuer } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";

export async function describeStore(store: Store, issuers: readonly Issuer[]): Promise<unknown> {
  const snapshot = await store.load();
  const chains: Record<string, unknown> = {};
  for (const issuer of issuers) {
    const runs: unknown[] = [];
    for await (const run of store.runs(issuer, 0, Number.MAX_SAFE_INTEGER)) {
      const digest = createHash("sha256").update(run.records).digest("hex");
      runs.push({ from: run.from, hashes: run.hashes, states: [...run.states].join(""), recordsSha256: digest });
    }
    chains[issuer] = runs;
  }
  const leaves = await store.leaves(0, snapshot.logSize + 1);
  const locations = await Promise.all(leaves.map((hash) => store.locate(hash)));
  const unverified = (await store.unverified(1000)).map(({ issuer, from, hashes }) => [issuer, from, hashes.length]);
  const all = { snapshot, chains, leaves, locations, unverified, envelopes: (await store.usage()).envelopes };
  return JSON.parse(JSON.stringify(all, (_, value) => (value instanceof Uint8Array ? [...value].join(" ") : value)));
}
