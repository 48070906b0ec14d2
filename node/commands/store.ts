/** `spine store check`: walks the whole store and prints what is wrong. */
import { factOf, openSigningBytes, readCheckpointFact, SpineError } from "../../spine/index.ts";
import { type CheckOptions, checkStore, type Finding, type SignedTreeHead } from "../../storage/index.ts";
import { dayOf, noteIncident } from "../authority/incidents.ts";
import type { NodeDir } from "../dir.ts";
import { sha256Hex } from "../hash.ts";
import { fileExists } from "../init.ts";
import { readKeyFile } from "../keyfile.ts";
import { connectDaemon } from "../session.ts";
import { createSigner } from "../signer.ts";
import { WorkerVerifier } from "../verifier.ts";
import type { Verb } from "./verb.ts";

function readable({ code, issuer, seq, detail }: Finding): string {
  return `${code}  ${issuer ?? "-"}  ${seq === null ? "-" : `seq ${seq}`}  ${detail}`;
}

/** The tree heads that this node's log signed, to compare them with its leaves; nothing where it has no log yet. */
async function ownLog(dir: NodeDir): Promise<Pick<CheckOptions, "log">> {
  if (!(await fileExists(dir.logKey))) return {};
  const { issuer } = createSigner(await readKeyFile(dir.logKey, "log"));
  const treeHeadOf = (signingBytes: Uint8Array): SignedTreeHead => {
    const envelope = openSigningBytes(signingBytes, new Uint8Array(64), sha256Hex);
    return readCheckpointFact(factOf(envelope)).statement;
  };
  return { log: { issuer, treeHeadOf } };
}

export const storeCheck: Verb = {
  usage: "store check [--repair]",
  about:
    "Walks the whole store: signatures, chains, indexes, log. Prints each problem found; the daemon must be stopped.\n" +
    "Exit code 1 when something is wrong. --repair rebuilds indexes and moves damaged entries aside; nothing is deleted.",
  examples: ["spine store check --json"],
  options: { repair: { type: "boolean", help: "Rebuild what can be derived, then check again." } },
  operands: { least: 0, most: 0 },
  async run({ dir, flag, json, out, note, signal }) {
    {
      await using daemon = await connectDaemon(dir);
      if (daemon) throw new SpineError("daemon_running", `a daemon runs on ${dir.path}`);
    }
    if (!(await fileExists(dir.store))) throw new SpineError("key_missing", `${dir.path} has no store`);
    await using verifier = new WorkerVerifier();
    const options = {
      verifier,
      sha256Hex,
      signal,
      openSigningBytes,
      ...(await ownLog(dir)),
      onProgress: (envelopes: number) => note(`${envelopes} envelopes checked`),
    };
    const repaired = flag("repair") ? (await checkStore(dir.store, { ...options, repair: true })).repaired : 0;
    const { envelopes, findings, moreFindings } = await checkStore(dir.store, options);
    for (const finding of findings) await out.line(json ? finding : readable(finding));
    const problems = findings.length + moreFindings;
    if (problems > 0) {
      // The daemon publishes it when it runs next.
      const codes = findings.map(({ code }) => code);
      await noteIncident(dir.incidentNotes, { kind: "store_tamper", problems, codes, day: dayOf(Date.now()) });
    }
    await out.line(
      json
        ? { ok: problems === 0, envelopes, problems, repaired }
        : `${envelopes} envelopes checked, ${problems} problems${flag("repair") ? `, ${repaired} entries repaired` : ""}`,
    );
    return problems === 0 ? 0 : 1;
  },
};
