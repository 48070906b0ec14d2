/**
 * kill -9 at every durable write of a checkpoint round, in real processes over a real disk: a log beside a witness that
 * watches it, then a witness beside a log. No fork of the log's chain, no seq used twice, no smaller or other tree signed.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { initDir, LogTree, nodeDir, Witness, type WitnessEvent } from "../../node/index.ts";
import { createKeyFile, readKeyFile } from "../../node/keyfile.ts";
import { createSigner } from "../../node/signer.ts";
import {
  type CheckpointStatement,
  checkpointHashText,
  equalBytes,
  factOf,
  formatAddCheckpoint,
  formatNote,
  formatNoteKey,
  formatTreeHead,
  NoteKeyType,
  noteKey,
  openSigningBytes,
  parseNote,
  parseTreeHead,
  parseWitnessAnswer,
  readCheckpointFact,
  utf8,
  witnessedLog,
} from "../../spine/index.ts";
import { LevelStore, MemoryStore } from "../../storage/index.ts";
import { NOTHING } from "../contract/store-model.ts";
import { spine } from "../helpers/cli.ts";
import { namedKey, sha256, sha256Hex, verifier } from "../helpers/crypto.ts";
import { eventually } from "../helpers/daemon.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { TestTree } from "../helpers/tree.ts";

const PROCESS = new URL("../helpers/round-process.js", import.meta.url);
/** Writes of a start and a round at the very most. */
const MOST = 60;
/** A write that is done and one that is under way are two places; the short form takes them in turns. */
const MODES = process.env["SPINE_LONG"] === "1" ? (["after", "during"] as const) : undefined;

/** The writes of a start belong to no round; the long form is killed there too. */
const FROM = MODES === undefined ? "open" : "start";

interface Life {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

const children = new Set<ChildProcess>();

function start(args: readonly string[]): ChildProcess {
  const child = fork(PROCESS, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

function life(args: readonly string[]): Promise<Life> {
  const child = start(args);
  const taken = { out: "", err: "" };
  child.stdout?.on("data", (part: Buffer) => (taken.out += part.toString()));
  child.stderr?.on("data", (part: Buffer) => (taken.err += part.toString()));
  return new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal, ...taken })));
}

