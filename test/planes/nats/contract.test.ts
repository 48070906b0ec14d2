/** The NATS plane keeps the plane contract over real servers, the oldest and the newest that it supports. */
import { randomBytes } from "node:crypto";
import { NatsPlane } from "../../../planes/index.ts";
import { planeContract } from "../../contract/plane.ts";
import { describeNats, type NatsKind, NatsServer } from "../../peers/nats.ts";

for (const kind of ["debian", "newest"] satisfies NatsKind[]) {
  describeNats(kind, "NatsPlane", () => {
    let server: NatsServer;
    before(async () => {
      server = await NatsServer.start({ kind, jetstream: false });
    });
    after(() => server.stop());
    planeContract("nats", () => ({
      traits: { broadcast: true, ordered: true, reliable: true, authenticated: true, storeAndForward: false },
      create: async () =>
        new NatsPlane({
          servers: [server.url],
          auth: { type: "none" },
          clientName: "contract",
          privateKeySeed: new Uint8Array(randomBytes(32)),
          subjectPrefix: "aegis",
          discover: false,
          startOffline: false,
        }),
      badAddresses: ["", "nats:", "nats:xyz", `nats:${"A".repeat(64)}`, `/ip4/127.0.0.1/tcp/4222`],
      heldBytes: 4 * 1_024 * 1_024,
    }));
  });
}
