/** Reads a small secret text file of the operator's, such as a private network's key. Used by the runtime. */
import { open } from "node:fs/promises";
import { SpineError } from "../spine/index.ts";

const MAX_BYTES = 4_096;

/** Throws `key_missing`, `key_permissions` (others may read it) or `key_invalid` (too large). */
export async function readSecretText(path: string): Promise<string> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new SpineError("key_missing", `cannot open ${path}`, { cause });
  });
  try {
    const info = await handle.stat();
    if ((info.mode & 0o077) !== 0) throw new SpineError("key_permissions", `others can read ${path}`);
    if (info.size > MAX_BYTES) throw new SpineError("key_invalid", `${path} has ${info.size} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}
