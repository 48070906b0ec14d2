/** Daemons that know each other over Reticulum alone: through a transport node of the Python reference, and after a cut. */
import assert from "node:assert/strict";
import { identityBindingFact } from "../../spine/index.ts";
import { type Daemon, daemonPool, eventually, notes, publishAll } from "../helpers/daemon.ts";
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

  it("says whose a destination is by the newest word of its node, while nobody else claims it, and not after a revocation", async () => {
    const destination = alpha.address.slice("rns:".length);
    const isKnown = async (hex: string, by: Daemon): Promise<boolean> => {
      const { status, text } = await by.call("GET", `/v1/node-attestations/by-destination/${hex}`);
      assert.ok(status === 200 || status === 404 || status === 503, text);
      return status === 200 && (JSON.parse(text) as { issuer: string }).issuer === alpha.issuer;
    };
    const bound = await alpha.verb("rns", "bind", "--json");
    assert.equal(bound.code, 0, bound.err);
    assert.equal((JSON.parse(bound.out) as { destination: string }).destination, destination);
    await eventually("beta knows", () => isKnown(destination, beta), 60_000);
    const claim = (of: Daemon, hex: string): object =>
      identityBindingFact({ factId: "na_1", issuer: of.issuer, destination: hex, announcePeriodS: 0, issuedAt: 1 });
    await beta.publish([claim(beta, destination)]);
    await eventually("a claim of two is nobody's", async () => !(await isKnown(destination, beta)));
    // Another node's name in it binds nothing; a newer word takes back the older one.
    await beta.publish([claim(alpha, destination), claim(beta, "00".repeat(16))]);
    await eventually("beta took its claim back", () => isKnown(destination, beta));
    const revoked = await alpha.verb("revoke", alpha.issuer, "--scope", "key", "--reason", "drill");
    assert.equal(revoked.code, 0, revoked.err);
    await eventually("a revoked key binds nothing", async () => !(await isKnown(destination, beta)), 60_000);
  });
});
