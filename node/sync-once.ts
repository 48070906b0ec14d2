/** `spine sync`: connects to one peer, waits until nothing it offers is missing, and says what came and went. */
import type { Plane } from "../planes/index.ts";
import { type LinkId, SpineError } from "../spine/index.ts";
import type { EventHub } from "./event-hub.ts";
import type { SyncOptions, SyncSummary } from "./handle.ts";
import { planeOf } from "./peerbook.ts";
import type { Runtime } from "./runtime.ts";

const CONNECT_MS = 20_000;
const POLL_MS = 50;
/** Nothing more is expected when the peer has been silent for so long with nothing missing. */
const QUIET_MS = 700;
/** No progress for so long ends the sync as partial. */
const STALL_MS = 35_000;

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

function linkTo(plane: Plane, runtime: Runtime, id: string): LinkId | undefined {
  const link = plane.peers().find((peer) => peer.id === id)?.link;
  const ready = runtime.driver.mesh.links().some((one) => one.id === link && one.issuer !== null);
  return ready ? (link ?? undefined) : undefined;
}

async function connect(plane: Plane, runtime: Runtime, id: string, signal: AbortSignal): Promise<LinkId> {
  const deadline = Date.now() + CONNECT_MS;
  while (Date.now() < deadline) {
    const link = linkTo(plane, runtime, id);
    if (link !== undefined) return link;
    await sleep(POLL_MS, signal);
  }
  throw new SpineError("peer_unreachable", `no connection to ${id} within ${CONNECT_MS / 1000} s`);
}

/** Throws `peer_address`, `peer_unreachable` or the signal's reason; resolves also when partial. */
export async function syncOnce(
  runtime: Runtime,
  hub: EventHub,
  peer: string,
  options: SyncOptions,
): Promise<SyncSummary> {
  const { issuer, dryRun, signal, onProgress } = options;
  const name = planeOf(peer);
  if (runtime.planes.length === 0) await runtime.dial(name, signal);
  const plane = runtime.planes.find((one) => one.name === name);
  if (plane === undefined)
    throw new SpineError("peer_unreachable", `the plane ${name} is not enabled in the configuration`);
  const id = peer.split(/[/:]/).at(-1) as string;
  const known = plane.peers().some((one) => one.id === id && one.configured);
  await plane.addPeer(peer);
  const started = performance.now();
  const before = { stored: hub.logSize, served: runtime.driver.servedEnvelopes, bytes: runtime.driver.receivedBytes };
  try {
    const link = await connect(plane, runtime, id, signal);
    const { mesh } = runtime.driver;
    let [changedAt, last, wanted] = [performance.now(), "", 0];
    for (;;) {
      await sleep(POLL_MS, signal);
      const lacking = mesh.lacking(link, issuer);
      let received = hub.logSize - before.stored;
      const bytes = runtime.driver.receivedBytes - before.bytes;
      wanted = Math.max(wanted, received + lacking);
      const state = `${lacking}|${received}|${bytes}|${runtime.driver.servedEnvelopes}`;
      if (state !== last) changedAt = performance.now();
      if (state !== last && received > 0) onProgress({ received, wanted, bytes });
      last = state;
      const gone = linkTo(plane, runtime, id) === undefined;
      const quietMs = performance.now() - changedAt;
      const done = quietMs > QUIET_MS && (lacking === 0 || dryRun);
      if (!done && !gone && quietMs < STALL_MS) continue;
      if (gone) {
        // What arrived before the loss is still on its way through the core and to the disk.
        while (mesh.links().some((one) => one.id === link)) await sleep(POLL_MS, signal);
        await runtime.driver.settled();
        received = hub.logSize - before.stored;
      }
      const seconds = (performance.now() - started - (done ? quietMs : 0)) / 1000;
      const reason = gone ? "the connection was lost" : lacking > 0 ? `${lacking} envelopes are still missing` : null;
      return {
        received,
        sent: runtime.driver.servedEnvelopes - before.served,
        bytes,
        seconds,
        per_second: seconds > 0 ? received / seconds : 0,
        complete: done && lacking === 0,
        reason,
      };
    }
  } finally {
    if (!known) await plane.removePeer(id);
  }
}
