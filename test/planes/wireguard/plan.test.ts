/** The peer set: what changes, in which order, and what is never set. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { wireguard } from "../../../planes/index.ts";
import { throwsCode } from "../../helpers/throws.ts";

type WantedPeer = wireguard.WantedPeer;
type PeerState = wireguard.PeerState;
const {
  afterChange,
  checkEnclaveNetwork,
  formatAddress,
  guardChange,
  networkOf,
  parseAddress,
  parseNetwork,
  planPeers,
} = wireguard;

const network = parseNetwork("10.77.0.0/24");
const OWN_KEY = "ff".repeat(32);
const keyOf = (n: number): string => n.toString(16).padStart(2, "0").repeat(32);

function want(n: number, fields: Partial<WantedPeer> = {}): WantedPeer {
  return {
    publicKey: keyOf(n),
    nextKey: null,
    address: `10.77.0.${n}`,
    endpoint: null,
    keepaliveSeconds: 25,
    ...fields,
  };
}
function held(n: number, fields: Partial<PeerState> = {}): PeerState {
  return {
    publicKey: keyOf(n),
    allowedIps: [`10.77.0.${n}/32`],
    endpoint: null,
    keepaliveSeconds: 25,
    handshakeAtMs: 0,
    rxBytes: 0,
    txBytes: 0,
    ...fields,
  };
}
function plan(wanted: readonly WantedPeer[], peers: readonly PeerState[], given: readonly [string, string][] = []) {
  const actual = { publicKey: OWN_KEY, listenPort: 1, peers };
  return planPeers({ wanted, actual, network, ownAddress: "10.77.0.1", ownKeys: [OWN_KEY], given: new Map(given) });
}
/** Applies a plan under the same guard that the keeper uses. */
function applied(wanted: readonly WantedPeer[], peers: readonly PeerState[]): readonly PeerState[] {
  let state: wireguard.DeviceState = { publicKey: OWN_KEY, listenPort: 1, peers };
  for (const change of plan(wanted, peers).changes) {
    guardChange(change, state, network);
    state = afterChange(state, change);
  }
  return state.peers;
}
const view = (peers: readonly PeerState[]) =>
  peers.map(({ publicKey, allowedIps }) => [publicKey.slice(0, 2), ...allowedIps]).sort();

