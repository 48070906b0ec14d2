/** Checks a whole store as `spine store check` does, without a process of its own. For directories that nobody has open. */
import assert from "node:assert/strict";
import { nodeDir, sha256Hex, WorkerVerifier } from "../../node/index.ts";
import { openSigningBytes } from "../../spine/index.ts";
import { checkStore } from "../../storage/index.ts";

/** Fails on any finding, and unless the store holds `envelopes`, if given. `dir` is the node's directory. */
export async function assertCleanStore(dir: string, envelopes?: number): Promise<void> {
  await using verifier = new WorkerVerifier();
  const report = await checkStore(nodeDir(dir).store, {
    verifier,
    sha256Hex,
    openSigningBytes,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  assert.deepEqual([report.findings, report.moreFindings], [[], 0]);
  if (envelopes !== undefined) assert.equal(report.envelopes, envelopes);
}
