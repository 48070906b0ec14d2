/** Reads a small text file of the operator: undefined when absent, refused when large, no file, or open to others' changes. */
import { open } from "node:fs/promises";
import { SpineError } from "../../spine/index.ts";
import { errorCodeOf } from "../files.ts";

/** Throws `gateway_policy`. */
export async function readBounded(path: string, maxBytes: number): Promise<string | undefined> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new SpineError("gateway_policy", `${path}: cannot be read`, { cause });
  });
  if (handle === undefined) return undefined;
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new SpineError("gateway_policy", `${path}: no ordinary file`);
    if ((info.mode & 0o022) !== 0)
      throw new SpineError("gateway_policy", `${path}: others may change it; run chmod 600`);
    if (info.size > maxBytes) throw new SpineError("gateway_policy", `${path}: larger than ${maxBytes} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}
