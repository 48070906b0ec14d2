/** Turns one sync into lines: progress while it runs, then its summary. Used by `POST /v1/sync`. */
import type { NodeHandle, SyncOptions, SyncProgress, SyncSummary } from "../handle.ts";

export type SyncLine = ({ readonly type: "progress" } & SyncProgress) | ({ readonly type: "summary" } & SyncSummary);

/** Progress is told at most this often; only the newest figures count. */
const PROGRESS_MS = 200;

export async function* syncLines(
  node: NodeHandle,
  peer: string,
  options: Omit<SyncOptions, "onProgress">,
): AsyncGenerator<string> {
  let latest: SyncProgress | undefined;
  let failure: unknown;
  let summary: SyncSummary | undefined;
  const done = node.sync(peer, { ...options, onProgress: (progress) => (latest = progress) }).then(
    (value) => {
      summary = value;
    },
    (caught: unknown) => {
      failure = caught;
    },
  );
  while (summary === undefined && failure === undefined) {
    let timer: NodeJS.Timeout | undefined;
    const tick = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PROGRESS_MS);
    });
    await Promise.race([done, tick]);
    clearTimeout(timer);
    if (latest !== undefined) {
      yield JSON.stringify({ type: "progress", ...latest });
      latest = undefined;
    }
  }
  if (failure !== undefined) throw failure;
  yield JSON.stringify({ type: "summary", ...summary });
}
