/** Verbs on a directory: init, config, peers without a daemon, and every verb that goes through a running daemon. */
import assert from "node:assert/strict";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ApiServer, type NodeDir, nodeDir } from "../../node/index.ts";
import { spine } from "../helpers/cli.ts";
import { FakeNode } from "../helpers/fake-node.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const ISSUER = `aegis:ed25519:${"b".repeat(64)}`;
const note = (text: string): string => JSON.stringify({ schema: "aegis.spine.fact.note.v1", text });

describe("spine init and config", () => {
  const folder = temporaryFolders();

  it("makes a node once, and refuses the second time", async () => {
    const dir = join(await folder(), "node");
    const first = await spine(["init", "--dir", dir, "--name", "gate-1"]);
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /^aegis:ed25519:[0-9a-f]{64}\n$/);
    assert.equal((await stat(join(dir, "issuer.key"))).mode & 0o777, 0o600);
    const second = await spine(["init", "--dir", dir]);
    assert.equal(second.code, 1);
    assert.match(second.err, /^error key_exists: /);
    assert.match(second.err, /--force-new/);
    const forced = await spine(["init", "--json", "--force-new"], "", { SPINE_DIR: dir });
    assert.equal(forced.code, 0);
    assert.notEqual(forced.lines[0]?.["issuer"], first.out.trim());
    const shown = await spine(["config", "show", "--json", "--dir", dir], "", { SPINE_LOG_LEVEL: "warn" });
    assert.equal(shown.lines[0]?.["name"], "gate-1");
    assert.deepEqual(shown.lines[0]?.["log"], { level: "warn", format: "auto" });
  });

  it("shows every problem of a configuration", async () => {
    const dir = join(await folder(), "node");
    await spine(["init", "--dir", dir]);
    await writeFile(join(dir, "config.yaml"), "nam: x\nlog:\n  level: loud\n");
    const { code, err } = await spine(["config", "show", "--dir", dir]);
    assert.equal(code, 1);
    assert.match(err, /^error config_invalid: /);
    assert.match(err, /nam/);
    assert.match(err, /log\.level: /);
    await writeFile(join(dir, "config.yaml"), "name: [half\n");
    assert.match((await spine(["config", "show", "--dir", dir])).err, /config\.yaml:\d+:\d+: /);
    assert.match((await spine(["config", "show", "--config", "/nonexistent"])).err, /cannot be read/);
  });

  it("prints the schema", async () => {
    const { code, out } = await spine(["config", "schema"]);
    assert.equal(code, 0);
    assert.equal((JSON.parse(out) as { type: string }).type, "object");
  });
});

describe("spine peers without a daemon", () => {
  const folder = temporaryFolders();
  const address = "/ip4/192.0.2.1/tcp/4801/p2p/12D3KooWabc";

  it("keeps, lists, exports, imports and forgets", async () => {
    const dir = await folder();
    assert.equal((await spine(["peers", "add", address, "/dns4/gate.example/tcp/1", "--dir", dir])).code, 0);
    const listed = await spine(["peers", "list", "--json", "--dir", dir]);
    assert.deepEqual(
      listed.lines.map((one) => [one["id"], one["connected"]]),
      [
        [address, false],
        ["/dns4/gate.example/tcp/1", false],
      ],
    );
    const book = join(dir, "book.json");
    assert.equal((await spine(["peers", "export", book, "--dir", dir])).code, 0);
    const other = await folder();
    assert.equal((await spine(["peers", "import", book, "--dir", other])).out, "2 peers added\n");
    assert.equal((await spine(["peers", "remove", "12D3KooWabc", "--dir", other])).code, 0);
    const rest = JSON.parse((await spine(["peers", "export", "--dir", other])).out) as { peers: string[] };
    assert.deepEqual(rest.peers, ["/dns4/gate.example/tcp/1"]);
  }).timeout(30_000);

  it("refuses bad addresses and books, and adds nothing of them", async () => {
    const dir = await folder();
    assert.match((await spine(["peers", "add", address, "nonsense", "--dir", dir])).err, /^error peer_address: /);
    const book = join(dir, "bad.json");
    for (const [text, code] of [
      ["{", "config_invalid"],
      ["{}", "config_invalid"],
      [JSON.stringify({ schema: "spine.peerbook.v1", peers: [address, "x"] }), "peer_address"],
      [JSON.stringify({ schema: "spine.peerbook.v1", peers: new Array(600).fill(address) }), "quota_exceeded"],
    ] as const) {
      await writeFile(book, text);
      assert.match((await spine(["peers", "import", book, "--dir", dir])).err, new RegExp(`^error ${code}: `));
    }
    assert.equal((await spine(["peers", "list", "--dir", dir])).out, "");
  }).timeout(30_000);
});

