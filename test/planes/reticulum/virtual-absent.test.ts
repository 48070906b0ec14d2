/** Urgent envelopes for named peers who are away: mailed once they are known to be, taken back when a link carries them. */
import assert from "node:assert/strict";
import type { reticulum } from "../../../planes/index.ts";
import { fromHex, toHex } from "../../../spine/index.ts";
import { SlowLine, VirtualMesh, type VirtualNode } from "../../helpers/virtual-mesh.ts";
import { allKnow, HOUR_MS, trust, upLinks, victim } from "./virtual-rig.ts";

interface Letter {
  readonly to: string;
  readonly content: Uint8Array;
  readonly done: (state: "delivered" | "left" | "failed") => void;
  cancelled: boolean;
}

describe("peers who are away", function () {
  this.timeout(60_000);
  let mesh: VirtualMesh;
  let near: VirtualNode;
  let far: VirtualNode;
  let line: SlowLine;
  let letters: Letter[];
  const mail: reticulum.MailDrop = {
    send: (to, content, done) => {
      const letter: Letter = { to: toHex(to.hash), content, done, cancelled: false };
      letters.push(letter);
      return () => {
        letter.cancelled = true;
      };
    },
  };

  beforeEach(async () => {
    letters = [];
    mesh = new VirtualMesh(3);
    line = new SlowLine(mesh, 10_000_000);
    near = await mesh.node("near", [line.interface("a")], { trust, plane: { mail } });
    far = await mesh.node("far", [line.interface("b")], { trust });
    allKnow(mesh.nodes);
    for (const node of mesh.nodes) await node.start();
    await near.plane.addPeer(far.address);
    assert.ok(await mesh.run(HOUR_MS, () => upLinks(near) === 1));
    await mesh.run(10_000);
  });
  afterEach(() => mesh.stop());
  /** The line is cut until the returned function mends it. */
  async function cut(): Promise<() => void> {
    line.tap = () => false;
    assert.ok(await mesh.run(HOUR_MS, () => upLinks(near) === 0));
    return () => {
      line.tap = undefined;
    };
  }

  it("get what is urgent by mail, once, and the end of it is told", async () => {
    await cut();
    const revocation = near.revoke(victim);
    const incident = near.note(1, "incident");
    near.note(2, "heartbeat");
    await mesh.run(60_000);
    assert.deepEqual(
      letters.map(({ content }) => content.length > 0),
      [true, true],
    );
    const { identity } = near.station.endpoint.known.get(fromHex(far.address.slice(4))) as {
      identity: { hash: Uint8Array };
    };
    assert.ok(letters.every(({ to }) => to === toHex(identity.hash)));
    assert.ok(far.plane.take("mail", letters[0]?.content as Uint8Array));
    await mesh.run(1_000);
    assert.ok(far.has(revocation));
    for (const letter of letters) letter.done("left");
    assert.deepEqual(
      near.deliveries.map(({ envelope, way, state }) => [envelope.hash, way, state]),
      [revocation, incident].map(({ hash }) => [hash, "mail", "left"]),
    );
  });

  it("get it over the link when they come back before the mail has gone, and the mail is called back", async () => {
    const mend = await cut();
    const incident = near.note(1, "incident");
    await mesh.run(30_000);
    assert.equal(letters.length, 1);
    mend();
    assert.ok(await mesh.run(HOUR_MS, () => far.has(incident)));
    assert.equal(letters[0]?.cancelled, true);
    assert.equal(near.plane.waitingForAbsent, 0);
  });

  it("get a revocation by another try when the mail failed, and nothing else", async () => {
    await cut();
    near.revoke(victim);
    near.note(1, "incident");
    await mesh.run(30_000);
    for (const letter of letters.splice(0)) letter.done("failed");
    await mesh.run(HOUR_MS);
    assert.equal(letters.length, 1);
    assert.deepEqual(
      near.deliveries.map(({ state }) => state),
      ["failed"],
    );
  });

  it("are bounded in what waits for them: what is less urgent gives way", async () => {
    await cut();
    // The core lets no more than so many own urgent facts out at a time.
    for (let i = 0; i < 1_100; i++) {
      near.note(i, "incident");
      if (i % 100 === 99) await mesh.run(1_000);
    }
    assert.equal(near.plane.waitingForAbsent, 1_024);
    const revocation = near.revoke(victim);
    await mesh.settle();
    assert.equal(near.plane.waitingForAbsent, 1_024);
    assert.equal(near.plane.counters()["left_dropped"], 77);
    await mesh.run(20_000);
    assert.ok(letters.some(({ content }) => content.length > 0) && revocation.seq > 0);
  });
});
