/**
 * Turns "proven from above" into "own signature checked" while nothing else needs the cores (rules 5). A stored
 * signature that does not verify is reported to the core, which asks peers for a better one. Started by the daemon.
 */
import {
  type Claim,
  EnvelopeState,
  type Issuer,
  parseIssuer,
  type Run,
  type StateChange,
  type Verifier,
  walkRecords,
} from "../spine/index.ts";
import type { Store } from "../storage/index.ts";
import type { Driver } from "./driver.ts";

const BATCH = 512;
const MAX_REPORTED = 10_000;
const PAUSE_MS = 2_000;
const BUSY_PAUSE_MS = 250;

export interface IdleVerifyOptions {
  readonly store: Store;
  readonly driver: Driver;
  readonly verifier: Verifier;
  readonly signal: AbortSignal;
}

interface Candidate {
  readonly issuer: Issuer;
  readonly seq: number;
  readonly hash: string;
  readonly claim: Claim;
}

function candidatesOf(run: Run): Candidate[] {
  const key = parseIssuer(run.issuer);
  const out: Candidate[] = [];
  let i = 0;
  for (const { signingBytes, signature } of walkRecords(run.records)) {
    if (run.states[i] === EnvelopeState.chain) {
      const claim = { key, message: signingBytes, signature };
      out.push({ issuer: run.issuer, seq: run.from + i, hash: run.hashes[i] as string, claim });
    }
    i++;
  }
  return out;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    timer.unref();
    signal.addEventListener("abort", done);
  });
}

/** Runs until the signal aborts. One batch at a time; yields to everything else. */
export async function verifyWhenIdle(options: IdleVerifyOptions): Promise<void> {
  const { store, driver, verifier, signal } = options;
  /** Reported once per run of the daemon; a restart queues them again. */
  const reported = new Set<string>();
  while (!signal.aborted) {
    if (reported.size > MAX_REPORTED) reported.clear();
    const busy = driver.mesh.load.requests > 0 || driver.committer.waitingBytes > 0;
    const candidates = busy ? [] : (await store.unverified(BATCH + reported.size)).flatMap(candidatesOf);
    const fresh = candidates.filter(({ hash }) => !reported.has(hash)).slice(0, BATCH);
    if (fresh.length === 0) {
      await pause(busy ? BUSY_PAUSE_MS : PAUSE_MS, signal);
      continue;
    }
    const verdicts = await verifier.verify(fresh.map(({ claim }) => claim));
    const changes: StateChange[] = [];
    fresh.forEach(({ issuer, seq, hash }, i) => {
      if (verdicts[i]) {
        changes.push({ issuer, seq, state: EnvelopeState.signature });
      } else {
        reported.add(hash);
        driver.feed({ type: "unsigned", issuer, seq, hash });
      }
    });
    driver.commitStates(changes);
    await driver.settled();
  }
}
