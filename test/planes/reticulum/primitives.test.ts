/** Identities, hashes, names, tokens, MessagePack and access codes against the vectors. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { ExchangeKey, hkdf, hmacSha256, sha256 } from "../../../planes/reticulum/stack/crypto.ts";
import { Identity, PublicIdentity } from "../../../planes/reticulum/stack/identity.ts";
import { Ifac } from "../../../planes/reticulum/stack/ifac.ts";
import { Double, type Packable, pack, unpack } from "../../../planes/reticulum/stack/msgpack.ts";
import { destinationHash, dottedName, GROUP, nameHash, PLAIN } from "../../../planes/reticulum/stack/name.ts";
import { buildPacket, DATA } from "../../../planes/reticulum/stack/packet.ts";
import { Token } from "../../../planes/reticulum/stack/token.ts";
import { fromHex, SpineError } from "../../../spine/index.ts";
import { seededRandom } from "./ether.ts";
import { assertHex, describeVectors, drawn, type VectorFile } from "./vectors.ts";

type Row = Readonly<Record<string, string>>;

describeVectors<VectorFile<Row>>("identities", ({ cases }) => {
  for (const c of cases) {
    it(c["name"] as string, () => {
      if (c["shared_secret"] !== undefined) {
        const key = new ExchangeKey(fromHex(c["x25519_private"] as string));
        assertHex(key.agree(fromHex(c["x25519_public"] as string)), c["shared_secret"]);
        return;
      }
      const message = fromHex(c["message"] as string);
      const signature = fromHex(c["signature"] as string);
      const identity = new PublicIdentity(fromHex(c["public_key"] as string));
      assert.equal(identity.verify(message, signature), c["signature_valid"]);
      if (c["private_key"] === undefined) return;
      const own = Identity.fromPrivateKey(fromHex(c["private_key"]));
      assertHex(own.publicKey, c["public_key"]);
      assertHex(own.hash, c["identity_hash"]);
      assertHex(own.sign(message), c["signature"]);
      assertHex(own.exportPrivateKey(), c["file_bytes"]);
    });
  }
});

describeVectors<VectorFile<Row & { length: number; salt: string | null }>>("hashes", ({ cases }) => {
  for (const c of cases) {
    it(`${c["op"]} ${c["note"] ?? c.length ?? c["data"]?.length}`, () => {
      if (c["op"] === "full_hash") {
        assertHex(sha256(fromHex(c["data"] as string)), c["sha256"]);
        return;
      }
      const salt = c.salt === null ? undefined : fromHex(c.salt);
      const okm = hkdf(c.length, fromHex(c["ikm"] as string), salt, fromHex(c["context"] ?? ""));
      if (c["okm"] !== undefined) assertHex(okm, c["okm"]);
      else {
        assertHex(sha256(okm), c["okm_sha256"]);
        assertHex(okm.subarray(-64), c["okm_tail_64"]);
      }
    });
  }
});

describeVectors<VectorFile<Row & { aspects: string[]; identity_hash: string | null }>>("destinations", ({ cases }) => {
  for (const c of cases) {
    it(`${c["kind"]} ${c["app_name"]} ${c.aspects.join(" ")}`, () => {
      if (c["kind"] === "invalid") {
        assert.throws(() => dottedName(c["app_name"] as string, c.aspects), SpineError);
        return;
      }
      const name = nameHash(dottedName(c["app_name"] as string, c.aspects));
      assertHex(name, c["name_hash"]);
      const identity = c.identity_hash == null ? undefined : fromHex(c.identity_hash);
      assertHex(destinationHash(name, identity), c["destination_hash"]);
    });
  }
});

type TokenCase = Row & {
  ratchet_private: string | null;
  ratchet_public: string | null;
  decrypts: boolean;
  aspects: string[];
};
describeVectors<VectorFile<TokenCase>>("tokens", ({ cases }) => {
  cases.forEach((c, i) => {
    const hex = (key: string): Uint8Array => fromHex(c[key] as string);
    it(`${i} ${c["kind"]} ${c["tampered"] ?? ""}`, () => {
      if (c["kind"] === "symmetric") {
        const token = new Token(hex("key"));
        assertHex(token.encrypt(hex("plaintext"), drawn(c["iv"] as string)), c["token"]);
        assertHex(token.decrypt(hex("token")), c["plaintext"]);
      } else if (c["kind"] === "group-packet") {
        const name = nameHash(dottedName(c["app_name"] as string, c.aspects));
        const data = new Token(hex("group_key")).encrypt(hex("plaintext"), drawn(c["iv"] as string));
        const destination = destinationHash(name, hex("identity_hash"));
        assertHex(buildPacket({ packetType: DATA, destinationType: GROUP, destination, data }), c["raw"]);
      } else if (c["kind"] === "plain-packet") {
        const destination = hex("destination_hash");
        const data = hex("plaintext");
        assertHex(buildPacket({ packetType: DATA, destinationType: PLAIN, destination, data }), c["raw"]);
      } else {
        const recipient = Identity.fromPrivateKey(hex("recipient_private_key"));
        const ratchets = c.ratchet_private === null ? [] : [new ExchangeKey(fromHex(c.ratchet_private))];
        assertHex(recipient.decrypt(hex("ciphertext"), ratchets), c.decrypts ? c["plaintext"] : undefined);
        if (!c.decrypts) return;
        const random = drawn(c["ephemeral_private"] as string, c["iv"] as string);
        assertHex(recipient.encrypt(hex("plaintext"), random, ratchets[0]?.publicKey), c["ciphertext"]);
      }
    });
  });
});

/** The Python literals of the vector file, as far as they can be read without guessing. */
function literal(repr: string): Packable | undefined {
  const word = new Map<string, Packable>([
    ["True", true],
    ["False", false],
    ["None", null],
  ]).get(repr);
  if (word !== undefined) return word;
  if (/^-?\d+$/.test(repr)) return Number(repr);
  if (/^-?\d+\.\d+$|^-?\d+(\.\d+)?e[+-]\d+$/.test(repr)) return new Double(Number(repr));
  if (/^'[^'\\]*'$/.test(repr)) return repr.slice(1, -1);
  if (repr.startsWith("[")) return JSON.parse(repr) as Packable;
  return undefined;
}

