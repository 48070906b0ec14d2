/** `spine rns …` against nodes and tools of the Python reference: through the daemon, without one, and when things are wrong. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { spine } from "../helpers/cli.ts";
import { type Daemon, daemonPool, eventually } from "../helpers/daemon.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { describeRns, RNS_PYTHON, RnsNode } from "../peers/rns.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

const client = (port: number): string =>
  `[[c]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = 127.0.0.1\ntarget_port = ${port}\n`;

function settings(interfaces: readonly object[]): string[] {
  const value = JSON.stringify(interfaces);
  return ["planes.libp2p.enabled=false", "planes.reticulum.enabled=true", `planes.reticulum.interfaces=${value}`];
}

interface Destination {
  readonly name: string;
  readonly hash: string;
}

describeRns("spine rns, beside the Python reference", function () {
  this.timeout(60_000);
  const daemons = daemonPool();
  const folders = temporaryFolders();
  let port = 0;
  let daemon: Daemon;
  let python: RnsNode;
  let probeHash = "";
  before(async () => {
    port = await freePort();
    const server = { type: "tcp-server", name: "lan", port };
    daemon = await daemons.start("rns", { port: null, set: settings([server]) });
    python = await RnsNode.start(client(port));
  });
  after(async () => {
    await python?.stop();
    await daemons.stopAll();
  });

  it("shows identity, destinations and interfaces with their traffic", async () => {
    const status = await eventually("the peer", async () => {
      const { code, lines, err } = await daemon.verb("rns", "status", "--json");
      assert.equal(code, 0, err);
      const [state] = lines as [{ interfaces: [{ peers: number; online: boolean; name: string }] }];
      return state.interfaces[0].peers === 1 ? (lines[0] as Record<string, unknown>) : undefined;
    });
    const destinations = status["destinations"] as Destination[];
    assert.deepEqual(
      destinations.map(({ name }) => name),
      ["spine.node", "rnstransport.probe"],
    );
    probeHash = (destinations[1] as Destination).hash;
    assert.match(status["identity"] as string, /^[0-9a-f]{32}$/);
    assert.equal(statSync(join(daemon.dir, "reticulum.key")).mode & 0o777, 0o600);
    const text = await daemon.verb("rns", "status");
    assert.match(text.out, /lan \(tcp-server\) {2}up/);
    const shown = await daemon.verb("rns", "interfaces");
    assert.equal(shown.code, 0);
    assert.match(shown.out, /rate 10\.0 Mbit\/s/);
  });

  it("probes a node of the reference, which proves each packet", async () => {
    const { code, lines, err } = await daemon.verb(
      "rns",
      "probe",
      "--json",
      "--count",
      "3",
      "--size",
      "100",
      python.hash,
    );
    assert.equal(code, 0, err);
    assert.equal(lines.length, 3);
    for (const line of lines) {
      const {
        ok,
        hops,
        rtt_ms,
        interface: name,
      } = line as { ok: boolean; hops: number; rtt_ms: number; interface: string };
      assert.deepEqual([ok, hops, name], [true, 1, "lan"]);
      assert.ok(rtt_ms > 0);
    }
    assert.match(err, /sent 3, proved 3, lost 0\.0 %/);
  });

  it("is heard when it announces, with app data, and keeps its ratchets on disk first", async () => {
    const { code, lines, err } = await daemon.verb("rns", "announce", "--json", "--app-data", "north gate");
    assert.equal(code, 0, err);
    const [{ announced, interfaces }] = lines as unknown as [{ announced: Destination[]; interfaces: string[] }];
    assert.deepEqual(interfaces, ["lan"]);
    const node = announced[0] as Destination;
    const heard = await python.wait("announce", (event) => event.hash === node.hash);
    assert.equal(heard.appData, Buffer.from("north gate").toString("hex"));
    const ratchets = join(daemon.dir, "reticulum", "ratchets");
    assert.deepEqual(readdirSync(ratchets), [node.hash]);
  });

  it("answers the reference's own rnprobe", async () => {
    const folder = await folders();
    const head = "[reticulum]\nshare_instance = No\n[logging]\nloglevel = 1\n[interfaces]\n";
    writeFileSync(join(folder, "config"), head + client(port));
    const words = ["-c", "from RNS.Utilities.rnprobe import main; main()", "--config", folder];
    const child = spawn(RNS_PYTHON, [...words, "-n", "2", "-t", "15", "rnstransport.probe", probeHash]);
    let out = "";
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
    });
    const [code] = (await once(child, "exit")) as [number | null];
    assert.equal(code, 0, out);
    assert.match(out, /Sent 2, received 2, packet loss 0\.0%/);
  });

  it("says what is wrong: unknown, own and misspelt destinations, sizes, closed plane", async () => {
    const lost = await daemon.verb("rns", "probe", "--json", "--timeout", "0.3", "00".repeat(16));
    assert.equal(lost.code, 1);
    assert.equal(lost.lines[0]?.["code"], "path_unknown");
    for (const [operand, code] of [
      [probeHash, "api_input"],
      ["abc", "api_input"],
    ] as const) {
      const refused = await daemon.verb("rns", "probe", "--timeout", "0.3", operand);
      assert.equal(refused.code, 1);
      assert.match(refused.err, new RegExp(code));
    }
    assert.equal((await daemon.verb("rns", "probe", "--size", "5000", python.hash)).code, 2);
    assert.match((await daemon.verb("rns", "announce", "--app-data", "x".repeat(400))).err, /payload_size/);
    for (const body of [
      '{"destination":1}',
      '{"destination":"x","more":1}',
      "[]",
      `{"destination":"${python.hash}","timeout_ms":1}`,
    ]) {
      assert.equal((await daemon.call("POST", "/v1/rns/probe", body)).status, 400, body);
    }
    const closed = await daemons.start("closed", { port: null, set: ["planes.libp2p.enabled=false"] });
    const { code, err } = await closed.verb("rns", "status");
    assert.equal(code, 1);
    assert.match(err, /plane_not_started/);
  });

  it("remembers identity and destinations over a restart", async () => {
    const before = (await daemon.verb("rns", "status", "--json")).lines[0] as Record<string, unknown>;
    await daemon.stop();
    assert.ok(existsSync(join(daemon.dir, "reticulum", "network")));
    const offline = (await daemon.verb("rns", "status", "--json")).lines[0] as Record<string, unknown>;
    assert.deepEqual([offline["running"], offline["identity"]], [false, before["identity"]]);
    const server = { type: "tcp-server", name: "lan", port };
    daemon = await daemons.start("rns", { port: null, set: settings([server]) });
    const after = (await daemon.verb("rns", "status", "--json")).lines[0] as Record<string, unknown>;
    assert.deepEqual([after["identity"], after["destinations"]], [before["identity"], before["destinations"]]);
    assert.ok((after["known_destinations"] as number) >= 1);
    const again = await daemon.verb("rns", "probe", "--timeout", "30", python.hash);
    assert.equal(again.code, 0, again.err + again.out);
  });

  it("works without a daemon, on the configured interfaces", async () => {
    const server = await freePort();
    const section = `[[s]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${server}\n`;
    const other = await RnsNode.start(section);
    try {
      const dir = join(await folders(), "node");
      assert.equal((await spine(["init", "--dir", dir])).code, 0);
      const file = join(dir, "other.yaml");
      const wire = `{type: tcp-client, name: hub, host: 127.0.0.1, port: ${server}, passphrase: open sesame, networkName: n}`;
      writeFileSync(file, `planes: {reticulum: {enabled: true, interfaces: [${wire}]}}\n`);
      const masked = await spine(["config", "show", "--dir", dir, "--config", file]);
      assert.equal(masked.code, 0, masked.err);
      assert.ok(!masked.out.includes("sesame"));
      writeFileSync(file, readFileSync(file, "utf8").replace(", passphrase: open sesame, networkName: n", ""));
      const listed = await spine(["rns", "interfaces", "--dir", dir, "--config", file, "--json"]);
      assert.deepEqual([listed.code, listed.lines[0]?.["name"], listed.lines[0]?.["online"]], [1, "hub", false]);
      const probed = await spine(["rns", "probe", "--dir", dir, "--config", file, "--json", other.hash]);
      assert.equal(probed.code, 0, probed.err + probed.out);
      const announced = await spine(["rns", "announce", "--dir", dir, "--config", file, "--json"]);
      assert.equal(announced.code, 0, announced.err);
      await other.wait("announce", (event) => announced.out.includes(event.hash));
      const closed = await spine(["rns", "probe", "--dir", dir, other.hash]);
      assert.equal(closed.code, 1);
      assert.match(closed.err, /plane_not_started/);
    } finally {
      await other.stop();
    }
  });
});
