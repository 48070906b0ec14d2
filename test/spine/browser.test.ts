/** The core's verification outside Node: no module of it needs one, and it runs where Node's globals are gone. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  draftEnvelope,
  formatPortableProof,
  nextStatement,
  sealEnvelope,
  writeCheckpointFact,
} from "../../spine/index.ts";
import { namedKey, sha256, sha256Hex } from "../helpers/crypto.ts";
import { TestTree } from "../helpers/tree.ts";

const INDEX = resolve(import.meta.dirname, "../../spine/index.js");

/** Every module that the core loads, packages included, with what each imports. */
function graph(entry: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const queue = [entry];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (found.has(file)) continue;
    const text = readFileSync(file, "utf8");
    const names = [
      ...text.matchAll(/(?:^|\n)\s*(?:import|export)[^;"']*?from\s*["']([^"']+)["']|import\(["']([^"']+)["']\)/g),
    ].map(([, a, b]) => (a ?? b) as string);
    found.set(file, names);
    for (const name of names) {
      if (name.startsWith(".")) queue.push(resolve(dirname(file), name));
      else if (!builtinModules.includes(name) && !name.startsWith("node:")) {
        queue.push(fileURLToPath(import.meta.resolve(name)));
      }
    }
  }
  return found;
}

function proof(): string {
  const [issuer, log] = [namedKey("issuer"), namedKey("log")];
  const fields = { seq: 1, prev: null, issuedAt: "2026-01-01T00:00:00Z" };
  const draft = draftEnvelope(
    { ...fields, issuer: issuer.issuer, fact: { schema: "aegis.spine.fact.note.v1", text: "in a browser" } },
    sha256Hex,
  );
  const envelope = sealEnvelope(draft, issuer.sign(draft.signingBytes));
  const tree = TestTree.numbered(5);
  tree.append(Buffer.from(envelope.hash.slice(2), "hex"));
  const head = { logId: log.issuer, size: 6, root: tree.root(), issuedAt: fields.issuedAt };
  const statement = nextStatement(sha256, null, head);
  const fact = writeCheckpointFact({ statement, witnesses: [], note: null }, "cp_1", "clawdstrike");
  const checkpoint = draftEnvelope({ ...fields, issuer: log.issuer, fact }, sha256Hex);
  return formatPortableProof({
    envelope,
    index: 5,
    size: 6,
    checkpointSeq: 1,
    path: tree.inclusion(5),
    checkpoint: sealEnvelope(checkpoint, log.sign(checkpoint.signingBytes)),
    lateWitnesses: [],
    unjudged: {},
  });
}

describe("verification in a browser", () => {
  it("loads nothing of Node, in no module and no package", () => {
    const modules = graph(INDEX);
    assert.ok(modules.size > 50 && existsSync(INDEX));
    for (const [file, names] of modules) {
      const builtin = names.filter((name) => name.startsWith("node:") || builtinModules.includes(name));
      assert.deepEqual(builtin, [], file);
    }
  });

  it("verifies a portable proof with Node's globals gone", () => {
    const script = `
      const { stdout } = process; const write = stdout.write.bind(stdout);
      for (const name of ["process", "Buffer", "require", "global", "setImmediate"]) delete globalThis[name];
      const spine = await import(${JSON.stringify(pathToFileURL(INDEX).href)});
      const sha256 = (bytes) => spine.fromHex(spine.nobleSha256Hex(bytes));
      const bundle = { ...spine.parseTrustBundle("{}"), witnessQuorum: 0 };
      const proof = spine.parsePortableProof(spine.nobleSha256Hex, ${JSON.stringify(proof())});
      const hasher = new spine.TreeHasher(sha256);
      const verdict = await spine.verifyPortableProof(sha256, hasher, proof, { bundle }, spine.nobleVerifier);
      write(verdict.proven.join(","));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(stdout, "envelope_signed,included,checkpoint_signed", stderr);
  }).timeout(20_000);
});
