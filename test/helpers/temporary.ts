/** A folder of its own for a suite, removed afterwards. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Registers hooks; call the result inside a test for a fresh, empty folder with mode 0700. */
export function temporaryFolders(): () => Promise<string> {
  const made: string[] = [];
  after(async () => {
    for (const folder of made) await rm(folder, { recursive: true, force: true });
  });
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "spine-"));
    made.push(folder);
    return folder;
  };
}
