/** Installs a peer's package on demand, outside the project's own dependencies, once per version. */
import { execFile } from "node:child_process";
import { access, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Folder of installed peers, ignored by git. */
export const PEERS_FOLDER = new URL("../../../.peers/", import.meta.url).pathname;

/** Returns the folder whose `node_modules` holds `name@version`. */
export async function peerPackage(spec: string): Promise<string> {
  const folder = join(PEERS_FOLDER, spec.replaceAll("/", "+"));
  const present = await access(join(folder, "installed")).then(
    () => true,
    () => false,
  );
  if (present) return folder;
  process.stderr.write(`installing ${spec}\n`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{"private":true}\n');
  await run("npm", ["install", "--no-audit", "--no-fund", "--no-save", spec], { cwd: folder });
  await writeFile(join(folder, "installed"), `${spec}\n`);
  return folder;
}
