/** Who may revoke what: every right, everybody who has none, circles of revokers, freezes and recovery keys (rules 6, 7, 8). */
import assert from "node:assert/strict";
import {
  Authority,
  type AuthorityTrust,
  commitToKey,
  type Genesis,
  type Handover,
  MAX_REVOKERS,
  NO_TRUST,
  quorumCut,
  type RevocationScope,
  type RevocationTarget,
  revocationSetRoot,
  revokerCuts,
} from "../../spine/index.ts";
import { hasher, namedKey, sha256Hex } from "../helpers/crypto.ts";
import { throwsCode } from "../helpers/throws.ts";

const id = (name: string): string => namedKey(name).issuer;
const commitment = (name: string): string => commitToKey(namedKey(name).publicKey, sha256Hex);
const BUNDLE = `0x${"b0".repeat(32)}`;
const ALL: ReadonlySet<RevocationScope> = new Set(["node", "key", "token", "bundle"]);

function trusting(
  changes: Partial<AuthorityTrust> & { quorum?: number; names?: readonly string[] } = {},
): AuthorityTrust {
  const { quorum = 1, names = ["r1", "r2", "r3"], ...rest } = changes;
  return { ...NO_TRUST, revokers: new Map(names.map((name) => [id(name), { scopes: ALL, quorum }])), ...rest };
}
const node = (name: string, fromSeq = 0): RevocationTarget => ({ scope: "node", value: id(name), fromSeq });
const token = (value: string): RevocationTarget => ({ scope: "token", value, fromSeq: 0 });
const bundle: RevocationTarget = { scope: "bundle", value: BUNDLE, fromSeq: 0 };
const genesis = (name: string, recovery = `${name} recovery`): Genesis => ({
  issuer: id(name),
  recovery: commitment(recovery),
  next: commitment(`${name} next`),
  createdAtMs: 0,
});
const succession = (name: string, lastSeq: number, successor: string, recovery = `${name} recovery`): Handover => ({
  kind: "succession",
  old: id(name),
  lastSeq,
  lastHash: null,
  successor: id(successor),
  right: commitment(recovery),
});

class World {
  readonly authority: Authority;
  constructor(trust: AuthorityTrust = trusting()) {
    this.authority = new Authority(trust);
  }
  says(name: string, seq: number, ...targets: RevocationTarget[]) {
    return this.authority.addRevocation({ signer: id(name), seq, recovery: null, targets });
  }
  recovers(name: string, ...targets: RevocationTarget[]) {
    return this.authority.addRevocation({
      signer: id(name),
      seq: null,
      recovery: commitment(`${name} recovery`),
      targets,
    });
  }
  from(name: string): number | null {
    return this.authority.standing(id(name)).revokedFrom;
  }
}

