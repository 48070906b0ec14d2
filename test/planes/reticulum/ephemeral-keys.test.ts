/** Keys made ahead: each for one use, for those who get more than one packet, never for more receivers than the bound. */
import assert from "node:assert/strict";
import type { StackContext } from "../../../planes/reticulum/stack/context.ts";
import { EphemeralKeys } from "../../../planes/reticulum/stack/ephemeral-keys.ts";
import { Identity, sealWith } from "../../../planes/reticulum/stack/identity.ts";
import { toHex, utf8 } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";

function rig(): { keys: EphemeralKeys; made: () => number; rest: () => void } {
  const random = seededRandom("ephemeral");
  let tasks: (() => void)[] = [];
  let made = 0;
  const context: StackContext = {
    now: () => 0,
    random: (length) => {
      made++;
      return random(length);
    },
    schedule: (_, task) => {
      tasks.push(task);
      return () => undefined;
    },
    transmit: () => undefined,
    count: () => undefined,
    notify: (task) => task(),
  };
  const rest = (): void => {
    while (tasks.length > 0) {
      const due = tasks;
      tasks = [];
      for (const task of due) task();
    }
  };
  return { keys: new EphemeralKeys(context), made: () => made, rest };
}

describe("reticulum keys made ahead", () => {
  const identity = Identity.create(seededRandom("receiver"));

  it("costs nothing at the moment of sending from the third packet on, and no seal comes twice", () => {
    const { keys, made, rest } = rig();
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) {
      const before = made();
      const seal = keys.seal(identity, undefined);
      if (i >= 2) assert.equal(made(), before);
      seen.add(toHex(seal.publicKey));
      const sealed = sealWith(seal, utf8(`packet ${i}`), seededRandom(`iv ${i}`));
      assert.deepEqual(identity.decrypt(sealed), utf8(`packet ${i}`));
      rest();
    }
    assert.equal(seen.size, 6);
  });

  it("makes one when packets follow each other faster", () => {
    const { keys } = rig();
    const seen = new Set(Array.from({ length: 5 }, () => toHex(keys.seal(identity, undefined).publicKey)));
    assert.equal(seen.size, 5);
  });

  it("agrees nothing ahead with who got one packet, and forgets whom it has not sent to for long", () => {
    const { keys, made, rest } = rig();
    keys.seal(identity, undefined);
    rest();
    // The key of the packet, and the exchange key of whatever comes next.
    assert.equal(made(), 2);
    keys.seal(identity, undefined);
    rest();
    for (let i = 0; i < 16; i++) keys.seal(Identity.create(seededRandom(`other ${i}`)), undefined);
    rest();
    const before = made();
    keys.seal(identity, undefined);
    rest();
    // As with somebody new: only the exchange key is made.
    assert.equal(made(), before + 1);
  });

  it("keeps the seals of a ratchet apart from those of the identity", () => {
    const { keys, rest } = rig();
    const ratchet = Identity.create(seededRandom("ratchet")).publicKey.slice(0, 32);
    for (let i = 0; i < 3; i++) {
      const toIdentity = sealWith(keys.seal(identity, undefined), utf8("open"), seededRandom("iv"));
      const toRatchet = sealWith(keys.seal(identity, ratchet), utf8("shut"), seededRandom("iv"));
      assert.deepEqual(identity.decrypt(toIdentity), utf8("open"));
      assert.equal(identity.decrypt(toRatchet), undefined);
      rest();
    }
  });
});
