/** A verification worker: packed claims in, verdict bytes out, in order. Started by `verifier.ts` only. */
import { parentPort } from "node:worker_threads";
import { checkPacked, createClaimCheck } from "./verify-batch.ts";

const check = createClaimCheck();

parentPort?.on("message", (packed: ArrayBuffer) => {
  const verdicts = checkPacked(packed, check);
  parentPort?.postMessage(verdicts.buffer, [verdicts.buffer]);
});
