/** Clock, hash, signer, log, metrics, peerbook, notifier: the small adapters. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  changePeerbook,
  createMetrics,
  createNotifier,
  createSigner,
  readPeerbook,
  sha256Hex,
  systemClock,
} from "../../node/index.ts";
import { fromHex, nobleVerify, toHex, utf8 } from "../../spine/index.ts";
import { describeShared, sharedJson } from "../helpers/shared.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const INDEX = resolve(import.meta.dirname, "../../node/index.js");

describe("clock", () => {
  it("runs a task once, and not at all when cancelled", async () => {
    let runs = 0;
    systemClock.schedule(systemClock.now() + 5, () => runs++)();
    await new Promise<void>((resolve) => {
      systemClock.schedule(systemClock.now() - 1000, () => {
        runs++;
        setTimeout(resolve, 30);
      });
    });
    assert.equal(runs, 1);
  });

  it("waits for times beyond what one timer can hold", async () => {
    let ran = false;
    const cancel = systemClock.schedule(systemClock.now() + 2 ** 40, () => {
      ran = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    cancel();
    assert.equal(ran, false);
  });
});

describe("signer and hash", () => {
  it("sign what the pure verifier accepts, under the issuer of the key", () => {
    const signer = createSigner(new Uint8Array(32).fill(3));
    const message = utf8("message");
    const signature = signer.sign(message);
    assert.equal(nobleVerify({ key: signer.publicKey, message, signature }), true);
    assert.match(signer.issuer, /^aegis:ed25519:[0-9a-f]{64}$/);
    assert.equal(sha256Hex(message), createHash("sha256").update(message).digest("hex"));
    assert.throws(() => createSigner(new Uint8Array(31)), { code: "key_invalid" });
  });
});

describeShared("signer on key vectors", ["vectors/spine/keys.json"], () => {
  interface KeyPair {
    readonly seed_hex: string;
    readonly issuer: string;
    readonly message_utf8: string;
    readonly signature: string;
  }
  const { keypairs } = sharedJson<{ keypairs: KeyPair[] }>("vectors/spine/keys.json");

  it("derives every issuer and signs as upstream does", () => {
    for (const { seed_hex, issuer, message_utf8, signature } of keypairs) {
      const signer = createSigner(fromHex(seed_hex));
      assert.equal(signer.issuer, issuer);
      assert.equal(`0x${toHex(signer.sign(utf8(message_utf8)))}`, signature);
    }
    assert.ok(keypairs.length > 0);
  });
});

describe("log", () => {
  const logged = (format: string): string => {
    const script = `
      import { createLog } from ${JSON.stringify(INDEX)};
      const log = createLog({ level: "info", format: ${JSON.stringify(format)} });
      log.debug("hidden");
      log.info({ token: "s3cret", peer: { seed: "s3cret" }, links: 2 }, "started");
    `;
    const { stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(stdout, "");
    return stderr;
  };

  it("writes JSON lines to standard error, without secrets", () => {
    const text = logged("auto");
    const line = JSON.parse(text) as { msg: string; links: number; token: string };
    assert.equal(line.msg, "started");
    assert.equal(line.links, 2);
    assert.equal(text.includes("s3cret"), false);
  });

  it("writes text for people, without secrets", () => {
    const text = logged("text");
    assert.match(text, /^\d\d:\d\d:\d\d INFO {2}started {2}.*links=2.*\n$/);
    assert.equal(text.includes("s3cret"), false);
  });
});

describe("metrics", () => {
  it("have the house's names, units and closed labels", async () => {
    const metrics = createMetrics("1.0.0");
    metrics.stored("synced", 5);
    metrics.refused("hash_mismatch");
    metrics.commit(0.003, 5);
    metrics.request("publish", 201, 0.001);
    let links = 3;
    metrics.observe("gauge", "links_count", "Links.", () => links);
    metrics.observePlane("libp2p", () => ({ dialled: 4 }));
    links = 7;
    const text = await metrics.text();
    assert.match(text, /spine_envelopes_stored_total\{source="synced"\} 5/);
    assert.match(text, /spine_envelopes_stored_total\{source="gossip"\} 0/);
    assert.match(text, /spine_inputs_refused_total\{code="hash_mismatch"\} 1/);
    assert.match(text, /spine_links_count 7/);
    assert.match(text, /spine_plane_events_total\{plane="libp2p",counter="dialled"\} 4/);
    for (const line of text.split("\n"))
      assert.match(line, /^($|#|spine_[a-z0-9_]+(_total|_seconds|_bytes|_count|_info|_sum|_bucket)?[{ ])/);
    assert.match(await metrics.text(), /spine_plane_events_total\{plane="libp2p",counter="dialled"\} 4/);
  });
});

describe("peerbook", () => {
  const folder = temporaryFolders();

  it("keeps addresses once, bounded", async () => {
    const path = join(await folder(), "peers.json");
    assert.deepEqual(await readPeerbook(path), []);
    await changePeerbook(path, { add: ["/ip4/1.2.3.4/tcp/1", "nats://host:4222"] });
    await changePeerbook(path, { add: ["/ip4/1.2.3.4/tcp/1"], remove: (address) => address.startsWith("nats:") });
    assert.deepEqual(await readPeerbook(path), ["/ip4/1.2.3.4/tcp/1"]);
    const many = Array.from({ length: 600 }, (_, i) => `/ip4/1.2.3.4/tcp/${i}`);
    await assert.rejects(changePeerbook(path, { add: many }), { code: "quota_exceeded" });
    await assert.rejects(changePeerbook(path, { add: ["no address"] }), { code: "peer_address" });
    assert.deepEqual(JSON.parse(await readFile(path, "utf8")), {
      schema: "spine.peerbook.v1",
      peers: ["/ip4/1.2.3.4/tcp/1"],
    });
  });
});

describe("notifier", () => {
  const folder = temporaryFolders();
  const missing = ["python3", "systemd-notify"].filter((name) => spawnSync(name, ["--version"]).error !== undefined);
  const required = process.env["SPINE_REQUIRE_PEERS"] === "1";
  const withPeers = missing.length === 0 || required ? it : it.skip;

  it("does nothing without a supervisor", () => {
    const notifier = createNotifier({});
    notifier.ready();
    notifier.stopping();
  });

  withPeers(
    `tells READY, WATCHDOG and STOPPING (needs ${missing.join(", ") || "python3, systemd-notify"})`,
    async () => {
      const path = join(await folder(), "notify.sock");
      const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
seen = ""
while "STOPPING=1" not in seen:
    seen += s.recv(4096).decode() + "\\n"
    print(seen.replace("\\n", "|"), flush=True)
`;
      const receiver = spawn("python3", ["-c", script, path]);
      await once(receiver.stdout, "data");
      let told = "";
      const until = async (word: string): Promise<void> => {
        while (!told.includes(word)) {
          const [part] = (await once(receiver.stdout, "data")) as [Buffer];
          told = part.toString();
        }
      };
      const env = { PATH: process.env["PATH"] ?? "", NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000" };
      const notifier = createNotifier(env);
      notifier.ready();
      await until("READY=1");
      await until("WATCHDOG=1");
      notifier.stopping();
      await until("STOPPING=1");
      receiver.kill();
    },
  );
});
