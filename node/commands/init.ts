/** `spine init`: makes a node's directory. */
import { recoveryKeyText } from "../authority/recovery-key.ts";
import { initDir } from "../init.ts";
import { openSession } from "../session.ts";
import type { Verb } from "./verb.ts";

export const init: Verb = {
  usage: "init [--name N] [--open] [--force-new]",
  about:
    "Makes the node's keys, token, configuration and store folder, and prints the issuer. Refuses where a node exists.\n" +
    "Other issuers are admitted only when allowed; --open admits all of them, for a lab.",
  examples: ["spine init --name gate-1", "spine init --dir ./lab --open"],
  options: {
    name: { type: "string", value: "N", help: "The node's name, for people; the host name if omitted." },
    open: { type: "boolean", help: "Lab mode: admit every issuer." },
    "force-new": { type: "boolean", help: "Set the existing identity aside (renamed) and make a new one." },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, json, out, note } = context;
    const open = context.flag("open");
    const forceNew = context.flag("force-new");
    const result = await initDir(dir, { name: context.text("name"), open, forceNew, recovery: true });
    const recoveryKey = recoveryKeyText(result.recoverySeed as Uint8Array);
    // The first opening writes seq 1, which commits to the recovery key and the next key.
    await using _ = await openSession(dir, context.env);
    if (!json)
      note(
        `Recovery key, shown once and kept nowhere; write it down, then check it with \`spine recovery test\`:\n  ${recoveryKey}`,
      );
    if (open) note("Lab mode: every issuer is admitted. Set issuers.open to false in config.yaml to close the node.");
    const { issuer, created } = result;
    await out.line(json ? { issuer, dir: dir.path, created, recovery_key: recoveryKey } : issuer);
    return 0;
  },
};
