/** Durable small files: written whole or not at all, never over an existing one unless asked. */
import { randomBytes } from "node:crypto";
import { link, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SpineError } from "../spine/index.ts";

export interface WriteOptions {
  /** Permission bits, such as 0o600; set before any content is written. */
  readonly mode: number;
  /** Fails with EEXIST instead of replacing. */
  readonly exclusive: boolean;
}

export function errorCodeOf(caught: unknown): string | undefined {
  return caught instanceof Error && "code" in caught && typeof caught.code === "string" ? caught.code : undefined;
}

/** Makes renames and links in a directory durable. */
export async function syncDir(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Resolved = content and name are on disk. A crash leaves the old file or the new one, at worst a stray `.tmp`. */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const handle = await open(temporary, "wx", options.mode);
  try {
    try {
      await handle.chmod(options.mode);
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // link() refuses an existing name in the same step that creates it; rename() would replace it.
    if (options.exclusive) {
      await link(temporary, path);
      await unlink(temporary);
    } else {
      await rename(temporary, path);
    }
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw cause;
  }
  await syncDir(folder);
}

/** Renames to `NAME.old-N` with the first free N; nothing happens where there is none. Throws `store_failed`. */
export async function setAside(path: string): Promise<void> {
  const taken = new Set(await readdir(dirname(path)));
  let n = 1;
  while (taken.has(`${basename(path)}.old-${n}`)) n++;
  await rename(path, `${path}.old-${n}`).catch((cause: unknown) => {
    if (errorCodeOf(cause) !== "ENOENT") throw new SpineError("store_failed", `cannot rename ${path}`, { cause });
  });
}
