/** Urgent envelopes as mail: how the plane's `MailDrop` uses a router. Run by the daemon's mail and by the simulator. */
import type { MailDrop } from "../carry/absent.ts";
import type { Station } from "../station.ts";
import { deliveryHash } from "./delivery-links.ts";
import type { LxmfRouter } from "./router.ts";

export function mailDrop(station: Station, router: LxmfRouter): MailDrop {
  return {
    send: (to, content, done) => {
      const { endpoint } = station;
      const destination = deliveryHash(to);
      station.act(() => endpoint.known.introduce(destination, to, endpoint.now));
      // Whoever has no link is away: with a propagation node it waits there, without one it is tried now and then.
      const method = router.client.hasNode ? "propagated" : "opportunistic";
      const outgoing = router.send({ destination, content, method });
      outgoing.onConcluded = ({ state }) => {
        if (state !== "cancelled") done(state === "delivered" ? "delivered" : state === "sent" ? "left" : "failed");
      };
      return () => void router.cancel(outgoing.hex);
    },
  };
}
