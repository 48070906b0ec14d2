/** The shared specification and vectors beside the checkout. Suites over them are skipped, and counted, where absent. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../../../../shared");
const NEAR = resolve(import.meta.dirname, "../../../../../shared");

/** Absolute path of a file under `../shared` of the project (or of the folder a worktree lives in). */
export function sharedFile(path: string): string {
  const near = resolve(ROOT, path);
  return existsSync(near) ? near : resolve(NEAR, path);
}

export function sharedText(path: string): string {
  return readFileSync(sharedFile(path), "utf8");
}

export function sharedBytes(path: string): Uint8Array {
  return Uint8Array.from(readFileSync(sharedFile(path)));
}

/** The caller names the shape; the suites check the values. */
export function sharedJson<T>(path: string): T {
  return JSON.parse(sharedText(path)) as T;
}

/** Every file below a folder, as paths for the functions above, sorted. */
export function sharedTree(folder: string): string[] {
  return readdirSync(sharedFile(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name))
    .sort();
}

/** `describe` over vectors; without them, one skipped test that names what is missing. */
export function describeShared(title: string, paths: readonly string[], body: () => void): void {
  const missing = paths.filter((path) => !existsSync(sharedFile(path)));
  if (missing.length === 0) describe(title, body);
  else describe(title, () => it.skip(`needs ../shared/${missing.join(", ../shared/")}`));
}
