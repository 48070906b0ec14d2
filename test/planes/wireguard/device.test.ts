/** The privileged helper over real interfaces: wireguard-go and the stock `wg` tool in namespaces the suite makes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { wireguard } from "../../../planes/index.ts";
import { fromBase64, toBase64, toHex } from "../../../spine/index.ts";
import { rejectsWith } from "../../contract/expect.ts";
import { eventually } from "../../helpers/daemon.ts";
import { describeEnclave, EnclaveRig, ended, type HelperProcess, sh } from "../../peers/enclave-rig.ts";

const { HelperClient, Keeper, parseNetwork, publicKeyOf, tokenPathOf } = wireguard;
const never = new AbortController().signal;

function clientOf({ socket, interfaceName }: HelperProcess, owned = true): wireguard.HelperClient {
  return new HelperClient({ socketPath: socket, interfaceName, owned });
}
function settingsOf(
  privateKey: Uint8Array,
  host: number,
  fields: Partial<wireguard.DeviceSettings> = {},
): wireguard.DeviceSettings {
  return { privateKey, address: `10.77.0.${host}/24`, listenPort: 51_820, mtuBytes: 1_420, ...fields };
}
const hexOf = (base64: string): string => toHex(fromBase64(base64) as Uint8Array);

describeEnclave("the enclave's interface, for real", function (this: Mocha.Suite) {
  this.timeout(40_000);
  const rig = new EnclaveRig();
  const key = new Uint8Array(randomBytes(32));
  let helper: HelperProcess;
  let device: wireguard.HelperClient;
  let stock: Awaited<ReturnType<EnclaveRig["stock"]>>;
  let before_ = "";

  const put = (publicKey: string, host: number, fields: Partial<Extract<wireguard.PeerChange, { type: "put" }>> = {}) =>
    ({
      type: "put",
      publicKey,
      allowedIp: `10.77.0.${host}/32`,
      takesFrom: null,
      endpoint: null,
      keepaliveSeconds: 0,
      ...fields,
    }) as const;
  const others = async (): Promise<string> =>
    (await sh("ip", "-n", rig.site("a").name, "-4", "-o", "address")) +
    (await sh("wg", "show", stock.interfaceName, "dump")).split("\t")[0];

  before(async () => {
    await rig.setUp("a", "b");
    stock = await rig.stock(rig.site("b"), { address: "10.77.0.2/24" });
    before_ = await others();
    helper = await rig.helper(rig.site("a"));
    device = clientOf(helper);
  });
  after(async () => {
    await device?.close();
    await rig.tearDown();
  });

  it("leaves token and socket to owner and group", async () => {
    assert.equal((await stat(helper.socket)).mode & 0o777, 0o660);
    assert.equal((await stat(tokenPathOf(helper.socket))).mode & 0o777, 0o640);
  });
  it("is down before it is set up, and up afterwards, as the stock tool sees it", async () => {
    await rejectsWith(device.get(never), "enclave_device");
    await device.up(settingsOf(key, 1), never);
    const publicKey = toBase64(publicKeyOf(key));
    assert.equal((await sh("wg", "show", helper.interfaceName, "public-key")).trim(), publicKey);
    assert.equal((await sh("wg", "show", helper.interfaceName, "listen-port")).trim(), "51820");
    assert.equal((await device.get(never)).publicKey, hexOf(publicKey));
    assert.match(await rig.at(rig.site("a"), "ip", "-o", "address", "show", helper.interfaceName), /10\.77\.0\.1\/24/);
    await device.up(settingsOf(key, 1), never);
  });
  it("lets a stock peer in: packets pass, and the handshake is told", async () => {
    const endpoint = `${rig.site("b").underlay}:51820`;
    await sh("wg", "set", stock.interfaceName, "peer", toBase64(publicKeyOf(key)), "allowed-ips", "10.77.0.1/32");
    await device.set(put(hexOf(stock.publicKey), 2, { endpoint, keepaliveSeconds: 25 }), never);
    await eventually("packets pass", () => rig.reaches(rig.site("a"), "10.77.0.2"));
    const [peer] = (await device.get(never)).peers;
    assert.ok(peer !== undefined && peer.handshakeAtMs > 0 && peer.rxBytes > 0 && peer.endpoint === endpoint);
    assert.deepEqual(peer.allowedIps, ["10.77.0.2/32"]);
    assert.match(await sh("wg", "show", helper.interfaceName, "allowed-ips"), /10\.77\.0\.2\/32/);
  });
  it("reads the same through the wg tool", async () => {
    const theirs = await wireguard.wgRead(helper.interfaceName);
    const ours = await device.get(never);
    assert.deepEqual(
      theirs.peers.map(({ publicKey, allowedIps, endpoint }) => ({ publicKey, allowedIps, endpoint })),
      ours.peers.map(({ publicKey, allowedIps, endpoint }) => ({ publicKey, allowedIps, endpoint })),
    );
    await wireguard.wgSetPeer(helper.interfaceName, put("05".repeat(32), 5));
    assert.equal((await device.get(never)).peers.length, 2);
    await wireguard.wgSetPeer(helper.interfaceName, { type: "remove", publicKey: "05".repeat(32) });
    assert.equal((await device.get(never)).peers.length, 1);
  });
  it("refuses, with its privileges, whatever is outside its settings", async () => {
    const before = await sh("wg", "show", helper.interfaceName, "dump");
    for (const [change, code] of [
      [put("03".repeat(32), 2), "enclave_address"],
      [put("03".repeat(32), 3, { allowedIp: "10.77.0.0/24" }), "enclave_address"],
      [put("03".repeat(32), 3, { allowedIp: "0.0.0.0/0" }), "enclave_address"],
      [put("03".repeat(32), 3, { allowedIp: "192.168.7.7/32" }), "enclave_address"],
    ] as const) {
      await rejectsWith(device.set(change, never), code);
    }
    for (const wrong of [
      { address: "10.78.0.1/24" },
      { address: "10.77.0.1/16" },
      { listenPort: 22 },
      { mtuBytes: 100 },
    ]) {
      await rejectsWith(device.up(settingsOf(key, 1, wrong), never), "enclave_refused");
    }
    assert.equal(await sh("wg", "show", helper.interfaceName, "dump"), before);
  });
  it("refuses a network that the host already has", async () => {
    const other = await rig.helper(rig.site("a"), { network: "10.99.0.0/25", listenPort: 51_821, tag: "x" });
    const client = clientOf(other);
    await rejectsWith(
      client.up({ ...settingsOf(key, 1), address: "10.99.0.1/25", listenPort: 51_821 }, never),
      "enclave_address",
    );
    await client.close();
    other.child.kill("SIGTERM");
    await ended(other.child);
  });
  it("hangs up on whoever cannot prove to have read the token, or speaks otherwise", async () => {
    for (const line of [
      '{"nonce":"00","proof":"00"}',
      `{"nonce":"${"0".repeat(64)}","proof":"${"0".repeat(64)}"}`,
      "x".repeat(9_000),
      '{"id":1,"op":"get"}',
    ]) {
      const socket = connect(helper.socket);
      let heard = "";
      socket.on("data", (part: Buffer) => {
        heard += part.toString();
      });
      socket.on("error", () => undefined);
      socket.write(`${line}\n`);
      await new Promise<void>((done) => socket.once("close", () => done()));
      assert.equal(heard.split("\n").filter((one) => one !== "").length, 1, "nothing but the greeting");
    }
    await device.get(never);
  });
  it("says nothing secret to a stranger that answers on the socket", async () => {
    const { createServer } = await import("node:net");
    const path = `${rig.folder}/false.sock`;
    let heard = "";
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write(`{"spine_enclave":1,"nonce":"${"1".repeat(64)}"}\n`);
      socket.on("data", (part: Buffer) => {
        heard += part.toString();
        socket.write(`{"proof":"${"2".repeat(64)}","interface":"${helper.interfaceName}","owned":true}\n`);
      });
    });
    await new Promise<void>((done) => server.listen(path, done));
    await writeFile(tokenPathOf(path), `${"ab".repeat(32)}\n`);
    const client = new HelperClient({ socketPath: path, interfaceName: helper.interfaceName, owned: true });
    await rejectsWith(client.up(settingsOf(key, 1), never), "enclave_helper");
    assert.ok(heard.length > 0 && !heard.includes(toHex(key)));
    await client.close();
    await new Promise<void>((done) => server.close(() => done()));
  });

  describe("kept", () => {
    let keeper: wireguard.Keeper;
    const peer: wireguard.KeptPeer = {
      publicKey: "",
      nextKey: null,
      address: "10.77.0.2",
      endpoints: [],
      keepaliveSeconds: 25,
    };

    before(async () => {
      keeper = new Keeper({
        device,
        settings: settingsOf(key, 1),
        publicKey: toHex(publicKeyOf(key)),
        network: parseNetwork("10.77.0.0/24"),
        ownAddress: "10.77.0.1",
        pollMs: 100,
        retryMinMs: 50,
        retryMaxMs: 500,
        now: Date.now,
        random: Math.random,
        log: () => undefined,
        changed: () => undefined,
      });
      keeper.want([{ ...peer, publicKey: hexOf(stock.publicKey), endpoints: [`${rig.site("b").underlay}:51820`] }]);
      await keeper.start();
    });
    after(async () => keeper?.stop());

    const passes = (): Promise<true> => eventually("packets pass", () => rig.reaches(rig.site("a"), "10.77.0.2"));

    it("gives a stolen address back", async () => {
      await passes();
      const thief = (await sh("wg", "genkey")).trim();
      await sh("wg", "set", helper.interfaceName, "peer", thief, "allowed-ips", "10.77.0.2/32");
      await eventually("the repair", async () => {
        const state = await sh("wg", "show", helper.interfaceName, "allowed-ips");
        return state.trim() === `${stock.publicKey}\t10.77.0.2/32`;
      });
      assert.ok((keeper.counters()["drift_repaired"] ?? 0) >= 1);
      await passes();
    });
    it("sets everything up again when wireguard-go is killed, over the socket file it left", async () => {
      const pids = (await sh("pgrep", "-f", `wireguard-go -f ${helper.interfaceName}`)).trim().split("\n");
      process.kill(Number(pids[0]), "SIGKILL");
      await eventually("recovery", async () => keeper.counters()["recoveries"] === 1 && keeper.settled);
      await passes();
    });
    it("and when the interface is deleted", async () => {
      await sh("ip", "-n", rig.site("a").name, "link", "delete", helper.interfaceName);
      await eventually("recovery", async () => keeper.counters()["recoveries"] === 2 && keeper.settled);
      await passes();
    });
    it("follows a peer that moves, and counts it", async () => {
      const drift = keeper.counters()["drift_repaired"];
      await rig.at(rig.site("b"), "ip", "address", "delete", "10.99.0.2/24", "dev", "eth0");
      await rig.at(rig.site("b"), "ip", "address", "add", "10.99.0.102/24", "dev", "eth0");
      await sh("wg", "set", stock.interfaceName, "peer", toBase64(publicKeyOf(key)), "endpoint", "10.99.0.1:51820");
      await eventually("packets pass back", () => rig.reaches(rig.site("b"), "10.77.0.1"));
      await eventually("the new endpoint", async () => keeper.peers()[0]?.endpoint === "10.99.0.102:51820");
      assert.equal(keeper.counters()["endpoint_changes"], 1);
      assert.equal(keeper.peers()[0]?.health, "alive");
      assert.equal(keeper.counters()["drift_repaired"], drift, "roaming is no meddling");
    });
    it("removes a peer within a second", async () => {
      const at = performance.now();
      keeper.want([]);
      await eventually("removal", async () => (await sh("wg", "show", helper.interfaceName, "peers")) === "");
      assert.ok(performance.now() - at < 1_000);
    });
  });

  describe("at the end", () => {
    it("takes the interface away and touches no other", async () => {
      assert.equal(await rig.at(rig.site("a"), "ip", "-o", "link", "show", "type", "tun").catch(() => ""), "");
      assert.equal(await others(), before_);
    });
  });
});
