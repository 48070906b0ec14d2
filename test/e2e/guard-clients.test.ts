/** The example clients against a real daemon: they keep connections, survive its restart, and deny when it is gone. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { daemonPool } from "../helpers/daemon.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const EXAMPLES = resolve(import.meta.dirname, "../../../node/examples");

interface Answer {
  readonly allowed: boolean;
  readonly reason: string | null;
}
interface Client {
  check(action: object): Promise<Answer>;
  close(): void;
}
interface ClientModule {
  readonly GuardClient: new (options: object) => Client;
}

const READ = { action_type: "file_access", target: "/w/x" };
const SHADOW = { action_type: "file_access", target: "/etc/shadow" };

function python(args: readonly string[]): Promise<{ readonly code: number | null; readonly out: string }> {
  return new Promise((settle) => {
    execFile("python3", args, { timeout: 30_000 }, (error, out) => {
      settle({ code: error === null ? 0 : typeof error.code === "number" ? error.code : null, out });
    });
  });
}

describe("guard clients", function () {
  this.timeout(60_000);
  const pool = daemonPool();
  const temporary = temporaryFolders();

  it("of Node: asks, goes on over a restart, denies when nobody answers", async () => {
    const { GuardClient } = (await import(pathToFileURL(join(EXAMPLES, "guard-client.mjs")).href)) as ClientModule;
    let daemon = await pool.start("node", { port: null });
    const client = new GuardClient({ socket: daemon.socket, agent: "a" });
    assert.equal((await client.check(READ)).allowed, true);
    assert.deepEqual(
      (await Promise.all([READ, SHADOW, READ].map((action) => client.check(action)))).map(({ allowed }) => allowed),
      [true, false, true],
    );
    assert.equal((await client.check({ ...READ, unheard_of: 1 })).allowed, false);
    await daemon.kill();
    assert.deepEqual((await client.check(READ)).reason, "unreachable");
    daemon = await pool.start("node", { port: null });
    assert.equal((await client.check(READ)).allowed, true);
    client.close();
    await pool.stopAll();
  });

  it("of Node: retries on a connection that was closed while idle, and gives up in time on a server that says nothing", async () => {
    const { GuardClient } = (await import(pathToFileURL(join(EXAMPLES, "guard-client.mjs")).href)) as ClientModule;
    const path = join(await temporary(), "s");
    const answer = '{"allowed":true}';
    let answered = 0;
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      let served = 0;
      socket.on("data", () => {
        // The second request on a connection is met by its end, as after an idle time-out.
        if (++served === 2) socket.destroy();
        if (served === 2 || answered === 2) return;
        answered++;
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`);
      });
    });
    await new Promise<void>((listening) => server.listen(path, listening));
    const client = new GuardClient({ socket: path, deadlineMs: 500 });
    assert.equal((await client.check(READ)).allowed, true);
    assert.equal((await client.check(READ)).allowed, true);
    assert.equal(answered, 2);
    assert.deepEqual(await client.check(READ).then(({ allowed, reason }) => [allowed, reason]), [false, "unreachable"]);
    client.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((closed) => server.close(closed));
  });

  it("of Python: asks, and denies when nobody answers", async function () {
    if ((await python(["--version"])).code !== 0) this.skip();
    const daemon = await pool.start("python", { port: null });
    const script = join(EXAMPLES, "guard_client.py");
    assert.equal((await python(["-B", script, daemon.socket, "file_access", "/w/x"])).code, 0);
    const denied = await python(["-B", script, daemon.socket, "file_access", "/etc/shadow"]);
    assert.deepEqual([denied.code, (JSON.parse(denied.out) as Answer).allowed], [2, false]);
    const many = [
      "import sys; sys.path.insert(0, sys.argv[1])",
      "from guard_client import GuardClient",
      "g = GuardClient(sys.argv[2], agent='p')",
      "print([g.check({'action_type': 'file_access', 'target': t})['allowed'] for t in ('/w/x', '/etc/shadow', '/w/y')])",
    ].join("\n");
    assert.equal((await python(["-B", "-c", many, EXAMPLES, daemon.socket])).out.trim(), "[True, False, True]");
    await pool.stopAll();
    const gone = await python(["-B", script, daemon.socket, "file_access", "/w/x"]);
    assert.deepEqual([gone.code, (JSON.parse(gone.out) as Answer).reason], [2, "unreachable"]);
  });
});
