/** Daemons that know each other over Reticulum alone: through a transport node of the Python reference, and after a cut. */
import assert from "node:assert/strict";
import { type Daemon, daemonPool, notes, publishAll } from "../helpers/daemon.ts";
import { describeRns, RnsNode } from "../peers/rns.ts";
import { freePort } from "../planes/reticulum/interop.ts";

describeRns("a mesh over Reticulum", function () {
  this.timeout(120_000);
  const daemons = daemonPool();
  let python: RnsNode;
  let port = 0;
  let alpha: Daemon;
  let beta: Daemon;

  const options = (name: string) => ({
    port: null,
    set: [
      "planes.libp2p.enabled=false",
      "planes.reticulum.enabled=true",
      // Nobody looks for others here: only what the operator names is linked.
      "planes.reticulum.mesh.discover=false",
      `planes.reticulum.interfaces=${JSON.stringify([{ type: "tcp-client", name, host: "127.0.0.1", port }])}`,
    ],
  });

  before(async () => {
    port = await freePort();
    python = await RnsNode.startTransport(
      `[[s]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${port}\n`,
    );
    alpha = await daemons.start("alpha", options("a"));
    beta = await daemons.start("beta", options("b"));
  });
  after(async () => {
    await daemons.stopAll();
    await python?.stop();
  });

  it("links two nodes of which one names the other's destination, two hops apart, and syncs", async () => {
    const [plane] = (await alpha.status()).planes;
    assert.equal(plane?.name, "reticulum");
    assert.match(alpha.address, /^rns:[0-9a-f]{32}$/);
    const count = await publishAll(alpha, notes(20));
    await beta.addPeer(alpha.address);
    await beta.holds(alpha.issuer, count, 60_000);
    const { links } = await beta.status();
    assert.ok(links.some(({ issuer, address }) => issuer === alpha.issuer && address === alpha.address));
  });

  it("carries what is new", async () => {
    await beta.holds(alpha.issuer, await publishAll(alpha, notes(3, "new")), 30_000);
  });

  it("catches up after one of them was away, whose peerbook brought it back", async () => {
    await beta.stop();
    const count = await publishAll(alpha, notes(5, "meanwhile"));
    beta = await daemons.start("beta", options("b"));
    await beta.holds(alpha.issuer, count, 60_000);
  });
});
