/** The example configurations and the systemd unit hold what they claim. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { loadConfig, VERSION } from "../../node/index.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const EXAMPLES = resolve(ROOT, "node/examples");

describe("example configurations", () => {
  const names = readdirSync(EXAMPLES).filter((name) => name.endsWith(".yaml"));
  it("exist", () => assert.ok(names.length >= 3));
  for (const name of names) {
    it(`${name} is valid`, async () => {
      await loadConfig({ path: resolve(EXAMPLES, name), required: true, env: {}, flags: {} });
    });
  }
});

describe("version", () => {
  it("is the package's", () => {
    const { version } = JSON.parse(readFileSync(resolve(ROOT, "package.json"), "utf8")) as { version: string };
    assert.equal(VERSION, version);
  });
});

describe("systemd drop-in for radios", () => {
  const text = readFileSync(resolve(ROOT, "node/deploy/spine-radio.conf"), "utf8");
  it("opens serial devices and nothing else", () => {
    const settings = text.split("\n").filter((line) => /^[A-Z]/.test(line));
    assert.deepEqual(settings, [
      "PrivateDevices=no",
      "DevicePolicy=closed",
      "DeviceAllow=char-ttyUSB rw",
      "DeviceAllow=char-ttyACM rw",
      "SupplementaryGroups=dialout",
      "Nice=-5",
      "OOMScoreAdjust=-500",
    ]);
  });
});

describe("systemd unit", () => {
  const unit = readFileSync(resolve(ROOT, "node/deploy/spine.service"), "utf8");
  it("waits for readiness and is hardened", () => {
    for (const line of [
      "Type=notify",
      "NotifyAccess=all",
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
      "UMask=0077",
    ]) {
      assert.ok(unit.split("\n").includes(line), line);
    }
  });
});
