/** Reading the shared guard cases, one JSON value per line. */
import { sharedText } from "./shared.ts";

export function sharedLines<T>(path: string): readonly T[] {
  const lines = sharedText(path).split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as T);
}
