/** The verifier pool: same verdicts inline and in workers, in order, and a dying worker is replaced. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createClaimCheck, createSigner, WorkerVerifier } from "../../node/index.ts";
import { type Claim, fromHex } from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";

function claims(count: number): Claim[] {
  const signers = [1, 2, 3].map((seed) => createSigner(new Uint8Array(32).fill(seed)));
  return Array.from({ length: count }, (_, i) => {
    const signer = signers[i % 3] as (typeof signers)[0];
    const message = new Uint8Array(i).fill(i);
    return { key: signer.publicKey, message, signature: signer.sign(message) };
  });
}

/** Every third signature spoilt. */
function mixed(count: number): { batch: Claim[]; expected: boolean[] } {
  const batch = claims(count).map((claim, i) => {
    if (i % 3 !== 0) return claim;
    const signature = claim.signature.slice();
    signature[5] = (signature[5] as number) ^ 1;
    return { ...claim, signature };
  });
  return { batch, expected: batch.map((_, i) => i % 3 !== 0) };
}

describe("verifier", () => {
  for (const size of [0, 1, 8, 9, 64, 300, 1000]) {
    it(`gives ${size} verdicts in order`, async () => {
      await using verifier = new WorkerVerifier({ workers: 2 });
      const { batch, expected } = mixed(size);
      assert.deepEqual(await verifier.verify(batch), expected);
    });
  }

  it("answers many batches at once, each with its own verdicts", async () => {
    await using verifier = new WorkerVerifier({ workers: 2 });
    const batches = [200, 3, 90, 300, 64].map(mixed);
    const answers = await Promise.all(batches.map(({ batch }) => verifier.verify(batch)));
    assert.deepEqual(
      answers,
      batches.map(({ expected }) => expected),
    );
    const { claims: counted, refused } = verifier.counters();
    assert.equal(counted, 657);
    assert.equal(refused, answers.flat().filter((verdict) => !verdict).length);
  });

  it("says no, not more, to keys and signatures of wrong length", async () => {
    await using verifier = new WorkerVerifier({ workers: 1 });
    const good = claims(20);
    const wrong = [
      { ...(good[0] as Claim), key: new Uint8Array(31) },
      { ...(good[1] as Claim), signature: new Uint8Array(65) },
      { ...(good[2] as Claim), key: new Uint8Array(0), signature: new Uint8Array(0) },
    ];
    assert.deepEqual(await verifier.verify([...wrong, ...good]), [false, false, false, ...good.map(() => true)]);
    assert.deepEqual(await verifier.verify(wrong), [false, false, false]);
  });

  it("forgets the least recently used key, not its verdicts", () => {
    const check = createClaimCheck(2);
    const three = claims(3);
    for (const claim of [...three, ...three, ...three]) assert.equal(check(claim), true);
  });

  it("replaces a worker that dies: the batch is tried again, then refused as internal", async () => {
    const folder = await mkdtemp(join(tmpdir(), "spine-worker-"));
    try {
      const script = join(folder, "dying.mjs");
      await writeFile(
        script,
        `import { parentPort } from "node:worker_threads"; parentPort.on("message", () => process.exit(3));`,
      );
      await using verifier = new WorkerVerifier({ workers: 1, script: pathToFileURL(script) });
      await assert.rejects(verifier.verify(claims(70)), { code: "internal" });
      assert.equal(verifier.counters().workerRestarts, 2);
      assert.deepEqual(await verifier.verify(claims(3)), [true, true, true]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("survives one death: the second try answers", async () => {
    const folder = await mkdtemp(join(tmpdir(), "spine-worker-"));
    try {
      const script = join(folder, "once.mjs");
      const flag = JSON.stringify(join(folder, "died"));
      await writeFile(
        script,
        `import { existsSync, writeFileSync } from "node:fs"; import { parentPort } from "node:worker_threads";
         parentPort.on("message", () => {
           if (!existsSync(${flag})) { writeFileSync(${flag}, ""); throw new Error("first"); }
           parentPort.postMessage(new Uint8Array(40).fill(1).buffer);
         });`,
      );
      await using verifier = new WorkerVerifier({ workers: 1, script: pathToFileURL(script) });
      assert.deepEqual(await verifier.verify(claims(40)), new Array(40).fill(true));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("refuses when closed, also what waits", async () => {
    const verifier = new WorkerVerifier({ workers: 1 });
    const running = assert.rejects(verifier.verify(claims(2000)), { code: "api_unavailable" });
    await verifier.close();
    await running;
    await assert.rejects(verifier.verify(claims(1)), { code: "api_unavailable" });
    await verifier.close();
  });
});

describeShared("verifier on ed25519 edge vectors", ["vectors/spine/ed25519_edge.json"], () => {
  interface EdgeCase {
    readonly name: string;
    readonly public_key_hex: string;
    readonly message_hex: string;
    readonly signature_hex: string;
    readonly dalek_verify_strict: "valid" | "invalid";
  }
  const { cases } = sharedJson<{ cases: EdgeCase[] }>("vectors/spine/ed25519_edge.json");
  const batch = cases.map((one) => ({
    key: fromHex(one.public_key_hex),
    message: fromHex(one.message_hex),
    signature: fromHex(one.signature_hex),
  }));

  it("agrees with the strict verifier on every case, inline and in workers", async () => {
    await using verifier = new WorkerVerifier({ workers: 1 });
    const expected = cases.map((one) => one.dalek_verify_strict === "valid");
    assert.deepEqual(batch.map(createClaimCheck()), expected);
    assert.ok(batch.length > 8);
    assert.deepEqual(await verifier.verify(batch), expected);
  });
});
