/** The HTTP API over a node in memory: every route, its refusals, and its bounds. */
import assert from "node:assert/strict";
import { rename, stat, writeFile } from "node:fs/promises";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { ApiServer, createMetrics, type PublishResult, sha256Hex } from "../../node/index.ts";
import { openEnvelope, openHead } from "../../spine/index.ts";
import { FakeNode } from "../helpers/fake-node.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Call {
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  readonly port?: number;
}

const LINES = { "content-type": "application/x-ndjson" };
const note = (text: string) => ({ schema: "aegis.spine.fact.note.v1", text });
const log = { warn: () => undefined };

describe("api", () => {
  const folder = temporaryFolders();
  let node: FakeNode;
  let api: ApiServer;
  let socket: string;
  const agent = new Agent({ keepAlive: true });

  beforeEach(async () => {
    node = new FakeNode();
    socket = join(await folder(), "api.sock");
    api = new ApiServer({ node, socket, listen: "127.0.0.1:0", token: "secret-token", log });
    await api.start();
  });
  afterEach(() => api.stop());
  after(() => agent.destroy());

  const call = (method: string, path: string, { headers = {}, body, port }: Call = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const where = port === undefined ? { socketPath: socket, agent } : { host: "127.0.0.1", port };
      const outgoing = request({ ...where, method, path, headers }, (incoming) => {
        const parts: Buffer[] = [];
        incoming.on("data", (part: Buffer) => parts.push(part));
        incoming.once("error", reject);
        incoming.once("end", () => {
          const text = Buffer.concat(parts).toString();
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text });
        });
      });
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  const json = <T>(answer: Answer): T => JSON.parse(answer.text) as T;
  const lines = <T>(answer: Answer): T[] =>
    answer.text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as T);
  const refused = (answer: Answer, status: number, code: string): void => {
    assert.equal(answer.status, status, answer.text);
    const { error } = json<{ error: { code: string; message: string; hint: string } }>(answer);
    assert.equal(error.code, code, answer.text);
    assert.ok(error.message.length > 0 && error.hint.length > 0);
  };
  const publish = async (text: string) =>
    json<PublishResult & { ok: true }>(await call("POST", "/v1/publish", { body: JSON.stringify(note(text)) }));
  const tcpPort = () => Number((api.addresses[1] ?? "").split(":").at(-1));

  describe("publishing", () => {
    it("signs one fact", async () => {
      const answer = await call("POST", "/v1/publish", { body: JSON.stringify(note("a")) });
      assert.equal(answer.status, 201);
      const { envelope_hash, issuer, seq } = json<PublishResult & { ok: true }>(answer);
      assert.equal(issuer, node.issuer);
      assert.equal(seq, 1);
      const held = await call("GET", `/v1/envelopes/${envelope_hash}`);
      assert.equal(openEnvelope(held.text, sha256Hex).hash, envelope_hash);
    });

    it("answers an array item by item", async () => {
      const body = JSON.stringify([note("a"), 5, note("b")]);
      const { results } = json<{ results: PublishResult[] }>(await call("POST", "/v1/publish", { body }));
      assert.deepEqual(
        results.map((one) => (one.ok ? one.seq : one.code)),
        [1, "fact_invalid", 2],
      );
    });

    it("answers lines in order, and a bad line never stops the rest", async () => {
      const good = JSON.stringify(note("a"));
      const body = Buffer.concat([
        Buffer.from(`${good}\n{"a":1,"a":2}\n\n`),
        Buffer.from([0xff, 10]),
        Buffer.from(`[1e400]\n${good}`),
      ]);
      const answer = await call("POST", "/v1/publish", { body, headers: LINES });
      assert.equal(answer.status, 200);
      const results = lines<PublishResult & { line: number }>(answer);
      assert.deepEqual(
        results.map((one) => [one.line, one.ok ? one.seq : one.code]),
        [
          [1, 1],
          [2, "json_duplicate_key"],
          [3, "json_syntax"],
          [4, "json_syntax"],
          [5, "json_number"],
          [6, 2],
        ],
      );
    });

    it("keeps integers exact", async () => {
      const body = '{"schema":"aegis.spine.fact.note.v1","n":9007199254740993}';
      refused(await call("POST", "/v1/publish", { body }), 400, "not_portable");
    });

    it("refuses what is no fact, too many facts and too large bodies", async () => {
      refused(await call("POST", "/v1/publish", { body: "{" }), 400, "json_syntax");
      refused(await call("POST", "/v1/publish", { body: "" }), 400, "json_syntax");
      refused(await call("POST", "/v1/publish", { body: "7" }), 400, "fact_invalid");
      refused(await call("POST", "/v1/publish", { body: "1\n".repeat(5000), headers: LINES }), 400, "api_input");
      refused(await call("GET", "/v1/publish"), 404, "api_not_found");
      const large = await call("POST", "/v1/publish", { body: Buffer.alloc(17_000_000, 32) });
      refused(large, 400, "api_input");
      assert.equal((await publish("still alive")).ok, true);
    });
  });

  describe("reading", () => {
    it("gives envelopes of an issuer by range, as canonical lines", async () => {
      for (let i = 0; i < 5; i++) await publish(`${i}`);
      const path = `/v1/issuers/${node.issuer}/envelopes`;
      const seqs = async (query: string) =>
        lines<{ seq: number }>(await call("GET", `${path}${query}`)).map(({ seq }) => seq);
      assert.deepEqual(await seqs(""), [1, 2, 3, 4, 5]);
      assert.deepEqual(await seqs("?from=2&to=4"), [2, 3, 4]);
      assert.deepEqual(await seqs("?from=2&limit=1"), [2]);
      assert.deepEqual(await seqs("?from=9"), []);
      refused(await call("GET", `${path}?from=3&to=2`), 400, "range_invalid");
      refused(await call("GET", `${path}?form=3`), 400, "api_input");
      refused(await call("GET", `${path}?from=1&from=2`), 400, "api_input");
      for (const from of ["-1", "x", "1.5", "1e3", ""]) {
        refused(await call("GET", `${path}?from=${from}`), 400, "api_input");
      }
      refused(await call("GET", "/v1/issuers/aegis:ed25519:00/envelopes"), 400, "issuer_syntax");
    });

    it("accepts a hash with or without 0x and in any case", async () => {
      const { envelope_hash } = await publish("a");
      for (const form of [envelope_hash, envelope_hash.slice(2), envelope_hash.slice(2).toUpperCase()]) {
        assert.equal((await call("GET", `/v1/envelopes/${form}`)).status, 200);
      }
      refused(await call("GET", `/v1/envelopes/0x${"0".repeat(64)}`), 404, "api_not_found");
      refused(await call("GET", "/v1/envelopes/0x12"), 400, "hex_syntax");
    });

    it("gives heads, issuers, peers, forks, status, health and metrics", async () => {
      await publish("a");
      const [head] = (await call("GET", "/v1/heads")).text.trim().split("\n");
      assert.equal(openHead(head as string).seq, 1);
      const page = json<{ total: number; next: null }>(await call("GET", "/v1/issuers?limit=10"));
      assert.equal(page.total, 1);
      refused(await call("GET", "/v1/issuers?limit=0"), 400, "api_input");
      assert.deepEqual(json(await call("GET", "/v1/peers")), { peers: [] });
      assert.deepEqual(json(await call("GET", "/v1/forks")), { forks: [] });
      assert.equal(json<{ issuer: string }>(await call("GET", "/v1/status")).issuer, node.issuer);
      assert.equal((await call("GET", "/healthz")).text, "ok\n");
      assert.equal((await call("GET", "/readyz")).status, 200);
      node.readiness = { ready: false, reasons: ["libp2p is starting"] };
      assert.equal((await call("GET", "/readyz")).status, 503);
      assert.match((await call("GET", "/metrics")).headers["content-type"] ?? "", /^text\/plain/);
      refused(await call("GET", "/v1/nothing"), 404, "api_not_found");
      refused(await call("PUT", "/v1/peers"), 404, "api_not_found");
    });
  });

  describe("changing", () => {
    it("allows and denies issuers", async () => {
      const issuer = `aegis:ed25519:${"a".repeat(64)}`;
      await call("POST", `/v1/issuers/${issuer}/allow`);
      assert.equal(
        (await node.issuers({ limit: 9 })).issuers.find((one) => one.issuer === issuer)?.admission,
        "allowed",
      );
      const denied = await call("POST", `/v1/issuers/${encodeURIComponent(issuer)}/deny`);
      assert.deepEqual(json(denied), { issuer, admission: "denied" });
      refused(await call("POST", "/v1/issuers/me/allow"), 400, "issuer_syntax");
    });

    it("adds and removes peers", async () => {
      const address = "/ip4/127.0.0.1/tcp/1";
      assert.equal((await call("POST", "/v1/peers", { body: JSON.stringify({ address }) })).status, 200);
      assert.equal(node.peerList.length, 1);
      assert.equal((await call("DELETE", `/v1/peers/${encodeURIComponent(address)}`)).status, 200);
      assert.equal(node.peerList.length, 0);
      for (const body of ["{}", '{"address":5}', '{"address":"/x","more":1}', "[]", '"x"']) {
        refused(await call("POST", "/v1/peers", { body }), 400, "api_input");
      }
      refused(await call("POST", "/v1/peers", { body: '{"address":"x"}' }), 400, "peer_address");
    });

    it("imports lines with one result each", async () => {
      const other = new FakeNode();
      await other.publish([note("a"), note("b")]);
      const texts: string[] = [];
      for await (const text of other.range(other.issuer, 1, 9, 9)) texts.push(text);
      const body = Buffer.concat([
        Buffer.from(`${texts[0]}\n{}\n`),
        Buffer.from([0xfe, 10]),
        Buffer.from(`${texts[1]}\n${texts[0]}\n`),
      ]);
      const results = lines<{ line: number; ok: boolean; state?: string; code?: string }>(
        await call("POST", "/v1/import", { body, headers: LINES }),
      );
      assert.deepEqual(
        results.map((one) => [one.line, one.state ?? one.code]),
        [
          [1, "stored"],
          [2, "envelope_field"],
          [3, "json_syntax"],
          [4, "stored"],
          [5, "known"],
        ],
      );
    });

    it("tells a sync's progress and summary, and its failure", async () => {
      const answer = await call("POST", "/v1/sync", { body: '{"peer":"/ip4/1.2.3.4/tcp/1"}' });
      const told = lines<{ type: string; received: number; complete?: boolean }>(answer);
      assert.equal(told.at(-1)?.type, "summary");
      assert.equal(told.at(-1)?.complete, true);
      refused(await call("POST", "/v1/sync", { body: '{"peer":"/dead"}' }), 502, "peer_unreachable");
      refused(await call("POST", "/v1/sync", { body: '{"peer":"/x","issuer":"me"}' }), 400, "issuer_syntax");
    });
  });

  describe("marketplace sync", () => {
    const path = (query: string) => `/v1/marketplace/sync?${query}`;

    it("gives feed entries by feed_seq in the strict struct", async () => {
      const entry = (feed_seq: number) => ({ schema: "clawdstrike.marketplace.feed_entry.v1", feed_seq });
      await node.publish([note("x"), entry(1), note('"feed_seq":2'), entry(2), entry(3)]);
      const answer = await call("GET", path(`issuer=${node.issuer}&from_seq=2&to_seq=50`));
      const body = json<{ envelopes: { fact: { feed_seq: number } }[] }>(answer);
      assert.deepEqual(Object.keys(body), ["schema", "curator_issuer", "envelopes"]);
      assert.deepEqual(
        body.envelopes.map((one) => one.fact.feed_seq),
        [2, 3],
      );
    });

    it("refuses as upstream does", async () => {
      const says = async (query: string, text: string) => {
        const answer = await call("GET", path(`issuer=${node.issuer}&${query}`));
        refused(answer, 400, "range_invalid");
        assert.ok(answer.text.includes(text), answer.text);
      };
      await says("from_seq=0&to_seq=5", "from_seq must be >= 1");
      await says("from_seq=3&to_seq=2", "to_seq must be >= from_seq");
      await says("from_seq=1&to_seq=101", "sync range too large (101), max is 100");
      refused(await call("GET", path("issuer=x&from_seq=1&to_seq=2")), 400, "issuer_syntax");
    });
  });

  describe("events", () => {
    /** Reads until `enough` says so, then hangs up. */
    const listen = (path: string, headers: Record<string, string>, enough: (text: string) => boolean) =>
      new Promise<string>((resolve, reject) => {
        let text = "";
        const outgoing = request({ socketPath: socket, path, headers }, (incoming) => {
          incoming.on("data", (part: Buffer) => {
            text += part.toString();
            if (enough(text)) {
              outgoing.destroy();
              resolve(text);
            }
          });
          incoming.once("end", () => resolve(text));
          incoming.once("error", () => resolve(text));
        });
        outgoing.once("error", reject);
        outgoing.end();
      });
    const ids = (text: string) => [...text.matchAll(/^id: (\d+)$/gm)].map((found) => Number(found[1]));
    const count = (n: number) => (text: string) => ids(text).length >= n && text.endsWith("\n\n");

    it("replay from a cursor and resume after the last id", async () => {
      for (let i = 0; i < 4; i++) await publish(`${i}`);
      assert.deepEqual(ids(await listen("/v1/events?from=0", {}, count(4))), [0, 1, 2, 3]);
      assert.deepEqual(ids(await listen("/v1/events", { "last-event-id": "1" }, count(2))), [2, 3]);
      for (const bad of ["x", "-1", "1.5"]) refused(await call("GET", `/v1/events?from=${bad}`), 400, "api_input");
    });

    it("tell what happens from now on, and end with the node", async () => {
      const heard = listen("/v1/events", {}, count(1));
      while (node.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await publish("now");
      const text = await heard;
      assert.match(text, /event: envelope\ndata: \{.*"fact_schema":"aegis.spine.fact.note.v1"/);
      while (node.subscribers > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const open = listen("/v1/events", {}, () => false);
      while (node.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await api.stop();
      await open;
      assert.equal(node.subscribers, 0);
    });
  });

  describe("loopback TCP", () => {
    const auth = { authorization: "Bearer secret-token" };

    it("wants the token, except for health", async () => {
      const port = tcpPort();
      refused(await call("GET", "/v1/status", { port }), 401, "api_unauthorized");
      for (const authorization of [
        "Bearer wrong",
        "Bearer ",
        "secret-token",
        "Basic c2VjcmV0",
        "Bearer secret-token2",
      ]) {
        refused(await call("GET", "/v1/status", { port, headers: { authorization } }), 401, "api_unauthorized");
      }
      assert.equal((await call("GET", "/v1/status", { port, headers: auth })).status, 200);
      assert.equal((await call("GET", "/healthz", { port })).status, 200);
      const body = JSON.stringify(note("a"));
      refused(await call("POST", "/v1/publish", { port, body }), 401, "api_unauthorized");
      assert.equal((await call("POST", "/v1/publish", { port, body, headers: auth })).status, 201);
    });

    it("refuses other hosts and origins, with the right token as well", async () => {
      const port = tcpPort();
      for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1", `127.0.0.1:${port + 1}`]) {
        refused(await call("GET", "/healthz", { port, headers: { ...auth, host } }), 403, "api_forbidden");
      }
      for (const origin of [
        "https://evil.example",
        "null",
        `https://localhost:${port}`,
        `http://localhost:${port + 1}`,
      ]) {
        refused(await call("GET", "/v1/status", { port, headers: { ...auth, origin } }), 403, "api_forbidden");
      }
      const same = { ...auth, origin: `http://localhost:${port}`, host: `localhost:${port}` };
      assert.equal((await call("GET", "/v1/status", { port, headers: same })).status, 200);
    });

    it("says when the port is taken, and leaves no socket behind", async () => {
      const port = tcpPort();
      const second = join(await folder(), "api.sock");
      const other = new ApiServer({ node, socket: second, listen: `127.0.0.1:${port}`, token: "t", log });
      await assert.rejects(other.start(), { code: "port_in_use" });
      await assert.rejects(stat(second), { code: "ENOENT" });
    });
  });

  describe("unix socket", () => {
    it("belongs to its owner alone", async () => {
      assert.equal((await stat(socket)).mode & 0o777, 0o600);
    });

    it("refuses a second daemon and leaves the first alone", async () => {
      const second = new ApiServer({ node, socket, token: "t", log });
      await assert.rejects(second.start(), { code: "daemon_running" });
      assert.equal((await call("GET", "/healthz")).status, 200);
    });

    it("takes over a socket that nobody answers, but no other file", async () => {
      const path = join(await folder(), "api.sock");
      const dead = createTcpServer().listen(path);
      await new Promise((resolve) => dead.once("listening", resolve));
      // Keeps the file, as a killed process does.
      await rename(path, `${path}.kept`);
      await new Promise((resolve) => dead.close(resolve));
      await rename(`${path}.kept`, path);
      const next = new ApiServer({ node, socket: path, token: "t", log });
      await next.start();
      await next.stop();
      await writeFile(path, "not a socket");
      const wrong = new ApiServer({ node, socket: path, token: "t", log });
      await assert.rejects(wrong.start(), { code: "config_invalid" });
      const long = new ApiServer({ node, socket: `/tmp/${"x".repeat(200)}`, token: "t", log });
      await assert.rejects(long.start(), { code: "config_invalid", message: /api\.socket/ });
    });

    it("answers what is no HTTP with a coded error too", async () => {
      const text = await new Promise<string>((resolve) => {
        let all = "";
        const raw = connect(socket, () => raw.end("\0garbage\r\n\r\n"));
        raw.on("data", (part: Buffer) => {
          all += part.toString();
        });
        raw.once("close", () => resolve(all));
      });
      assert.match(text, /^HTTP\/1\.1 400 /);
      assert.match(text, /\{"error":\{"code":"api_input",/);
    });

    it("survives garbage and half requests", async () => {
      for (const text of [
        "\0\0\0",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /v1/publish HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
      ]) {
        await new Promise<void>((resolve) => {
          const raw = connect(socket, () => raw.end(text));
          raw.resume();
          raw.once("close", () => resolve());
          raw.once("error", () => resolve());
        });
      }
      assert.equal((await publish("alive")).ok, true);
    });
  });

  it("counts requests by route and class", async () => {
    const metrics = createMetrics("1.2.3");
    const path = join(await folder(), "api.sock");
    const counted = new ApiServer({ node, socket: path, token: "t", log, metrics });
    await counted.start();
    await new Promise<void>((resolve) => {
      request({ socketPath: path, path: "/v1/nothing" }, (answer) => answer.resume().once("end", resolve)).end();
    });
    await counted.stop();
    const text = await metrics.text();
    assert.match(text, /spine_api_request_seconds_count\{route="other",status="4xx"\} 1/);
    assert.match(text, /spine_build_info\{version="1\.2\.3"\} 1/);
  });

  describe("bounds", () => {
    /** Holds every publish until called. */
    const hold = (): (() => void) => {
      let release: () => void = () => undefined;
      node.gate = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    };
    const until = async (condition: () => boolean): Promise<void> => {
      while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const body = JSON.stringify(note("held"));

    it("refuse a request too many, and serve again when there is room", async () => {
      const release = hold();
      const held = Array.from({ length: 512 }, () => call("POST", "/v1/publish", { body }));
      await until(() => node.publishing === 512);
      refused(await call("GET", "/v1/status"), 503, "api_unavailable");
      release();
      for (const { status } of await Promise.all(held)) assert.equal(status, 201);
      assert.equal((await call("GET", "/v1/status")).status, 200);
    });

    it("refuse an event stream too many, and count those that went", async () => {
      const open = Array.from({ length: 64 }, () => request({ socketPath: socket, path: "/v1/events" }).end());
      for (const stream of open) stream.on("error", () => undefined);
      await until(() => node.subscribers === 64);
      refused(await call("GET", "/v1/events"), 503, "api_unavailable");
      for (const stream of open) stream.destroy();
      await until(() => node.subscribers === 0);
    });

    it("let running requests finish at stop, and refuse new ones", async () => {
      const release = hold();
      const running = call("POST", "/v1/publish", { body });
      await until(() => node.publishing === 1);
      const stopped = api.stop();
      await assert.rejects(call("GET", "/healthz", { port: tcpPort() }));
      release();
      assert.equal((await running).status, 201);
      await stopped;
      await assert.rejects(stat(socket), { code: "ENOENT" });
    });
  });
});
