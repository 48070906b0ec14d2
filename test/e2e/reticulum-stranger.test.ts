/** A stock Python program with `rns` and PyNaCl, which knows only the published format, and a daemon understand each other. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";
import { describeRns, RNS_PYTHON, rnsConfig } from "../peers/rns.ts";
import { freePort } from "../planes/reticulum/interop.ts";

const PROGRAM = resolve(import.meta.dirname, "../../../test/peers/rns_stranger.py");

type Event = Readonly<Record<string, unknown>> & { readonly event: string };

describeRns("a stock Python program over Reticulum", function () {
  this.timeout(120_000);
  const daemons = daemonPool();
  const folder = mkdtempSync(join(tmpdir(), "spine-stranger-"));
  const events: Event[] = [];
  let child: ChildProcessWithoutNullStreams | undefined;
  let errors = "";
  let daemon: Daemon;
  const find = (name: string, fits: (event: Event) => boolean = () => true) =>
    eventually(
      `${name} of the stranger; ${errors}`,
      async () => events.find((event) => event.event === name && fits(event)) !== undefined,
      60_000,
    ).then(() => events.find((event) => event.event === name && fits(event)) as Event);

  after(async () => {
    if (child !== undefined && child.exitCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("links, says hello, verifies what is pushed, and answers with what the daemon admits", async () => {
    const port = await freePort();
    daemon = await daemons.start("node", {
      port: null,
      open: true,
      set: [
        "planes.libp2p.enabled=false",
        "planes.reticulum.enabled=true",
        "planes.reticulum.lxmf.enabled=true",
        `planes.reticulum.interfaces=${JSON.stringify([{ type: "tcp-server", name: "hub", host: "127.0.0.1", port }])}`,
      ],
    });
    const wire = `[[s]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = 127.0.0.1\ntarget_port = ${port}\n`;
    writeFileSync(join(folder, "config"), rnsConfig(wire));
    child = spawn(RNS_PYTHON, ["-u", PROGRAM, folder, daemon.address.replace("rns:", "")], { stdio: "pipe" });
    child.stderr.on("data", (bytes: Buffer) => {
      errors = (errors + bytes.toString()).slice(-2_000);
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("{")) events.push(JSON.parse(line) as Event);
      else errors += line;
    });
    const { issuer } = await find("ready");
    const hello = await find("hello");
    assert.deepEqual([hello["issuer"], hello["ok"]], [daemon.issuer, true]);
    await eventually("the daemon names the stranger by its issuer", async () =>
      (await daemon.status()).links.some((link) => link.issuer === issuer),
    );
    // Urgent facts are pushed at once.
    const fact = { schema: "clawdstrike.spine.fact.incident.v1", severity: "high" };
    const [published] = await daemon.publish([fact]);
    const heard = await find("envelope", ({ schema }) => schema === fact.schema);
    assert.deepEqual([heard["ok"], heard["issuer"]], [true, daemon.issuer]);
    assert.equal(heard["hash"], published?.hash);
    // The first answer comes on the link, the second by mail.
    await daemon.holds(issuer as string, 2, 60_000);
    const signed = events.filter(({ event }) => event === "signed").map(({ hash }) => hash);
    const held = await daemon.held(issuer as string);
    assert.deepEqual([held.get(1), held.get(2)], signed);
    await find("mailed");
    await daemons.stopAll();
  });
});
