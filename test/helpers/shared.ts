/** Finds the shared vectors beside the project; suites that need them are skipped, and counted, where they are absent. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Absolute path of `path` below the shared directory. */
export function sharedFile(path: string): string {
  const root = new URL("../../../", import.meta.url);
  const places = ["../shared/", "../../shared/"].map((place) => fileURLToPath(new URL(`${place}${path}`, root)));
  return places.find((place) => existsSync(place)) ?? (places[0] as string);
}

/** Registers `body`, or one skipped test that names the missing file or directory. */
export function describeShared(title: string, path: string, body: () => void): void {
  if (existsSync(sharedFile(path))) describe(title, body);
  else describe(title, () => it.skip(`needs shared/${path}`));
}

/** One value per line. */
export function sharedLines<T>(path: string): readonly T[] {
  const lines = readFileSync(sharedFile(path), "utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as T);
}
