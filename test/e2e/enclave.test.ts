/**
 * Five nodes in three namespaces: alpha, beta and gamma are an enclave over wireguard-go, delta hangs on beta and epsilon
 * on gamma over libp2p. What travels, who is let in, what survives a killed interface, a changed key, a revocation.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { EnclaveReport } from "../../node/enclave/service.ts";
import { CLI } from "../helpers/cli.ts";
import { type Daemon, daemonPool, eventually, note, notes, publishAll } from "../helpers/daemon.ts";
import {
  DAEMON_ID,
  DAEMON_PRIVILEGES,
  describeEnclave,
  EnclaveRig,
  type HelperProcess,
  type Site,
  sh,
} from "../peers/enclave-rig.ts";

const HOSTS = { a: 1, b: 2, c: 3 } as const;
type Letter = keyof typeof HOSTS;

describeEnclave("an enclave of three with two nodes behind it", function (this: Mocha.Suite) {
  this.timeout(60_000);
  const pool = daemonPool();
  const rig = new EnclaveRig();
  const helpers = new Map<Letter, HelperProcess>();
  const cards = new Map<Letter, string>();
  let [alpha, beta, gamma, delta, epsilon] = [] as unknown as Daemon[] as [Daemon, Daemon, Daemon, Daemon, Daemon];

  const inside = ({ name }: Site): readonly string[] => ["ip", "netns", "exec", name, ...DAEMON_PRIVILEGES];
  async function enclaveNode(
    letter: Letter,
    options: { peers?: readonly string[]; port?: number } = {},
  ): Promise<Daemon> {
    const site = rig.site(letter);
    const helper = helpers.get(letter) as HelperProcess;
    return pool.start(letter, {
      prefix: inside(site),
      port: options.port ?? null,
      set: [
        "log.level=info",
        // Everything crosses here; what crosses by default is the gateway's concern.
        "gateway.mode=off",
        "planes.wireguard.enabled=true",
        `planes.wireguard.interface=${helper.interfaceName}`,
        `planes.wireguard.helper=${helper.socket}`,
        `planes.wireguard.address=10.77.0.${HOSTS[letter]}`,
        `planes.wireguard.endpoints=${site.underlay}:51820`,
        "planes.wireguard.rotationSeconds=2",
        ...(options.peers === undefined ? [] : [`planes.wireguard.peers=${options.peers.join(",")}`]),
      ],
    });
  }
  async function report(daemon: Daemon): Promise<EnclaveReport> {
    const { status, text } = await daemon.call("GET", "/v1/enclave");
    assert.equal(status, 200, text);
    return JSON.parse(text) as EnclaveReport;
  }
  /** A verb run by the daemon's own user. */
  const asDaemon = (...args: string[]): Promise<string> => {
    const [command = "", ...words] = DAEMON_PRIVILEGES;
    return sh(command, ...words, process.execPath, CLI, ...args);
  };
  const cardOf = (daemon: Daemon): Promise<string> =>
    eventually("a card", async () => (await report(daemon)).card ?? undefined) as Promise<string>;
  async function enclaveLinks(daemon: Daemon, count: number): Promise<void> {
    await eventually(`${daemon.name} has ${count} enclave links`, async () => {
      const { links } = await daemon.status();
      return links.filter(({ plane, issuer }) => plane === "wireguard" && issuer !== null).length === count;
    });
  }
  const wgPeers = async (letter: Letter): Promise<string[]> =>
    (await sh("wg", "show", (helpers.get(letter) as HelperProcess).interfaceName, "allowed-ips"))
      .trim()
      .split("\n")
      .filter((line) => line !== "");
  const counter = async (daemon: Daemon, name: string): Promise<number> =>
    (await daemon.metrics()).get(`spine_plane_events_total{plane="wireguard",counter="${name}"}`) ?? Number.NaN;

  before(async () => {
    await rig.setUp("a", "b", "c");
    chmodSync(dirname(pool.dir("a")), 0o711);
    for (const name of ["a", "b", "c", "d", "e"]) {
      mkdirSync(pool.dir(name), { mode: 0o700 });
      chownSync(pool.dir(name), DAEMON_ID, DAEMON_ID);
    }
    for (const letter of ["a", "b", "c"] as const) helpers.set(letter, await rig.helper(rig.site(letter)));
  });
  after(async () => {
    await pool.stopAll();
    await rig.tearDown();
  });

  it("forms from cards that operators exchange", async () => {
    alpha = await enclaveNode("a");
    beta = await enclaveNode("b", { port: 4801 });
    gamma = await enclaveNode("c", { port: 4801 });
    for (const [letter, daemon] of [
      ["a", alpha],
      ["b", beta],
      ["c", gamma],
    ] as const)
      cards.set(letter, await cardOf(daemon));
    const qr = await alpha.verb("peers", "qr");
    assert.equal(qr.code, 0, qr.err);
    const lines = qr.out.trimEnd().split("\n");
    assert.equal(lines.at(-1), cards.get("a"));
    assert.ok(lines.slice(0, -1).every((line) => [...line].length <= 78) && lines.length > 20);
    for (const [daemon, others] of [
      [alpha, ["b", "c"]],
      [beta, ["a", "c"]],
      [gamma, ["a", "b"]],
    ] as const) {
      const added = await daemon.verb("peers", "add", ...others.map((letter) => cards.get(letter) as string));
      assert.equal(added.code, 0, added.err);
    }
    for (const daemon of [alpha, beta, gamma]) await enclaveLinks(daemon, 2);
    assert.deepEqual((await wgPeers("a")).map((line) => line.split("\t")[1]).sort(), ["10.77.0.2/32", "10.77.0.3/32"]);
    assert.equal(statSync(`${pool.dir("a")}/wireguard.key`).mode & 0o777, 0o600);
  });
  it("shows its peers with handshake, traffic and endpoint, and carries facts between nodes behind it", async () => {
    delta = await pool.start("d", { prefix: inside(rig.site("b")), port: null, peers: [beta.address] });
    epsilon = await pool.start("e", { prefix: inside(rig.site("c")), port: null, peers: [gamma.address] });
    const everybody = [alpha, beta, gamma, delta, epsilon];
    for (const daemon of everybody)
      await daemon.allow(...everybody.filter((one) => one !== daemon).map(({ issuer }) => issuer));
    const ofDelta = await publishAll(delta, notes(40));
    for (const daemon of everybody) await daemon.holds(delta.issuer, ofDelta);
    const ofEpsilon = await publishAll(epsilon, notes(3));
    for (const daemon of everybody) await daemon.holds(epsilon.issuer, ofEpsilon);
    const peer = (await alpha.peers()).find(({ id }) => id === beta.issuer);
    assert.ok(peer?.connected && peer.plane === "wireguard" && peer.issuer === beta.issuer);
    assert.equal(peer.tunnel?.health, "alive");
    assert.equal(peer.tunnel?.endpoint, `${rig.site("b").underlay}:51820`);
    assert.ok(
      peer.tunnel.received_bytes > 0 && peer.tunnel.sent_bytes > 0 && (peer.tunnel.handshake_age_seconds ?? -1) >= 0,
    );
    const listed = await alpha.verb("peers", "list");
    assert.match(
      listed.out,
      /connected {2}10\.77\.0\.2:4811 {2}aegis:ed25519:[0-9a-f]{64} {2}heard \d+ s ago {2}from 10\.99\.0\.2:51820/,
    );
    assert.equal(await counter(alpha, "peers_alive"), 2);
    assert.equal((await alpha.verb("enclave", "status")).code, 0);
  });
  it("keeps nothing privileged in the daemon: the key is in its file and in the interface only", async () => {
    const { public_key: key } = await report(alpha);
    const shown = (await sh("wg", "show", (helpers.get("a") as HelperProcess).interfaceName, "public-key")).trim();
    assert.equal(Buffer.from(key ?? "", "hex").toString("base64"), shown);
    for (const daemon of [alpha, beta, gamma]) assert.doesNotMatch(daemon.stderr, /x25519|private_key/);
  });
  it("drops what a stranger sends, and a member that uses another's address", async () => {
    // Beta's host, with its own valid tunnel, pretends to be gamma.
    await sh(
      "ip",
      "-n",
      rig.site("b").name,
      "address",
      "add",
      "10.77.0.3/32",
      "dev",
      (helpers.get("b") as HelperProcess).interfaceName,
    );
    const before = await counter(alpha, "links");
    const script =
      'const s=require("net").connect({host:"10.77.0.1",port:4811,localAddress:"10.77.0.3"});s.on("error",()=>process.exit(3));s.on("connect",()=>process.exit(0));setTimeout(()=>process.exit(4),2500)';
    const child = rig.spawn(rig.site("b"), process.execPath, ["-e", script]);
    const code = await new Promise((done) => child.once("exit", done));
    assert.notEqual(code, 0, "a spoofed source was answered");
    assert.equal(await counter(alpha, "links"), before);
    await sh(
      "ip",
      "-n",
      rig.site("b").name,
      "address",
      "delete",
      "10.77.0.3/32",
      "dev",
      (helpers.get("b") as HelperProcess).interfaceName,
    );
    const stranger = await rig.stock(rig.site("c"), { address: "10.77.0.66/24", listenPort: 51_900 });
    const alphaKey = Buffer.from((await report(alpha)).public_key ?? "", "hex").toString("base64");
    await sh(
      "wg",
      "set",
      stranger.interfaceName,
      "peer",
      alphaKey,
      "allowed-ips",
      "10.77.0.1/32",
      "endpoint",
      "10.99.0.1:51820",
      "persistent-keepalive",
      "1",
    );
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.match(await sh("wg", "show", stranger.interfaceName, "latest-handshakes"), /\t0\n/);
    stranger.child.kill("SIGTERM");
  });
  it("comes back by itself when wireguard-go is killed, and loses nothing", async () => {
    const { interfaceName } = helpers.get("a") as HelperProcess;
    const [pid = ""] = execFileSync("pgrep", ["-f", `wireguard-go -f ${interfaceName}`])
      .toString()
      .split("\n");
    process.kill(Number(pid), "SIGKILL");
    const sent = await publishAll(alpha, notes(20));
    for (const daemon of [beta, gamma, delta, epsilon]) await daemon.holds(alpha.issuer, sent, 25_000);
    assert.ok((await counter(alpha, "recoveries")) >= 1);
    await enclaveLinks(alpha, 2);
  });
  it("changes its key under load: links live on, nothing is lost, peers hold the new key alone", async () => {
    const before = (await report(alpha)).public_key;
    let opened = -1;
    await eventually("links at rest after the tunnel was lost", async () => {
      const seen = opened;
      opened = await counter(beta, "links_opened");
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      return seen === opened;
    });
    assert.equal((await alpha.verb("enclave", "rotate")).code, 0);
    assert.notEqual((await report(alpha)).next_key, null);
    let published = 0;
    let longest = 0;
    await eventually(
      "the new key",
      async () => {
        const at = performance.now();
        const seq = await publishAll(alpha, [note(`while the key changes ${published++}`)]);
        await eventually("its arrival", async () => (await beta.count(alpha.issuer)) >= seq, 20_000);
        longest = Math.max(longest, performance.now() - at);
        const now = await report(alpha);
        return now.public_key !== before && now.next_key === null;
      },
      30_000,
    );
    const shown = Buffer.from((await report(alpha)).public_key ?? "", "hex").toString("base64");
    for (const letter of ["b", "c"] as const) {
      await eventually("only the new key", async () => {
        const mine = (await wgPeers(letter)).filter((line) => line.includes("10.77.0.1/32") || line.includes("(none)"));
        return mine.length === 1 && mine[0] === `${shown}\t10.77.0.1/32`;
      });
    }
    await epsilon.holds(alpha.issuer, await publishAll(alpha, notes(5)), 25_000);
    assert.equal(await counter(beta, "links_opened"), opened, "the links outlived the key");
    assert.ok(longest < 15_000, `${longest} ms`);
  });
  it("puts a member out within a second of a revocation that comes another way", async () => {
    assert.equal(await alpha.stop(), 0);
    await asDaemon("trust", "add", "--dir", alpha.dir, "--scope", "node", "revoker", epsilon.issuer);
    alpha = await enclaveNode("a");
    await enclaveLinks(alpha, 2);
    await alpha.publish([note("still together")]);
    const schema = "aegis.spine.fact.revocation.v1";
    const fact = { schema, fact_id: "r1", reason: "stolen", targets: [{ type: "node_id", value: beta.issuer }] };
    const [revocation] = await epsilon.publish([fact]);
    await eventually(
      "it arrives",
      async () => (await alpha.call("GET", `/v1/envelopes/${revocation?.hash}`)).status === 200,
    );
    const at = performance.now();
    await eventually(
      "removal",
      async () => (await wgPeers("a")).every((line) => !line.includes("10.77.0.2/32")),
      5_000,
    );
    assert.ok(performance.now() - at < 1_000, `${performance.now() - at} ms`);
    await enclaveLinks(alpha, 1);
    const gone = (await alpha.peers()).find(({ id }) => id === beta.issuer);
    assert.equal(gone?.tunnel?.absence, "revoked or frozen");
    assert.ok((await alpha.status()).warnings.some((text) => text.includes(beta.issuer)));
    const again = await alpha.verb("peers", "add", cards.get("b") as string);
    assert.equal(again.code, 0, again.err);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal((await wgPeers("a")).length, 1, "an old card opens no door");
  });
  it("remembers its peers over a restart", async () => {
    assert.equal(await alpha.stop(), 0);
    alpha = await enclaveNode("a");
    await enclaveLinks(alpha, 1);
    assert.equal((await wgPeers("a")).length, 1);
  });
});
