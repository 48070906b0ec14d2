/**
 * Peer exchange: a peer that asks is told of some other linked peers, as peer id and the address record that peer signed.
 * Gossipsub's own exchange speaks only when a mesh is pruned, which in a network of a dozen nodes is never.
 */
import type { Connection, Libp2p, PeerId, Stream } from "@libp2p/interface";
import { ByteReader, ByteWriter, concatBytes, SpineError, utf8, utf8Text } from "../../spine/index.ts";
import { FrameReader, prefixed } from "../frame-reader.ts";
import { hasEnded } from "./sync-stream.ts";

export const PEERS_PROTOCOL = "/spine/peers/1.0.0";
const MAX_PEERS = 16;
const MAX_RECORD_BYTES = 4_096;
const MAX_ID_BYTES = 128;
const MAX_ANSWER_BYTES = MAX_PEERS * (MAX_RECORD_BYTES + MAX_ID_BYTES + 8);
const TIMEOUT_MS = 5_000;

export interface PeerHint {
  readonly id: string;
  /** Signed envelope of the peer's addresses. */
  readonly record: Uint8Array;
}

/** Answers on `stream` with up to 16 of `peers`, then closes it. */
export async function tellPeers(node: Libp2p, stream: Stream, peers: readonly PeerId[]): Promise<void> {
  const frames: Uint8Array[] = [];
  for (const peer of peers) {
    if (frames.length >= MAX_PEERS) break;
    const known = await node.peerStore.get(peer).catch(() => null);
    const record = known?.peerRecordEnvelope;
    if (record === undefined || record.length > MAX_RECORD_BYTES) continue;
    const entry = new ByteWriter().block(utf8(peer.toString())).block(record).finish();
    frames.push(prefixed(entry));
  }
  if (frames.length > 0) stream.send(concatBytes(...frames));
  await stream.close({ signal: AbortSignal.timeout(TIMEOUT_MS) });
}

/** Asks over `connection`; an answer that is malformed, too large or late gives what was read before. */
export async function askPeers(connection: Connection): Promise<readonly PeerHint[]> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const stream = await connection.newStream(PEERS_PROTOCOL, { signal, runOnLimitedConnection: true });
  const hints: PeerHint[] = [];
  const reader = new FrameReader(MAX_RECORD_BYTES + MAX_ID_BYTES + 8);
  let total = 0;
  try {
    await readAll(stream, signal, (chunk) => {
      total += chunk.length;
      if (total > MAX_ANSWER_BYTES) throw new SpineError("frame_size", "peer exchange answer too large");
      reader.push(chunk);
      for (let frame = reader.next(); frame !== null && hints.length < MAX_PEERS; frame = reader.next()) {
        const entry = new ByteReader(frame);
        hints.push({ id: utf8Text(entry.block(MAX_ID_BYTES)), record: entry.block(MAX_RECORD_BYTES) });
      }
    });
    await stream.close({ signal });
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error("peer exchange failed"));
  }
  return hints;
}

/**
 * Gives every chunk to `take` until the peer has closed its side. The stream's own iterator would wait for ever if the
 * peer closed before the first step.
 */
function readAll(stream: Stream, signal: AbortSignal, take: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    stream.addEventListener("close", ({ error }) => (error === undefined ? resolve() : reject(error)));
    stream.addEventListener("end", () => resolve());
    stream.addEventListener("message", ({ data }) => {
      try {
        for (const chunk of data instanceof Uint8Array ? [data] : data) take(chunk);
      } catch (error) {
        reject(error);
      }
      if (hasEnded(stream)) resolve();
    });
    if (hasEnded(stream)) resolve();
  });
}
