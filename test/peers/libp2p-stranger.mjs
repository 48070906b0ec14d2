/**
 * An independent libp2p program: imports nothing of this project and knows only the published format. Commands come as
 * JSON lines on stdin ({"op": …}), reports go as JSON lines to stdout ({"event": …}); bytes are hex. It ends with stdin.
 *
 * | op                                  | does                                                          |
 * |-------------------------------------|---------------------------------------------------------------|
 * | dial {address}                      | connects; reports `connected`                                 |
 * | open {}                             | opens a sync stream now, whosever turn it is                  |
 * | send {hex, count?}                  | sends length-prefixed frames on the newest sync stream        |
 * | raw {hex, count?}                   | sends bytes as they are                                       |
 * | publish {hex}                       | broadcasts; reports `published` with the number of recipients |
 * | pause / resume {}                   | stops and starts reading the sync stream                      |
 * | close / hangup {}                   | closes the newest sync stream / every connection              |
 * | streams {count}                     | opens so many sync streams at once; reports `opened`          |
 * | flood {count, bytes}                | broadcasts different messages; reports `flooded`              |
 * | churn {address, count}              | connects and hangs up again and again; reports `churned`      |
 *
 * Options: --seed HEX (32 bytes), --listen MULTIADDR, --polite false (never opens the sync stream by
 * itself), --gossip false (does not join the topic), --sync false (does not speak the sync protocol).
 */
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

Promise.withResolvers ??= function withResolvers() {
  let resolve;
  let reject;
  const promise = new this((take, refuse) => {
    resolve = take;
    reject = refuse;
  });
  return { promise, resolve, reject };
};

const { createLibp2p } = await import("libp2p");
const { tcp } = await import("@libp2p/tcp");
const { noise } = await import("@libp2p/noise");
const { yamux } = await import("@libp2p/yamux");
const { identify } = await import("@libp2p/identify");
const { gossipsub } = await import("@libp2p/gossipsub");
const { generateKeyPairFromSeed } = await import("@libp2p/crypto/keys");
const { multiaddr } = await import("@multiformats/multiaddr");

const SYNC = "/spine/sync/1.0.0";
const TOPIC = "/aegis/spine/1.0.0";

const options = new Map();
for (let i = 2; i < process.argv.length; i += 2) options.set(process.argv[i].slice(2), process.argv[i + 1]);

function report(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}
function hex(bytes) {
  return Buffer.from(bytes.subarray()).toString("hex");
}

const seed = options.has("seed") ? Buffer.from(options.get("seed"), "hex") : randomBytes(32);
const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed("Ed25519", new Uint8Array(seed)),
  addresses: { listen: options.has("listen") ? [options.get("listen")] : [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    pubsub: gossipsub({
      globalSignaturePolicy: "StrictNoSign",
      msgIdFn: (message) => createHash("sha256").update(message.data).digest(),
      allowPublishToZeroTopicPeers: true,
    }),
  },
});

/** The newest sync stream. */
let stream = null;

/** Frames: unsigned varint length, then that many bytes; length 0 keeps the stream alive and means nothing. */
function adopt(opened, direction) {
  stream = opened;
  let buffer = Buffer.alloc(0);
  opened.addEventListener("message", ({ data }) => {
    buffer = Buffer.concat([buffer, data.subarray()]);
    for (;;) {
      let length = 0;
      let used = 0;
      for (; used < buffer.length; used++) {
        length += (buffer[used] & 127) * 128 ** used;
        if (buffer[used] < 128) break;
      }
      if (used === buffer.length || buffer.length < used + 1 + length) return;
      const frame = buffer.subarray(used + 1, used + 1 + length);
      buffer = buffer.subarray(used + 1 + length);
      if (length === 0) report("keepalive");
      else report("frame", { bytes: length, hex: length <= 4_096 ? hex(frame) : "" });
    }
  });
  opened.addEventListener("close", ({ error }) => report("closed", { error: error?.message ?? "" }));
  report("stream", { direction });
  // A refusal may have come before anybody listened.
  if (opened.status !== "open") report("closed", { error: opened.status });
}

function withLength(frame) {
  const header = [];
  let rest = frame.length;
  while (rest >= 128) {
    header.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.concat([Buffer.from([...header, rest]), frame]);
}

async function write(bytes, count) {
  for (let i = 0; i < count; i++) {
    if (!stream.send(bytes)) await stream.onDrain();
  }
}

if (options.get("sync") !== "false") await node.handle(SYNC, (opened) => adopt(opened, "inbound"));
// Of two peers the one whose peer id bytes sort lower opens the sync stream.
if (options.get("polite") !== "false") {
  await node.register(SYNC, {
    onConnect: async (peer, connection) => {
      if (Buffer.compare(node.peerId.toMultihash().bytes, peer.toMultihash().bytes) >= 0) return;
      adopt(await connection.newStream(SYNC), "outbound");
    },
  });
}
node.services.pubsub.addEventListener("gossipsub:message", ({ detail }) => {
  report("gossip", { hex: hex(detail.msg.data), from: detail.propagationSource.toString() });
});
node.addEventListener("connection:close", ({ detail }) =>
  report("disconnected", { peer: detail.remotePeer.toString() }),
);
if (options.get("gossip") !== "false") node.services.pubsub.subscribe(TOPIC);

const commands = {
  async dial({ address }) {
    const connection = await node.dial(multiaddr(address));
    report("connected", { peer: connection.remotePeer.toString() });
  },
  async open() {
    adopt(await node.getConnections()[0].newStream(SYNC), "outbound");
  },
  async send({ hex: text, count = 1 }) {
    await write(withLength(Buffer.from(text, "hex")), count);
    report("sent");
  },
  async raw({ hex: text, count = 1 }) {
    await write(Buffer.from(text, "hex"), count);
    report("sent");
  },
  async publish({ hex: text }) {
    const { recipients } = await node.services.pubsub.publish(TOPIC, Buffer.from(text, "hex"));
    report("published", { recipients: recipients.length });
  },
  async pause() {
    stream.pause();
    report("paused");
  },
  async resume() {
    stream.resume();
    report("resumed");
  },
  async close() {
    await stream.close();
  },
  async streams({ count }) {
    const opening = Array.from({ length: count }, () => node.getConnections()[0].newStream(SYNC));
    const results = await Promise.allSettled(opening);
    report("opened", { count: results.filter(({ status }) => status === "fulfilled").length });
  },
  async flood({ count, bytes }) {
    let sent = 0;
    for (let i = 0; i < count; i++) {
      const { recipients } = await node.services.pubsub
        .publish(TOPIC, randomBytes(bytes))
        .catch(() => ({ recipients: [] }));
      sent += recipients.length;
      if (i % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    report("flooded", { sent });
  },
  async churn({ address, count }) {
    let connected = 0;
    for (let i = 0; i < count; i++) {
      try {
        const connection = await node.dial(multiaddr(address));
        connected++;
        connection.abort(new Error("churn"));
      } catch {
        // Being refused is an answer, too.
      }
    }
    report("churned", { connected });
  },
  async hangup() {
    for (const connection of node.getConnections()) await connection.close();
  },
};

report("ready", { id: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    await commands[command.op](command);
  } catch (error) {
    report("failed", { message: error.message });
  }
}
process.exit();
