/** Reads texts out of the pinned packages, for the lists of sources: files by pattern, lines, pieces, strings of JSON values. */
import { type PackageFiles, packageFiles } from "./packages.ts";
import { TRAINING } from "./wanted.ts";

export interface Source {
  /** Goes into the data statement. */
  readonly name: string;
  readonly licence: string;
  readonly attack: boolean;
  /** Texts for development are never trained on: thresholds are set on them, and settings tried. */
  readonly use: "training" | "kept-when-trying" | "development";
  texts(): readonly string[];
}

/** Ordinary text is cut into pieces of about this length, of which each counts as one example. */
export const PIECE_CHARS = 1800;
/** Development texts are longer: the more windows a text has, the higher its best one scores. */
export const DEVELOPMENT_CHARS = 8000;

export function source(
  name: string,
  licence: string,
  kind: "attack" | "ordinary",
  texts: () => readonly string[],
): Source {
  return { name, licence, attack: kind === "attack", use: "training", texts };
}
export function development(
  name: string,
  licence: string,
  kind: "attack" | "ordinary",
  texts: () => readonly string[],
): Source {
  return { ...source(name, licence, kind, texts), use: "development" };
}

export function keptWhenTrying(name: string, licence: string, texts: () => readonly string[]): Source {
  return { ...source(name, licence, "attack", texts), use: "kept-when-trying" };
}

const opened = new Map<string, PackageFiles>();
function files(name: keyof typeof TRAINING): PackageFiles {
  const found = opened.get(name) ?? packageFiles(TRAINING[name]);
  opened.set(name, found);
  return found;
}
export function text(name: keyof typeof TRAINING, path: string): string {
  const bytes = files(name).get(path);
  if (bytes === undefined) throw new Error(`${TRAINING[name].name} has no ${path}`);
  return bytes.toString("utf8");
}
export function matching(name: keyof typeof TRAINING, pattern: RegExp): readonly string[] {
  return [...files(name).keys()].filter((path) => pattern.test(path)).sort();
}
export function pieces(whole: string, chars = PIECE_CHARS): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at < whole.length; at += chars) {
    const piece = whole.slice(at, at + chars).trim();
    if (piece.length >= 30) found.push(piece);
  }
  return found;
}
/** One in `step` of a list, so that a large source does not drown the others. */
export function thin<T>(list: readonly T[], most: number): readonly T[] {
  const step = Math.max(1, list.length / most);
  return Array.from({ length: Math.min(most, list.length) }, (_, at) => list[Math.floor(at * step)] as T);
}
/** Every text of a JSON value, however deep, without keys. */
export function strings(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(strings) : [];
}

export function jsonLines(name: keyof typeof TRAINING, pattern: RegExp): readonly Record<string, string>[] {
  return matching(name, pattern).flatMap((path) =>
    text(name, path)
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line) as Record<string, string>),
  );
}
