/**
 * Two nodes over a path that swallows full packets in silence, and a node on an interface that a stock WireGuard peer's
 * operator set up with `wg`: it joins without changing anything there.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { EnclaveReport } from "../../node/enclave/service.ts";
import { wireguard } from "../../planes/index.ts";
import { type Daemon, daemonPool, eventually, notes, publishAll } from "../helpers/daemon.ts";
import { bindingSigner } from "../helpers/enclave.ts";
import { nativeSha256Hex } from "../helpers/sim-ports.ts";
import { describeEnclave, EnclaveRig, ended, type HelperProcess, sh } from "../peers/enclave-rig.ts";

describeEnclave("an enclave on difficult ground", function (this: Mocha.Suite) {
  this.timeout(150_000);
  const pool = daemonPool();
  const rig = new EnclaveRig();

  async function node(
    letter: string,
    host: number,
    helper: HelperProcess,
    more: readonly string[] = [],
  ): Promise<Daemon> {
    const site = rig.site(letter);
    return pool.start(letter, {
      prefix: ["ip", "netns", "exec", site.name],
      port: null,
      set: [
        "gateway.mode=off",
        "planes.wireguard.enabled=true",
        `planes.wireguard.interface=${helper.interfaceName}`,
        `planes.wireguard.helper=${helper.socket}`,
        `planes.wireguard.address=10.77.0.${host}`,
        `planes.wireguard.endpoints=${site.underlay}:51820`,
        ...more,
      ],
    });
  }
  async function report(daemon: Daemon): Promise<EnclaveReport> {
    return JSON.parse((await daemon.call("GET", "/v1/enclave")).text) as EnclaveReport;
  }
  const cardOf = (daemon: Daemon): Promise<string> =>
    eventually("a card", async () => (await report(daemon)).card ?? undefined);
  async function befriend(one: Daemon, other: Daemon): Promise<void> {
    await one.addPeer(await cardOf(other));
    await other.addPeer(await cardOf(one));
  }
  const links = async (daemon: Daemon): Promise<number> =>
    (await daemon.status()).links.filter(({ plane, issuer }) => plane === "wireguard" && issuer !== null).length;

  before(() => rig.setUp("a", "b", "c", "d", "e"));
  after(async () => {
    await pool.stopAll();
    await rig.tearDown();
  });

  it("finds a path that swallows full packets, makes them smaller, and carries on", async () => {
    // Into b nothing above 1,380 bytes arrives, and nobody is told.
    await sh("ip", "-n", rig.site("b").name, "link", "set", "eth0", "mtu", "1380");
    const [a, b] = [
      await node("a", 1, await rig.helper(rig.site("a"))),
      await node("b", 2, await rig.helper(rig.site("b"))),
    ];
    await befriend(a, b);
    await eventually("links", async () => (await links(a)) === 1 && (await links(b)) === 1, 50_000);
    assert.ok(Math.min((await report(a)).mtu, (await report(b)).mtu) <= 1_280);
    const black = async (daemon: Daemon): Promise<number> =>
      (await daemon.metrics()).get('spine_plane_events_total{plane="wireguard",counter="black_holes"}') ?? 0;
    assert.ok((await black(a)) + (await black(b)) >= 2);
    await b.holds(a.issuer, await publishAll(a, notes(300)));
  });

  it("joins a stock peer's interface by adopting it: nothing there is changed", async () => {
    const site = rig.site("c");
    const stock = await rig.stock(site, { address: "10.77.0.3/24" });
    const helper = await rig.helper(site, { name: stock.interfaceName, args: ["--adopt"] });
    const c = await node("c", 3, helper, ["planes.wireguard.adopt=true"]);
    const d = await node("d", 4, await rig.helper(rig.site("d")));
    const dKey = Buffer.from((await report(d)).public_key ?? "", "hex").toString("base64");
    await sh(
      "wg",
      "set",
      stock.interfaceName,
      "peer",
      dKey,
      "allowed-ips",
      "10.77.0.4/32",
      "endpoint",
      `${rig.site("d").underlay}:51820`,
    );
    const before = await sh("wg", "showconf", stock.interfaceName);
    await befriend(d, c);
    await eventually("links", async () => (await links(c)) === 1, 30_000);
    await d.holds(c.issuer, await publishAll(c, notes(5)));
    assert.equal((await report(c)).owned, false);
    assert.equal(await sh("wg", "showconf", stock.interfaceName), before);
    const refused = await c.verb("enclave", "rotate");
    assert.match(refused.err, /enclave_refused/);
    // The stock peer's operator takes the key out: the link goes, by what the interface says.
    await sh("wg", "set", stock.interfaceName, "peer", dKey, "remove");
    await eventually("the link's end", async () => (await links(c)) === 0);
  });

  it("lets a member out when its revocation arrives over the Reticulum plane", async () => {
    const site = rig.site("e");
    const helper = await rig.helper(site);
    const stock = await rig.stock(rig.site("c"), { address: "10.77.0.9/24", listenPort: 51_829, name: `wg${rig.id}z` });
    const publicKey = Buffer.from(stock.publicKey, "base64").toString("hex");
    const member = bindingSigner({ publicKey, nextKey: null, address: "10.77.0.9", port: 4_811, endpoints: [] });
    const card = wireguard.writeCard(member.bind(1), nativeSha256Hex);
    const script = fileURLToPath(new URL("../peers/enclave-radio.js", import.meta.url));
    const child = rig.spawn(site, process.execPath, [
      script,
      helper.socket,
      helper.interfaceName,
      rig.folder,
      card,
      member.issuer,
    ]);
    let said = "";
    child.stdout?.on("data", (part: Buffer) => {
      said += part.toString();
    });
    child.stderr?.on("data", (part: Buffer) => {
      said += part.toString();
    });
    const peers = (): Promise<string> => sh("wg", "show", helper.interfaceName, "allowed-ips");
    await eventually(
      "the member is in",
      async () => (await peers()) === `${stock.publicKey}\t10.77.0.9/32\n` && said.includes("ready"),
      30_000,
    ).catch((error: Error) => assert.fail(`${error.message}: ${said}`));
    child.stdin?.write("revoke\n");
    // At 1,200 bit/s the greetings of both may be on the air still.
    await eventually("the member is out", async () => (await peers()) === "", 90_000).catch((error: Error) =>
      assert.fail(`${error.message}: ${said}`),
    );
    const [, at] = /"authority":"revocation","at":(\d+)/.exec(said) ?? [];
    assert.ok(Date.now() - Number(at) < 1_000, said);
    child.stdin?.end();
    await ended(child);
  });
});
