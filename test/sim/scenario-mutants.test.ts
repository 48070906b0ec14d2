/** Cores that were broken on purpose, in whole scenarios: each must end in the violation that names its fault. */
import assert from "node:assert/strict";
import { BUILT_IN, type RunResult, runScenario, type ScenarioFile, type SimPeer } from "../../sim/index.ts";
import { type Effect, Frontier, type Mesh, Outbox, RadioSchedule } from "../../spine/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const HOUR_MS = 3_600_000;

function shortOf(name: string, nodes?: number): ScenarioFile {
  const file = BUILT_IN.find((one) => one.name === name)?.file({
    short: true,
    ...(nodes === undefined ? {} : { nodes }),
  });
  assert.ok(file !== undefined, name);
  return file;
}
function run(name: string, onStart: (peer: SimPeer) => void, nodes?: number): Promise<RunResult> {
  return runScenario(shortOf(name, nodes), { seed: 1, ports: nativePorts(), onStart });
}
/** Runs with a method of some class in place of its own. */
async function replacing<C extends object, K extends keyof C>(
  prototype: C,
  name: K,
  broken: (sound: C[K]) => C[K],
  work: () => Promise<RunResult>,
): Promise<RunResult> {
  const sound = prototype[name];
  prototype[name] = broken(sound);
  try {
    return await work();
  } finally {
    prototype[name] = sound;
  }
}
/** Two revokers on links of 20 kbit/s that are full of heartbeats. */
function narrowLinks(): Promise<RunResult> {
  const file = shortOf("mutual-revocation");
  const slow = file.networks.map((one) =>
    one.type === "radio" ? one : { ...one, shape: { ...one.shape, bitrate: 20_000 } },
  );
  const [first] = file.load;
  const load = first === undefined ? [] : [{ ...first, fact: "heartbeat" as const, fromMs: 29_000, batch: 40 }];
  return runScenario({ ...file, networks: slow, load, expect: [] }, { seed: 1, ports: nativePorts() });
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

describe("the simulator's invariants in scenarios", function () {
  this.timeout(300_000);
  it("notice revocations behind heartbeats", async () => {
    const last = changing(0, (effect) => [
      effect.type === "send" && effect.tier === 1 ? { ...effect, tier: 7 } : effect,
    ]);
    const { violation } = await run("mutual-revocation", last);
    assert.equal(violation?.invariant, "revocations go first");
    assert.deepEqual(violation.nodes, ["node-1"]);
    assert.ok(violation.events.length > 5 && violation.step > 100);
  });
  it("notice a queue that knows no urgency", async () => {
    const { violation } = await replacing(
      Outbox.prototype,
      "push",
      (sound) =>
        function (this: Outbox, frame) {
          return sound.call(this, frame, 7);
        },
      narrowLinks,
    );
    assert.equal(violation?.invariant, "revocations go first");
    assert.match(violation.detail, /while a revocation waited/);
  });
  it("notice a queue that loses a revocation", async () => {
    const { violation } = await replacing(
      Outbox.prototype,
      "push",
      (sound) =>
        function (this: Outbox, frame, tier) {
          return tier === 1 ? true : sound.call(this, frame, tier);
        },
      narrowLinks,
    );
    assert.equal(violation?.invariant, "revocations go first");
  });
  it("accuse no sound queue on narrow links", async () => {
    const { violation, tiers } = await narrowLinks();
    assert.equal(violation, null);
    assert.ok((tiers.find(({ tier }) => tier === 1)?.frames ?? 0) > 0);
  });
  it("notice a radio that sends incidents before revocations", async () => {
    const { violation } = await replacing(
      RadioSchedule.prototype,
      "push",
      (sound) =>
        function (this: RadioSchedule<unknown>, item) {
          return sound.call(this, item.class === "revocation" ? { ...item, class: "run" } : item);
        },
      () => run("catch-up-after-reconnect", () => {}),
    );
    assert.equal(violation?.invariant, "revocations go first");
    assert.match(violation.detail, /while a revocation waited/);
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
  it("notice a log that states another root than that of its leaves", async () => {
    let leaves = 0;
    const { violation } = await replacing(
      Frontier.prototype,
      "append",
      (sound) =>
        function (this: Frontier, leaf) {
          if (++leaves % 50 > 0) sound.call(this, leaf);
        },
      () => run("checkpoint-storm", () => {}, 5),
    );
    assert.equal(violation?.invariant, "roots recomputed");
    assert.ok(violation.at_ms < 60_000);
  });
  it("notice an envelope that is never asked for", async () => {
    const forgetful = changing(3, (effect) => (effect.type === "send" && effect.frame[0] === 4 ? [] : [effect]));
    const { violation, failures } = await run("partition-heal", forgetful);
    assert.ok(violation !== null || failures.length > 0);
  });
  it("notice what a node behind radios never asks for, and accuse no sound one", async () => {
    const chain = shortOf("lora-chain", 3);
    const file: ScenarioFile = {
      ...chain,
      durationMs: 6 * HOUR_MS,
      stopEarly: false,
      timeline: [
        { atMs: 0.6 * HOUR_MS, type: "network-down", network: "lora", nodes: "relay-3" },
        { atMs: 1.2 * HOUR_MS, type: "network-up", network: "lora", nodes: "relay-3" },
      ],
      expect: [],
    };
    const forgetful = changing(0, (effect) => (effect.type === "send" && effect.frame[0] === 4 ? [] : [effect]));
    const broken = await runScenario(file, { seed: 1, ports: nativePorts(), onStart: forgetful });
    assert.equal(broken.violation?.invariant, "nothing is missing where it can be had");
    const sound = await runScenario(file, { seed: 1, ports: nativePorts() });
    assert.equal(sound.violation, null);
    assert.equal(sound.delivery.incomplete, 0);
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