describe("authority over nodes and keys", () => {
  it("lets an issuer revoke itself, for ever and under both names", () => {
    for (const scope of ["node", "key"] as const) {
      const world = new World(NO_TRUST);
      assert.deepEqual(world.says("a", 9, { scope, value: id("a"), fromSeq: 5 }), ["self"]);
      world.says("a", 10, { scope, value: id("a"), fromSeq: 8 });
      assert.equal(world.from("a"), 5);
      assert.deepEqual(
        [4, 5, 6].map((seq) => world.authority.decide(id("a"), seq)),
        ["allowed", "revoked", "revoked"],
      );
      assert.equal(world.authority.isRevoked(id("a")), true);
    }
  });
  it("gives nobody else a right, and remembers nothing of them", () => {
    const world = new World(trusting({ curators: new Set([id("c")]), tokenIssuers: new Set([id("t")]) }));
    for (const name of ["stranger", "c", "t"]) assert.deepEqual(world.says(name, 1, node("a")), [], name);
    assert.deepEqual(world.says("stranger", 2, bundle, token("x")), []);
    assert.deepEqual(world.says("c", 2, token("x")), []);
    assert.deepEqual(world.says("t", 2, bundle), []);
    assert.deepEqual([...world.authority.revoked()], []);
    assert.equal(world.authority.decide(id("a"), 1), "allowed");
  });
  it("keeps revokers to their scope", () => {
    const revokers = new Map([[id("r1"), { scopes: new Set<RevocationScope>(["node"]), quorum: 1 }]]);
    const world = new World({ ...NO_TRUST, revokers });
    assert.deepEqual(world.says("r1", 1, token("x"), bundle, { ...node("a"), scope: "key" }), []);
    assert.deepEqual(world.says("r1", 2, node("a", 3)), ["revoker"]);
    assert.equal(world.from("a"), 3);
  });
  it("waits for the quorum, and takes the seq on which so many agree", () => {
    const world = new World(trusting({ quorum: 2 }));
    world.says("r1", 1, node("a", 3));
    world.says("r1", 2, node("a", 1));
    assert.equal(world.from("a"), null, "one revoker twice is one");
    world.says("r2", 1, node("a", 7));
    assert.equal(world.from("a"), 7);
    world.says("r3", 1, node("a", 2));
    assert.equal(world.from("a"), 2);
  });
  it("counts the quorum of each revoker by itself", () => {
    const word = (signer: string, fromSeq: number, quorum: number) => ({ signer, fromSeq, quorum });
    assert.equal(quorumCut([]), Number.POSITIVE_INFINITY);
    assert.equal(quorumCut([word("a", 5, 1), word("b", 1, 3)]), 5);
    assert.equal(quorumCut([word("a", 5, 2), word("b", 1, 3)]), 5);
    assert.equal(quorumCut([word("a", 5, 3), word("b", 1, 3)]), Number.POSITIVE_INFINITY);
    assert.equal(quorumCut([word("a", 5, 2), word("a", 1, 2)]), Number.POSITIVE_INFINITY);
  });
  it("never lowers what is revoked", () => {
    const world = new World();
    world.says("r1", 5, node("a", 10));
    world.says("r1", 6, node("a", 20));
    assert.equal(world.from("a"), 10);
    world.says("r1", 7, node("a", 4));
    assert.equal(world.from("a"), 4);
  });
});

describe("authority of revokers over each other", () => {
  it("voids what a revoker signed from the seq on at which it was revoked, whatever came first", () => {
    for (const late of [false, true]) {
      const world = new World();
      if (!late) world.says("r1", 1, node("r2", 5));
      world.says("r2", 4, node("before"));
      world.says("r2", 5, node("after"));
      if (late) world.says("r1", 1, node("r2", 5));
      assert.deepEqual([world.from("before"), world.from("after")], [0, null]);
    }
  });
  it("revokes both of two that revoke each other, and nothing more by their word", () => {
    const world = new World();
    world.says("r1", 5, node("r2", 1));
    world.says("r2", 5, node("r1", 1));
    world.says("r2", 6, node("bystander"));
    assert.deepEqual([world.from("r1"), world.from("r2"), world.from("bystander")], [1, 1, null]);
  });
  it("revokes a whole circle", () => {
    const world = new World();
    world.says("r1", 5, node("r2"));
    world.says("r2", 5, node("r3"));
    world.says("r3", 5, node("r1"));
    assert.deepEqual(
      ["r1", "r2", "r3"].map((name) => world.from(name)),
      [0, 0, 0],
    );
  });
  it("gives a revoked revoker no circle to hide in", () => {
    const world = new World();
    world.says("r1", 5, node("r2", 100));
    world.says("r2", 50, node("r3", 1));
    world.says("r3", 7, node("r1", 1));
    assert.deepEqual(
      ["r1", "r2", "r3"].map((name) => world.from(name)),
      [null, 100, 1],
    );
  });
  it("does not let one of a quorum take others down", () => {
    const world = new World(trusting({ quorum: 2 }));
    world.says("r1", 1, node("r2"), node("r3"));
    assert.deepEqual([world.from("r2"), world.from("r3")], [null, null]);
    world.says("r2", 1, node("r1"));
    world.says("r3", 1, node("r1"));
    assert.equal(world.from("r1"), 0);
    assert.equal(world.from("r2"), null);
  });
  it("is bounded in revokers", () => {
    const names = Array.from({ length: MAX_REVOKERS + 1 }, (_, i) => `many ${i}`);
    throwsCode(() => new Authority(trusting({ names })), "config_invalid");
    throwsCode(() => new Authority(trusting({ quorum: 0 })), "config_invalid");
    assert.equal(revokerCuts([], () => 1).size, 0);
  });
});

