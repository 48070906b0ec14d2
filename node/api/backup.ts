/**
 * `GET /v1/backup`: the store at one moment, for `spine backup` beside a running daemon. No key is in it. Pieces of
 * `LevelStore.dump`, each behind its u32 big-endian length; a length of 0 ends a whole answer.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { SpineError } from "../../spine/index.ts";
import type { NodeHandle } from "../handle.ts";
import { writeChunk } from "./stream.ts";

const LENGTH_BYTES = 4;
/** No piece is longer: one piece of entries with one largest value. */
const MAX_PIECE_BYTES = 8 << 20;

function lengthOf(piece: Uint8Array | undefined): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.writeUInt32BE(piece?.length ?? 0);
  return bytes;
}

/** An error after the first piece ends the answer early, which the reader notices. */
export async function serveBackup(response: ServerResponse, node: NodeHandle, signal: AbortSignal): Promise<void> {
  const pieces = node.storeDump({ signal })[Symbol.asyncIterator]();
  try {
    let next = await pieces.next();
    response.writeHead(200, { "content-type": "application/octet-stream" });
    for (; next.done !== true; next = await pieces.next()) {
      if (!(await writeChunk(response, Buffer.concat([lengthOf(next.value), next.value])))) return;
    }
    response.end(lengthOf(undefined));
  } catch (caught) {
    if (!response.headersSent) throw caught;
    response.destroy();
  } finally {
    await pieces.return?.();
  }
}

/** The pieces of an answer. Throws `api_unavailable` when it ends early. */
export async function* readBackup(answer: IncomingMessage): AsyncGenerator<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      while (rest.length >= LENGTH_BYTES) {
        const length = rest.readUInt32BE(0);
        if (length === 0) return;
        if (length > MAX_PIECE_BYTES) throw new SpineError("api_unavailable", `a piece of ${length} bytes`);
        if (rest.length < LENGTH_BYTES + length) break;
        yield rest.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
        rest = rest.subarray(LENGTH_BYTES + length);
      }
    }
  } catch (cause) {
    if (cause instanceof SpineError) throw cause;
    throw new SpineError("api_unavailable", "the daemon's copy of the store ended early", { cause });
  }
  throw new SpineError("api_unavailable", "the daemon's copy of the store ended early");
}
