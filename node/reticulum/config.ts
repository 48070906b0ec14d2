/** The configuration section `planes.reticulum`: interfaces and how the node answers. Part of `config.ts`. */
import { z } from "zod";

const count = (least: number, most: number) => z.int().min(least).max(most);
const port = count(1, 65_535);
const host = z.string().min(1).max(253);

const common = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/, "expected letters, digits, spaces, dots, dashes")
    .describe("Names the interface in status and logs; no two alike."),
  networkName: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe("Closed network: only nodes with the same name take part."),
  passphrase: z.string().min(1).max(1024).optional().describe("Closed network: secret shared by its nodes."),
  accessCodeBytes: count(1, 64)
    .optional()
    .describe("Access code in every packet; 16 on networks, 8 on radio and lines."),
  mode: z
    .enum(["full", "point-to-point", "access-point", "roaming", "boundary", "gateway", "internal"])
    .optional()
    .describe("What transport does here: which announces go out, whether paths are searched; full if omitted."),
  announceCapPercent: z
    .number()
    .gt(0)
    .max(100)
    .optional()
    .describe("Share of the bitrate for announces passed on; 2 if omitted."),
  announceRateSeconds: count(0, 604_800)
    .optional()
    .describe("One destination's announces are passed on this often, after 5 for nothing; 3600 if omitted, 0: always."),
  ingressControl: z.boolean().optional().describe("Hold back bursts of announces for unknown destinations."),
  pathRequestsPerSecond: z.number().gt(0).max(1000).optional().describe("Path requests sent; no limit if omitted."),
};
const destination = z.string().regex(/^[0-9a-f]{32}$/, "expected 32 lower-case hex digits");
const line = {
  path: z.string().min(1).describe("Serial device; prefer a stable name under /dev/serial/by-id."),
  speed: count(50, 4_000_000).optional().describe("Baud; 115200 if omitted."),
  dataBits: z.union([z.literal(5), z.literal(6), z.literal(7), z.literal(8)]).optional(),
  parity: z.enum(["none", "even", "odd"]).optional(),
  stopBits: z.union([z.literal(1), z.literal(2)]).optional(),
};
const tcp = {
  ...common,
  port,
  framing: z.enum(["hdlc", "kiss"]).optional().describe("hdlc if omitted."),
  bitrate: count(5, 10_000_000_000).optional().describe("Bits per second, if not about 10 million; decides the MTU."),
  fixedMtu: count(500, 262_144).optional().describe("Bytes; 500 suits networks that go on over radio."),
};

export const reticulumInterface = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("tcp-client"), ...tcp, host }),
  z.strictObject({ type: z.literal("tcp-server"), ...tcp, host: host.default("127.0.0.1") }),
  z.strictObject({
    type: z.literal("udp"),
    ...common,
    listenHost: host.default("127.0.0.1"),
    listenPort: port,
    forwardHost: host.describe("Where packets go; may be a broadcast address."),
    forwardPort: port,
    bitrate: tcp.bitrate,
  }),
  z.strictObject({ type: z.literal("serial"), ...common, ...line }),
  z.strictObject({
    type: z.literal("kiss"),
    ...common,
    ...line,
    bitrate: count(5, 10_000_000).optional().describe("Bits per second on the air; 1200 if omitted."),
    preambleMs: count(0, 2550).optional(),
    txTailMs: count(0, 2550).optional(),
    persistence: count(0, 255).optional(),
    slotTimeMs: count(0, 2550).optional(),
    flowControl: z.boolean().optional().describe("Wait for the TNC before each frame."),
    ax25: z
      .strictObject({ callsign: z.string(), ssid: count(0, 15) })
      .optional()
      .describe("AX.25 framing with this call sign."),
  }),
  z
    .strictObject({
      type: z.literal("rnode"),
      ...common,
      path: line.path.optional(),
      speed: line.speed,
      host: host.optional().describe("An RNode on the network, instead of a path."),
      port: port.optional().describe("7633 if omitted."),
      frequencyHz: count(137_000_000, 3_000_000_000).describe("Know what your country allows."),
      bandwidthHz: count(7800, 1_625_000),
      txPowerDbm: count(0, 37),
      spreadingFactor: count(5, 12),
      codingRate: count(5, 8).describe("Denominator: 5 is 4/5."),
      airtimeShortPercent: z
        .number()
        .min(0)
        .max(100)
        .optional()
        .describe("Of the last 15 seconds, kept by the device."),
      airtimeLongPercent: z.number().min(0).max(100).optional().describe("Of the last hour, kept by the device."),
      flowControl: z.boolean().optional().describe("Ask the device before each packet."),
    })
    .refine(({ path, host: remote }) => (path === undefined) !== (remote === undefined), "give either path or host"),
  z.strictObject({
    type: z.literal("auto"),
    ...common,
    groupId: z.string().min(1).max(128).optional().describe("Only nodes of the same group meet."),
    scope: z.enum(["link", "admin", "site", "organisation", "global"]).optional(),
    discoveryPort: port.optional(),
    dataPort: port.optional(),
    devices: z.array(z.string()).max(32).optional().describe("Only these network devices."),
    ignoredDevices: z.array(z.string()).max(32).optional(),
  }),
]);

