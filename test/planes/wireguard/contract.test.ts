/** The WireGuard plane keeps the contract of all planes, over an interface in memory. */
import { planeContract } from "../../contract/plane.ts";
import { enclaveNode } from "../../helpers/enclave.ts";

planeContract("wireguard", () => ({
  traits: { broadcast: false, ordered: true, reliable: true, authenticated: true, storeAndForward: false },
  create: async () => enclaveNode().plane,
  mutual: true,
  badAddresses: [
    "",
    "memory:a",
    "/ip4/127.0.0.1/tcp/4001",
    "10.77.0.2:4811",
    "aegis:ed25519:00",
    "spine-peer:1:",
    "spine-peer:1:AAAA",
    `spine-peer:1:${"A".repeat(300)}`,
    `spine-peer:2:${"A".repeat(300)}`,
  ],
  heldBytes: 16 * 1_024 * 1_024,
}));
