/** The Reticulum plane keeps the contract of all planes. */
import { planeContract } from "../../contract/plane.ts";
import { busPlane, MemoryBus } from "../../helpers/reticulum-bus.ts";

planeContract("reticulum", () => {
  const bus = new MemoryBus();
  return {
    traits: { broadcast: true, ordered: true, reliable: true, authenticated: true, storeAndForward: true },
    create: async () => busPlane(bus),
    badAddresses: ["", "rns:", "rns:12", `rns:${"g".repeat(32)}`, `rns:${"A".repeat(32)}`, "memory:a", "a".repeat(32)],
    heldBytes: 16 * 1_024 * 1_024,
  };
});
