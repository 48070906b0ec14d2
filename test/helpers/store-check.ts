/** Checks a whole store as `spine store check` does, without a process of its own. For directories that nobody has open. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createSigner, nodeDir, readKeyFile, sha256Hex, WorkerVerifier } from "../../node/index.ts";
import { openSigningBytes } from "../../spine/index.ts";
import { checkStore, LevelStore } from "../../storage/index.ts";

/** How many checkpoints the node's own log stated: as many as the test took time. */
async function checkpointsIn(dir: string): Promise<number> {
  const { logKey, store: path } = nodeDir(dir);
  if (!existsSync(logKey)) return 0;
  const log = createSigner(await readKeyFile(logKey, "log")).issuer;
  await using store = new LevelStore(path);
  await store.open();
  const record = (await store.load()).issuers.find(({ issuer }) => issuer === log);
  return (record?.ranges ?? []).reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/**
 * Fails on any finding, and unless the store holds `envelopes`, if given, besides the checkpoints of the node's own log.
 * `dir` is the node's directory.
 */
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
  if (envelopes !== undefined) assert.equal(report.envelopes - (await checkpointsIn(dir)), envelopes);
}
