/** AutoInterface against the Python reference, which runs in a network namespace of its own behind a virtual cable. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { AutoInterface } from "../../../planes/reticulum/interfaces/auto.ts";
import { describeRns } from "../../peers/rns.ts";
import { interopCases, Meeting } from "./interop.ts";

const NEAR = `sp${process.pid}a`;
const FAR = `sp${process.pid}b`;
const SPACE = `spine-${process.pid}`;

function ip(...words: readonly string[]): boolean {
  return spawnSync("ip", words).status === 0;
}

/** Namespaces need rights that not every machine gives; without them the suite is one counted skip. */
function plugCable(): boolean {
  if (!ip("netns", "add", SPACE)) return false;
  return (
    ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR) &&
    ip("link", "set", FAR, "netns", SPACE) &&
    ip("link", "set", NEAR, "up") &&
    ip("netns", "exec", SPACE, "ip", "link", "set", FAR, "up") &&
    ip("netns", "exec", SPACE, "ip", "link", "set", "lo", "up")
  );
}

describeRns("reticulum interop: AutoInterface", () => {
  const plugged = plugCable();
  after(() => {
    if (plugged) ip("link", "del", NEAR);
    ip("netns", "del", SPACE);
  });
  if (!plugged) {
    const missing = "needs the right to make network namespaces";
    if (process.env["SPINE_REQUIRE_PEERS"] === "1") it(missing, () => assert.fail(missing));
    else it.skip(missing);
    return;
  }
  interopCases(
    async () => {
      // Link-local addresses are usable once duplicate detection is done.
      await new Promise((resolve) => setTimeout(resolve, 2500));
      const ours = new AutoInterface({ name: "auto", devices: [NEAR], groupId: "spine-test" });
      const section = `[[auto]]\ntype = AutoInterface\nenabled = Yes\ndevices = ${FAR}\ngroup_id = spine-test\n`;
      return Meeting.open(ours, section, ["ip", "netns", "exec", SPACE]);
    },
    { sizes: [1, 100, 10_000, 1_000_000], timeoutMs: 60_000 },
  );
});
