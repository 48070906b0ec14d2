/** The Reticulum plane's configuration and files: what is refused, what survives, what a damaged file costs. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { redactConfig, resolveConfig } from "../../node/config.ts";
import { nodeDir } from "../../node/dir.ts";
import { makeInterface } from "../../node/reticulum/interfaces.ts";
import { ReticulumNode } from "../../node/reticulum/station.ts";
import { reticulum } from "../../planes/index.ts";
import { toHex, utf8 } from "../../spine/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { throwsCode } from "../helpers/throws.ts";

const section = (interfaces: readonly object[], more: object = {}) =>
  resolveConfig({ file: { planes: { reticulum: { interfaces, ...more } } }, env: {}, flags: {} }).planes.reticulum;

const RADIO = { frequencyHz: 867_200_000, bandwidthHz: 125_000, txPowerDbm: 14, spreadingFactor: 8, codingRate: 5 };

describe("planes.reticulum in the configuration", () => {
  it("is off unless enabled", () => {
    const { enabled, interfaces } = resolveConfig({ file: {}, env: {}, flags: {} }).planes.reticulum;
    assert.deepEqual([enabled, interfaces], [false, []]);
  });

  it("makes every kind of interface", () => {
    const made = section([
      { type: "tcp-client", name: "a", host: "192.0.2.1", port: 4242, framing: "kiss", networkName: "n" },
      { type: "tcp-server", name: "b", port: 4242, fixedMtu: 500 },
      { type: "udp", name: "c", listenPort: 4000, forwardHost: "192.0.2.255", forwardPort: 4000 },
      { type: "serial", name: "d", path: "/dev/ttyUSB0", speed: 57600, parity: "even" },
      { type: "kiss", name: "e", path: "/dev/ttyUSB1", preambleMs: 300, ax25: { callsign: "N0CALL", ssid: 1 } },
      { type: "rnode", name: "f", path: "/dev/ttyACM0", ...RADIO, airtimeLongPercent: 1 },
      { type: "rnode", name: "g", host: "192.0.2.7", ...RADIO },
      { type: "auto", name: "h", groupId: "home", devices: ["eth0"] },
    ]).interfaces.map(makeInterface);
    assert.deepEqual(
      made.map((one) => [one.name, one.status().type]),
      [
        ["a", "tcp-client"],
        ["b", "tcp-server"],
        ["c", "udp"],
        ["d", "serial"],
        ["e", "kiss"],
        ["f", "rnode"],
        ["g", "rnode"],
        ["h", "auto"],
      ],
    );
  });

  it("refuses what cannot be meant, with the field", () => {
    for (const [wrong, pattern] of [
      [[{ type: "tcp-client", name: "a", port: 1 }], /interfaces\[0\]\.host/],
      [[{ type: "ether", name: "a" }], /interfaces\[0\]\.type/],
      [[{ type: "auto", name: "a/b" }], /interfaces\[0\]\.name/],
      [[{ type: "auto", name: "a", colour: 1 }], /colour/],
      [[{ type: "rnode", name: "a", ...RADIO }], /either path or host/],
      [[{ type: "rnode", name: "a", path: "x", ...RADIO, spreadingFactor: 13 }], /spreadingFactor/],
      [
        [
          { type: "auto", name: "a" },
          { type: "auto", name: "a" },
        ],
        /two interfaces have one name/,
      ],
    ] as const) {
      assert.throws(() => section(wrong), pattern);
    }
  });

  it("takes interfaces as JSON from a variable, and shows no passphrase", () => {
    const text = '[{"type":"tcp-client","name":"a","host":"h","port":1,"passphrase":"open sesame"}]';
    const env = { SPINE_PLANES_RETICULUM_INTERFACES: text };
    const config = resolveConfig({ file: {}, env, flags: {} });
    assert.equal(config.planes.reticulum.interfaces[0]?.passphrase, "open sesame");
    assert.ok(!JSON.stringify(redactConfig(config)).includes("sesame"));
    const oops = { SPINE_PLANES_RETICULUM_INTERFACES: "[oops" };
    throwsCode(() => resolveConfig({ file: {}, env: oops, flags: {} }), "config_invalid");
  });
});

describe("files of the Reticulum plane", () => {
  const folder = temporaryFolders();
  const warnings: string[] = [];
  const log = { info: () => undefined, warn: (_: object, text: string) => void warnings.push(text) };
  const open = async (path: string) => ReticulumNode.start({ dir: nodeDir(path), config: section([]), log });
  const random = (length: number) => new Uint8Array(length).fill(7);

  /** Rotates a ratchet as an announce does; returns what somebody then seals to it. */
  function sealedToNewRatchet(node: ReticulumNode): Uint8Array {
    const ring = node.node.ratchets as reticulum.RatchetRing;
    return node.identity.encrypt(utf8("secret"), random, ring.rotate(Date.now(), random));
  }

  it("opens with the same identity what was sealed to a ratchet before the restart", async () => {
    const path = await folder();
    const first = await open(path);
    const sealed = sealedToNewRatchet(first);
    await first.stop();
    const second = await open(path);
    assert.equal(second.identity.hex, first.identity.hex);
    assert.deepEqual(second.node.decrypt(sealed), utf8("secret"));
    await second.stop();
    const [file = ""] = readdirSync(join(path, "reticulum", "ratchets"));
    assert.equal(file, first.node.hex);
    assert.deepEqual(warnings, []);
  });

  it("takes over the destinations that an earlier release kept", async () => {
    const path = await folder();
    const before = await open(path);
    const destination = new reticulum.Destination({
      type: reticulum.SINGLE,
      appName: "old",
      aspects: [],
      random: (length) => new Uint8Array(randomBytes(length)),
    });
    const other = new reticulum.Endpoint({ random });
    other.attach({ id: "w", bitrate: 1e6, hardwareMtu: 500, signalsMtu: false });
    const [announce] = other.act(Date.now(), () => other.announce(destination));
    const { endpoint } = before.station;
    before.station.act(() => {
      endpoint.attach({ id: "w", bitrate: 1e6, hardwareMtu: 500, signalsMtu: false });
      endpoint.handle("w", announce?.frame as Uint8Array, endpoint.now);
    });
    const old = endpoint.known.save();
    await before.stop();
    rmSync(join(path, "reticulum", "network"), { force: true });
    writeFileSync(join(path, "reticulum", "known"), old);
    const after = await open(path);
    assert.ok(after.station.endpoint.known.get(destination.hash));
    assert.deepEqual(
      ["known", "network"].map((name) => existsSync(join(path, "reticulum", name))),
      [false, true],
    );
    await after.stop();
    const again = await open(path);
    assert.ok(again.station.endpoint.known.get(destination.hash));
    await again.stop();
    assert.deepEqual(warnings, []);
  });

  it("sets damaged files aside, says so and goes on", async () => {
    const path = await folder();
    const first = await open(path);
    const sealed = sealedToNewRatchet(first);
    await first.stop();
    const ratchets = join(path, "reticulum", "ratchets", first.node.hex);
    const bytes = readFileSync(ratchets);
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
    writeFileSync(ratchets, bytes);
    writeFileSync(join(path, "reticulum", "network"), "no such file");
    const second = await open(path);
    assert.equal(second.node.decrypt(sealed), undefined);
    assert.equal(warnings.splice(0).length, 2);
    assert.ok(existsSync(`${ratchets}.damaged`));
    assert.ok(existsSync(join(path, "reticulum", "network.damaged")));
    await second.stop();
  });

  it("refuses an identity that others can read, or that is none", async () => {
    const path = await folder();
    await (await open(path)).stop();
    const key = join(path, "reticulum.key");
    chmodSync(key, 0o644);
    await assert.rejects(open(path), { code: "key_permissions" });
    chmodSync(key, 0o600);
    writeFileSync(key, `spine-key v1 libp2p ed25519 ${"00".repeat(32)}\n`);
    await assert.rejects(open(path), { code: "key_invalid" });
  });

  it("does not announce a ratchet it could not write", async () => {
    const path = await folder();
    const node = await open(path);
    mkdirSync(join(path, "reticulum"), { recursive: true });
    writeFileSync(join(path, "reticulum", "ratchets"), "in the way");
    throwsCode(() => node.station.act(() => node.station.endpoint.announce(node.node)), "store_failed");
    assert.equal(node.station.endpoint.counters.get("packets_sent"), undefined);
    await node.stop();
    assert.equal(toHex(node.node.hash), node.node.hex);
  });
});
