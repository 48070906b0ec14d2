/** Cores that were broken on purpose, in whole scenarios: each must end in the violation that names its fault. */
import assert from "node:assert/strict";
import { BUILT_IN, type RunResult, runScenario, type SimPeer } from "../../sim/index.ts";
import type { Effect, Mesh } from "../../spine/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

function run(name: string, onStart: (peer: SimPeer) => void, nodes?: number): Promise<RunResult> {
  const file = BUILT_IN.find((one) => one.name === name)?.file({
    short: true,
    ...(nodes === undefined ? {} : { nodes }),
  });
  assert.ok(file !== undefined, name);
  return runScenario(file, { seed: 1, ports: nativePorts(), onStart });
}
/** Changes what the core of one node gives back. */
function changing(index: number, change: (effect: Effect) => Effect[]): (peer: SimPeer) => void {
  return (peer) => {
    if (peer.index !== index) return;
    const mesh = peer.mesh as Mesh;
    const sound = mesh.handle.bind(mesh);
    mesh.handle = (input, now) => sound(input, now).flatMap(change);
  };
}

describe("the simulator's invariants in scenarios", () => {
  it("notice revocations behind heartbeats", async () => {
    const last = changing(0, (effect) => [
      effect.type === "send" && effect.tier === 1 ? { ...effect, tier: 7 } : effect,
    ]);
    const { violation } = await run("mutual-revocation", last);
    assert.equal(violation?.invariant, "revocations go first");
    assert.deepEqual(violation.nodes, ["node-1"]);
    assert.ok(violation.events.length > 5 && violation.step > 100);
  });
  it("notice authority by order of arrival", async () => {
    const { violation } = await run("mutual-revocation", ({ index, mesh }) => {
      const authority = mesh?.authority;
      if (index !== 2 || authority === undefined) return;
      const sound = authority.addRevocation.bind(authority);
      // Whoever was revoked first has no say any more.
      authority.addRevocation = (revocation) => (authority.isRevoked(revocation.signer) ? [] : sound(revocation));
    });
    assert.equal(violation?.invariant, "frozen and revoked sets are equal after healing");
  });
  it("notice checkpoints that checkpoints bring about", async () => {
    const { violation } = await run(
      "checkpoint-storm",
      ({ disk }) => {
        const sound = disk.at.bind(disk);
        disk.at = (issuer, seq) => {
          const row = sound(issuer, seq);
          return row === undefined
            ? undefined
            : { ...row, factSchema: row.factSchema.replace("log_checkpoint", "note") };
        };
      },
      5,
    );
    assert.equal(violation?.invariant, "checkpoints need real leaves");
  });
  it("notice an envelope that is never asked for", async () => {
    const forgetful = changing(3, (effect) => (effect.type === "send" && effect.frame[0] === 4 ? [] : [effect]));
    const { violation, failures } = await run("partition-heal", forgetful);
    assert.ok(violation !== null || failures.length > 0);
  });
  it("repeat a run to just before a violation", async () => {
    const last = changing(0, (effect) => [
      effect.type === "send" && effect.tier === 1 ? { ...effect, tier: 7 } : effect,
    ]);
    const { violation } = await run("mutual-revocation", last);
    const file = BUILT_IN.find(({ name }) => name === "mutual-revocation")?.file({ short: true });
    assert.ok(violation !== null && file !== undefined);
    const before = await runScenario(file, { seed: 1, ports: nativePorts(), onStart: last, untilStep: violation.step });
    assert.equal(before.violation, null);
    assert.equal(before.steps, violation.step);
    const after = await runScenario(file, {
      seed: 1,
      ports: nativePorts(),
      onStart: last,
      untilStep: violation.step + 1,
    });
    assert.equal(after.violation?.invariant, violation.invariant);
  });
  it("find nothing in sound cores, and the same trace twice", async () => {
    for (const name of ["mutual-revocation", "lora-chain"]) {
      const [one, two] = [await run(name, () => {}), await run(name, () => {})];
      assert.equal(one.violation, null);
      assert.deepEqual(one, two);
    }
  });
});