describe("verbs through a daemon", () => {
  const folder = temporaryFolders();
  let dir: NodeDir;
  let node: FakeNode;
  let api: ApiServer;

  beforeEach(async () => {
    dir = nodeDir(await folder());
    node = new FakeNode();
    api = new ApiServer({ node, socket: dir.socket, token: "t", log: { warn: () => undefined } });
    await api.start();
  });
  afterEach(() => api.stop());

  const run = (args: readonly string[], input = "") => spine([...args, "--dir", dir.path], input);

  it("publish: answers line by line, and what was acknowledged can be exported and verified", async () => {
    const facts = Array.from({ length: 600 }, (_, i) => note(`${i}`));
    facts[300] = "{";
    facts[301] = "5";
    const published = await run(["publish"], facts.join("\n"));
    assert.equal(published.code, 1);
    assert.equal(published.lines.length, 600);
    assert.deepEqual(published.lines[0]?.["seq"], 1);
    assert.deepEqual(
      published.lines.filter((one) => one["ok"] !== true).map((one) => [one["line"], one["code"]]),
      [
        [301, "json_syntax"],
        [302, "fact_invalid"],
      ],
    );
    const file = join(dir.path, "all.jsonl");
    const exported = await run(["export", file]);
    assert.equal(exported.code, 0, exported.err);
    const text = await readFile(file, "utf8");
    assert.equal(text.trimEnd().split("\n").length, 598);
    const verified = await spine(["envelope", "verify", file]);
    assert.equal(verified.code, 0);
    assert.deepEqual(
      verified.lines.map((one) => one["envelope_hash"]),
      published.lines.filter((one) => one["ok"] === true).map((one) => one["envelope_hash"]),
    );
    const part = await run(["export", "--issuer", node.issuer, "--from", "597"]);
    assert.equal(part.lines.length, 2);
    assert.match((await run(["export", "--issuer", "me"])).err, /^error issuer_syntax/);
    assert.equal((await run(["export", "--from", "x"])).code, 2);
    assert.match((await run(["export", "/nonexistent/out.jsonl"])).err, /^error store_failed/);
  }).timeout(30_000);

  it("import: stores, knows and refuses, each with its line", async () => {
    const other = new FakeNode();
    await other.publish([{ schema: "a.v1" }, { schema: "b.v1" }]);
    const texts: string[] = [];
    for await (const text of other.range(other.issuer, 1, 9, 9)) texts.push(text);
    const file = join(dir.path, "in.jsonl");
    await writeFile(
      file,
      Buffer.concat([Buffer.from(`${texts[0]}\n{}\n`), Buffer.from([255, 10]), Buffer.from(`${texts[1]}`)]),
    );
    const first = await run(["import", file, "--json"]);
    assert.equal(first.code, 1);
    assert.deepEqual(
      first.lines.slice(0, -1).map((one) => [one["line"], one["code"]]),
      [
        [2, "envelope_field"],
        [3, "json_syntax"],
      ],
    );
    assert.deepEqual(first.lines.at(-1), { stored: 2, known: 0, refused: 2 });
    const again = await run(["sync", `file:${file}`, "--json"]);
    assert.deepEqual(again.lines.at(-1), { stored: 0, known: 2, refused: 2 });
  }).timeout(30_000);

  it("sync: progress, summary, and exit code 1 when partial", async () => {
    const whole = await run(["sync", "/ip4/192.0.2.1/tcp/1", "--json"]);
    assert.equal(whole.code, 0, whole.err);
    assert.equal(whole.lines.at(-1)?.["received"], 3);
    node.syncSummary = { ...node.syncSummary, complete: false, reason: "the peer pruned a range" };
    const partial = await run(["sync", "/ip4/192.0.2.1/tcp/1"]);
    assert.equal(partial.code, 1);
    assert.match(partial.out, /^received 3, sent 1, 2100 bytes/);
    assert.match(partial.err, /Not complete: the peer pruned a range/);
    assert.match((await run(["sync", "/dead"])).err, /^error peer_unreachable/);
  }).timeout(30_000);

  it("status, heads, issuers, peers, forks", async () => {
    await run(["publish"], note("a"));
    assert.equal((await run(["status", "--json"])).lines[0]?.["log_size"], 1);
    assert.match((await run(["status"])).out, new RegExp(`issuer +${node.issuer}`));
    const heads = await run(["head", "list"]);
    assert.equal((await spine(["head", "verify"], heads.out)).code, 0);
    assert.equal((await run(["issuer", "allow", ISSUER])).out, `allowed ${ISSUER}\n`);
    const listed = await run(["issuer", "list", "--json"]);
    assert.deepEqual(listed.lines.map((one) => one["admission"]).sort(), ["allowed", "own"]);
    assert.equal((await run(["issuer", "deny", ISSUER, "--json"])).lines[0]?.["admission"], "denied");
    const wrong = await run(["issuer", "allow", ISSUER, "me"]);
    assert.match(wrong.err, /^error issuer_syntax/);
    assert.equal(wrong.out, "");
    await run(["peers", "add", "/ip4/192.0.2.1/tcp/1"]);
    assert.equal((await run(["peers", "list", "--json"])).lines[0]?.["id"], "/ip4/192.0.2.1/tcp/1");
    await run(["peers", "remove", "/ip4/192.0.2.1/tcp/1"]);
    assert.equal((await run(["peers", "list"])).out, "");
    node.forkList = [
      { issuer: ISSUER, seq: 3, proof_hash: `0x${"1".repeat(64)}`, proof: "00", statements: ["a", "b"] },
    ];
    assert.match((await run(["fork", "list"])).out, /seq 3/);
    assert.equal((await run(["fork", "show", ISSUER, "--json"])).lines[0]?.["proof"], "00");
    assert.match((await run(["fork", "show", "0x12"])).err, /^error api_not_found/);
  }).timeout(60_000);

  it("store check refuses while the daemon runs", async () => {
    assert.match((await run(["store", "check"])).err, /^error daemon_running/);
  });

  // Root may use every socket, whatever its mode.
  const asUser = process.getuid?.() === 0 ? it.skip : it;
  asUser("says so when the socket may not be used (needs a user other than root)", async () => {
    await chmod(dir.socket, 0);
    assert.match((await run(["status"])).err, /^error api_forbidden/);
  });
});
