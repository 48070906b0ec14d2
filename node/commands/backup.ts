/** `spine backup` and `spine restore`. */
import { stat } from "node:fs/promises";
import { SpineError } from "../../spine/index.ts";
import { writeBackup } from "../authority/backup.ts";
import { restoreBackup } from "../authority/restore.ts";
import { readSecretText } from "../secret-file.ts";
import { openSession } from "../session.ts";
import type { Verb, VerbContext } from "./verb.ts";

const PASSPHRASE_OPTION = {
  "passphrase-file": {
    type: "string",
    value: "F",
    help: "File of mode 0600 whose first line seals or opens the keys.",
  },
} as const;
const MIN_PASSPHRASE = 8;
const PROGRESS_BYTES = 64 << 20;

async function passphraseOf(context: VerbContext): Promise<string | undefined> {
  const path = context.text("passphrase-file");
  if (path === undefined) return undefined;
  const passphrase = (await readSecretText(path)).split(/\r?\n/, 1)[0] as string;
  if (passphrase.length < MIN_PASSPHRASE) {
    throw new SpineError("key_invalid", `${path}: a passphrase has at least ${MIN_PASSPHRASE} characters`);
  }
  return passphrase;
}

export const backup: Verb = {
  usage: "backup FILE [--passphrase-file F | --no-keys]",
  about:
    "Writes a consistent copy of the node to FILE (mode 0600, never over an existing file), also while it runs.\n" +
    "Left out, because it must never be restored: the high-water mark, the state of a witness, the API token.",
  examples: ["spine backup node.backup", "spine backup node.backup --passphrase-file passphrase"],
  options: {
    ...PASSPHRASE_OPTION,
    "no-keys": { type: "boolean", help: "Leave the keys out; they must be kept elsewhere." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const { dir, env, out, note, json, signal, operands } = context;
    const target = operands[0] as string;
    const withKeys = !context.flag("no-keys");
    const passphrase = await passphraseOf(context);
    if (!withKeys && passphrase !== undefined) throw new SpineError("usage", "--no-keys leaves nothing to seal");
    await using node = await openSession(dir, env, { passive: true });
    let told = 0;
    const bytes = await writeBackup({
      ...{ dir, target, passphrase, withKeys, signal },
      issuer: node.issuer,
      entries: node.storeDump({ signal }),
      onProgress(copied) {
        if (copied - told < PROGRESS_BYTES) return;
        told = copied;
        note(`${Math.floor(copied / 1_048_576)} MiB of the store copied`);
      },
    });
    if (withKeys && passphrase === undefined) {
      note("The backup holds this node's keys in clear: whoever reads it is this node. --passphrase-file seals them.");
    }
    const keys = !withKeys ? "none" : passphrase === undefined ? "clear" : "sealed";
    await out.line(json ? { file: target, bytes, issuer: node.issuer, keys } : `${target}: ${bytes} bytes`);
    return 0;
  },
};

export const restore: Verb = {
  usage: "restore FILE [--passphrase-file F]",
  about:
    "Makes the node's directory of a backup. The whole file is verified first; the directory must be new or empty.\n" +
    "When the node starts it asks two peers how far its chain went meanwhile, and signs nothing before it knows.",
  examples: ["spine restore node.backup --dir ./node"],
  options: PASSPHRASE_OPTION,
  operands: { least: 1, most: 1 },
  async run(context) {
    const { dir, out, note, json, signal, operands } = context;
    const source = operands[0] as string;
    if (
      !(await stat(source).then(
        (found) => found.isFile(),
        () => false,
      ))
    ) {
      throw new SpineError("usage", `${source} is no file`);
    }
    const passphrase = await passphraseOf(context);
    const done = await restoreBackup({ source, dir, passphrase, signal, onStep: note });
    if (!done.keys) note(`Put the node's keys into ${dir.path} before it runs: the backup holds none.`);
    note("Stop every other copy of this node for good. Start this one where it reaches two peers that hold its chain.");
    const { issuer, createdAt, envelopes, keys } = done;
    await out.line(
      json
        ? { issuer, created_at: createdAt, envelopes, keys }
        : `Restored ${issuer} of ${createdAt}: ${envelopes} envelopes`,
    );
    return 0;
  },
};
