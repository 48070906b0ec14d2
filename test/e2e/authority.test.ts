/** Authority between real daemons over libp2p: trust reloaded, a revoked peer put out, sets compared, a key rotated under way (rules 7, 8). */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Daemon, daemonPool, eventually, note } from "../helpers/daemon.ts";

const DEADLINE_MS = 30_000;

interface Heard {
  readonly at: number;
  readonly event: Readonly<Record<string, unknown>>;
}

/** Events of a daemon from now on, with the time at which each was read. */
async function listen(daemon: Daemon): Promise<{ readonly heard: Heard[]; close(): void }> {
  const heard: Heard[] = [];
  const outgoing = request({
    socketPath: daemon.socket,
    path: "/v1/events",
    headers: { host: "localhost" },
    agent: false,
  });
  outgoing.on("error", () => undefined);
  outgoing.end();
  await new Promise<void>((resolve) => {
    outgoing.once("response", (answer) => {
      answer.on("error", () => undefined);
      const lines = createInterface({ input: answer });
      lines.on("error", () => undefined);
      lines.on("line", (line) => {
        if (line.startsWith("data: "))
          heard.push({ at: performance.now(), event: JSON.parse(line.slice(6)) as object as Heard["event"] });
      });
      resolve();
    });
  });
  return { heard, close: () => outgoing.destroy() };
}

