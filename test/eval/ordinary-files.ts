/** Files without secrets: this project's own, and what popular packages publish. False positives are counted on them. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CorpusPackage, PROJECT_ROOT, packageFiles } from "../../node/guards/model/training/packages.ts";

export interface OrdinaryFile {
  readonly group: string;
  /** Inside the repository or the package. */
  readonly path: string;
  readonly text: string;
}

const TEXT = /\.(?:[cm]?[jt]sx?|json|jsonl|md|ya?ml|toml|txt|py|go|rs|sh|html|css|map|conf|service|sql|xml|svg)$/;
const MAX_FILE_BYTES = 2 << 20;

/** Ten that this project installs, at the versions of its lock file. */
const INSTALLED = ["express", "typescript", "zod", "ajv", "mocha", "hono", "yaml", "libp2p", "pino", "jose"];

/** Ten more that nothing was tuned on; several speak to services that need keys, so their documentation shows some. */
const HELD_OUT: readonly CorpusPackage[] = [
  npm("axios", "1.21.1", "MIT", "5659acb8c9414ad88aa539db8e529947c9bac8cdf55973e314a078fc0205751c"),
  npm("lodash", "4.18.1", "MIT", "696942c2a488c9d7428e9ca5f12ccf03b52de01dcdbfe4d4751d392f0491ae16"),
  npm("vue", "3.5.45", "MIT", "c2ec36a9b719e4277785f1ad36a1bb0424d8d32f0bea24abcce862e26821d585"),
  npm("react-dom", "19.3.1", "MIT", "8b49975821eec6311e00d2b3f4b8337923253c876517388a33f9839c61ab262e"),
  npm("webpack", "5.113.0", "MIT", "095755cb8e271b3f38615ae794264f314b1e4dd3158c5677e8700aee9ea20bb7"),
  npm("stripe", "23.1.0", "MIT", "7066de352ba7583d67228a5060b970f25720a9e587a786848d1c5a3b2d5629f1"),
  npm("nodemailer", "10.6.1", "MIT-0", "7b1a6615b333c7f09c5a3e9147085f6c762eb2ace4abde0341a9e0dd4bf02af8"),
  npm("jsonwebtoken", "9.0.3", "MIT", "d9af2628a7a4dda25acf1e19c7ecc2468e1e9e8d4619fe2cae829e89d96f6b82"),
  npm("mongoose", "9.12.1", "MIT", "de332a61c69faea1f9775291a984a9391a985e0b452d51c55b6458796de7d04b"),
  npm("openai", "7.59.0", "Apache-2.0", "7f1deacae8d17efc9c02622b032851c7e28e148b62b1da7747eb8b426ea4dba9"),
];

function npm(name: string, version: string, licence: string, sha256: string): CorpusPackage {
  return { registry: "npm", name, version, licence, sha256 };
}

/** Sources, documents, settings and lock files under version control. */
export function ownFiles(): readonly OrdinaryFile[] {
  const names = existsSync(join(PROJECT_ROOT, ".git"))
    ? execFileSync("git", ["ls-files"], { cwd: PROJECT_ROOT, encoding: "utf8" }).trim().split("\n")
    : walk(PROJECT_ROOT, "").filter((name) => !/^(?:node_modules|dist|\.)/.test(name));
  return names
    .filter((name) => TEXT.test(name))
    .flatMap((path) => read(/lock\./.test(path) ? "lock files" : "this project", PROJECT_ROOT, path));
}

export function installedFiles(): readonly OrdinaryFile[] {
  return INSTALLED.flatMap((name) => {
    const folder = join(PROJECT_ROOT, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return walk(folder, "")
      .filter((path) => TEXT.test(path))
      .flatMap((path) => read(`${name} ${version}`, folder, path));
  });
}

/** Fetches what is not here yet. */
export function heldOutFiles(): readonly OrdinaryFile[] {
  return HELD_OUT.flatMap((wanted) =>
    [...packageFiles(wanted)]
      .filter(([path, bytes]) => TEXT.test(path) && bytes.length <= MAX_FILE_BYTES)
      .map(([path, bytes]) => ({ group: `${wanted.name} ${wanted.version}`, path, text: bytes.toString("utf8") })),
  );
}

function walk(folder: string, under: string): readonly string[] {
  return readdirSync(join(folder, under), { withFileTypes: true }).flatMap((entry) => {
    const path = under === "" ? entry.name : `${under}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : walk(folder, path);
    return entry.isFile() ? [path] : [];
  });
}

function read(group: string, folder: string, path: string): readonly OrdinaryFile[] {
  const bytes = readFileSync(join(folder, path));
  return bytes.length > MAX_FILE_BYTES ? [] : [{ group, path, text: bytes.toString("utf8") }];
}
