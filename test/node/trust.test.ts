/** The trust file: one validated format, and reloads that never loosen silently (rules 8). */
import assert from "node:assert/strict";
import { chmod, readFile, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import {
  authorityTrust,
  changeTrust,
  confirmTrust,
  curatorsFromToml,
  EMPTY_TRUST,
  parseTrustText,
  readTrustFile,
  reloadTrust,
  stricterTrust,
  type TrustFile,
  type TrustPaths,
  trustLoosenings,
  trustSchema,
  trustText,
  watchTrust,
  writeTrustFile,
} from "../../node/index.ts";
import { Authority, REVOCATION_SCOPES } from "../../spine/index.ts";
import { namedKey } from "../helpers/crypto.ts";
import { temporaryFolders } from "../helpers/temporary.ts";
import { throwsCode } from "../helpers/throws.ts";

const keys = Array.from({ length: 5 }, (_, i) => namedKey(`trust ${i}`).issuer);
const [a, b, c] = keys as [string, string, string];
const trust = (fields: object): TrustFile => trustSchema.parse(fields);
const hash = (digit: string): string => `0x${digit.repeat(64)}`;

describe("the trust file", () => {
  const full = trust({
    curators: [{ key: a, name: "team", level: "full" }, { key: b }],
    revokers: [
      { key: a, scope: ["node", "bundle"], quorum: 2 },
      { key: b, scope: ["token"] },
    ],
    logs: [{ key: c }],
    witnesses: [{ key: a }, { key: b }],
    witnessQuorum: 2,
    tokenIssuers: [{ key: c }],
    issuers: [{ key: b, attests: true, recoveryKeyHash: hash("a") }],
  });
  it("reads what it writes", () => {
    assert.deepEqual(parseTrustText(trustText(full), "trust.yaml"), full);
    assert.deepEqual(parseTrustText("", "trust.yaml"), EMPTY_TRUST);
    assert.equal(full.curators[1]?.level, "audit-only", "the level that grants less is the default");
  });
  it("becomes what the core judges by", () => {
    const judged = authorityTrust(full);
    assert.deepEqual(judged.revokers.get(a), { scopes: new Set(["node", "bundle"]), quorum: 2 });
    assert.deepEqual([judged.curators, judged.tokenIssuers], [new Set([a, b]), new Set([c])]);
    assert.deepEqual(judged.recoveryPins, new Map([[b, hash("a")]]));
    assert.ok(new Authority(judged));
  });
  it("refuses everything that it does not know, naming the field", () => {
    const revoker = (fields: object) => ({ revokers: [{ key: a, scope: ["node"], ...fields }] });
    for (const [value, message] of [
      [{ curator: [] }, /curator/],
      [{ curators: [{ key: a }, { key: a }] }, /curators\.1\.key: named twice/],
      [{ curators: [{ key: a.toUpperCase() }] }, /curators\.0\.key/],
      [{ curators: [{ key: `aegis:ed25519:01${"00".repeat(31)}` }] }, /no honest signer/],
      [{ curators: [{ key: a, level: "root" }] }, /level/],
      [revoker({ scope: [] }), /scope/],
      [revoker({ scope: ["everything"] }), /scope/],
      [revoker({ quorum: 0 }), /quorum/],
      [revoker({ quorum: 2 }), /more than there are revokers/],
      [{ witnesses: [{ key: a }], witnessQuorum: 2 }, /more than there are witnesses/],
      [{ issuers: [{ key: a, recoveryKeyHash: "0xab" }] }, /recoveryKeyHash/],
      [{ logs: "all" }, /logs/],
      [[], /trust\.yaml/],
    ] as const)
      throwsCode(() => parseTrustText(JSON.stringify(value), "trust.yaml"), "config_invalid", message);
    for (const text of ["a: [", "a: 1\na: 2", "\u0000", "x: &a [*a]"])
      throwsCode(() => parseTrustText(text, "trust.yaml"), "config_invalid");
  });
});

describe("curators in TOML", () => {
  const hex = a.slice(14);
  it("become curators of the trust file", () => {
    const text = `trusted_keys = ["${c.slice(14)}"]
[[curator]]
name = "Team"
public_key = "0x${hex.toUpperCase()}"
trust_level = "full"
feed_ids = ["main"]
[[curator]]
public_key = "${b.slice(14)}"
`;
    assert.deepEqual(curatorsFromToml(text, "c.toml"), [
      { key: a, name: "Team", level: "full", feeds: ["main"] },
      { key: b, level: "audit-only", feeds: [] },
      { key: c, level: "audit-only", feeds: [] },
    ]);
    assert.deepEqual(curatorsFromToml("", "c.toml"), []);
  });
  it("are refused when they are none", () => {
    for (const text of [
      "[[curator",
      "curator = 1",
      "[[curator]]\nname = 'x'",
      `[[curator]]\npublic_key = "${hex}"\ntrust_level = "root"`,
      `[[curator]]\npublic_key = "${hex}"\nmore = 1`,
      `trusted_keys = ["${hex}", "${hex}"]`,
      `trusted_keys = ["01${"00".repeat(31)}"]`,
    ])
      throwsCode(() => curatorsFromToml(text, "c.toml"), "config_invalid", /^c\.toml: /);
  });
});

describe("a change of the trust file", () => {
  const base = trust({
    curators: [
      { key: a, level: "audit-only", feeds: [] },
      { key: b, level: "full", feeds: ["one"] },
    ],
    revokers: [
      { key: a, scope: ["node", "key"] },
      { key: b, scope: ["node"], quorum: 2 },
    ],
    witnesses: [{ key: a }, { key: b }],
    witnessQuorum: 2,
    issuers: [{ key: a }],
  });
  const looser: readonly (readonly [string, Partial<TrustFile>, RegExp])[] = [
    ["a new curator", { curators: [...base.curators, { key: c, level: "audit-only", feeds: [] }] }, /curators: adds/],
    [
      "a higher level",
      { curators: [{ key: a, level: "full", feeds: [] }, ...base.curators.slice(1)] },
      /from audit-only to full/,
    ],
    ["any feed", { curators: [...base.curators.slice(0, 1), { key: b, level: "full", feeds: [] }] }, /any feed/],
    [
      "another feed",
      { curators: [...base.curators.slice(0, 1), { key: b, level: "full", feeds: ["one", "two"] }] },
      /feed two/,
    ],
    ["a revoker less", { revokers: [{ key: a, scope: ["node", "key"], quorum: 1 }] }, /revokers: removes/],
    ["a scope less", { revokers: [{ key: a, scope: ["node"], quorum: 1 }, ...base.revokers.slice(1)] }, /scope key/],
    ["a higher quorum", { revokers: base.revokers.map((one) => ({ ...one, quorum: 2 })) }, /quorum of .* from 1 to 2/],
    ["a log", { logs: [{ key: c }] }, /logs: adds/],
    ["a witness", { witnesses: [...base.witnesses, { key: c }] }, /witnesses: adds/],
    ["a lower witness quorum", { witnessQuorum: 1 }, /witnessQuorum: lowers/],
    ["a token issuer", { tokenIssuers: [{ key: c }] }, /tokenIssuers: adds/],
    ["an issuer", { issuers: [...base.issuers, { key: c, attests: false }] }, /issuers: adds/],
    ["an attestor", { issuers: [{ key: a, attests: true }] }, /attest others/],
    ["a recovery key", { issuers: [{ key: a, attests: false, recoveryKeyHash: hash("b") }] }, /recovery key/],
  ];
  for (const [title, change, message] of looser)
    it(`that is looser by ${title} is told, and without effect`, () => {
      const next = { ...base, ...change };
      const found = trustLoosenings(base, next);
      assert.equal(found.length, 1, found.join("\n"));
      assert.match(found[0] as string, message);
      assert.deepEqual(trustLoosenings(base, stricterTrust(base, next)), []);
      assert.deepEqual(stricterTrust(base, next), base);
    });
  it("that only tightens takes effect whole", () => {
    const tighter = trust({
      revokers: [
        { key: a, scope: ["node", "key", "token"] },
        { key: b, scope: ["node"] },
        { key: c, scope: ["node"] },
      ],
      witnesses: [{ key: a }, { key: b }],
      witnessQuorum: 2,
    });
    assert.deepEqual(trustLoosenings(base, tighter), []);
    assert.deepEqual(stricterTrust(base, tighter), tighter);
  });

  const key = fc.constantFrom(...keys);
  const entries = <T>(entry: fc.Arbitrary<T & { key: string }>) =>
    fc.uniqueArray(entry, { maxLength: 3, selector: (one) => one.key });
  const plain = fc.record({ key }, { noNullPrototype: true });
  const anyTrust: fc.Arbitrary<TrustFile> = fc.record(
    {
      curators: entries(
        fc.record(
          {
            key,
            level: fc.constantFrom<"full" | "audit-only">("full", "audit-only"),
            feeds: fc.subarray(["one", "two"]),
          },
          { noNullPrototype: true },
        ),
      ),
      revokers: entries(
        fc.record(
          { key, scope: fc.subarray([...REVOCATION_SCOPES], { minLength: 1 }), quorum: fc.integer({ min: 1, max: 3 }) },
          { noNullPrototype: true },
        ),
      ),
      logs: entries(plain),
      witnesses: entries(plain),
      witnessQuorum: fc.integer({ min: 1, max: 3 }),
      tokenIssuers: entries(plain),
      issuers: entries(
        fc.tuple(key, fc.boolean(), fc.constantFrom(undefined, hash("a"), hash("b"))).map(([one, attests, pin]) => ({
          key: one,
          attests,
          ...(pin === undefined ? {} : { recoveryKeyHash: pin }),
        })),
      ),
    },
    { noNullPrototype: true },
  );
  it("never lets anything through that the old file did not, and is told exactly when it would", () => {
    const sorted = (file: TrustFile) =>
      JSON.stringify(file, (_, value: unknown) =>
        Array.isArray(value) ? value.map((one) => JSON.stringify(one)).sort() : value,
      );
    fc.assert(
      fc.property(anyTrust, anyTrust, (old, next) => {
        const strict = stricterTrust(old, next);
        assert.deepEqual(trustLoosenings(old, strict), []);
        assert.deepEqual(stricterTrust(old, strict), strict, "a second reload changes nothing");
        assert.equal(
          trustLoosenings(next, strict).every((one) => one.includes("recovery key")),
          true,
        );
        if (trustLoosenings(old, next).length === 0) assert.equal(sorted(strict), sorted(next));
      }),
      { numRuns: 500 },
    );
  });
});

describe("keeping trust over reloads", () => {
  const folder = temporaryFolders();
  const paths = async (): Promise<TrustPaths> => {
    const path = await folder();
    return { file: join(path, "trust.yaml"), accepted: join(path, "trust.accepted") };
  };
  const one = trust({ curators: [{ key: a }], revokers: [{ key: b, scope: ["node"] }] });
  const two = trust({ curators: [{ key: a }, { key: c }], revokers: [{ key: b, scope: ["node", "key"] }] });

  it("trusts nobody by itself, and a hand-written file only when confirmed", async () => {
    const at = await paths();
    assert.deepEqual(await reloadTrust(at), { effective: EMPTY_TRUST, pending: [], problem: null });
    await writeTrustFile(at.file, one);
    const first = await reloadTrust(at);
    assert.deepEqual(first.effective, { ...EMPTY_TRUST, revokers: one.revokers }, "revokers restrict: at once");
    assert.deepEqual(first.pending, [`curators: adds ${a}`]);
    assert.deepEqual(await confirmTrust(at), [`curators: adds ${a}`]);
    assert.deepEqual(await reloadTrust(at), { effective: one, pending: [], problem: null });
  });
  it("takes what tightens, keeps what would loosen for confirmation, also over restarts", async () => {
    const at = await paths();
    await writeTrustFile(at.file, one);
    await confirmTrust(at);
    await writeTrustFile(at.file, two);
    for (let restart = 0; restart < 2; restart++) {
      const { effective, pending } = await reloadTrust(at);
      assert.deepEqual(effective, { ...two, curators: one.curators });
      assert.deepEqual(pending, [`curators: adds ${c}`]);
    }
    assert.equal((await stat(at.accepted)).mode & 0o777, 0o600);
  });
  it("keeps the former trust when the file is garbage, gone, open to others, huge or no file", async () => {
    const at = await paths();
    await writeTrustFile(at.file, one);
    await confirmTrust(at);
    const spoil: (() => Promise<unknown>)[] = [
      () => writeFile(at.file, "\u0000\u0001garbage: ["),
      () => writeFile(at.file, "curators: {}"),
      () => chmod(at.file, 0o644),
      () => chmod(at.file, 0o600).then(() => truncate(at.file, 9_000_000)),
      () => import("node:fs/promises").then(({ unlink }) => unlink(at.file)),
      () => symlink(join(at.file, ".."), at.file),
    ];
    for (const [i, harm] of spoil.entries()) {
      await harm();
      const { effective, problem } = await reloadTrust(at);
      assert.deepEqual(effective, one, `case ${i}`);
      assert.equal(problem?.code, "config_invalid", `case ${i}`);
      await assert.rejects(confirmTrust(at), { code: "config_invalid" });
      await assert.rejects(
        changeTrust(at, (file) => file),
        { code: "config_invalid" },
      );
    }
  });
  it("changes one entry by command, and leaves pending what is pending", async () => {
    const at = await paths();
    await writeTrustFile(at.file, one);
    await confirmTrust(at);
    await writeTrustFile(at.file, two);
    await changeTrust(at, (file) => ({ ...file, logs: [{ key: a }] }));
    const { effective, pending } = await reloadTrust(at);
    assert.deepEqual([effective.logs, effective.curators], [[{ key: a }], one.curators]);
    assert.deepEqual(pending, [`curators: adds ${c}`]);
    assert.deepEqual((await readTrustFile(at.file))?.curators, two.curators);
  });
  it("lives with a trust in effect that asks for more witnesses than are left", async () => {
    const at = await paths();
    await writeTrustFile(at.file, trust({ witnesses: [{ key: a }, { key: b }], witnessQuorum: 2 }));
    await confirmTrust(at);
    await writeTrustFile(at.file, trust({ witnesses: [{ key: c }] }));
    for (let restart = 0; restart < 2; restart++) {
      const { effective, problem } = await reloadTrust(at);
      assert.deepEqual([effective.witnesses, effective.witnessQuorum, problem], [[], 2, null]);
    }
  });
  it("bounds the revokers that wait to be removed", async () => {
    const at = await paths();
    const many = (from: number) =>
      trust({
        revokers: Array.from({ length: 32 }, (_, i) => ({ key: namedKey(`r ${from + i}`).issuer, scope: ["node"] })),
      });
    for (const from of [0, 32]) {
      await writeTrustFile(at.file, many(from));
      assert.equal((await reloadTrust(at)).problem, null);
    }
    await writeTrustFile(at.file, many(64));
    const { effective, problem } = await reloadTrust(at);
    assert.deepEqual([effective.revokers.length, problem?.code], [64, "config_invalid"]);
    assert.deepEqual(authorityTrust(effective).revokers.size, 64);
  });
  it("says so when what is in effect was tampered with, and trusts nothing instead", async () => {
    const at = await paths();
    await writeTrustFile(at.file, one);
    await confirmTrust(at);
    for (const text of ["", "{", '{"curators":1}', '{"logs":[],"logs":[]}']) {
      await writeFile(at.accepted, text);
      await assert.rejects(reloadTrust(at), { code: "config_invalid" });
    }
  });
  it("holds as many as the format allows", async () => {
    const at = await paths();
    const name = "\u{1f6a8}".repeat(32);
    const issuers = Array.from({ length: 10_000 }, (_, i) => ({
      // Nobody signs here: a key in form is enough, and ten thousand real ones would take many seconds to make.
      key: `aegis:ed25519:${`${i}`.padStart(60, "0")}0101`,
      name,
      recoveryKeyHash: hash("a"),
    }));
    await writeTrustFile(at.file, trust({ issuers }));
    await confirmTrust(at);
    assert.equal((await reloadTrust(at)).effective.issuers.length, 10_000);
  });
  it("notices changes while it watches, and ends when told", async () => {
    const at = await paths();
    await writeTrustFile(at.file, one);
    const controller = new AbortController();
    const noticed = new Promise<void>((resolve, reject) => {
      const changed = async (): Promise<void> => {
        if ((await reloadTrust(at)).effective.revokers.length === 2) resolve();
      };
      watchTrust(at, changed, controller.signal).catch(reject);
    });
    const other = { key: c, scope: ["key" as const], quorum: 1 };
    await writeTrustFile(at.file, { ...one, revokers: [...one.revokers, other] });
    await noticed;
    controller.abort();
    assert.match(await readFile(at.accepted, "utf8"), new RegExp(c));
  });
});