describe("kill -9 at every write of a checkpoint round", function () {
  this.timeout(300_000);
  const temporary = temporaryFolders();
  let server: Server | undefined;
  afterEach(() => {
    // One that a failed test left behind.
    for (const child of children) child.kill("SIGKILL");
    server?.closeAllConnections();
    server?.close();
  });

  it("of the log: its chain never forks and no witness is shown two trees", async () => {
    const dir = nodeDir(join(await temporary(), "log"));
    await initDir(dir, { open: false, forceNew: false });
    await createKeyFile(dir.logKey, "log");
    const log = createSigner(await readKeyFile(dir.logKey, "log"));
    const origin = `log.spine.internal/${log.issuer.slice(-64, -48)}`;
    const store = new MemoryStore();
    await store.open();
    const conflicts: WitnessEvent[] = [];
    const witness = new Witness({
      store,
      signer: namedKey("watching"),
      name: "watching.example",
      verifier,
      nowSeconds: () => Math.floor(Date.now() / 1000),
      marks: join(await temporary(), "marks"),
      commitRows: (rows) => store.commit({ ...NOTHING, rows }),
      onEvent: (event) => event.type === "witness-conflict" && conflicts.push(event),
    });
    await witness.open();
    witness.allow([witnessedLog(sha256, log.issuer, origin)]);
    /** Trees that anyone saw, in the order in which they were shown. */
    const shown: { readonly size: number; readonly root: Uint8Array }[] = [];
    const refused: string[] = [];
    server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.once("end", async () => {
        const body = Buffer.concat(parts).toString();
        shown.push(parseTreeHead(parseNote(body.slice(body.indexOf("\n\n") + 2)).text));
        const answer = await witness.addCheckpoint(body);
        if (answer.status !== 200 && answer.status !== 409) refused.push(`${answer.status} ${answer.body}`);
        response.writeHead(answer.status).end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const address = server.address() as { port: number };
    const vkey = formatNoteKey(witness.noteKey);
    const args = (kill: number, mode: string) => [
      "log",
      dir.path,
      String(kill),
      mode,
      vkey,
      `http://127.0.0.1:${address.port}`,
      FROM,
    ];

    let kills = 0;
    for (const modes of MODES?.map((mode) => [mode]) ?? [["after", "during"]]) {
      for (let n = 1; ; n++) {
        assert.ok(n < MOST, "a round has fewer writes");
        const { code, signal, err } = await life(args(n, modes[n % modes.length] as string));
        if (code === 0) break;
        assert.equal(signal, "SIGKILL", err);
        kills++;
      }
    }
    assert.ok(kills >= 5, `${kills} kills`);
    assert.equal((await life(args(0, "after"))).code, 0);

    assert.deepEqual(conflicts, []);
    assert.deepEqual(refused, []);
    const disk = new LevelStore(dir.store);
    await disk.open();
    const tree = new LogTree(disk);
    const { logSize, issuers } = await disk.load();
    await tree.advance(logSize);
    for (const [i, head] of shown.entries()) {
      assert.ok(head.size >= (shown[i - 1]?.size ?? 0), "a smaller tree was shown");
      assert.ok(equalBytes(head.root, tree.root(head.size)), "another tree was shown");
    }
    assert.deepEqual(await disk.forks(), []);
    assert.ok(issuers.length >= 2);
    let previous: CheckpointStatement | null = null;
    let hash: string | null = null;
    let seq = 1;
    for (; ; seq++) {
      const stored = await disk.at(log.issuer, seq);
      if (stored === undefined) break;
      const envelope = openSigningBytes(stored.signingBytes, stored.signature, sha256Hex);
      const { statement }: { statement: CheckpointStatement } = readCheckpointFact(factOf(envelope));
      assert.equal(envelope.prev, hash);
      assert.equal(statement.seq, seq);
      assert.equal(statement.prev, previous === null ? null : checkpointHashText(sha256, previous));
      assert.ok(equalBytes(statement.root, tree.root(statement.size)));
      previous = statement;
      hash = envelope.hash;
    }
    assert.ok(seq > 2, `${seq - 1} checkpoints`);
    await disk.close();
    // Recomputes every tile and every root that was signed.
    const checked = await spine(["store", "check", "--dir", dir.path]);
    assert.equal(checked.code, 0, checked.out);
  });

  it("of the witness: it signs nothing that its row does not hold, and goes on", async () => {
    const dir = nodeDir(join(await temporary(), "witness"));
    await initDir(dir, { open: false, forceNew: false });
    const log = namedKey("a log to watch");
    const origin = "log.example/kills";
    const key = noteKey(sha256, origin, NoteKeyType.ed25519, log.publicKey);
    const [honest, forked] = [TestTree.numbered(200), TestTree.numbered(200, "another")];
    const body = (tree: TestTree, old: number, size: number): string => {
      const text = formatTreeHead({ origin, size, root: tree.root(size), extensions: [] });
      const line = { name: origin, keyId: key.keyId, signature: log.sign(utf8(text)) };
      const proof = old === 0 || old === size ? [] : tree.consistency(old, size);
      return formatAddCheckpoint(old, proof, formatNote({ text, signatures: [line] }));
    };
    let signed = 0;
    let kills = 0;
    for (const modes of MODES?.map((mode) => [mode]) ?? [["after", "during"]]) {
      for (let n = 1, untouched = false; !untouched; n++) {
        assert.ok(n < MOST);
        const child = start([
          "witness",
          dir.path,
          String(n),
          modes[n % modes.length] as string,
          formatNoteKey(key),
          "",
          FROM,
        ]);
        const gone = new Promise((resolve) => child.once("exit", resolve));
        let said = "";
        child.stdout?.on("data", (part: Buffer) => (said += part.toString()));
        const isUp = await eventually("it serves or is gone", async () =>
          said.endsWith("\n") ? "up" : child.signalCode !== null ? "gone" : undefined,
        );
        const post = async (text: string): Promise<{ status: number; body: string } | undefined> => {
          try {
            const answer = await fetch(`${said.trim()}/witness/add-checkpoint`, { method: "POST", body: text });
            return { status: answer.status, body: await answer.text() };
          } catch {
            return undefined;
          }
        };
        // Growing trees, each after what the witness says where it stands.
        let steps = 0;
        for (let step = 0; isUp === "up" && step < 4; step++) {
          let old = signed;
          let answer = await post(body(honest, old, signed + 1));
          if (answer?.status === 409) {
            old = Number(answer.body);
            // It may hold a row whose signature never left it, and never less than what it signed.
            assert.ok(old >= signed && old <= signed + 1, `it stands at ${old}, signed ${signed}`);
            answer = await post(body(honest, old, signed + 1));
          }
          if (answer === undefined) break;
          assert.equal(answer.status, 200, answer.body);
          assert.equal(parseWitnessAnswer(answer.status, answer.body).type, "cosigned");
          signed++;
          steps++;
          const other = await post(body(forked, signed, signed));
          if (other !== undefined) assert.equal(other.status, 422);
        }
        untouched = steps === 4 && child.signalCode === null;
        if (untouched) child.kill("SIGKILL");
        else kills++;
        await gone;
      }
    }
    assert.ok(kills >= 3 && signed >= 4, `${kills} kills, ${signed} signed`);
  });
});