describe("authority between daemons", function () {
  this.timeout(180_000);
  const pool = daemonPool();
  let [judge, boss, rogue]: (Daemon | undefined)[] = [];
  let events: Awaited<ReturnType<typeof listen>>;
  const trustOf = (daemon: Daemon): string => join(daemon.dir, "trust.yaml");
  const happened = (what: string, test: (event: Heard["event"]) => boolean, from = 0): Promise<Heard> =>
    eventually(what, async () => events.heard.find(({ at, event }) => at >= from && test(event)), DEADLINE_MS);
  const one = (daemon: Daemon | undefined): Daemon => {
    assert.ok(daemon !== undefined);
    return daemon;
  };

  before(async () => {
    judge = await pool.start("judge");
    const peers = [judge.address];
    boss = await pool.start("boss", { peers });
    rogue = await pool.start("rogue", { peers });
    await judge.allow(boss.issuer, rogue.issuer);
    await judge.connected(2);
    events = await listen(judge);
  });
  after(() => events?.close());

  it("take over a trust file that tightens while they run, and say what else it wants", async () => {
    const [a, b] = [one(judge), one(boss)];
    const revoker = `revokers:\n  - key: ${b.issuer}\n    scope: [node]\n`;
    await writeFile(trustOf(a), revoker, { mode: 0o600 });
    await happened("the trust event", (event) => event["type"] === "authority" && event["cause"] === "trust");
    assert.match(await readFile(join(a.dir, "trust.accepted"), "utf8"), new RegExp(b.issuer));
    assert.deepEqual((await a.status()).authority.trust, { pending: [], problem: null });

    await writeFile(trustOf(a), `${revoker}tokenIssuers:\n  - key: ${b.issuer}\n`, { mode: 0o600 });
    const pending = await eventually("the looser file is told of", async () => {
      const { authority, warnings } = await a.status();
      return warnings.some((text) => text.includes("spine trust confirm")) && authority.trust.pending;
    });
    assert.match(pending.join(), new RegExp(`tokenIssuers: adds ${b.issuer}`));
    assert.doesNotMatch(await readFile(join(a.dir, "trust.accepted"), "utf8"), /tokenIssuers":\[\{/);
    await happened("its event", ({ cause, pending: waits }) => cause === "trust" && (waits as string[]).length === 1);

    await writeFile(trustOf(a), "revokers: 7\n", { mode: 0o600 });
    await eventually("garbage is told of", async () => (await a.status()).authority.trust.problem !== null);
    await writeFile(trustOf(a), revoker, { mode: 0o600 });
    await eventually("all is well again", async () => {
      const { trust } = (await a.status()).authority;
      return trust.problem === null && trust.pending.length === 0;
    });
  });

  it("put a revoked peer out within a second of the revocation's arrival, and let it in no more", async () => {
    const [a, b, c] = [one(judge), one(boss), one(rogue)];
    assert.equal((await b.verb("trust", "add", "revoker", b.issuer, "--scope", "node")).code, 0);
    assert.equal((await b.verb("trust", "add", "issuer", a.issuer)).code, 0);
    const revoked = await b.verb("revoke", c.issuer, "--scope", "node", "--reason", "stolen", "--json");
    assert.equal(revoked.code, 0, revoked.err);
    const arrival = await happened("the revocation's event", ({ cause }) => cause === "revocation");
    assert.deepEqual(
      [arrival.event["issuer"], arrival.event["rights"], arrival.event["targets"]],
      [b.issuer, ["revoker"], [{ scope: "node", value: c.issuer, from_seq: 0 }]],
    );
    const gone = await happened("the link's end", ({ type, up }) => type === "link" && up === false, arrival.at);
    assert.ok(gone.at - arrival.at < 1_000, `${gone.at - arrival.at} ms after the revocation`);
    await a.connected(1);
    const before = await a.count(c.issuer);
    await c.publish([note("too late")]);
    await b.publish([note("after it")]);
    await a.holds(b.issuer, await b.count(b.issuer));
    const links = (await a.status()).links.filter(({ issuer }) => issuer !== null);
    assert.deepEqual([links.map(({ issuer }) => issuer), await a.count(c.issuer)], [[b.issuer], before]);
  });

  it("state one root of what is revoked, and compare it", async () => {
    const [a, b] = [one(judge), one(boss)];
    const root = await eventually("both know the same", async () => {
      const [mine, theirs] = [(await a.status()).authority, (await b.status()).authority];
      return mine.revoked === 1 && mine.revoked_root === theirs.revoked_root && mine.revoked_root;
    });
    assert.match(root, /^0x[0-9a-f]{64}$/);
    await eventually(
      "the other's statement was heard",
      async () => (await a.status()).authority.set_age_seconds !== null,
      DEADLINE_MS,
    );
    assert.deepEqual((await a.status()).authority.set_behind, []);
  });

  it("go on under the next key after a rotation and a restart, which status asks for", async () => {
    const [a, b] = [one(judge), one(boss)];
    const rotated = await b.verb("rotate", "--json");
    assert.equal(rotated.code, 0, rotated.err);
    assert.match(rotated.err, /Restart the daemon/);
    const next = String(rotated.lines[0]?.["issuer"]);
    const status = await b.status();
    assert.equal(status.authority.successor, next);
    assert.ok(
      status.warnings.some((text) => text.includes(next) && /restart the node/i.test(text)),
      `${status.warnings}`,
    );
    const refused = await b.call("POST", "/v1/publish", `${JSON.stringify(note("under the old key"))}\n`, true);
    assert.match(refused.text, /issuer_revoked/);
    const told = await happened("the handover's event", ({ cause }) => cause === "handover");
    assert.deepEqual([told.event["issuer"], told.event["successor"]], [b.issuer, next]);

    assert.equal(await b.stop(), 0);
    const again = await pool.start("boss", { peers: [a.address] });
    assert.equal(again.issuer, next);
    assert.deepEqual(
      (await again.publish([note("under the new key")])).map(({ seq }) => seq),
      [2],
    );
    await a.holds(next, 2);
    assert.deepEqual((await again.status()).warnings, []);
  });

  it("are left for good by a node that revokes itself", async () => {
    const a = one(judge);
    const leaver = await pool.start("leaver", { peers: [a.address] });
    await a.allow(leaver.issuer);
    await leaver.publish([note("the last word")]);
    await a.holds(leaver.issuer, await leaver.count(leaver.issuer));
    const revoked = await leaver.verb(
      "revoke",
      leaver.issuer,
      "--scope",
      "node",
      "--reason",
      "decommissioned",
      "--json",
    );
    assert.equal(revoked.code, 0, revoked.err);
    await eventually("the neighbour knows it", async () =>
      (await a.status()).issuers.issuers.some(
        ({ issuer, revoked_from }) => issuer === leaver.issuer && revoked_from !== null,
      ),
    );
    const { text } = await leaver.call("POST", "/v1/publish", `${JSON.stringify(note("no more"))}\n`, true);
    assert.match(text, /issuer_revoked/);
    assert.equal(await leaver.stop(), 0);
    await pool.stopAll();
  });
});