describe("authority over bundles and tokens", () => {
  const trust = trusting({ curators: new Set([id("c"), id("thief")]), tokenIssuers: new Set([id("t"), id("u")]) });
  it("lets a curator revoke its own bundles only", () => {
    const { authority, ...world } = new World(trust);
    assert.deepEqual(authority.addRevocation({ signer: id("thief"), seq: 1, recovery: null, targets: [bundle] }), [
      "curator",
    ]);
    assert.equal(authority.isBundleRevoked(BUNDLE, id("thief"), 1), true);
    assert.equal(authority.isBundleRevoked(BUNDLE, id("c"), 1), false, JSON.stringify(world));
  });
  it("keeps a curator's revocations in force when a thief forks it", () => {
    const world = new World(trust);
    world.says("c", 4, bundle);
    world.authority.addFreeze(id("c"), 1);
    assert.equal(world.authority.isBundleRevoked(BUNDLE, id("c"), 0), true);
    assert.equal(
      world.authority.isBundleRevoked(`0x${"11".repeat(32)}`, id("c"), 0),
      false,
      "published before the fork",
    );
    assert.equal(world.authority.isBundleRevoked(`0x${"11".repeat(32)}`, id("c"), 1), true, "published after it");
  });
  it("takes all bundles with their curator", () => {
    const world = new World(trust);
    world.says("r1", 1, node("c"));
    assert.equal(world.authority.isBundleRevoked(`0x${"22".repeat(32)}`, id("c"), 1), true);
  });
  it("lets a token issuer revoke its own tokens only, and a revoker any", () => {
    const world = new World(trust);
    assert.deepEqual(world.says("t", 1, token("x")), ["token-issuer"]);
    assert.deepEqual(
      [id("t"), id("u"), undefined].map((issuer) => world.authority.isTokenRevoked("x", issuer)),
      [true, false, false],
    );
    world.says("r1", 1, token("x"), bundle);
    assert.equal(world.authority.isTokenRevoked("x", id("u")), true);
    assert.equal(world.authority.isBundleRevoked(BUNDLE, id("c"), 1), true);
  });
  it("drops all tokens of an issuer that was revoked or frozen", () => {
    const world = new World(trust);
    assert.equal(world.authority.isTokenIssuerRevoked(id("t")), false);
    world.authority.addFreeze(id("t"), 90);
    world.says("u", 1, node("u", 80));
    assert.deepEqual(
      [id("t"), id("u")].map((issuer) => world.authority.isTokenIssuerRevoked(issuer)),
      [true, true],
    );
  });
});

