/** The control socket's text: what is sent, what is read, and that nothing else than coded errors comes of garbage. */
import assert from "node:assert/strict";
import { wireguard } from "../../../planes/index.ts";
import { utf8, utf8Text } from "../../../spine/index.ts";
import { fuzzDecoder } from "../../fuzz/fuzz-decoder.ts";
import { throwsCode } from "../../helpers/throws.ts";

const { deviceRequest, peerRequest, readDump, readGetReply, readRequest, readSetReply } = wireguard;
const A = "aa".repeat(32);
const B = "0b".repeat(32);

const REPLY = [
  `private_key=${"e8".repeat(32)}`,
  "listen_port=51820",
  `public_key=${A}`,
  `preshared_key=${"00".repeat(32)}`,
  "protocol_version=1",
  "endpoint=[2001:db8::1]:51821",
  "last_handshake_time_sec=1700000000",
  "last_handshake_time_nsec=250000000",
  "tx_bytes=38333",
  "rx_bytes=2224",
  "persistent_keepalive_interval=25",
  "allowed_ip=10.77.0.2/32",
  "allowed_ip=fd00:0::2/128",
  `public_key=${B}`,
  "errno=0",
  "",
  "",
].join("\n");

const DUMP = [
  "6OKy/wXGr8ioHu5Hbl5oyiAzOO/8dqmvGzm/SJ40mH0=\tLPEaLYj1VVHOtTWJw60UGQJAYZJc3mCFf2BUUPTKTAk=\t51820\toff",
  "LPEaLYj1VVHOtTWJw60UGQJAYZJc3mCFf2BUUPTKTAk=\t(none)\t10.99.0.2:51821\t10.77.0.2/32,fd00::2/128\t1700000000\t12\t34\t25",
  "6OKy/wXGr8ioHu5Hbl5oyiAzOO/8dqmvGzm/SJ40mH0=\t(none)\t(none)\t(none)\t0\t0\t0\toff",
  "",
].join("\n");

