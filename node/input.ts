/** Input of the verbs: a file, or `-` (also when none is named) for standard input, read in pieces. */
import { open } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { SpineError } from "../spine/index.ts";
import { errorCodeOf } from "./files.ts";

const CHUNK_BYTES = 262_144;

/** Throws `usage` when the file cannot be read, the signal's reason when aborted. */
export async function openInput(name: string | undefined, signal: AbortSignal): Promise<Readable> {
  if (name === undefined || name === "-") return addAbortSignal(signal, process.stdin);
  try {
    const handle = await open(name, "r");
    if ((await handle.stat()).isDirectory()) {
      await handle.close();
      throw new SpineError("usage", `${name} is a directory`);
    }
    return handle.createReadStream({ highWaterMark: CHUNK_BYTES, signal });
  } catch (cause) {
    if (cause instanceof SpineError) throw cause;
    throw new SpineError("usage", `cannot read ${name}: ${errorCodeOf(cause) ?? "unknown error"}`, { cause });
  }
}