describe("the enclave's peer set", () => {
  it("adds, leaves alone and removes", () => {
    const { changes } = plan([want(2), want(3)], [held(2), held(4)]);
    assert.deepEqual(
      changes.map((change) => [change.type, change.publicKey.slice(0, 2)]),
      [
        ["remove", "04"],
        ["put", "03"],
      ],
    );
  });
  it("refuses what is not one free address of the network", () => {
    for (const [peer, reason] of [
      [want(2, { address: "10.77.0.0/24" }), /not one address/],
      [want(2, { address: "0.0.0.0/0" }), /not one address/],
      [want(2, { address: "10.78.0.2" }), /outside/],
      [want(2, { address: "fd00::2" }), /outside/],
      [want(2, { address: "10.77.0.1" }), /own address/],
      [want(2, { address: "nonsense" }), /not one address/],
      [want(2, { publicKey: OWN_KEY }), /own key/],
      [want(2, { nextKey: OWN_KEY }), /own key/],
      [want(2, { publicKey: "0".repeat(64) }), /hex/],
    ] as const) {
      const { changes, refused } = plan([peer], []);
      assert.deepEqual(changes, []);
      assert.match(refused[0]?.reason ?? "", reason);
    }
  });
  it("keeps the first of two that want one address or key", () => {
    const twins = plan([want(2), want(3, { address: "10.77.0.2" }), want(4, { publicKey: keyOf(2) })], []);
    assert.deepEqual(
      twins.changes.map(({ publicKey }) => publicKey),
      [keyOf(2)],
    );
    assert.equal(twins.refused.length, 2);
  });
  it("gives a stolen address back: the thief loses it first", () => {
    const thief = held(9, { allowedIps: ["10.77.0.2/32"] });
    assert.deepEqual(view(applied([want(2)], [held(2, { allowedIps: [] }), thief])), [["02", "10.77.0.2/32"]]);
    const greedy = held(3, { allowedIps: ["10.77.0.3/32", "10.77.0.2/32", "0.0.0.0/0"] });
    assert.deepEqual(view(applied([want(2), want(3)], [held(2, { allowedIps: [] }), greedy])), [
      ["02", "10.77.0.2/32"],
      ["03", "10.77.0.3/32"],
    ]);
  });
  it("lets two peers swap addresses", () => {
    const swapped = [want(2, { address: "10.77.0.3" }), want(3, { address: "10.77.0.2" })];
    assert.deepEqual(view(applied(swapped, [held(2), held(3)])), [
      ["02", "10.77.0.3/32"],
      ["03", "10.77.0.2/32"],
    ]);
  });
  it("changes a key: both are in, then the address moves in one request, then the old one goes", () => {
    const changing = want(2, { nextKey: keyOf(8) });
    const both = applied([changing], [held(2, { handshakeAtMs: 5 })]);
    assert.deepEqual(view(both), [["02", "10.77.0.2/32"], ["08"]]);
    const shaken = both.map((peer) => (peer.publicKey === keyOf(8) ? { ...peer, handshakeAtMs: 6 } : peer));
    const { changes } = plan([changing], shaken);
    assert.deepEqual(
      changes.map((change) => [change.type, change.publicKey.slice(0, 2)]),
      [
        ["put", "08"],
        ["remove", "02"],
      ],
    );
    assert.deepEqual(view(applied([changing], shaken)), [["08", "10.77.0.2/32"]]);
  });
  it("leaves a peer that roamed where it is, and tells a new endpoint once", () => {
    const peer = want(2, { endpoint: "192.0.2.1:5" });
    assert.equal(
      plan([peer], [held(2, { endpoint: "198.51.100.9:7" })], [[keyOf(2), "192.0.2.1:5"]]).changes.length,
      0,
    );
    const [change] = plan([peer], [held(2, { endpoint: "198.51.100.9:7" })], [[keyOf(2), "192.0.2.8:5"]]).changes;
    assert.equal(change?.type === "put" && change.endpoint, "192.0.2.1:5");
  });
  it("guards each change against what the interface holds now", () => {
    const state = { publicKey: null, listenPort: 1, peers: [held(2), held(3, { allowedIps: ["10.77.0.128/25"] })] };
    const put = (allowedIp: string | null, takesFrom: string | null = null) =>
      ({ type: "put", publicKey: keyOf(9), allowedIp, takesFrom, endpoint: null, keepaliveSeconds: 0 }) as const;
    throwsCode(() => guardChange(put("10.77.0.2/32"), state, network), "enclave_address");
    throwsCode(() => guardChange(put("10.77.0.200/32"), state, network), "enclave_address");
    throwsCode(() => guardChange(put("10.77.0.0/24"), state, network), "enclave_address");
    throwsCode(() => guardChange(put("0.0.0.0/0"), state, network), "enclave_address");
    throwsCode(() => guardChange(put("192.168.1.1/32"), state, network), "enclave_address");
    guardChange(put("10.77.0.4/32"), state, network);
    guardChange(put("10.77.0.2/32", keyOf(2)), state, network);
    guardChange(put(null), state, network);
  });
  it("reaches the wish from any state, never taking an address from another in silence", () => {
    const numbers = fc.uniqueArray(fc.integer({ min: 2, max: 12 }), { maxLength: 8 });
    const peers = fc.array(fc.tuple(fc.integer({ min: 2, max: 20 }), fc.subarray([2, 3, 4, 5, 6, 7])), {
      maxLength: 10,
    });
    fc.assert(
      fc.property(numbers, peers, (wanted, before) => {
        const owners = new Set<number>();
        const state = [...new Map(before).entries()].map(([n, ips]) => {
          const free = ips.filter((ip) => !owners.has(ip));
          for (const ip of free) owners.add(ip);
          return held(n, { allowedIps: free.map((ip) => `10.77.0.${ip}/32`) });
        });
        const wish = wanted.map((n) => want(n));
        assert.deepEqual(view(applied(wish, state)), view(wanted.map((n) => held(n))));
        assert.deepEqual(plan(wish, applied(wish, state)).changes, []);
      }),
    );
  });
});

describe("addresses and networks", () => {
  it("have one spelling", () => {
    for (const [text, spelled] of [
      ["10.0.0.1", "10.0.0.1"],
      ["FD00:0:0::0001", "fd00::1"],
      ["::1", "::1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
      ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ] as const) {
      assert.equal(formatAddress(parseAddress(text)), spelled);
    }
    for (const text of ["", "10.0.0", "010.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1/24"]) {
      throwsCode(() => parseAddress(text), "enclave_address");
    }
    fc.assert(
      fc.property(
        fc.ipV6().filter((text) => !/^::ffff:/i.test(text) && !text.includes(".")),
        (text) => {
          const { value } = parseAddress(text);
          assert.equal(parseAddress(formatAddress({ family: 6, value })).value, value);
        },
      ),
    );
  });
  it("an enclave is no default route, no reserved range and no local network", () => {
    for (const text of [
      "0.0.0.0/0",
      "10.0.0.0/7",
      "::/0",
      "127.0.0.0/24",
      "169.254.7.0/24",
      "224.0.0.0/24",
      "fe80::/64",
    ]) {
      throwsCode(() => checkEnclaveNetwork(parseNetwork(text), []), "enclave_address");
    }
    throwsCode(() => checkEnclaveNetwork(network, [networkOf("10.77.0.9/16")]), "enclave_address");
    throwsCode(() => checkEnclaveNetwork(network, [networkOf("10.77.0.130/25")]), "enclave_address");
    checkEnclaveNetwork(network, [networkOf("10.78.0.9/16"), networkOf("fd00::1/64")]);
    throwsCode(() => parseNetwork("10.77.0.1/24"), "enclave_address");
  });
});
