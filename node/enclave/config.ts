/** The configuration section `planes.wireguard`. Part of `config.ts`. */
import { z } from "zod";
import { wireguard } from "../../planes/index.ts";

const count = (least: number, most: number) => z.int().min(least).max(most);

function reads(read: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      read(text);
      return true;
    } catch {
      return false;
    }
  };
}

const member = z
  .string()
  .regex(/^(aegis:ed25519:[0-9a-f]{64}|spine-peer:1:[A-Za-z0-9_-]+)$/, "expected an issuer id or a peer card")
  .describe("An issuer whose binding arrives over another plane, or its card.");

export const wireguardSection = z
  .strictObject({
    enabled: z.boolean().default(false).describe("Run this plane; it needs the unit spine-enclave on this host."),
    interface: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,15}$/, "expected an interface name")
      .default("spine0")
      .describe("The interface; one that the helper owns is named spine…"),
    adopt: z
      .boolean()
      .default(false)
      .describe("The interface is kept by something else; it is read and never changed."),
    helper: z.string().min(1).default("/run/spine-enclave/helper.sock").describe("Socket of the privileged helper."),
    network: z
      .string()
      .refine(
        reads((text) => wireguard.checkEnclaveNetwork(wireguard.parseNetwork(text), [])),
        "expected a network such as 10.77.0.0/24, no default route",
      )
      .default("10.77.0.0/24")
      .describe("The enclave; the same on all its nodes and clear of every local network."),
    address: z
      .string()
      .refine(reads(wireguard.parseAddress), "expected an address such as 10.77.0.1")
      .optional()
      .describe("This node's own address in the network; needed when the plane is enabled."),
    port: count(1, 65_535).default(4811).describe("TCP port inside the tunnel."),
    listenPort: count(1, 65_535).default(51_820).describe("UDP port of the interface."),
    endpoints: z
      .array(
        z
          .string()
          .refine(
            (text) => wireguard.parseEndpoint(text) !== undefined,
            "expected ADDRESS:PORT, such as 192.0.2.1:51820",
          ),
      )
      .max(wireguard.MAX_ENDPOINTS)
      .default([])
      .describe("Where peers reach the interface; none = this node calls them."),
    peers: z
      .array(member)
      .max(wireguard.MAX_MEMBERS)
      .default([])
      .describe("The operator's list. Of two that claim one key or address the earlier is let in."),
    requireAttestation: z
      .boolean()
      .default(false)
      .describe("Let in only issuers that also published a node_attestation."),
    keepaliveSeconds: count(0, 3_600).default(25).describe("Keeps the way through NATs open; 0 = off."),
    mtu: count(576, 9_000).default(1_420).describe("Bytes; lowered on its own where full packets vanish."),
    rotationSeconds: count(1, 86_400)
      .default(60)
      .describe("How long peers are told of the next transport key before it takes over."),
  })
  .superRefine((section, context) => {
    if (section.enabled && section.address === undefined) {
      context.addIssue({
        code: "custom",
        path: ["address"],
        message: "missing: this node's own address in the network",
      });
    }
    const { address, network } = section;
    if (address === undefined || !reads(wireguard.parseNetwork)(network)) return;
    if (!reads(wireguard.parseAddress)(address)) return;
    if (!wireguard.contains(wireguard.parseNetwork(network), wireguard.parseAddress(address))) {
      context.addIssue({ code: "custom", path: ["address"], message: `outside ${network}` });
    }
  });

export type EnclaveConfig = z.output<typeof wireguardSection>;
