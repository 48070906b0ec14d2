/** Guards when the disk fills up, and sockets that belong to another user. Both need root and are skipped without it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Daemon, daemonPool, httpCall } from "../helpers/daemon.ts";
import { smallDisks } from "../helpers/small-disk.ts";

const READ = JSON.stringify({ action_type: "file_access", target: `/w/${"deep/".repeat(200)}file` });

interface Check {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly message: string;
  readonly recorded: boolean;
  readonly envelope_hash: string | null;
}

describe("guards under faults", function () {
  this.timeout(120_000);
  const pool = daemonPool();
  const folders: string[] = [];
  after(async () => {
    for (const path of folders) await rm(path, { recursive: true, force: true });
  });

  describe("a full disk", () => {
    const disks = smallDisks();

    it("deny when the disk is full, and have every answer they gave when there is room again", async function () {
      const dir = pool.dir("full");
      if (!disks.mount(dir, 6)) this.skip();
      const daemon: Daemon = await pool.start("full", { port: null });
      const answered: string[] = [];
      const unrecorded: Check[] = [];
      let gone = false;
      const lane = async (): Promise<void> => {
        while (!gone) {
          try {
            const { status, text } = await httpCall(daemon.socket, "POST", "/v1/check", READ);
            const answer = JSON.parse(text) as Check;
            if (status === 200 && answer.recorded) answered.push(answer.envelope_hash as string);
            else unrecorded.push(answer);
          } catch {
            gone = true;
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, lane));
      assert.ok(answered.length > 0);
      for (const { allowed } of unrecorded) assert.equal(allowed, false);
      const said = unrecorded.filter(({ reason }) => reason === "not_recorded").map(({ message }) => message);
      assert.ok(said.length > 0, "the agent is told why");
      assert.match(said[0] as string, /could not be (recorded|written)|commitment|store/);
      if (daemon.alive) await daemon.kill();
      disks.grow(dir, 64);
      const again = await pool.start("full", { port: null });
      const held = new Set((await again.held(again.issuer)).values());
      assert.deepEqual(
        answered.filter((hash) => !held.has(hash)),
        [],
      );
      const after = JSON.parse((await again.call("POST", "/v1/check", READ)).text) as Check;
      assert.deepEqual([after.allowed, after.recorded], [true, true]);
      await pool.stopAll();
    });
  });

  it("give an agent's socket to its user, and let no other in", async function () {
    if (process.getuid?.() !== 0) this.skip();
    const folder = await mkdtemp(join(tmpdir(), "spine-agents-"));
    folders.push(folder);
    await chmod(folder, 0o755);
    const socket = join(folder, "builder.sock");
    let daemon = await pool.start("owned", { port: null });
    await daemon.stop();
    const file = join(daemon.dir, "config.yaml");
    const agents = `guard:\n  agents:\n    - {name: builder, socket: ${socket}, uid: 65534}\n`;
    await writeFile(file, `${await readFile(file, "utf8")}\n${agents}`);
    daemon = await pool.start("owned", { port: null });
    const ask = (uid: number): string => {
      const { status, stdout } = spawnSync(
        "curl",
        [
          "-s",
          "--unix-socket",
          socket,
          "http://localhost/v1/check",
          "-d",
          '{"action_type":"file_access","target":"/w/x"}',
        ],
        { uid, gid: uid, encoding: "utf8", timeout: 20_000 },
      );
      return status === 0 ? ((JSON.parse(stdout) as Check).envelope_hash ?? "") : "refused";
    };
    const hash = ask(65534);
    assert.match(hash, /^0x/);
    assert.equal(ask(65533), "refused");
    const { text } = await daemon.call("GET", `/v1/envelopes/${hash}`);
    const { fact } = JSON.parse(text) as { fact: { agent: { id: string; uid: number } } };
    assert.deepEqual([fact.agent.id, fact.agent.uid], ["builder", 65534]);
    await pool.stopAll();
  });
});