describe("authority of frozen and stolen keys", () => {
  it("voids a frozen revoker's word over others from the fork on, but not over itself", () => {
    const world = new World();
    world.says("r1", 2, node("early"));
    world.says("r1", 3, node("late"), node("r1", 3));
    world.authority.addFreeze(id("r1"), 7);
    world.authority.addFreeze(id("r1"), 3);
    world.authority.addFreeze(id("r1"), 5);
    assert.deepEqual([world.from("early"), world.from("late"), world.from("r1")], [0, null, 3]);
    assert.deepEqual(world.authority.standing(id("r1")).frozenAt, 3);
    assert.equal(world.authority.decide(id("r1"), 3), "revoked");
  });
  it("takes the recovery key's word in a frozen revoker's place", () => {
    const world = new World();
    world.authority.addFreeze(id("r1"), 3);
    world.says("r1", 3, node("late"));
    world.recovers("r1", node("late", 2));
    assert.equal(world.from("late"), null, "no genesis is known yet");
    world.authority.addGenesis(genesis("r1"));
    assert.equal(world.from("late"), 2);
    assert.deepEqual(world.recovers("r1", node("late", 2)), ["recovery"]);
  });
  it("does not let a thief undo revocations by revoking the stolen key", () => {
    const world = new World();
    world.says("r1", 5, node("a"));
    world.says("r1", 6, node("r1", 0));
    world.says("r1", 7, node("b"));
    assert.deepEqual([world.from("a"), world.from("b"), world.from("r1")], [0, null, 0]);
  });
  it("lets the recovery key say from where on a thief signed", () => {
    const world = new World();
    world.authority.addGenesis(genesis("r1"));
    world.says("r1", 5, node("a"));
    world.says("r1", 6, node("b"));
    world.recovers("r1", node("r1", 6));
    assert.deepEqual([world.from("a"), world.from("b"), world.from("r1")], [0, null, 6]);
  });
  it("gives no right to those who know only the hash of a recovery key", () => {
    const world = new World();
    world.authority.addGenesis(genesis("a"));
    world.authority.addRevocation({ signer: id("a"), seq: null, recovery: commitment("thief"), targets: [node("a")] });
    world.authority.addHandover(succession("a", 3, "thief", "thief recovery"));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: null, frozenAt: null, successor: null });
  });
  it("ends a recovery key's word over others when fellows revoke the revoker as a whole", () => {
    const world = new World();
    world.authority.addGenesis(genesis("r1"));
    world.recovers("r1", node("a"));
    world.says("r2", 1, node("r1", 1));
    assert.equal(world.from("a"), 0);
    world.says("r2", 2, node("r1", 0));
    assert.equal(world.from("a"), null);
    assert.equal(world.from("r1"), 0);
  });
});

describe("handing an identity over", () => {
  it("ends the old chain and names the successor", () => {
    const world = new World(NO_TRUST);
    world.authority.addHandover(succession("a", 7, "a2"));
    assert.equal(world.from("a"), null, "waits for the genesis");
    world.authority.addGenesis(genesis("a"));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: 8, frozenAt: null, successor: id("a2") });
    assert.deepEqual(
      [7, 8].map((seq) => world.authority.decide(id("a"), seq)),
      ["allowed", "revoked"],
    );
  });
  it("is the way out of a freeze", () => {
    const world = new World(NO_TRUST);
    world.authority.addGenesis(genesis("a"));
    world.authority.addFreeze(id("a"), 5);
    world.authority.addHandover(succession("a", 4, "a2"));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: 5, frozenAt: 5, successor: id("a2") });
  });
  it("names nobody when the recovery key named two", () => {
    const world = new World(NO_TRUST);
    world.authority.addGenesis(genesis("a"));
    world.authority.addHandover(succession("a", 7, "a2"));
    world.authority.addHandover(succession("a", 4, "a3"));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: 5, frozenAt: null, successor: null });
  });
  const rotation = (lastSeq: number): Handover => ({
    kind: "rotation",
    old: id("a"),
    lastSeq,
    lastHash: null,
    successor: id("a next"),
    right: commitment("a next"),
  });
  it("rotates to the committed key only, and replaying changes nothing", () => {
    const world = new World(NO_TRUST);
    world.authority.addGenesis(genesis("a"));
    world.authority.addHandover({ ...rotation(3), successor: id("thief"), right: commitment("thief") });
    assert.equal(world.from("a"), null);
    for (let i = 0; i < 3; i++) world.authority.addHandover(rotation(9));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: 10, frozenAt: null, successor: id("a next") });
    world.authority.addHandover({ ...rotation(9), old: id("b") });
    world.authority.addGenesis(genesis("b"));
    assert.equal(world.from("b"), null, "another issuer committed to another key");
  });
  it("lets the recovery key overrule a rotation", () => {
    const world = new World(NO_TRUST);
    world.authority.addGenesis(genesis("a"));
    world.authority.addHandover(rotation(9));
    world.authority.addHandover(succession("a", 6, "a2"));
    assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: 7, frozenAt: null, successor: id("a2") });
  });
  it("believes neither of two geneses, unless the recovery key is pinned", () => {
    for (const order of [0, 1]) {
      const both = [genesis("a"), genesis("a", "thief recovery")];
      for (const pinned of [false, true]) {
        const recoveryPins = pinned ? new Map([[id("a"), commitment("a recovery")]]) : NO_TRUST.recoveryPins;
        const world = new World({ ...NO_TRUST, recoveryPins });
        for (const one of order === 0 ? both : both.toReversed()) world.authority.addGenesis(one);
        world.authority.addHandover(succession("a", 7, "a2"));
        world.authority.addHandover(succession("a", 2, "thief", "thief recovery"));
        assert.deepEqual(
          world.authority.standing(id("a")),
          pinned
            ? { revokedFrom: 8, frozenAt: null, successor: id("a2") }
            : { revokedFrom: null, frozenAt: null, successor: null },
        );
      }
    }
  });
  it("believes no genesis of an issuer whose first envelope is forked, whichever branch is held", () => {
    for (const recovery of ["a recovery", "thief recovery"]) {
      const world = new World(NO_TRUST);
      world.authority.addFreeze(id("a"), 1);
      world.authority.addGenesis(genesis("a", recovery));
      world.authority.addHandover(succession("a", 7, "a2", recovery));
      assert.deepEqual(world.authority.standing(id("a")), { revokedFrom: null, frozenAt: 1, successor: null });
    }
  });
});

