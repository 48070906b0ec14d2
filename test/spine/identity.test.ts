/** Ids, hashes, seeds and the strictness rule against the key vectors, the edge vectors and two verifiers. */
import assert from "node:assert/strict";
import { createPublicKey, verify as nodeVerify } from "node:crypto";
import { Point } from "@noble/ed25519";
import {
  foreignIssuer,
  fromHex,
  isStrictKey,
  isStrictSignature,
  issuerOf,
  nobleSigner,
  nobleVerifier,
  nobleVerify,
  normalizeHash,
  normalizeSeed,
  parseIssuer,
  parseSeed,
  parseSignature,
  policyKey,
  receiptVerificationPrefix,
  signatureText,
  toHex,
  utf8,
} from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { outcome } from "../helpers/throws.ts";
import { differs } from "./deviations.ts";

interface Keys {
  readonly keypairs: {
    seed_hex: string;
    public_key_hex: string;
    issuer: string;
    message_utf8: string;
    signature: string;
  }[];
  readonly issuer_parse: { issuer: string; ok: boolean; pubkey_hex?: string }[];
  readonly hash_normalize: {
    input: string;
    normalized: string | null;
    policy_key: string | null;
    receipt_prefix: string | null;
  }[];
  readonly seed_normalize: { input: string; normalized: string }[];
}

describeShared("key vectors", ["vectors/spine/keys.json"], () => {
  const keys = sharedJson<Keys>("vectors/spine/keys.json");
  for (const k of keys.keypairs)
    it(`key pair ${k.seed_hex.slice(0, 8)}`, async () => {
      const signer = nobleSigner(parseSeed(k.seed_hex));
      assert.equal(signer.issuer, k.issuer);
      const key = parseIssuer(k.issuer);
      assert.equal(toHex(key), k.public_key_hex);
      assert.equal(issuerOf(key), k.issuer);
      const message = utf8(k.message_utf8);
      const signature = await signer.sign(message);
      assert.equal(signatureText(signature), k.signature);
      assert.deepEqual(parseSignature(k.signature), signature);
      assert.deepEqual(
        await nobleVerifier.verify([
          { key, message, signature },
          { key, message: utf8("other"), signature },
        ]),
        [true, false],
      );
    });
  for (const c of keys.issuer_parse)
    it(`issuer ${JSON.stringify(c.issuer.slice(0, 24))} of ${c.issuer.length}`, () => {
      assert.equal(
        outcome(() => foreignIssuer(c.issuer)),
        c.ok ? "ok" : "issuer_syntax",
      );
      const isLower = c.issuer === c.issuer.toLowerCase();
      assert.equal(
        outcome(() => parseIssuer(c.issuer)),
        c.ok && isLower ? "ok" : "issuer_syntax",
      );
      if (c.pubkey_hex !== undefined)
        assert.equal(foreignIssuer(c.issuer), `aegis:ed25519:${c.pubkey_hex.toLowerCase()}`);
    });
  for (const c of keys.hash_normalize)
    it(`hash ${JSON.stringify(c.input.slice(0, 12))} of ${c.input.length}`, () => {
      assert.equal(normalizeHash(c.input) ?? null, c.normalized);
      assert.equal(policyKey(c.input) ?? null, c.policy_key);
      assert.equal(receiptVerificationPrefix(c.input) ?? null, c.receipt_prefix);
    });
  for (const c of keys.seed_normalize)
    it(`seed ${JSON.stringify(c.input.slice(0, 8))}`, () => assert.equal(normalizeSeed(c.input), c.normalized));
});

interface EdgeCase {
  readonly name: string;
  readonly public_key_hex: string;
  readonly message_hex: string;
  readonly signature_hex: string;
  readonly upstream_verify: string;
  readonly dalek_verify_strict: string;
}

/** The daemon's verifier in short: the strictness rule, then OpenSSL. */
function strictNodeVerify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!isStrictKey(key) || !isStrictSignature(signature)) return false;
  const x = Buffer.from(key).toString("base64url");
  const keyObject = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return nodeVerify(null, message, keyObject, signature);
}

describeShared("ed25519 edge vectors", ["vectors/spine/ed25519_edge.json"], () => {
  const { cases } = sharedJson<{ cases: EdgeCase[] }>("vectors/spine/ed25519_edge.json");
  for (const c of cases)
    it(c.name, () => {
      const key = fromHex(c.public_key_hex);
      const message = fromHex(c.message_hex);
      const signature = fromHex(c.signature_hex);
      const expected = c.dalek_verify_strict === "valid";
      assert.equal(nobleVerify({ key, message, signature }), expected);
      assert.equal(strictNodeVerify(key, message, signature), expected);
      assert.equal(expected !== (c.upstream_verify === "valid"), differs("ed25519_edge.json", c.name));
    });
});

describe("the strictness rule", () => {
  const order8 = Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
  it("refuses all eight points of small order, as keys and as R", () => {
    const seen = new Set<string>();
    let point = order8;
    for (let i = 0; i < 8; i++) {
      seen.add(point.toHex());
      point = point.add(order8);
    }
    assert.equal(seen.size, 8);
    for (const hex of seen) {
      assert.equal(isStrictKey(fromHex(hex)), false, hex);
      assert.equal(isStrictSignature(fromHex(hex + "01".padEnd(64, "0"))), false, hex);
    }
  });
  it("refuses every encoding with y ≥ p and nothing below but small order", () => {
    for (let low = 0xe8; low <= 0xff; low++)
      for (const top of ["7f", "ff"]) {
        const hex = low.toString(16) + "ff".repeat(30) + top;
        assert.equal(isStrictKey(fromHex(hex)), low < 0xec, hex);
      }
    assert.equal(isStrictKey(fromHex(`ff${"ff".repeat(29)}fe7f`)), true);
    assert.equal(isStrictKey(new Uint8Array(31)), false);
  });
  it("bounds S by the group order", () => {
    const r = Point.BASE.toHex();
    const order = Point.CURVE().n;
    const signature = (s: bigint): Uint8Array =>
      fromHex(r + toHex(fromHex(s.toString(16).padStart(64, "0")).reverse()));
    assert.equal(isStrictSignature(signature(0n)), true);
    assert.equal(isStrictSignature(signature(order - 1n)), true);
    assert.equal(isStrictSignature(signature(order)), false);
    assert.equal(isStrictSignature(signature(order + 1n)), false);
    assert.equal(isStrictSignature(signature(2n ** 256n - 1n)), false);
    assert.equal(isStrictSignature(new Uint8Array(63)), false);
  });
  it("leaves keys off the curve to the library, which refuses them without throwing", () => {
    const key = fromHex(`02${"00".repeat(31)}`);
    const signature = fromHex(Point.BASE.toHex() + "00".repeat(32));
    assert.equal(isStrictKey(key), true);
    assert.equal(nobleVerify({ key, message: new Uint8Array(0), signature }), false);
    assert.equal(nobleVerify({ key: key.subarray(1), message: new Uint8Array(0), signature }), false);
  });
});

describe("signature texts", () => {
  it("are read in the documented spellings only", () => {
    const hex = "ab".repeat(64);
    assert.equal(
      outcome(() => parseSignature(hex)),
      "ok",
    );
    assert.equal(
      outcome(() => parseSignature(`0x${hex.toUpperCase()}`)),
      "ok",
    );
    for (const bad of [`0X${hex}`, ` ${hex}`, hex.slice(1), `${hex}00`, `${hex.slice(2)}zz`, ""])
      assert.equal(
        outcome(() => parseSignature(bad)),
        "signature_syntax",
      );
  });
});
