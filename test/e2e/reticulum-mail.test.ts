/**
 * A revocation for a node that is away: left with an LXMF propagation node, the reference's and ours, fetched when the node
 * is back while the one that published it is gone.
 */
import assert from "node:assert/strict";
import { daemonPool, eventually } from "../helpers/daemon.ts";
import { together } from "../helpers/together.ts";
import { describeRns, RnsNode } from "../peers/rns.ts";
import { freePort } from "../planes/reticulum/interop.ts";

describeRns("mail for a node that is away", function () {
  this.timeout(480_000);
  const daemons = daemonPool();
  let python: RnsNode | undefined;
  after(async () => {
    await daemons.stopAll();
    await python?.stop();
  });
  // Daemons start, wait and stop: two at a time take hardly longer than one.
  const it = together(2);

  const settings = (port: number, propagationNode: string | undefined, more: readonly string[] = []) => ({
    port: null,
    set: [
      "planes.libp2p.enabled=false",
      "planes.reticulum.enabled=true",
      "planes.reticulum.mesh.discover=false",
      "planes.reticulum.lxmf.enabled=true",
      "planes.reticulum.lxmf.announceMinutes=1",
      ...(propagationNode === undefined ? [] : [`planes.reticulum.lxmf.propagationNode=${propagationNode}`]),
      `planes.reticulum.interfaces=${JSON.stringify([{ type: "tcp-client", name: "up", host: "127.0.0.1", port }])}`,
      ...more,
    ],
  });
  /** Both meet once, one goes, the other publishes and goes, the first comes back. */
  async function leavesAndFetches(
    name: string,
    port: number,
    propagationNode: string,
    announced: () => Promise<unknown>,
  ): Promise<void> {
    let far = await daemons.start(`far-${name}`, settings(port, propagationNode));
    const near = await daemons.start(`near-${name}`, settings(port, propagationNode));
    await near.addPeer(far.address);
    await far.addPeer(near.address);
    await far.holds(near.issuer, 1, 60_000);
    await announced();
    await far.stop();
    await eventually("the link's end", async () => (await near.status()).links.length === 0, 60_000);
    const [published] = await near.publish([
      {
        schema: "clawdstrike.spine.fact.incident.v1",
        fact_id: "inc_1",
        severity: "high",
        title: "left with a propagation node",
      },
    ]);
    await eventually(
      "the propagation node's word",
      async () => (await near.status()).radio?.deliveries.some(({ state, way }) => state === "left" && way === "mail"),
      // A try that comes too early is made again after half a minute, then after one, then two.
      240_000,
    );
    await near.stop();
    const back = Date.now();
    far = await daemons.start(`far-${name}`, settings(port, propagationNode));
    const seq = published?.seq as number;
    await eventually("the envelope", async () => (await far.held(near.issuer)).get(seq) === published?.hash, 120_000);
    assert.ok(Date.now() - back < 300_000);
  }

  it("comes by the reference's propagation node", async () => {
    const port = await freePort();
    const hub = `[[s]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${port}\n`;
    python = await RnsNode.startTransport(hub);
    const ready = await python.do({ do: "lxmf", node: true, autopeer: false }, "lxmf-ready");
    const peer = python;
    await leavesAndFetches("reference", port, ready.data, () =>
      peer.do({ do: "lxmf-node-announce" }, "lxmf-announced"),
    );
  });

  it("comes by our propagation node", async () => {
    const port = await freePort();
    const hub = await daemons.start("hub", {
      port: null,
      set: [
        "planes.libp2p.enabled=false",
        "planes.reticulum.enabled=true",
        "planes.reticulum.transport=true",
        "planes.reticulum.mesh.enabled=false",
        "planes.reticulum.lxmf.enabled=true",
        "planes.reticulum.lxmf.announceMinutes=1",
        "planes.reticulum.lxmf.propagation.enabled=true",
        "planes.reticulum.lxmf.propagation.stampCost=13",
        `planes.reticulum.interfaces=${JSON.stringify([{ type: "tcp-server", name: "hub", host: "127.0.0.1", port }])}`,
      ],
    });
    const { text } = await hub.call("GET", "/v1/rns");
    const { lxmf } = JSON.parse(text) as { lxmf: { propagation: { address: string } } };
    await leavesAndFetches("own", port, lxmf.propagation.address, () => hub.call("POST", "/v1/rns/announce", "{}"));
  });
});
