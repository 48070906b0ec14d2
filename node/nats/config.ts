/** The configuration section `planes.nats`: servers, login, names, streams and bounds. Part of `config.ts`. */
import { z } from "zod";

const count = (least: number, most: number) => z.int().min(least).max(most);
const file = z.string().min(1).max(4_096).optional();

export const natsSection = z.strictObject({
  enabled: z.boolean().default(false).describe("Run this plane."),
  servers: z
    .array(
      z
        .string()
        .regex(
          /^((nats|tls):\/\/)?[A-Za-z0-9.[\]:-]+:\d{1,5}$/,
          "expected host:port, nats://host:port or tls://host:port",
        ),
    )
    .min(1)
    .max(32)
    .default(["127.0.0.1:4222"])
    .describe("Servers of one cluster; any that answers is used, and left for another when it fails."),
  credsFile: file.describe("Credentials file of a user, as `nsc` writes it. At most one way to log in."),
  nkeyFile: file.describe("File with the seed of a user nkey."),
  tokenFile: file.describe("File with a token."),
  passwordFile: file.describe("File with USER:PASSWORD."),
  tls: z.boolean().default(false).describe("Refuse servers that do not encrypt."),
  caFile: file.describe("PEM certificates to trust instead of the system's."),
  certFile: file.describe("PEM certificate of this client, with keyFile."),
  keyFile: file.describe("PEM key of this client."),
  preset: z
    .enum(["aegis", "clawdstrike"])
    .default("aegis")
    .describe("Names of subjects, streams and buckets; clawdstrike: those of an upstream cluster."),
  peers: z
    .array(z.string().regex(/^nats:[0-9a-f]{64}$/, "expected nats: and the 64 hex digits of the peer's plane key"))
    .max(512)
    .default([])
    .describe("Peers to stay linked with; `spine status` on them shows their address."),
  discover: z.boolean().default(true).describe("Say that this node is here, and link with some that say so."),
  streams: z
    .strictObject({
      enabled: z.boolean().default(true).describe("Publish to and read from JetStream; false: links only."),
      replicas: count(1, 5).default(1).describe("Copies of each stream, on as many servers; 3 survives one."),
      envelopeBytes: count(1_048_576, 2 ** 50)
        .default(2 ** 30)
        .describe("Disk of each replica for envelopes; the oldest go first, every node keeps its own."),
      log: z.boolean().default(false).describe("Also the log's stream and buckets, for a log keeper on NATS."),
      logBytes: count(1_048_576, 2 ** 50)
        .default(2 ** 30)
        .describe("Disk of each replica for leaves; when full it refuses, so that none is lost unseen."),
      duplicateWindowSeconds: count(1, 86_400).default(120).describe("How long servers drop a hash they had."),
      window: count(1, 1_024).default(256).describe("Publishes under way at once."),
    })
    .prefault({}),
  witness: z
    .enum(["signed", "leaves"])
    .default("signed")
    .describe(
      "Which questions to this node's witness are answered on the cluster: those that their log signed; leaves: also unsigned ones, as an upstream checkpointer asks, when the leaves on the cluster have their root.",
    ),
  senderPerSecond: count(1, 100_000).default(5_000).describe("Envelopes read per second of one sender; more wait."),
});

export type NatsConfig = z.output<typeof natsSection>;