export type InterfaceConfig = z.output<typeof reticulumInterface>;

const lxmf = z.strictObject({
  enabled: z.boolean().default(false).describe("Take and send LXMF messages under an address of this node."),
  displayName: z.string().min(1).max(64).optional().describe("Announced with the address."),
  stampCost: count(1, 26).optional().describe("Bits of work asked of senders without a ticket."),
  enforceStamps: z.boolean().default(false).describe("Refuse messages without it, instead of marking them."),
  propagationNode: destination.optional().describe("Node that keeps messages for those who are away."),
  fetchMinutes: count(0, 10_080)
    .default(60)
    .describe("Fetch messages from the propagation node this often; 0: only by `spine rns fetch`."),
  announceMinutes: count(0, 10_080).default(360).describe("Announce the address this often; 0: never."),
  propagation: z
    .strictObject({
      enabled: z.boolean().default(false).describe("Keep messages for others, and exchange them with peers."),
      name: z.string().min(1).max(64).optional(),
      stampCost: count(13, 26).default(16).describe("Bits of work asked per message."),
      peeringCost: count(1, 26).default(18).describe("Bits of work asked of a peer, once."),
      storeMegabytes: count(1, 100_000).default(500).describe("When full, large and old messages go first."),
      autoPeer: z.boolean().default(true).describe("Peer with nodes heard of, up to 4 hops away."),
      peers: z.array(destination).max(64).default([]).describe("Nodes to peer with in any case."),
      controllers: z
        .array(destination)
        .max(64)
        .default([])
        .describe("Identities that may ask for statistics, syncs and the end of peerings, as lxmd does."),
    })
    .prefault({}),
});

export type LxmfConfig = z.output<typeof lxmf>;

export const reticulumSection = z.strictObject({
  enabled: z.boolean().default(false).describe("Run this plane."),
  transport: z.boolean().default(false).describe("Forward packets, announces and path requests for others."),
  lxmf: lxmf.prefault({}),
  mesh: z
    .strictObject({
      enabled: z.boolean().default(true).describe("Carry envelopes to other nodes over this plane."),
      peers: z
        .array(z.string().regex(/^rns:[0-9a-f]{32}$/, "expected rns: and 32 hex digits"))
        .max(256)
        .default([])
        .describe("Nodes to stay linked with."),
      discover: z.boolean().default(true).describe("Link with nodes that announce themselves."),
      groupKeyFile: z
        .string()
        .min(1)
        .optional()
        .describe("File of 128 hex digits that all nodes of the group hold: seals what is broadcast on the air."),
      mail: z
        .boolean()
        .default(true)
        .describe(
          "With lxmf.enabled: leave revocations, checkpoints, incidents, policy deltas for peers who are away.",
        ),
    })
    .prefault({}),
  respondToProbes: z.boolean().default(true).describe("Prove receipt to `spine rns probe` and rnprobe."),
  announceMinutes: count(0, 10_080)
    .default(0)
    .describe("Announce the node this often, for the first time at start; 0: only by `spine rns announce`."),
  interfaces: z
    .array(reticulumInterface)
    .max(32)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, "two interfaces have one name")
    .default([])
    .describe("What packets go through."),
});

export type ReticulumConfig = z.output<typeof reticulumSection>;
