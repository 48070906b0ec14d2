/** The daemon's Reticulum node as transport node and mail box: paths and status, messages over a hop, both over restarts. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { resolveConfig } from "../../node/config.ts";
import { nodeDir } from "../../node/dir.ts";
import { ReticulumNode } from "../../node/reticulum/station.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function until(what: string, done: () => Promise<boolean> | boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("the daemon's Reticulum node", () => {
  const folder = temporaryFolders();
  const log = { info: () => undefined, warn: () => undefined };
  const nodes: ReticulumNode[] = [];
  async function open(path: string, reticulum: object): Promise<ReticulumNode> {
    const file = { planes: { reticulum: { enabled: true, ...reticulum } } };
    const config = resolveConfig({ file, env: {}, flags: {} }).planes.reticulum;
    const node = await ReticulumNode.start({ dir: nodeDir(path), config, log });
    nodes.push(node);
    return node;
  }
  async function close(node: ReticulumNode): Promise<void> {
    nodes.splice(nodes.indexOf(node), 1);
    await node.stop();
  }
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
  });

  it("forwards, knows its paths again after a restart, and keeps mail for who is away", async () => {
    const port = await freePort();
    const server = { type: "tcp-server", name: "hub", port, announceRateSeconds: 0, ingressControl: false };
    const client = { type: "tcp-client", name: "up", host: "127.0.0.1", port, ingressControl: false };
    const hubPath = await folder();
    const hubConfig = {
      transport: true,
      interfaces: [server],
      lxmf: { enabled: true, propagation: { enabled: true, stampCost: 13 } },
    };
    let hub = await open(hubPath, hubConfig);
    const kept = (await hub.status()).lxmf?.propagation?.address as string;
    const mail = { enabled: true, propagationNode: kept, announceMinutes: 0 };
    const alice = await open(await folder(), { interfaces: [client], lxmf: mail });
    const bobPath = await folder();
    const bob = await open(bobPath, { interfaces: [client], lxmf: { ...mail, displayName: "Bob" } });
    const to = (await bob.status()).lxmf?.address as string;
    const announced = async (node: ReticulumNode, address: string, by: ReticulumNode): Promise<void> => {
      await until("an announce", async () => {
        await by.announce({}).catch(() => undefined);
        for (let i = 0; i < 50; i++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          if ((await node.paths()).some(({ destination }) => destination === address)) return true;
        }
        return false;
      });
    };
    await announced(alice, to, bob);
    await announced(alice, kept, hub);
    await announced(bob, (await alice.status()).lxmf?.address as string, alice);
    const path = await alice.findPath({ destination: to, timeoutMs: 1000 });
    assert.deepEqual([path.hops, path.via, path.interface, path.responsive], [2, hub.identity.hex, "up", true]);
    assert.ok(path.expires_seconds > 600_000);
    const direct = await alice.sendMail({ to, title: "hi", content: "over a hop", method: "direct" });
    assert.equal(direct.state, "waiting");
    const inbox = join(bobPath, "reticulum", "lxmf", "inbox.jsonl");
    await until("the message", () => existsSync(inbox));
    const line = JSON.parse(readFileSync(inbox, "utf8").trim()) as Record<string, unknown>;
    assert.deepEqual([line["content"], line["title"], line["verified"]], ["over a hop", "hi", true]);
    await until("its proof", async () => (await alice.status()).lxmf?.counters["delivered"] === 1);
    await until("a forwarded link", async () => ((await hub.status()).transport?.links ?? 0) > 0);
    await close(bob);
    await alice.sendMail({ to, title: "", content: "while away", method: "propagated" });
    await until("the node to keep it", async () => (await hub.status()).lxmf?.propagation?.messages === 1);
    assert.equal(readdirSync(join(hubPath, "reticulum", "lxmf", "messages")).length, 1);
    await until("an empty queue", async () => (await alice.status()).lxmf?.queue.length === 0);
    await close(hub);
    hub = await open(hubPath, hubConfig);
    const status = await hub.status();
    assert.deepEqual([status.lxmf?.propagation?.messages, status.known_destinations > 0], [1, true]);
    // Who comes back fetches what was kept, unasked.
    const back = await open(bobPath, { interfaces: [client], lxmf: { ...mail, displayName: "Bob" } });
    await until("the message kept meanwhile", () => readFileSync(inbox, "utf8").includes("while away"));
    await until("its deletion at the node", async () => (await hub.status()).lxmf?.propagation?.messages === 0);
    assert.deepEqual(await back.fetchMail(), { offered: 0, received: 0 });
    // The way is known again when the connection is back.
    await until("the path", async () => (await alice.paths()).some(({ destination }) => destination === to));
    assert.equal(await alice.dropPath(to), true);
    assert.equal(await alice.dropPath(to), false);
    await assert.rejects(alice.findPath({ destination: "00".repeat(16), timeoutMs: 200 }), { code: "path_unknown" });
    await assert.rejects(alice.findPath({ destination: "zz", timeoutMs: 200 }), { code: "api_input" });
  }).timeout(60_000);

  it("keeps what is not delivered over a restart, and says what is missing", async () => {
    const path = await folder();
    const first = await open(path, { lxmf: { enabled: true } });
    const queued = await first.sendMail({ to: "ab".repeat(16), title: "", content: "later", method: "direct" });
    await assert.rejects(first.sendMail({ to: "ab".repeat(16), title: "", content: "x", method: "propagated" }), {
      code: "propagation_refused",
    });
    await close(first);
    const second = await open(path, { lxmf: { enabled: true } });
    assert.deepEqual(
      (await second.status()).lxmf?.queue.map(({ id }) => id),
      [queued.id],
    );
    await close(second);
    const without = await open(path, {});
    assert.deepEqual([(await without.status()).lxmf, (await without.status()).transport], [null, null]);
    await assert.rejects(without.fetchMail(), { code: "plane_not_started" });
    await assert.rejects(without.sendMail({ to: "ab".repeat(16), title: "", content: "x", method: "direct" }), {
      code: "plane_not_started",
    });
  });
});
