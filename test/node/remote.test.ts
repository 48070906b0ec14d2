/** The client side of the API: kept connections that die, errors that come back coded, large input in pieces. */
import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { ApiServer, connectDaemon, nodeDir, RemoteNode, writeDaemonInfo } from "../../node/index.ts";
import { ERRORS } from "../../spine/index.ts";
import { FakeNode } from "../helpers/fake-node.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const log = { warn: () => undefined };
const signal = new AbortController().signal;
const note = (text: string) => ({ schema: "aegis.spine.fact.note.v1", text });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("remote node", () => {
  const folder = temporaryFolders();
  let node: FakeNode;
  let api: ApiServer;
  let remote: RemoteNode;
  let socket: string;

  beforeEach(async () => {
    socket = join(await folder(), "api.sock");
    node = new FakeNode();
    api = new ApiServer({ node, socket, token: "t", log });
    await api.start();
    remote = await RemoteNode.connect(socket);
  });
  afterEach(async () => {
    await remote[Symbol.asyncDispose]();
    await api.stop();
  });

  it("answers what the node answers", async () => {
    const results = await remote.publish([note("a"), 5, note("b")], { signal });
    assert.deepEqual(results, [
      { ok: true, envelope_hash: results[0]?.ok && results[0].envelope_hash, issuer: node.issuer, seq: 1 },
      { ok: false, code: "fact_invalid", message: "a fact is an object with a schema" },
      { ok: true, envelope_hash: results[2]?.ok && results[2].envelope_hash, issuer: node.issuer, seq: 2 },
    ]);
    assert.deepEqual(await remote.status(), await node.status());
    assert.deepEqual(await collect(remote.heads()), await collect(node.heads()));
    assert.deepEqual(await remote.issuers({ limit: 5 }), await node.issuers({ limit: 5 }));
    assert.equal(await remote.envelope(`0x${"0".repeat(64)}`), undefined);
    const hash = results[0]?.ok ? results[0].envelope_hash : "";
    assert.equal(await remote.envelope(hash), await node.envelope(hash));
    node.readiness = { ready: false, reasons: ["starting"] };
    assert.deepEqual(await remote.ready(), { ready: false, reasons: ["starting"] });
    assert.equal(await remote.metricsText(), "# no metrics\n");
    await assert.rejects(remote.addPeer("x"), { code: "peer_address", message: '"x" is no multiaddr' });
  });

  it("reads ranges over page borders", async () => {
    await node.publish(Array.from({ length: 1201 }, (_, i) => note(`${i}`)));
    const seqs = async (from: number, to: number, limit: number) =>
      (await collect(remote.range(node.issuer, from, to, limit))).map(
        (text) => (JSON.parse(text) as { seq: number }).seq,
      );
    const whole = await seqs(0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(
      whole,
      Array.from({ length: 1201 }, (_, i) => i + 1),
    );
    assert.deepEqual(await seqs(499, 501, 10), [499, 500, 501]);
    assert.equal((await seqs(1, 1201, 1000)).length, 1000);
    assert.deepEqual(await seqs(1201, 1300, 10), [1201]);
  });

  it("sends large facts in several requests, and does not send what cannot fit", async () => {
    const facts = Array.from({ length: 300 }, (_, i) => note(`${i}${"x".repeat(60_000)}`));
    facts[7] = note("y".repeat(5_000_000));
    const results = await remote.publish(facts, { signal });
    assert.equal(results.length, 300);
    results.forEach((result, i) => {
      if (i === 7) assert.equal(result.ok ? "" : result.code, "envelope_size");
      else assert.equal(result.ok, true);
    });
  }).timeout(20_000);

  it("follows events from a cursor", async () => {
    await node.publish([note("a"), note("b")]);
    const stop = new AbortController();
    const seen: number[] = [];
    await assert.rejects(
      (async () => {
        for await (const event of remote.subscribe(1, { signal: stop.signal })) {
          if (event.type !== "envelope") continue;
          seen.push(event.leaf_index);
          if (seen.length === 1) await node.publish([note("c")]);
          else stop.abort();
        }
      })(),
    );
    assert.deepEqual(seen, [1, 2]);
  });

  it("never answers garbage with a server error, and stays alive", async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
      fc
        .constantFrom("[", "[[]]", '{"schema":5}', '{"schema":"a"}\n{', "\n\n\n")
        .map((text) => new TextEncoder().encode(text)),
    );
    const agents = await import("node:http");
    const agent = new agents.Agent({ keepAlive: true });
    const paths = [
      "/v1/publish",
      "/v1/import",
      "/v1/peers",
      "/v1/sync",
      "/v1/issuers/x/allow",
      "/%ff",
      "//",
      "/v1/%2e",
    ];
    const types = ["application/json", "application/x-ndjson", "text/plain", ""];
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom(...paths), fc.constantFrom(...types), async (body, path, type) => {
        const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
          const options = { agent, socketPath: socket, path, method: "POST", headers: { "content-type": type } };
          const outgoing = agents.request(options, (answer) => {
            let all = "";
            answer.on("data", (part: Buffer) => {
              all += part.toString();
            });
            answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text: all }));
          });
          outgoing.once("error", reject);
          outgoing.end(body);
        });
        assert.ok(status < 500, `${status} ${text}`);
        if (status >= 400) assert.ok((JSON.parse(text) as { error: { code: string } }).error.code in ERRORS, text);
      }),
      { numRuns: 300 },
    );
    agent.destroy();
  }).timeout(20_000);
});

describe("client connections", () => {
  const folder = temporaryFolders();
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** Answers the first request of each connection, then hangs up at the next, as a server does that closed too early. */
  async function forgetful(): Promise<{ path: string; requests: string[] }> {
    const path = join(await folder(), "api.sock");
    const requests: string[] = [];
    const server = createServer((socket: Socket) => {
      let served = 0;
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        requests.push(data.toString().split("\r\n")[0] ?? "");
        if (served++ > 0) socket.destroy();
        else {
          const body = '{"issuer":"me","ready":true,"peers":[]}';
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: keep-alive\r\n\r\n${body}`);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    servers.push(server);
    return { path, requests };
  }

  it("are tried once more when a kept one was closed", async () => {
    const { path, requests } = await forgetful();
    await using remote = await RemoteNode.connect(path);
    assert.deepEqual(await remote.peers(), []);
    assert.deepEqual(requests, ["GET /v1/status HTTP/1.1", "GET /v1/peers HTTP/1.1", "GET /v1/peers HTTP/1.1"]);
  });

  it("are not tried again for publishing: it might be done twice", async () => {
    const { path, requests } = await forgetful();
    await using remote = await RemoteNode.connect(path);
    await assert.rejects(remote.publish([note("a")], { signal }), { code: "api_unavailable" });
    assert.equal(requests.filter((line) => line.startsWith("POST")).length, 1);
  });

  it("tell apart no daemon, a dead socket and a stranger", async () => {
    const dir = nodeDir(await folder());
    assert.equal(await connectDaemon(dir), undefined);
    await writeDaemonInfo(dir, { pid: 1, socket: join(dir.path, "gone.sock"), issuer: "", started_at: "" });
    assert.equal(await connectDaemon(dir), undefined);
    const stranger = createServer((socket) => socket.end("SSH-2.0-x\r\n"));
    await new Promise<void>((resolve) => stranger.listen(dir.socket, resolve));
    servers.push(stranger);
    await writeDaemonInfo(dir, { pid: 1, socket: dir.socket, issuer: "", started_at: "" });
    await assert.rejects(connectDaemon(dir), { code: "api_unavailable" });
  });
});
