/** The keeper over an interface in memory: what is half done, undone by others or gone is put right, and said. */
import assert from "node:assert/strict";
import { wireguard } from "../../../planes/index.ts";
import { SpineError, toHex } from "../../../spine/index.ts";
import { rejectsWith } from "../../contract/expect.ts";
import { eventually } from "../../helpers/daemon.ts";

const { Keeper, MemoryDevice, parseNetwork, publicKeyOf } = wireguard;
const privateKey = new Uint8Array(32).fill(9);
const keyOf = (n: number): string => n.toString(16).padStart(4, "0").repeat(16);
const peer = (n: number, fields: Partial<wireguard.KeptPeer> = {}): wireguard.KeptPeer => ({
  publicKey: keyOf(n),
  nextKey: null,
  address: `10.77.${n >> 8}.${n & 255}`,
  endpoints: [],
  keepaliveSeconds: 25,
  ...fields,
});

describe("the enclave's keeper", () => {
  let device: wireguard.MemoryDevice;
  let keeper: wireguard.Keeper;
  let states: (wireguard.DeviceState | null)[];
  let now = 1_000_000;

  function make(options: Partial<wireguard.KeeperOptions> = {}): wireguard.Keeper {
    return new Keeper({
      device,
      settings: { privateKey, address: "10.77.255.1/16", listenPort: 1, mtuBytes: 1_420 },
      publicKey: toHex(publicKeyOf(privateKey)),
      network: parseNetwork("10.77.0.0/16"),
      ownAddress: "10.77.255.1",
      pollMs: 20,
      retryMinMs: 5,
      retryMaxMs: 50,
      now: () => now,
      random: () => 0.5,
      log: () => undefined,
      changed: (state) => states.push(state),
      ...options,
    });
  }
  const counter = (name: string): number => keeper.counters()[name] ?? Number.NaN;
  const held = async (): Promise<string[]> =>
    (await device.get()).peers.map(({ publicKey, allowedIps }) => `${publicKey.slice(0, 4)} ${allowedIps}`).sort();
  const settled = (): Promise<true> => eventually("settled", async () => keeper.settled);

  beforeEach(() => {
    states = [];
    device = new MemoryDevice();
    keeper = make();
  });
  afterEach(() => keeper.stop());

  it("sets up, lets in, reads back, and takes the interface away at the end", async () => {
    keeper.want([peer(2), peer(3)]);
    await keeper.start();
    assert.ok(keeper.settled);
    assert.deepEqual(await held(), ["0002 10.77.0.2/32", "0003 10.77.0.3/32"]);
    await keeper.stop();
    await rejectsWith(device.get(), "enclave_device");
  });
  it("notices a change that was taken and not done, and repeats it", async () => {
    let lost = 2;
    device.onSet = () => (lost-- > 0 ? "lost" : undefined);
    keeper.want([peer(2), peer(3)]);
    await keeper.start();
    assert.equal(keeper.settled, false);
    assert.equal(keeper.failure?.code, "enclave_device");
    await settled();
    assert.deepEqual(await held(), ["0002 10.77.0.2/32", "0003 10.77.0.3/32"]);
    assert.equal(counter("changes_unconfirmed"), 2);
    assert.equal(keeper.failure, null);
  });
  it("goes on when an interface dies in the middle of a set of changes", async () => {
    let left = 3;
    device.onSet = () => {
      if (--left !== 0) return undefined;
      device.vanish();
      throw new SpineError("enclave_device", "gone");
    };
    keeper.want(Array.from({ length: 8 }, (_, i) => peer(2 + i)));
    await keeper.start();
    await settled();
    assert.equal((await held()).length, 8);
    assert.equal(device.ups, 2);
  });
  it("lets one refused change stop no other", async () => {
    device.onSet = (change) => {
      if (change.publicKey === keyOf(3)) throw new SpineError("enclave_refused", "not this one");
      return undefined;
    };
    keeper.want([peer(2), peer(3), peer(4)]);
    await keeper.start();
    assert.deepEqual(await held(), ["0002 10.77.0.2/32", "0004 10.77.0.4/32"]);
    assert.equal(keeper.failure?.code, "enclave_refused");
    assert.ok(keeper.state !== null);
  }).timeout(5_000);
  it("puts right what others did: addresses, peers, the key", async () => {
    keeper.want([peer(2), peer(3)]);
    await keeper.start();
    device.meddle((peers) =>
      peers.map((one) => (one.publicKey === keyOf(3) ? { ...one, allowedIps: ["10.77.0.3/32", "0.0.0.0/0"] } : one)),
    );
    await eventually("the repair", async () => (await held()).join() === "0002 10.77.0.2/32,0003 10.77.0.3/32");
    device.meddle((peers) => peers.slice(1));
    await eventually("the repair", async () => (await held()).length === 2);
    await device.up({
      privateKey: new Uint8Array(32).fill(1),
      address: "10.77.255.1/16",
      listenPort: 1,
      mtuBytes: 1_420,
    });
    await eventually("the own key", async () => (await device.get()).publicKey === toHex(publicKeyOf(privateKey)));
    assert.ok(counter("drift_repaired") >= 3);
  });
  it("sets up again what vanished, and says so to whoever lists links by it", async () => {
    keeper.want([peer(2)]);
    await keeper.start();
    device.vanish();
    assert.equal(states.at(-1), null);
    await settled();
    assert.equal(counter("recoveries"), 1);
    assert.deepEqual(await held(), ["0002 10.77.0.2/32"]);
  });
  it("does not let a removal wait behind additions", async () => {
    keeper.want([peer(2)]);
    await keeper.start();
    const many = Array.from({ length: 400 }, (_, i) => peer(3 + i));
    keeper.want([peer(2), ...many]);
    await eventually("some additions", async () => device.changes.length > 20);
    keeper.want(many);
    const asked = device.changes.length;
    await eventually("the removal", async () => device.changes.some(({ type }) => type === "remove"));
    const at = device.changes.findIndex(({ type }) => type === "remove");
    assert.ok(at - asked <= 2, `${at - asked} changes came first`);
    await settled();
    assert.equal((await held()).length, 400);
  });
  it("only reads an adopted interface", async () => {
    device = new MemoryDevice({ owned: false, peers: [] });
    keeper = make();
    keeper.want([peer(2)]);
    await keeper.start();
    assert.ok(keeper.settled);
    assert.deepEqual(device.changes, []);
    await keeper.stop();
    await device.get();
  });
  it("waits for a helper that is not there, and gives up on what no waiting mends", async () => {
    device.up = () => Promise.reject(new SpineError("enclave_helper", "not yet"));
    await keeper.start();
    assert.equal(keeper.failure?.code, "enclave_helper");
    device.up = MemoryDevice.prototype.up;
    await settled();
    const refused = make({
      device: Object.assign(new MemoryDevice(), {
        up: () => Promise.reject(new SpineError("enclave_address", "a local network")),
      }),
    });
    await rejectsWith(refused.start(), "enclave_address");
    await refused.stop();
  });
  it("changes keys of peers as their handshakes tell", async () => {
    keeper.want([peer(2, { nextKey: keyOf(7) })]);
    await keeper.start();
    assert.deepEqual(await held(), ["0002 10.77.0.2/32", "0007 "]);
    device.meddle((peers) => peers.map((one) => (one.publicKey === keyOf(7) ? { ...one, handshakeAtMs: now } : one)));
    await eventually("the move", async () => (await held()).join() === "0007 10.77.0.2/32");
    const moves = device.changes.slice(-2).map((change) => change.type);
    assert.deepEqual(moves, ["put", "remove"]);
  });
  it("tries the endpoints of a silent peer in turn and follows one that roams", async () => {
    const two = peer(2, { endpoints: ["192.0.2.1:1", "192.0.2.2:1"] });
    keeper.want([two]);
    await keeper.start();
    assert.equal((await device.get()).peers[0]?.endpoint, "192.0.2.1:1");
    now += 16_000;
    await eventually("the second", async () => (await device.get()).peers[0]?.endpoint === "192.0.2.2:1");
    now += 16_000;
    await eventually("the first again", async () => (await device.get()).peers[0]?.endpoint === "192.0.2.1:1");
    assert.equal(counter("endpoint_changes"), 0);
    device.meddle((peers) => peers.map((one) => ({ ...one, handshakeAtMs: now, endpoint: "198.51.100.1:9" })));
    await eventually("the move", async () => keeper.peers()[0]?.endpoint === "198.51.100.1:9");
    now += 100_000;
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal((await device.get()).peers[0]?.endpoint, "198.51.100.1:9", "a peer that is heard is left where it is");
    assert.equal(counter("endpoint_changes"), 1);
    assert.equal(counter("drift_repaired"), 0);
  });
});
