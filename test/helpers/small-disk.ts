/** Disks that fill up: a tmpfs of a few MiB on a folder, unmounted after the suite. Needs the right to mount. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

export interface SmallDisks {
  /** Makes `folder` and mounts a disk of `mebibytes` on it, mode 0700. False: this user may not mount. */
  mount(folder: string, mebibytes: number): boolean;
  /** Gives it more room, what is on it stays. */
  grow(folder: string, mebibytes: number): void;
}

/** Registers a hook: call it before whatever removes the folders. */
export function smallDisks(): SmallDisks {
  const mounted: string[] = [];
  after(() => {
    for (const folder of mounted) execFileSync("umount", ["-l", folder]);
  });
  return {
    mount: (folder, mebibytes) => {
      mkdirSync(folder, { recursive: true });
      try {
        const options = ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "tmpfs", folder];
        execFileSync("mount", options, { stdio: "ignore" });
      } catch {
        return false;
      }
      mounted.push(folder);
      return true;
    },
    grow: (folder, mebibytes) => {
      execFileSync("mount", ["-o", `remount,size=${mebibytes}m`, folder]);
    },
  };
}
