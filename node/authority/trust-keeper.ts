/**
 * Keeps the trust in effect: `trust.yaml` as the operator wrote it, as far as it loosens nothing, and otherwise the
 * stricter of it and what was confirmed before. What is in effect stands in `trust.accepted` and survives restarts.
 * Used by the daemon (reload, watch) and by the `spine trust` verbs (confirm).
 */
import { watch } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { asSpineError, MAX_REVOKERS, SpineError } from "../../spine/index.ts";
import { errorCodeOf } from "../files.ts";
import { stricterTrust, trustLoosenings } from "./trust-change.ts";
import { EMPTY_TRUST, readTrustFile, type TrustFile, type TrustKind, writeTrustFile } from "./trust-file.ts";

export interface TrustPaths {
  /** What the operator edits. */
  readonly file: string;
  /** What is in effect; written here only. */
  readonly accepted: string;
}

export interface TrustState {
  readonly effective: TrustFile;
  /** What the file would loosen, one sentence each: without effect until confirmed. */
  readonly pending: readonly string[];
  /** Why the file could not be read: the trust in effect stays as it was. */
  readonly problem: SpineError | null;
}

/** Editors write a file in several steps. */
const SETTLE_MS = 50;

/** What was last in effect. A missing file trusts nobody: then the whole trust file waits for confirmation. */
async function readAccepted({ accepted }: TrustPaths): Promise<TrustFile> {
  return (await readTrustFile(accepted, "effective")) ?? EMPTY_TRUST;
}

/**
 * Takes over what tightens, and says what else the file wants. A file that is missing or cannot be read changes
 * nothing. Throws `config_invalid` only when the accepted trust itself cannot be read.
 */
export async function reloadTrust(paths: TrustPaths): Promise<TrustState> {
  const accepted = await readAccepted(paths);
  let file: TrustFile | undefined;
  try {
    file = await readTrustFile(paths.file);
  } catch (caught) {
    return { effective: accepted, pending: [], problem: asSpineError(caught) };
  }
  if (file === undefined) {
    const isNew = JSON.stringify(accepted) === JSON.stringify(EMPTY_TRUST);
    const problem = isNew ? null : new SpineError("config_invalid", `${paths.file}: missing; the former trust stays`);
    return { effective: accepted, pending: [], problem };
  }
  const pending = trustLoosenings(accepted, file);
  const effective = pending.length === 0 ? file : stricterTrust(accepted, file);
  if (effective.revokers.length > MAX_REVOKERS) {
    const message = `${paths.file}: with those that wait to be removed more than ${MAX_REVOKERS} revokers`;
    return { effective: accepted, pending, problem: new SpineError("config_invalid", message) };
  }
  if (JSON.stringify(effective) !== JSON.stringify(accepted))
    await writeTrustFile(paths.accepted, effective, "effective");
  return { effective, pending, problem: null };
}

/** Puts the file into effect as it stands: the operator's word. Throws `config_invalid`. */
export async function confirmTrust(paths: TrustPaths): Promise<readonly string[]> {
  const file = await readTrustFile(paths.file);
  if (file === undefined) throw new SpineError("config_invalid", `${paths.file}: missing`);
  const confirmed = trustLoosenings(await readAccepted(paths), file);
  await writeTrustFile(paths.accepted, file, "effective");
  return confirmed;
}

/**
 * Changes the file by the operator's command and puts exactly this change into effect: what else is pending in the
 * file stays pending. Throws `config_invalid`, changing nothing.
 */
export async function changeTrust(
  paths: TrustPaths,
  change: (trust: TrustFile, kind: TrustKind) => TrustFile,
): Promise<void> {
  const { effective, problem } = await reloadTrust(paths);
  if (problem !== null) throw problem;
  const file = change((await readTrustFile(paths.file)) ?? EMPTY_TRUST, "written");
  const accepted = change(effective, "effective");
  await writeTrustFile(paths.file, file);
  await writeTrustFile(paths.accepted, accepted, "effective");
}

/** Calls `changed` after each write to either file, until aborted. One call at a time; what comes meanwhile is one more. */
export async function watchTrust(paths: TrustPaths, changed: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const names = new Set([basename(paths.file), basename(paths.accepted)]);
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  try {
    for await (const { filename } of watch(dirname(paths.file), { signal })) {
      if (filename !== null && !names.has(filename)) continue;
      clearTimeout(timer);
      timer = setTimeout(() => {
        running = running.then(changed);
      }, SETTLE_MS);
    }
  } catch (caught) {
    if (!(caught instanceof Error && caught.name === "AbortError") && errorCodeOf(caught) !== "ABORT_ERR") throw caught;
  } finally {
    clearTimeout(timer);
    await running;
  }
}