describeVectors<VectorFile<Row>>("msgpack", ({ cases }) => {
  for (const c of cases) {
    it(c["repr"] as string, () => {
      assertHex(pack(unpack(fromHex(c["packed"] as string))), c["packed"]);
      const value = literal(c["repr"] as string);
      if (value !== undefined) assertHex(pack(value), c["packed"]);
    });
  }
});

interface IfacFile {
  readonly cases: readonly (Row & { netname: string | null; netkey: string | null; ifac_size: number })[];
  readonly negative: {
    readonly ifac_key: string;
    readonly ifac_size: number;
    readonly cases: readonly { why: string; iface: string; packet: string; accepted: boolean }[];
  };
}
describeVectors<IfacFile>("ifac", ({ cases, negative }) => {
  const make = (c: IfacFile["cases"][number]): Ifac =>
    new Ifac({
      ...(c.netname === null ? {} : { networkName: c.netname }),
      ...(c.netkey === null ? {} : { passphrase: c.netkey }),
      sizeBytes: c.ifac_size,
    });
  cases.forEach((c, i) => {
    it(`${i} ${c.netname} ${c.netkey} ${c.ifac_size}`, () => {
      const ifac = make(c);
      assertHex(ifac.key, c["ifac_key"]);
      const masked = ifac.mask(fromHex(c["raw"] as string));
      assertHex(masked, c["masked"]);
      assertHex(ifac.open(masked), c["raw"]);
    });
  });
  for (const n of negative.cases.filter((n) => n.iface === "ifac")) {
    it(`refuses: ${n.why}`, () => {
      const same = cases.find((c) => c["ifac_key"] === negative.ifac_key && c.ifac_size === negative.ifac_size);
      assert.ok(same !== undefined);
      assert.equal(make(same).open(fromHex(n.packet)) !== undefined, n.accepted);
    });
  }
});

describe("reticulum message authentication", () => {
  it("is the standard's for keys and messages of any length, in one part or several", () => {
    const random = seededRandom("hmac");
    for (const keyBytes of [0, 1, 16, 32, 63, 64, 65, 200]) {
      for (const length of [0, 1, 63, 64, 65, 500, 1023, 1024, 1025, 5000]) {
        const [key, message] = [random(keyBytes).slice(0, keyBytes), random(length).slice(0, length)];
        const wanted = new Uint8Array(createHmac("sha256", key).update(message).digest());
        assert.deepEqual(hmacSha256(key, message), wanted, `key ${keyBytes}, message ${length}`);
        assert.deepEqual(hmacSha256(key, message.subarray(0, 7), message.subarray(7)), wanted);
      }
    }
  });
});
