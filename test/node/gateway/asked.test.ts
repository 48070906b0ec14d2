/** A peer that asks for what may not be told: every question is counted, and as many recorded as fill no disk. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gatewayPaths, initDir, nodeDir, Runtime, resolveConfig } from "../../../node/index.ts";

describe("a gateway that is asked for what may not be told", () => {
  it("counts every question, records some, and names the plane", async () => {
    const folder = await mkdtemp(join(tmpdir(), "spine-asked-"));
    const dir = nodeDir(join(folder, "node"));
    await initDir(dir, { open: true, forceNew: false });
    const file = { planes: { nats: { enabled: true } } };
    const config = resolveConfig({ file, env: {}, flags: {} });
    const runtime = await Runtime.open({ dir, config, joinPlanes: true, onEvent: () => {} });
    try {
      const { gateway } = runtime;
      assert.ok(gateway !== undefined);
      gateway.index.linkUp("libp2p:peer/1", "libp2p");
      for (let i = 0; i < 5_000; i++) gateway.asked("libp2p:peer/1");
      assert.equal(gateway.status().refusals["libp2p not_disclosed"], 5_000);
      gateway.flush();
      const { audit } = gatewayPaths(dir.path);
      const names = await readdir(audit);
      const text = (await Promise.all(names.map((name) => readFile(join(audit, name), "utf8")))).join("");
      const records = text.split("\n").filter((line) => line.includes('"reason":"not_disclosed"'));
      assert.ok(records.length >= 100 && records.length < 1_000, `${records.length} records`);
      assert.ok(records.every((line) => line.includes('"direction":"from_libp2p"')));
    } finally {
      await runtime.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
