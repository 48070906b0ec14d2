/**
 * A running daemon's log read and co-signed by programs of others over HTTP: the Go project's sumdb packages, Tessera's
 * fsck, and litewitness (`setup-tlog-go.sh` builds them).
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { formatNoteKey, NoteKeyType, noteKey, toBase64 } from "../../spine/index.ts";
import { sha256 } from "../helpers/crypto.ts";
import { type Daemon, daemonPool, eventually, notes } from "../helpers/daemon.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const PEERS = process.env["SPINE_PEERS_DIR"] ?? join(ROOT, ".peers");
const run = promisify(execFile);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface LogStatus {
  readonly vkey: string;
  readonly origin: string;
  readonly latest: { readonly tree_size: number } | null;
}

describe("other programs over HTTP", function () {
  this.timeout(120_000);
  const missing = ["tlogcheck", "fsck", "litewitness"].filter((name) => !existsSync(join(PEERS, name)));
  if (missing.length > 0) {
    const what = `needs ${missing.join(", ")} in ${PEERS}: run test/peers/setup-tlog-go.sh`;
    if (process.env["SPINE_REQUIRE_PEERS"] === "1") {
      it(what, () => {
        throw new Error(what);
      });
    } else it.skip(what);
    return;
  }

  const pool = daemonPool();
  const children: ChildProcess[] = [];
  let folder = "";
  let port = 0;
  let log: Daemon;
  let hashes: string[] = [];
  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
  const json = async <T>(path: string): Promise<T> => (await (await fetch(url(path))).json()) as T;
  const start = (...set: string[]): Promise<Daemon> =>
    pool.start("log", { open: true, port: null, set: [`transparency.listen=127.0.0.1:${port}`, ...set] });
  const sized = (size: number): Promise<LogStatus> =>
    eventually(`${size} leaves are checkpointed`, async () => {
      const status = await json<LogStatus>("/v1/log");
      return (status.latest?.tree_size ?? 0) >= size && status;
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "spine-peers-"));
    port = await freePort();
    log = await start();
    hashes = (await log.publish(notes(700))).map(({ hash }) => hash);
    await sized(700);
  });
  after(async () => {
    await pool.stopAll();
    for (const child of children) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });

  it("Go's tlog and note packages read tiles and checkpoint, and make the same proofs", async () => {
    const { vkey, latest } = await json<LogStatus>("/v1/log");
    const size = latest?.tree_size as number;
    const base64 = (hex: string): string => toBase64(Buffer.from(hex.slice(2), "hex"));
    const inclusion = await Promise.all(
      [0, 1, 255, 256, 511, 512, 699].map(async (i) => {
        const hash = hashes[i] as string;
        const proof = await json<{ log_index: number; audit_path: string[] }>(
          `/v1/proofs/inclusion?envelope_hash=${hash}`,
        );
        const leaf = toBase64(sha256(Buffer.concat([Buffer.of(0), Buffer.from(hash.slice(2), "hex")])));
        return { index: proof.log_index, leaf, path: proof.audit_path.map(base64) };
      }),
    );
    const consistency = await Promise.all(
      [1, 2, 255, 256, 300, size].map(async (first) => {
        const proof = await json<{ first_root: string; proof: string[] }>(
          `/v1/proofs/consistency?from=${first}&to=${size}`,
        );
        return { first, root: base64(proof.first_root), proof: proof.proof.map(base64) };
      }),
    );
    const cases = join(folder, "cases.json");
    await writeFile(cases, JSON.stringify({ vkey, inclusion, consistency }));
    const { stdout } = await run(join(PEERS, "tlogcheck"), [url("/tlog"), cases]);
    assert.deepEqual(JSON.parse(stdout), { size, inclusion: 7, consistency: 6 });
  });

  it("Tessera's fsck finds the log whole", async () => {
    const { vkey, origin } = await json<LogStatus>("/v1/log");
    const key = join(folder, "log.pub");
    await writeFile(key, vkey);
    const args = [`--storage_url=${url("/tlog/")}`, `--public_key=${key}`, `--origin=${origin}`, "--ui=false"];
    const { stderr } = await run(join(PEERS, "fsck"), args);
    assert.match(stderr, /OK|successful/i);
  });

  it("litewitness co-signs its checkpoints, and the daemon waits for it", async () => {
    const agent = join(folder, "agent.sock");
    children.push(spawn("ssh-agent", ["-D", "-a", agent], { stdio: "ignore" }));
    const key = join(folder, "witness-key");
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    await eventually("the agent listens", async () => existsSync(agent));
    await run("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: agent } });
    const { stdout: fingerprint } = await run("ssh-keygen", ["-l", "-f", `${key}.pub`]);
    const { stdout: publicLine } = await run("ssh-keygen", ["-y", "-f", key]);
    const publicKey = Buffer.from(publicLine.split(" ")[1] as string, "base64").subarray(-32);
    const witnessKey = noteKey(sha256, "witness.example/lite", NoteKeyType.cosignature, new Uint8Array(publicKey));

    const { vkey, origin } = await json<LogStatus>("/v1/log");
    const db = join(folder, "witness.db");
    const witnessPort = await freePort();
    const listen = `127.0.0.1:${witnessPort}`;
    const args = ["-db", db, "-name", witnessKey.name, "-key", fingerprint.split(" ")[1] as string];
    const witness = spawn(join(PEERS, "litewitness"), [...args, "-ssh-agent", agent, "-listen", listen]);
    children.push(witness);
    let said = "";
    witness.stderr.on("data", (part: Buffer) => {
      said += part.toString();
    });
    await eventually(`litewitness listens ${said}`, async () => (await fetch(`http://${listen}/`)).status > 0);

    // What `witnessctl add-log` and `add-key` write: the tree of no leaves, and the log's key.
    const add = [
      "import sqlite3, sys",
      "db = sqlite3.connect(sys.argv[1])",
      "db.execute('INSERT INTO log VALUES (?, 0, ?)', (sys.argv[2], sys.argv[4]))",
      "db.execute('INSERT INTO key VALUES (?, ?)', (sys.argv[2], sys.argv[3]))",
      "db.commit()",
    ];
    await run("python3", ["-c", add.join("\n"), db, origin, vkey, toBase64(sha256(new Uint8Array()))]);

    await log.stop();
    log = await start(
      `transparency.publicWitnesses=${formatNoteKey(witnessKey)} http://${listen}`,
      "transparency.publicQuorum=1",
    );
    const { log_size } = await log.status();
    for (const round of [1, 2]) {
      await log.publish(notes(5, `round ${round}`));
      await sized(log_size + 5 * round);
      const note = await (await fetch(url("/tlog/checkpoint"))).text();
      assert.match(note, /^— witness\.example\/lite /m, said);
    }
    const policy = join(folder, "policy");
    await writeFile(policy, `log ${vkey}\nwitness lite ${formatNoteKey(witnessKey)}\nquorum lite\n`);
    const proof = join(folder, "proof");
    await log.verb("prove", hashes[3] as string, "--tlog", "-o", proof);
    const verified = await log.verb("verify", proof, "--trust", policy, "--hash", hashes[3] as string, "--json");
    assert.equal(verified.code, 0, verified.err);
    assert.deepEqual(verified.lines[0]?.["witnesses"], ["lite"]);
  });
});
