/**
 * Peer exchange: a peer that asks is told of some other linked peers, as peer id and the address record that peer signed.
 * Gossipsub's own exchange speaks only when a mesh is pruned, which in a network of a dozen nodes is never.
 */
import type { Connection, Libp2p, PeerId, Stream } from "@libp2p/interface";
import { ByteReader, ByteWriter, concatBytes, utf8, utf8Text } from "../../spine/index.ts";
import { FrameReader, prefixed } from "./frame-reader.ts";

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

/** Asks over `connection`; malformed answers give what was read before. */
export async function askPeers(connection: Connection): Promise<readonly PeerHint[]> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const stream = await connection.newStream(PEERS_PROTOCOL, { signal, runOnLimitedConnection: true });
  const late = (): void => stream.abort(new Error("peer exchange timed out"));
  signal.addEventListener("abort", late);
  const hints: PeerHint[] = [];
  const reader = new FrameReader(MAX_RECORD_BYTES + MAX_ID_BYTES + 8);
  let total = 0;
  try {
    for await (const data of stream) {
      total += data.byteLength;
      if (total > MAX_ANSWER_BYTES) break;
      for (const chunk of data instanceof Uint8Array ? [data] : data) reader.push(chunk);
      for (let frame = reader.next(); frame !== null && hints.length < MAX_PEERS; frame = reader.next()) {
        const entry = new ByteReader(frame);
        hints.push({ id: utf8Text(entry.block(MAX_ID_BYTES)), record: entry.block(MAX_RECORD_BYTES) });
      }
    }
    await stream.close({ signal });
  } catch {
    stream.abort(new Error("peer exchange failed"));
  } finally {
    signal.removeEventListener("abort", late);
  }
  return hints;
}