describe("a change of trust", () => {
  it("judges known revocations anew and names whose others are needed", () => {
    const world = new World();
    world.says("r1", 1, node("a"));
    world.says("late", 1, node("b"));
    assert.deepEqual(world.authority.setTrust(trusting({ names: ["r2", "r3"] })), []);
    assert.equal(world.from("a"), null);
    assert.deepEqual(world.authority.setTrust(trusting({ names: ["r1", "late"], curators: new Set([id("c")]) })), [
      id("r1"),
      id("late"),
      id("c"),
    ]);
    assert.deepEqual([world.from("a"), world.from("b")], [0, null]);
    world.says("late", 1, node("b"));
    assert.equal(world.from("b"), 0);
    assert.deepEqual(world.authority.revokersOf("node"), [
      { issuer: id("r1"), quorum: 1 },
      { issuer: id("late"), quorum: 1 },
    ]);
  });
  it("keeps the old trust when the new one is refused", () => {
    const world = new World();
    throwsCode(() => world.authority.setTrust(trusting({ quorum: -1 })), "config_invalid");
    assert.deepEqual(world.says("r1", 1, node("a")), ["revoker"]);
  });
});

describe("the root of a revocation set", () => {
  it("need not be made anew while the version stands still", () => {
    const world = new World();
    const steps: (() => unknown)[] = [
      () => world.says("r1", 1, node("a")),
      () => world.says("a", 1, node("a", 3)),
      () => world.authority.addFreeze(id("r2"), 3),
      () => world.authority.addGenesis(genesis("a")),
      () => world.authority.addHandover(succession("a", 1, "a2")),
      () => world.recovers("a", node("a", 1)),
      () => world.authority.setTrust(trusting({ quorum: 2 })),
    ];
    for (const [i, step] of steps.entries()) {
      const before = world.authority.version;
      step();
      const after = world.authority.version;
      assert.ok(after > before, `step ${i}`);
      if (i === steps.length - 1) continue;
      step();
      assert.equal(world.authority.version, after, `step ${i} again`);
    }
  });
  it("is the same for any order and differs for any other set", () => {
    const [one, other] = [new World(), new World()];
    one.says("r1", 1, node("a", 3), token("x"), bundle);
    other.says("r1", 1, bundle, token("x"), node("a", 3));
    const rootOf = (world: World) => revocationSetRoot(world.authority.revoked(), hasher);
    assert.deepEqual(rootOf(one), rootOf(other));
    assert.equal(rootOf(one).count, 3);
    other.says("r1", 2, node("a", 2));
    assert.equal(rootOf(other).count, 3);
    assert.notEqual(rootOf(one).root, rootOf(other).root);
    assert.deepEqual(revocationSetRoot([], hasher), { count: 0, root: `0x${sha256Hex(new Uint8Array())}` });
  });
});
