/** The libp2p plane keeps the contract of all planes. */
import { planeContract } from "../contract/plane.ts";
import { libp2pPlane } from "../helpers/libp2p.ts";

planeContract("libp2p", () => ({
  traits: { broadcast: true, ordered: true, reliable: true, authenticated: true, storeAndForward: false },
  // No links but those the suite makes: peers found through others would hear what they should not.
  create: async () => libp2pPlane({}, { targetLinks: 0 }),
  badAddresses: [
    "",
    "memory:a",
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/127.0.0.1/tcp/99999/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo",
    "/ip4/127.0.0.1/tcp/4001/p2p/nonsense",
    "/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo",
  ],
  heldBytes: 16 * 1_024 * 1_024,
}));
