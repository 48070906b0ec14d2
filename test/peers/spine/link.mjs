/** A libp2p node that speaks the sync protocol's framing and the gossip topic. Used by `stranger.mjs` and `hostile.mjs`. */
import { createHash, randomBytes } from "node:crypto";
import { varint } from "./wire.mjs";

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

export const SYNC = "/spine/sync/1.0.0";
export const TOPIC = "/aegis/spine/1.0.0";

/** Frames on one stream: a varint length, then that many bytes; length 0 keeps the stream alive and means nothing. */
export class Link {
  constructor(stream, localKey, remoteKey) {
    this.stream = stream;
    this.localKey = Buffer.from(localKey);
    this.remoteKey = Buffer.from(remoteKey);
    this.closed = new Promise((resolve) => {
      this.markClosed = resolve;
    });
    this.open = true;
    this.pieces = Buffer.alloc(0);
  }
  listen(onFrame) {
    this.stream.addEventListener("message", ({ data }) => {
      this.pieces = Buffer.concat([this.pieces, data.subarray()]);
      for (;;) {
        let [length, used] = [0, 0];
        while (used < this.pieces.length) {
          length += (this.pieces[used] & 127) * 128 ** used;
          if (this.pieces[used++] < 128) break;
        }
        if (used === 0 || this.pieces[used - 1] >= 128 || this.pieces.length < used + length) return;
        const frame = Buffer.from(this.pieces.subarray(used, used + length));
        this.pieces = this.pieces.subarray(used + length);
        if (length > 0) onFrame(frame);
      }
    });
    const end = () => {
      this.open = false;
      this.markClosed();
    };
    this.stream.addEventListener("close", end);
    this.stream.addEventListener("end", end);
    if (this.stream.status !== "open") end();
  }
  send(frame) {
    return this.raw(Buffer.concat([varint(frame.length), frame]));
  }
  /** Resolves when more may be sent, or the stream is gone. */
  async raw(bytes) {
    if (!this.open) return;
    try {
      if (!this.stream.send(bytes)) await Promise.race([this.stream.onDrain(), this.closed]);
    } catch {
      this.open = false;
      this.markClosed();
    }
  }
}

/** `onLink` is told of each sync stream; of two peers the one whose peer id bytes sort lower opens it. */
export async function startNode({ listen = [], onLink, onGossip = () => {} }) {
  const node = await createLibp2p({
    privateKey: await generateKeyPairFromSeed("Ed25519", new Uint8Array(randomBytes(32))),
    addresses: { listen },
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
  const adopt = (stream, peer) => onLink(new Link(stream, node.peerId.publicKey.raw, peer.publicKey.raw));
  await node.handle(SYNC, (stream, connection) => adopt(stream, connection.remotePeer));
  await node.register(SYNC, {
    onConnect: async (peer, connection) => {
      if (Buffer.compare(node.peerId.toMultihash().bytes, peer.toMultihash().bytes) >= 0) return;
      adopt(await connection.newStream(SYNC), peer);
    },
  });
  node.services.pubsub.addEventListener("gossipsub:message", ({ detail }) => onGossip(Buffer.from(detail.msg.data)));
  node.services.pubsub.subscribe(TOPIC);
  return {
    id: node.peerId.toString(),
    addresses: node.getMultiaddrs().map(String),
    dial: (address) => node.dial(multiaddr(address)),
    neighbours: () => node.services.pubsub.getSubscribers(TOPIC).length,
    publish: async (text) => {
      const { recipients } = await node.services.pubsub.publish(TOPIC, Buffer.from(text));
      return recipients.length;
    },
    stop: () => node.stop(),
  };
}