describe("WireGuard's control protocol", () => {
  it("writes one peer per request, with exactly its one address", () => {
    const put = {
      type: "put",
      publicKey: A,
      allowedIp: "10.77.0.2/32",
      takesFrom: null,
      endpoint: "192.0.2.1:7",
      keepaliveSeconds: 25,
    } as const;
    assert.equal(
      peerRequest(put),
      `set=1\npublic_key=${A}\nendpoint=192.0.2.1:7\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.77.0.2/32\n\n`,
    );
    assert.equal(
      peerRequest({ ...put, allowedIp: null, endpoint: null, keepaliveSeconds: 0 }),
      `set=1\npublic_key=${A}\npersistent_keepalive_interval=0\nreplace_allowed_ips=true\n\n`,
    );
    assert.equal(peerRequest({ type: "remove", publicKey: A }), `set=1\npublic_key=${A}\nremove=true\n\n`);
    assert.equal(deviceRequest({ privateKey: B, listenPort: 1 }), `set=1\nprivate_key=${B}\nlisten_port=1\n\n`);
  });
  it("sends nothing that could become another line or another command", () => {
    const put = {
      type: "put",
      publicKey: A,
      allowedIp: null,
      takesFrom: null,
      endpoint: null,
      keepaliveSeconds: 0,
    } as const;
    for (const [change, code] of [
      [{ ...put, publicKey: `${A}\nremove=true` }, "uapi_syntax"],
      [{ ...put, publicKey: A.toUpperCase() }, "uapi_syntax"],
      [{ ...put, endpoint: "192.0.2.1:7\nreplace_peers=true" }, "uapi_syntax"],
      [{ ...put, endpoint: "peer.example:7" }, "uapi_syntax"],
      [{ ...put, keepaliveSeconds: 1.5 }, "uapi_syntax"],
      [{ ...put, keepaliveSeconds: -1 }, "uapi_syntax"],
      [{ ...put, allowedIp: "10.77.0.2/32\n" }, "enclave_address"],
      [{ ...put, allowedIp: "10.77.0.2/24" }, "enclave_address"],
    ] as const) {
      throwsCode(() => peerRequest(change), code);
    }
  });
  it("reads an interface with its peers", () => {
    const state = readGetReply(REPLY);
    assert.equal(state.privateKey, "e8".repeat(32));
    assert.equal(state.listenPort, 51_820);
    const [a, b] = state.peers;
    assert.deepEqual(a, {
      publicKey: A,
      allowedIps: ["10.77.0.2/32", "fd00::2/128"],
      endpoint: "[2001:db8::1]:51821",
      keepaliveSeconds: 25,
      handshakeAtMs: 1_700_000_000_250,
      rxBytes: 2_224,
      txBytes: 38_333,
    });
    assert.equal(b?.publicKey, B);
    assert.deepEqual(readGetReply("errno=0\n\n").peers, []);
  });
  it("reads what the wg tool prints", () => {
    const { listenPort, peers } = readDump(DUMP);
    assert.equal(listenPort, 51_820);
    assert.deepEqual(
      peers.map(({ allowedIps, endpoint, keepaliveSeconds, handshakeAtMs }) => [
        allowedIps,
        endpoint,
        keepaliveSeconds,
        handshakeAtMs,
      ]),
      [
        [["10.77.0.2/32", "fd00::2/128"], "10.99.0.2:51821", 25, 1_700_000_000_000],
        [[], null, 0, 0],
      ],
    );
  });
  it("says what the interface refused", () => {
    throwsCode(() => readSetReply("errno=-22\n\n"), "enclave_device");
    readSetReply("errno=0\n\n");
    throwsCode(() => readSetReply(REPLY), "uapi_syntax");
  });
  it("refuses replies that are cut, doubled or strange", () => {
    for (const text of [
      "",
      "errno=0\n",
      "listen_port=1\n\n",
      REPLY.replace("errno=0", "errno=x"),
      REPLY.replace(`public_key=${B}`, `public_key=${A}`),
      REPLY.replace("listen_port=51820", "listen_port=65536"),
      REPLY.replace("listen_port=51820", "listen_port=051820"),
      REPLY.replace("tx_bytes=38333", "tx_bytes=-1"),
      REPLY.replace("protocol_version=1", "protocol_version=2"),
      REPLY.replace("endpoint=[2001:db8::1]:51821", "endpoint=2001:db8::1:51821"),
      REPLY.replace("keepalive_interval", "keepalive"),
    ]) {
      throwsCode(() => readGetReply(text), "uapi_syntax");
    }
    throwsCode(() => readGetReply(REPLY.replace("10.77.0.2/32", "10.77.0.2/33")), "enclave_address");
  });

  for (const [name, decode, seeds] of [
    ["replies", (bytes: Uint8Array) => readGetReply(utf8Text(bytes)), [REPLY, "errno=0\n\n"]],
    ["dumps", (bytes: Uint8Array) => readDump(utf8Text(bytes)), [DUMP]],
    [
      "requests to the helper",
      (bytes: Uint8Array) => readRequest(utf8Text(bytes)),
      [
        '{"id":1,"op":"get"}',
        `{"id":2,"op":"set","change":{"type":"remove","publicKey":"${A}"}}`,
        `{"id":2,"op":"set","change":{"type":"put","publicKey":"${A}","allowedIp":"10.7.0.1/32","takesFrom":null,"endpoint":"1.2.3.4:5","keepaliveSeconds":25}}`,
        `{"id":3,"op":"up","private_key":"${A}","address":"10.77.0.1/24","listen_port":51820,"mtu":1420}`,
      ],
    ],
  ] as const) {
    it(`survives garbage as ${name}`, () => {
      const report = fuzzDecoder(name, decode, seeds.map(utf8));
      assert.ok(report.refused.size > 0 && report.decoded > 0);
    });
  }
});
